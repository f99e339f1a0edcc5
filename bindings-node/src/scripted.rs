//! A script in the place of everything outside, for tests; see the feature `scripted` of the driver.

use std::sync::Mutex;

use moorline_core::trace::{Opening, read_opening};
use moorline_driver::ScriptedIo;
use napi_derive::napi;

use crate::{Native, Result, locked, thrown};

/// The script's end of one endpoint; see [`ScriptedIo`].
#[napi]
pub struct Scripted {
    io: ScriptedIo,
    native: Mutex<Option<Native>>,
}

#[napi]
impl Scripted {
    /// Opens a role with host and seed of a script's first line.
    #[napi(factory, catch_unwind)]
    pub fn open(dialect: String, role: String, options: String, first: String) -> Result<Self> {
        let opening = read_opening(&first)
            .map(|first| Opening { dialect, role, options, ..first })
            .map_err(thrown)?;
        let (handle, io) = ScriptedIo::open(&opening).map_err(thrown)?;
        Ok(Self { io, native: Mutex::new(Some(Native::of(handle))) })
    }

    /// Returns the endpoint, once.
    #[napi(catch_unwind)]
    pub fn native(&self) -> Option<Native> {
        locked(&self.native).take()
    }

    /// Begins a turn; returns whether its line is a command, which is the application's to give.
    #[napi(catch_unwind)]
    pub fn begin(&self, line: String) -> Result<bool> {
        self.io.begin(&line).map_err(thrown)
    }

    /// Ends a turn and returns the lines of what came of it.
    #[napi(catch_unwind)]
    pub fn end(&self) -> String {
        self.io.end()
    }
}
