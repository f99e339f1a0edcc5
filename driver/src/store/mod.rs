//! The store of a machine: a SQLite file, or none.

mod file;
mod memory;
mod sqlite;

pub use file::{backup, restore};

use std::sync::Arc;

use moorline_core::store::{StoreReply, StoreRequest};
use moorline_core::{Error, StoreId};

use crate::counters::Counting;
use crate::inbox::Inbox;

/// The answer, or `None` if it comes through the inbox.
pub(crate) type Answer = Option<Result<StoreReply, Error>>;

/// Something that keeps records.
pub(crate) trait Store: Send {
    /// Carries out a request. Never waits for a disk.
    fn ask(&mut self, store: StoreId, request: StoreRequest) -> Answer;
}

/// Makes the store for `path`; an empty one keeps nothing. The file is opened with the first request.
pub(crate) fn open(path: &str, inbox: &Arc<Inbox>, counting: &Arc<Counting>) -> Box<dyn Store> {
    if path.is_empty() {
        Box::new(memory::Memory)
    } else {
        Box::new(sqlite::Sqlite::new(path, Arc::clone(inbox), Arc::clone(counting)))
    }
}
