//! A store that lives as long as the process.

use std::collections::BTreeMap;

use bytes::Bytes;
use moorline_core::StoreId;
use moorline_core::store::{StoreReply, StoreRequest, Write};

use crate::store::{Answer, Store};

/// Spaces in memory.
#[derive(Default)]
pub(crate) struct Memory {
    spaces: BTreeMap<&'static str, BTreeMap<String, Bytes>>,
}

impl Store for Memory {
    fn ask(&mut self, _: StoreId, request: StoreRequest) -> Answer {
        Some(Ok(match request {
            StoreRequest::Load { space } => {
                let records = self.spaces.get(space).into_iter().flatten();
                StoreReply::Loaded(records.map(|(k, v)| (k.clone(), v.clone())).collect())
            }
            StoreRequest::Commit { writes } => {
                for write in writes {
                    self.apply(write);
                }
                StoreReply::Committed
            }
        }))
    }
}

impl Memory {
    fn apply(&mut self, write: Write) {
        match write {
            Write::Put { space, key, value } => {
                self.spaces.entry(space).or_default().insert(key, value);
            }
            Write::Delete { space, key } => {
                if let Some(records) = self.spaces.get_mut(space) {
                    records.remove(&key);
                }
            }
        }
    }
}
