//! The handle: one endpoint on its own I/O thread, commands in, events out.

use moorline_core::{Command, Error, ErrorCode};

use crate::events::EventQueue;

/// One endpoint driven on its own I/O thread. Cheap to share; every method may be called from any
/// thread and none waits for the network.
#[derive(Debug)]
pub struct Handle {}

impl Handle {
    /// Opens `role` of `dialect` with options as JSON text. Connects nothing.
    ///
    /// # Errors
    /// `ROLE_UNKNOWN` or `CONFIG_INVALID`.
    pub fn open(dialect: &str, role: &str, options: &str) -> Result<Self, Error> {
        let _ = (dialect, role, options);
        Err(ErrorCode::Internal.into())
    }

    /// Hands over commands; they are carried out in order on the I/O thread.
    ///
    /// # Errors
    /// `STOPPED` after the end, `FORKED` in a child process, `OVERLOADED` when the queue is full.
    pub fn submit(&self, commands: Vec<Command>) -> Result<(), Error> {
        let _ = commands;
        Err(ErrorCode::Internal.into())
    }

    /// Hands over one turn of commands as JSON text; see [`moorline_core::command::parse_batch`].
    ///
    /// # Errors
    /// `ARGUMENT_INVALID`, and those of [`submit`](Self::submit).
    pub fn submit_text(&self, batch: &str) -> Result<(), Error> {
        let _ = batch;
        Err(ErrorCode::Internal.into())
    }

    /// Returns the queue of events for the application.
    #[must_use]
    pub fn events(&self) -> &EventQueue {
        unreachable!()
    }

    /// Ends at once, without drain. Safe to repeat. Returns within a second.
    pub fn close(&self) {}
}
