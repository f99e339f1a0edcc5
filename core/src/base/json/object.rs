//! Writes JSON objects field by field: recorded key order, payloads copied in as they are.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Serialize;

use super::push_text;

/// An object or a list under construction.
#[derive(Debug)]
pub(crate) struct Object {
    text: String,
}

impl Object {
    pub(crate) fn new() -> Self {
        Self::with_capacity(160)
    }

    pub(crate) fn with_capacity(bytes: usize) -> Self {
        let mut text = String::with_capacity(bytes);
        text.push('{');
        Self { text }
    }

    /// Begins an object at the end of `text`, which [`end`](Self::end) gives back.
    pub(crate) fn onto(text: &mut String) -> Self {
        let mut text = std::mem::take(text);
        text.push('{');
        Self { text }
    }

    pub(crate) fn text(mut self, key: &str, value: &str) -> Self {
        self.key(key);
        push_text(&mut self.text, value);
        self
    }

    pub(crate) fn text_or_null(self, key: &str, value: Option<&str>) -> Self {
        match value {
            Some(value) => self.text(key, value),
            None => self.raw(key, "null"),
        }
    }

    pub(crate) fn number(mut self, key: &str, value: impl Into<i128>) -> Self {
        self.key(key);
        let value = value.into();
        // Writing to a string cannot fail. Wide numbers are slow to write, and rare.
        let _ = match u64::try_from(value) {
            Ok(value) => write!(self.text, "{value}"),
            Err(_) => write!(self.text, "{value}"),
        };
        self
    }

    pub(crate) fn flag(self, key: &str, value: bool) -> Self {
        self.raw(key, if value { "true" } else { "false" })
    }

    /// Writes something whose text needs no escapes, such as a time.
    pub(crate) fn plain(mut self, key: &str, value: impl std::fmt::Display) -> Self {
        self.key(key);
        let _ = write!(self.text, "\"{value}\"");
        self
    }

    pub(crate) fn plain_or_null(self, key: &str, value: Option<impl std::fmt::Display>) -> Self {
        match value {
            Some(value) => self.plain(key, value),
            None => self.raw(key, "null"),
        }
    }

    /// Copies JSON text in.
    pub(crate) fn raw(mut self, key: &str, json: &str) -> Self {
        self.key(key);
        self.text.push_str(json);
        self
    }

    /// Writes byte strings as a list of base64 texts; nothing if there are none.
    pub(crate) fn blobs(mut self, key: &str, blobs: &[Bytes]) -> Self {
        if !blobs.is_empty() {
            self.key(key);
            let mut open = '[';
            for blob in blobs {
                self.text.push(open);
                self.text.push('"');
                STANDARD.encode_string(blob, &mut self.text);
                self.text.push('"');
                open = ',';
            }
            self.text.push(']');
        }
        self
    }

    /// Copies JSON text in under a key that somebody else chose.
    pub(crate) fn foreign(mut self, key: &str, json: &str) -> Self {
        if !self.text.ends_with('{') {
            self.text.push(',');
        }
        push_text(&mut self.text, key);
        self.text.push(':');
        self.text.push_str(json);
        self
    }

    /// Writes what serializes itself; `null` in place of what does not.
    pub(crate) fn value(self, key: &str, value: &impl Serialize) -> Self {
        let json = serde_json::to_string(value);
        self.raw(key, json.as_deref().unwrap_or("null"))
    }

    /// Writes what there is to say of `value`; nothing without one.
    pub(crate) fn given<T>(self, value: Option<T>, write: impl FnOnce(Self, T) -> Self) -> Self {
        match value {
            Some(value) => write(self, value),
            None => self,
        }
    }

    /// Adds what `write` adds, if it is wanted.
    pub(crate) fn when(self, is_wanted: bool, write: impl FnOnce(Self) -> Self) -> Self {
        if is_wanted { write(self) } else { self }
    }

    /// Writes an object inside.
    pub(crate) fn object(mut self, key: &str, fields: impl FnOnce(Self) -> Self) -> Self {
        self.key(key);
        self.text.push('{');
        let mut object = fields(self);
        object.text.push('}');
        object
    }

    /// Copies the fields of another object in: what stands [`inside`] its braces.
    pub(crate) fn fields(mut self, inside: &str) -> Self {
        if !inside.is_empty() && !self.text.ends_with('{') {
            self.text.push(',');
        }
        self.text.push_str(inside);
        self
    }

    pub(crate) fn end(mut self) -> String {
        self.text.push('}');
        self.text
    }

    fn key(&mut self, key: &str) {
        if !self.text.ends_with('{') {
            self.text.push(',');
        }
        self.text.push('"');
        self.text.push_str(key);
        self.text.push_str("\":");
    }
}

/// Returns what stands between the braces of an object; `None` for anything else.
pub(crate) fn inside(object: &str) -> Option<&str> {
    object.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'))
}

/// Joins JSON texts to a list.
pub(crate) fn list<T: AsRef<str>>(values: impl IntoIterator<Item = T>) -> String {
    let mut text = String::from("[");
    for value in values {
        if text.len() > 1 {
            text.push(',');
        }
        text.push_str(value.as_ref());
    }
    text.push(']');
    text
}

/// Writes a list of text.
pub(crate) fn text_list<'a>(values: impl IntoIterator<Item = &'a str>) -> String {
    list(values.into_iter().map(|value| {
        let mut text = String::with_capacity(value.len() + 2);
        push_text(&mut text, value);
        text
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_keep_their_order_and_text_is_escaped() {
        let text = Object::new()
            .text("b", "say \"hi\"\n")
            .number("a", 7u64)
            .number("m", -7i64)
            .flag("t", true)
            .raw("r", r#"{"x":1.0}"#)
            .given(None, |object, value| object.text("i", value))
            .text_or_null("n", None)
            .value("v", &[Some(1), None])
            .end();
        let start = r#"{"b":"say \"hi\"\n","a":7,"m":-7,"t":true,"r":{"x":1.0},"#;
        assert_eq!(text, format!(r#"{start}"n":null,"v":[1,null]}}"#));
        assert_eq!(Object::new().end(), "{}");
        let inner = |object: Object| object.number("a", 1u8).fields(inside("{}").unwrap());
        let text = Object::new().object("o", inner).fields(inside(r#"{"b":2}"#).unwrap()).end();
        assert_eq!(text, r#"{"o":{"a":1},"b":2}"#);
        assert_eq!(inside("[]"), None);
        assert_eq!(text_list(["a", "é"]), r#"["a","é"]"#);
    }
}
