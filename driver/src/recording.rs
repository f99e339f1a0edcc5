//! The flight recorder's file: one line after the other, each written before the next is made, so that
//! the file tells the truth even after a crash.

use std::fs::{File, OpenOptions};
use std::io::Write;

use moorline_core::trace::{Header, Recorder};
use moorline_core::{Endpoint, Error, ErrorCode};

/// Wraps a machine that was just opened in a recorder that writes to `path`; a file that is there is
/// replaced. Only its owner may read it.
pub(crate) fn record(
    endpoint: Box<dyn Endpoint + Send>,
    header: &Header<'_>,
    path: &str,
) -> Result<Box<dyn Endpoint + Send>, Error> {
    let mut file = create(path).map_err(|e| {
        let message = format!("runtime.trace_file: {path} cannot be written: {e}");
        Error::new(ErrorCode::ConfigInvalid, message)
    })?;
    let mut has_failed = false;
    let sink = Box::new(move |line: &str| {
        if has_failed {
            return;
        }
        if let Err(error) = file.write_all(line.as_bytes()) {
            has_failed = true;
            tracing::warn!(%error, "the recording ends here: its file cannot be written");
        }
    });
    Ok(Box::new(Recorder::new(endpoint, header, sink)))
}

#[cfg(unix)]
fn create(path: &str) -> std::io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)
}

#[cfg(not(unix))]
fn create(path: &str) -> std::io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(true).open(path)
}
