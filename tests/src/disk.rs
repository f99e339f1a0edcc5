//! A disk that keeps what was synced.

use std::collections::BTreeMap;

use bytes::Bytes;
use moorline_core::store::{StoreReply, StoreRequest, Write};

/// The records of one process, by space and key.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    records: BTreeMap<(&'static str, String), Bytes>,
}

impl Disk {
    /// Returns the values of all records.
    pub fn values(&self) -> impl Iterator<Item = &Bytes> {
        self.records.values()
    }

    /// Performs a request.
    pub fn perform(&mut self, request: StoreRequest) -> StoreReply {
        match request {
            StoreRequest::Load { space } => StoreReply::Loaded(
                self.records
                    .iter()
                    .filter(|((of, _), _)| *of == space)
                    .map(|((_, key), value)| (key.clone(), value.clone()))
                    .collect(),
            ),
            StoreRequest::Find { space, from, limit, bytes } => {
                let cut = |value: &Bytes| value.slice(..value.len().min(bytes));
                let records =
                    self.records.iter().filter(|((of, key), _)| *of == space && *key >= from);
                let records = records.map(|((_, key), value)| (key.clone(), cut(value)));
                StoreReply::Loaded(records.take(limit).collect())
            }
            StoreRequest::Commit { writes } => {
                for write in writes {
                    match write {
                        Write::Put { space, key, value } => {
                            self.records.insert((space, key), value);
                        }
                        Write::Delete { space, key } => {
                            self.records.remove(&(space, key));
                        }
                    }
                }
                StoreReply::Committed
            }
        }
    }
}
