//! A script in the place of everything outside, for tests; see the feature `scripted` of the driver.

use std::sync::{Mutex, PoisonError};

use moorline_core::trace::{Opening, read_opening};
use moorline_driver::ScriptedIo;
use pyo3::prelude::*;

use crate::{Native, raised};

/// The script's end of one endpoint; see [`ScriptedIo`].
#[pyclass(frozen, module = "moorline._native")]
pub(crate) struct Scripted {
    io: ScriptedIo,
    native: Mutex<Option<Native>>,
}

#[pymethods]
impl Scripted {
    /// Opens a role with host and seed of a script's first line.
    #[new]
    fn open(
        py: Python<'_>,
        dialect: String,
        role: String,
        options: String,
        first: &str,
    ) -> PyResult<Self> {
        let opened = read_opening(first)
            .and_then(|first| ScriptedIo::open(&Opening { dialect, role, options, ..first }));
        let (handle, io) = opened.map_err(|error| raised(py, &error))?;
        Ok(Self { io, native: Mutex::new(Some(Native::of(handle)?)) })
    }

    /// Returns the endpoint, once.
    fn native(&self) -> Option<Native> {
        self.native.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Begins a turn; returns whether its line is a command, which is the application's to give.
    fn begin(&self, py: Python<'_>, line: &str) -> PyResult<bool> {
        self.io.begin(line).map_err(|error| raised(py, &error))
    }

    /// Ends a turn and returns the lines of what came of it.
    fn end(&self, py: Python<'_>) -> String {
        py.detach(|| self.io.end())
    }
}
