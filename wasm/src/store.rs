//! A store that lives as long as the page.

use std::collections::BTreeMap;

use bytes::Bytes;
use moorline_core::store::{StoreReply, StoreRequest, Write};

/// Records by space and key.
#[derive(Default)]
pub(crate) struct Store(BTreeMap<(&'static str, String), Bytes>);

impl Store {
    /// Performs a request at once.
    pub(crate) fn perform(&mut self, request: StoreRequest) -> StoreReply {
        match request {
            StoreRequest::Load { space } => {
                let records = self.0.iter().filter(|((of, _), _)| *of == space);
                StoreReply::Loaded(records.map(|((_, k), v)| (k.clone(), v.clone())).collect())
            }
            StoreRequest::Find { space, from, limit, bytes } => {
                let cut = |value: &Bytes| value.slice(..value.len().min(bytes));
                let records = self.0.iter().filter(|((of, key), _)| *of == space && *key >= from);
                let records = records.map(|((_, key), value)| (key.clone(), cut(value)));
                StoreReply::Loaded(records.take(limit).collect())
            }
            StoreRequest::Commit { writes } => {
                for write in writes {
                    match write {
                        Write::Put { space, key, value } => self.0.insert((space, key), value),
                        Write::Delete { space, key } => self.0.remove(&(space, key)),
                    };
                }
                StoreReply::Committed
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_committed_is_loaded_in_key_order() {
        let mut store = Store::default();
        let put = |space, key: &str| Write::Put { space, key: key.into(), value: Bytes::new() };
        let delete = Write::Delete { space: "a", key: "3".into() };
        let writes = vec![put("a", "2"), put("a", "1"), put("b", "1"), put("a", "3"), delete];
        assert_eq!(store.perform(StoreRequest::Commit { writes }), StoreReply::Committed);
        let StoreReply::Loaded(records) = store.perform(StoreRequest::Load { space: "a" }) else {
            panic!("not loaded")
        };
        let keys: Vec<_> = records.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(keys, ["1", "2"]);
    }
}
