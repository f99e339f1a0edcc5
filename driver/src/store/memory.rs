//! The store of a machine without a file: it keeps nothing, since a machine loads what an earlier process
//! has stored and knows the rest itself.

use moorline_core::StoreId;
use moorline_core::store::{StoreReply, StoreRequest};

use crate::store::{Answer, Store};

/// A store that is empty at each start.
pub(crate) struct Memory;

impl Store for Memory {
    fn ask(&mut self, _: StoreId, request: StoreRequest) -> Answer {
        Some(Ok(match request {
            StoreRequest::Load { .. } | StoreRequest::Find { .. } => StoreReply::Loaded(Vec::new()),
            StoreRequest::Commit { .. } => StoreReply::Committed,
        }))
    }
}
