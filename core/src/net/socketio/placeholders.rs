//! Finds what stands for attachments in a JSON text that a parser has accepted.

use std::borrow::Cow;

use super::Malformed;
use crate::base::json::lenient_text;
use crate::base::json::scan::Scanner;

/// What is known of an open object; an open array has none of it.
#[derive(Default)]
struct Level<'a> {
    is_object: bool,
    /// Whether the next string is a key.
    at_key: bool,
    /// What the value that follows belongs to.
    key: Cow<'a, str>,
    /// `"_placeholder":true` was seen.
    marked: bool,
    /// The text of the member `num`, if it counts to less than the number of attachments.
    counted: bool,
}

/// Checks that every placeholder in `json` refers to one of `count` attachments.
///
/// One pass over the text; memory grows with the depth, which is limited.
pub(super) fn check(json: &str, count: usize, max_depth: usize) -> Result<(), Malformed> {
    let mut scanner = Scanner::new(json);
    let mut levels: Vec<Level<'_>> = Vec::new();
    while let Some(sign) = scanner.ahead() {
        match (sign, levels.last_mut()) {
            (b'{' | b'[', _) => {
                if levels.len() == max_depth {
                    return Err(Malformed::Depth);
                }
                set(&mut levels, "", count);
                let is_object = sign == b'{';
                levels.push(Level { is_object, at_key: is_object, ..Level::default() });
            }
            (b'}' | b']', _) => {
                if levels.pop().is_some_and(|level| level.marked && !level.counted) {
                    return Err(Malformed::Placeholder);
                }
            }
            (b',', Some(level)) => level.at_key = level.is_object,
            (b',' | b':', _) => {}
            (_, level) => {
                let Some(text) = scanner.value() else { break };
                match level {
                    Some(level) if level.at_key => {
                        level.at_key = false;
                        level.key = lenient_text(text).unwrap_or_default();
                    }
                    Some(_) | None => set(&mut levels, text, count),
                }
                continue;
            }
        }
        scanner.at += 1;
    }
    Ok(())
}

/// Notes the value of a member by its text; an object or array has none. The last of several counts.
fn set(levels: &mut [Level<'_>], text: &str, count: usize) {
    let Some(level) = levels.last_mut() else { return };
    match &*std::mem::take(&mut level.key) {
        "_placeholder" => level.marked = text == "true",
        "num" => level.counted = text.parse::<usize>().is_ok_and(|number| number < count),
        _ => {}
    }
}
