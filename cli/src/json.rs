//! JSON that is given on the command line.

use std::io::Read;

use moorline_core::json::Raw;

use crate::exit::Failure;

/// Reads the value of `flag`: JSON, `@FILE`, or `-` for standard input. Says where it came from.
pub(crate) fn read<'a>(flag: &str, given: &'a str) -> Result<(Raw, &'a str), Failure> {
    let unreadable = |from: &str, e: &std::io::Error| {
        Failure::usage(format!("{flag}: {from} cannot be read: {e}"))
    };
    let (text, from) = match given.strip_prefix('@') {
        Some(path) => {
            let text = std::fs::read_to_string(path).map_err(|e| unreadable(path, &e))?;
            (text, path)
        }
        None if given == "-" => {
            let from = "standard input";
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).map_err(|e| unreadable(from, &e))?;
            (text, from)
        }
        None => (given.to_owned(), "the argument"),
    };
    let raw =
        Raw::parse(text).map_err(|e| Failure::usage(format!("{flag}: {from} is not JSON: {e}")))?;
    Ok((raw, from))
}
