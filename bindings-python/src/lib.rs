//! The native part of the Python package: one class that forwards text to a handle.
//!
//! Commands go in and events come out as JSON text; futures, handlers and error classes are made in
//! Python. The I/O thread never attaches to the interpreter: all it does for Python is ring a
//! doorbell that the event loop watches.

#[cfg(feature = "scripted")]
mod scripted;

use std::os::fd::{AsRawFd as _, RawFd};
use std::sync::Arc;

use moorline_core::{Error, ErrorCode, Raw};
use moorline_driver::{Doorbell, Frequent, Handle};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

/// One endpoint on its own I/O thread.
#[pyclass(frozen, module = "moorline._native")]
struct Native {
    handle: Handle,
    doorbell: Arc<Doorbell>,
}

type Drain<'py> = (Vec<u64>, Vec<Bound<'py, PyBytes>>, Bound<'py, PyBytes>, bool, bool);

#[pymethods]
impl Native {
    /// Opens `role` of `dialect` with options as JSON text. Connects nothing.
    #[new]
    fn open(py: Python<'_>, dialect: &str, role: &str, options_json: &str) -> PyResult<Self> {
        let handle = py
            .detach(|| Handle::open(dialect, role, options_json))
            .map_err(|error| raised(py, &error))?;
        Self::of(handle)
    }

    /// Hands over one turn of commands: a JSON array of `[name, id, body]`.
    fn submit(&self, py: Python<'_>, batch: &[u8]) -> PyResult<()> {
        let submitted = match std::str::from_utf8(batch) {
            Ok(text) => self.handle.submit_text(text),
            Err(error) => Err(Error::new(ErrorCode::ArgumentInvalid, error.to_string())),
        };
        submitted.map_err(|error| raised(py, &error))
    }

    /// Silences the doorbell and takes at most 64 KiB of events. Returns the plain answers and messages
    /// that come first, as calls (0 for a message) and as texts; the other events as a JSON array, or
    /// nothing if there are none; whether more wait (drain again, the doorbell stays silent), and
    /// whether the last event was among them.
    fn drain<'py>(&self, py: Python<'py>) -> Drain<'py> {
        self.doorbell.clear();
        let (mut frequent, mut events) = (Frequent::default(), String::new());
        let drained = self.handle.events().drain_apart(&mut frequent, &mut events);
        let (calls, texts) =
            frequent.iter().map(|(call, text)| (call, PyBytes::new(py, text.as_bytes()))).unzip();
        (calls, texts, PyBytes::new(py, events.as_bytes()), drained.more, drained.ended)
    }

    /// Returns the descriptor that is readable while events wait.
    fn fileno(&self) -> RawFd {
        self.doorbell.as_raw_fd()
    }

    /// Ends at once, without drain. Safe to repeat.
    fn close(&self, py: Python<'_>) {
        py.detach(|| self.handle.close());
    }
}

impl Native {
    fn of(handle: Handle) -> PyResult<Self> {
        let doorbell = Arc::new(Doorbell::new()?);
        let bell = Arc::clone(&doorbell);
        handle.events().set_doorbell(move || bell.ring());
        Ok(Self { handle, doorbell })
    }
}

/// Checks what a handler is offered under; `meta` is JSON text.
#[pyfunction]
fn check_handler(py: Python<'_>, dialect: &str, role: &str, key: &str, meta: &str) -> PyResult<()> {
    let meta = Raw::parse(meta.to_owned())
        .map_err(|e| Error::new(ErrorCode::ArgumentInvalid, format!("the handler's meta: {e}")));
    meta.and_then(|meta| moorline_core::check_handler(dialect, role, key, &meta))
        .map_err(|error| raised(py, &error))
}

/// Makes the exception that the Python side raises for `error`.
fn raised(py: Python<'_>, error: &Error) -> PyErr {
    let exception = py.import("moorline.errors").and_then(|errors| {
        errors.getattr("error_of")?.call1((error.code().name(), error.message()))
    });
    exception.map_or_else(|failed| failed, PyErr::from_value)
}

/// Native part of the `moorline` package.
#[pymodule(gil_used = false)]
mod _native {
    #[cfg(feature = "scripted")]
    #[pymodule_export]
    use super::scripted::Scripted;
    #[pymodule_export]
    use super::{Native, check_handler};
}
