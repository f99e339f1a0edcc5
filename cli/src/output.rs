//! What is printed: results to standard output, problems to standard error.

use std::io::{self, Write};

use crate::exit::Failure;

/// Prints a line to standard output.
///
/// # Errors
/// What could not be written is lost: a full disk, a closed descriptor. A reader that has gone away is
/// no failure of ours.
pub(crate) fn line(text: &str) -> Result<(), Failure> {
    bytes(format!("{text}\n").as_bytes())
}

/// Prints text as it is to standard output.
///
/// # Errors
/// Those of [`line()`].
pub(crate) fn text(text: &str) -> Result<(), Failure> {
    bytes(text.as_bytes())
}

/// Writes bytes as they are to standard output.
///
/// # Errors
/// Those of [`line()`].
pub(crate) fn bytes(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::other(format!("standard output cannot be written: {error}")))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Prints why the program ends to standard error.
pub(crate) fn problem(text: &str) {
    let _ = writeln!(io::stderr().lock(), "moorline: {text}");
}

/// Prints a line about the course of things to standard error.
pub(crate) fn note(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}
