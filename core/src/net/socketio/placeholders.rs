//! Finds what stands for attachments in a JSON text that a parser has accepted.

use super::Malformed;
use crate::base::json::scan::string_end;

/// What is known of an open object; an open array has none of it.
#[derive(Clone, Copy, Default)]
struct Level {
    is_object: bool,
    /// Whether the next string is a key.
    at_key: bool,
    /// What the value that follows belongs to.
    key: Key,
    /// `"_placeholder":true` was seen.
    marked: bool,
    /// The text of the member `num`, if it counts to less than the number of attachments.
    counted: bool,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Key {
    #[default]
    Other,
    Placeholder,
    Num,
}

/// Checks that every placeholder in `json` refers to one of `count` attachments.
///
/// One pass over the bytes; memory grows with the depth, which is limited.
pub(super) fn check(json: &str, count: usize, max_depth: usize) -> Result<(), Malformed> {
    let bytes = json.as_bytes();
    let mut levels: Vec<Level> = Vec::new();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let from = at;
        at += 1;
        match byte {
            b'{' | b'[' => {
                if levels.len() == max_depth {
                    return Err(Malformed::Depth);
                }
                set(&mut levels, None, count);
                let is_object = *byte == b'{';
                levels.push(Level { is_object, at_key: is_object, ..Level::default() });
            }
            b'}' | b']' => {
                if levels.pop().is_some_and(|level| level.marked && !level.counted) {
                    return Err(Malformed::Placeholder);
                }
            }
            b',' => {
                if let Some(level) = levels.last_mut() {
                    level.at_key = level.is_object;
                }
            }
            b'"' => {
                at = string_end(bytes, at).unwrap_or(bytes.len());
                let text = json.get(from..at).unwrap_or_default();
                match levels.last_mut() {
                    Some(level) if level.at_key => {
                        level.at_key = false;
                        level.key = key(text);
                    }
                    _ => set(&mut levels, None, count),
                }
            }
            b':' | b' ' | b'\t' | b'\n' | b'\r' => {}
            _ => {
                let rest = bytes.get(at..).unwrap_or_default();
                let length = rest
                    .iter()
                    .position(|byte| {
                        matches!(byte, b',' | b'}' | b']' | b' ' | b'\t' | b'\n' | b'\r')
                    })
                    .unwrap_or(rest.len());
                at += length;
                set(&mut levels, json.get(from..at), count);
            }
        }
    }
    Ok(())
}

/// Tells what a key, in its quotes, means; escapes mean what they mean to the reader.
fn key(text: &str) -> Key {
    if text.contains('\\') {
        return serde_json::from_str::<String>(text).map_or(Key::Other, |text| named(&text));
    }
    named(text.trim_matches('"'))
}

fn named(key: &str) -> Key {
    match key {
        "_placeholder" => Key::Placeholder,
        "num" => Key::Num,
        _ => Key::Other,
    }
}

/// Notes the value of a member; a word or number is given by its text. The last of several counts.
fn set(levels: &mut [Level], word: Option<&str>, count: usize) {
    let Some(level) = levels.last_mut() else { return };
    match level.key {
        Key::Placeholder => level.marked = word == Some("true"),
        Key::Num => {
            let number = word.and_then(|word| word.parse::<usize>().ok());
            level.counted = number.is_some_and(|number| number < count);
        }
        Key::Other => {}
    }
    level.key = Key::Other;
}
