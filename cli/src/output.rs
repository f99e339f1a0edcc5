//! What is printed: results to standard output, problems to standard error.

use std::borrow::Cow;
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
    let _ = writeln!(io::stderr().lock(), "moorline: {}", harmless(text));
}

/// Prints a line about the course of things to standard error.
pub(crate) fn note(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{}", harmless(text));
}

/// Escapes what would command the terminal, or turn the order of letters around: others choose names.
pub(crate) fn harmless(text: &str) -> Cow<'_, str> {
    let commands = |c: char| {
        c.is_control() && c != '\n'
            || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}')
    };
    if !text.contains(commands) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if commands(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::harmless;

    #[test]
    fn nothing_that_others_choose_commands_the_terminal() {
        assert_eq!(harmless("plain\nwörds"), "plain\nwörds");
        assert_eq!(harmless("a\x1b[2Jb\u{9b}c\r"), "a\\u{1b}[2Jb\\u{9b}c\\r");
        assert_eq!(harmless("gnp.\u{202e}exe"), "gnp.\\u{202e}exe");
    }
}
