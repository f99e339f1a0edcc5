//! A store in memory.

use std::collections::BTreeMap;

use bytes::Bytes;
use moorline_core::store::{StoreReply, StoreRequest, Write};

/// What a store holds.
pub type Disk = BTreeMap<(&'static str, String), Bytes>;

pub(super) fn perform(disk: &mut Disk, request: StoreRequest) -> StoreReply {
    match request {
        StoreRequest::Load { space } => {
            let records = disk.iter().filter(|((of, _), _)| *of == space);
            StoreReply::Loaded(records.map(|((_, k), v)| (k.clone(), v.clone())).collect())
        }
        StoreRequest::Commit { writes } => {
            for write in writes {
                match write {
                    Write::Put { space, key, value } => drop(disk.insert((space, key), value)),
                    Write::Delete { space, key } => drop(disk.remove(&(space, key))),
                }
            }
            StoreReply::Committed
        }
    }
}
