//! What is printed: results to standard output, problems to standard error.

use std::io::{self, Write};

/// Prints a line to standard output. A reader that has gone away is no failure of ours.
pub(crate) fn line(text: &str) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}

/// Prints text as it is to standard output.
pub(crate) fn text(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Writes bytes as they are to standard output.
pub(crate) fn bytes(bytes: &[u8]) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(bytes).and_then(|()| out.flush());
}

/// Prints why the program ends to standard error.
pub(crate) fn problem(text: &str) {
    let _ = writeln!(io::stderr().lock(), "moorline: {text}");
}

/// Prints a line about the course of things to standard error.
pub(crate) fn note(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}
