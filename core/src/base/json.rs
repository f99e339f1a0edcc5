//! JSON that passes through untouched.
//!
//! A payload is never parsed into a tree: trees reorder keys and rewrite numbers, and peers notice.

pub(crate) mod object;
pub(crate) mod scan;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use bytestring::ByteString;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use scan::Scanner;

/// One JSON value as text, or none, shared with the frame or call it came from. Cloning does not copy.
///
/// Byte strings that JSON has no form for travel beside the text; in it each stands as
/// `{"_placeholder":true,"num":i}`, its index among [`blobs`](Self::blobs).
///
/// `Debug` shows the length only: payloads do not belong in logs.
#[derive(Clone, PartialEq, Eq)]
pub struct Raw {
    text: ByteString,
    blobs: Option<Arc<[Bytes]>>,
}

/// From this length on a copy costs more than the rest of a network buffer.
const LARGE: usize = 65_536;

impl Raw {
    /// Checks that `text` is exactly one JSON value and wraps it.
    ///
    /// # Errors
    /// The parser's message when it is not.
    pub fn parse(text: impl Into<ByteString>) -> Result<Self, serde_json::Error> {
        let text = text.into();
        let mut scanner = Scanner::new(&text);
        let value = match scanner.value().filter(|_| scanner.is_at_end()) {
            Some(value) => value,
            None => serde_json::from_str::<&RawValue>(&text)?.get(),
        };
        Ok(Self::accepted(text.slice_ref(value)))
    }

    /// Serializes a value.
    ///
    /// # Errors
    /// Those of the value's `Serialize`.
    pub fn from_value<T: Serialize + ?Sized>(value: &T) -> Result<Self, serde_json::Error> {
        serde_json::to_string(value).map(Self::trusted)
    }

    /// Wraps a span of `frame` that a parser has already accepted; shares the frame's memory.
    #[must_use]
    pub fn span(frame: &ByteString, value: &RawValue) -> Self {
        Self::shared(frame, value.get())
    }

    /// Wraps a part of `frame` that a parser has accepted as one value; shares the frame's memory, unless
    /// the part is small and would keep a large frame.
    pub(crate) fn shared(frame: &ByteString, text: &str) -> Self {
        let outer = frame.as_bytes().as_ptr_range();
        let inner = text.as_bytes().as_ptr_range();
        let is_most = frame.len() < LARGE || text.len() >= frame.len() / 2;
        if is_most && outer.start <= inner.start && inner.end <= outer.end {
            Self::accepted(frame.slice_ref(text))
        } else {
            Self::accepted(text.into())
        }
    }

    /// Wraps a span as [`span`](Self::span) does, to be kept for long: it is copied unless it is large and
    /// most of its frame, so that what is kept is what is counted.
    pub(crate) fn kept(frame: &ByteString, value: &RawValue) -> Self {
        let (length, whole) = (value.get().len(), frame.len());
        if length >= LARGE && length >= whole - whole / 8 {
            return Self::span(frame, value);
        }
        Self::accepted(value.get().into())
    }

    /// Wraps text that this crate has built as JSON.
    pub(crate) fn trusted(text: String) -> Self {
        Self::accepted(text.into())
    }

    /// Wraps text that a parser has accepted as one value.
    pub(crate) const fn accepted(text: ByteString) -> Self {
        Self { text, blobs: None }
    }

    /// No value at all: what JavaScript calls `undefined`. Its text is empty, and objects leave its
    /// key out.
    #[must_use]
    pub const fn absent() -> Self {
        Self::accepted(ByteString::new())
    }

    /// Tells whether there is no value.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        self.text.is_empty()
    }

    /// Returns the value, or `{}` if there is none.
    #[must_use]
    pub fn or_empty_object(self) -> Self {
        if self.is_absent() { Self::empty_object() } else { self }
    }

    /// Adds the byte strings that the placeholders of the text stand for.
    #[must_use]
    pub fn with_blobs(self, blobs: Vec<Bytes>) -> Self {
        let blobs = (!blobs.is_empty()).then(|| blobs.into());
        Self { blobs, ..self }
    }

    /// Adds such byte strings, given in base64.
    pub(crate) fn with_base64(self, blobs: &[String]) -> Result<Self, base64::DecodeError> {
        let blobs = blobs.iter().map(|text| STANDARD.decode(text).map(Bytes::from));
        Ok(self.with_blobs(blobs.collect::<Result<_, _>>()?))
    }

    /// Returns the byte strings that the placeholders of the text stand for.
    #[must_use]
    pub fn blobs(&self) -> &[Bytes] {
        self.blobs.as_deref().unwrap_or_default()
    }

    /// Wraps a part of this value's text that a parser has found in it; without its blobs.
    #[must_use]
    pub(crate) fn part(&self, text: &str) -> Self {
        Self::shared(&self.text, text)
    }

    /// The value `null`.
    #[must_use]
    pub fn null() -> Self {
        Self::accepted(ByteString::from_static("null"))
    }

    /// The value `{}`.
    #[must_use]
    pub fn empty_object() -> Self {
        Self::accepted(ByteString::from_static("{}"))
    }

    /// The value `[]`.
    #[must_use]
    pub fn empty_list() -> Self {
        Self::accepted(ByteString::from_static("[]"))
    }

    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns how many bytes the text and its blobs have.
    #[must_use]
    pub fn len(&self) -> usize {
        self.text.len() + self.blobs().iter().map(Bytes::len).sum::<usize>()
    }

    /// Tells whether there is neither text nor blobs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the text as shared bytes.
    #[must_use]
    pub fn into_text(self) -> ByteString {
        self.text
    }

    /// Reads the value as `T`.
    ///
    /// # Errors
    /// The parser's message when the shape differs.
    pub fn read<'a, T: Deserialize<'a>>(&'a self) -> Result<T, serde_json::Error> {
        serde_json::from_str(&self.text)
    }
}

impl Default for Raw {
    /// No value at all.
    fn default() -> Self {
        Self::absent()
    }
}

impl From<Box<RawValue>> for Raw {
    fn from(value: Box<RawValue>) -> Self {
        Self::trusted(String::from(Box::<str>::from(value)))
    }
}

impl fmt::Debug for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Raw({} bytes)", self.len())
    }
}

impl Serialize for Raw {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.is_absent() {
            return serializer.serialize_none();
        }
        if !self.blobs().is_empty() {
            let text = "byte strings have no form in JSON: such a value goes as a whole, as Raw";
            return Err(serde::ser::Error::custom(text));
        }
        let value: &RawValue =
            serde_json::from_str(&self.text).map_err(serde::ser::Error::custom)?;
        value.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Box::<RawValue>::deserialize(deserializer).map(Self::from)
    }
}

/// Reads a JSON string; one that is no Unicode text gives its escapes as they stand. `None` for
/// other values.
pub(crate) fn lenient_text(json: &str) -> Option<Cow<'_, str>> {
    let inner = json.strip_prefix('"')?.strip_suffix('"')?;
    Some(if inner.contains('\\') { unescaped(inner) } else { Cow::Borrowed(inner) })
}

/// Reads the inside of a JSON string; one that is no Unicode text gives its escapes as they stand.
pub(crate) fn unescaped(inner: &str) -> Cow<'_, str> {
    let text = serde_json::from_str::<String>(&format!("\"{inner}\""));
    text.map_or(Cow::Borrowed(inner), Cow::Owned)
}

/// Tells whether a byte stands in a JSON string only escaped. Without a branch for each byte, compilers look at
/// many at once: long texts cross here.
fn must_escape(text: &[u8]) -> bool {
    let must = |byte: u8| (byte < b' ') | (byte == b'"') | (byte == b'\\');
    text.chunks(64).any(|part| part.iter().fold(false, |any, &byte| any | must(byte)))
}

/// Appends a text as a JSON string.
pub(crate) fn push_text(json: &mut String, text: &str) {
    if must_escape(text.as_bytes()) {
        json.push_str(&serde_json::to_string(text).unwrap_or_default());
    } else {
        json.push('"');
        json.push_str(text);
        json.push('"');
    }
}

/// Says what is wrong with a peer's JSON, without where: positions move where a recording hides a
/// secret.
pub(crate) fn flaw(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.split(" at line ").next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_key_order_survive() {
        let text = r#" {"b":1.0,"a":1e2,"n":12345678901234567890} "#;
        assert_eq!(Raw::parse(text).unwrap().as_str(), text.trim());
    }

    #[test]
    fn a_text_is_escaped_wherever_it_must_be() {
        for escaped in ['\0', '\u{1f}', ' ', '!', '"', '#', '[', '\\', ']', '\u{7f}', 'é'] {
            for at in 0..140 {
                let text = format!("{}{escaped}{}", "x".repeat(at), "x".repeat(139 - at));
                let mut json = String::new();
                push_text(&mut json, &text);
                assert_eq!(json, serde_json::to_string(&text).unwrap());
            }
        }
    }

    #[test]
    fn two_values_are_not_one() {
        assert!(Raw::parse("1 2").is_err());
        assert!(Raw::parse("").is_err());
    }

    #[test]
    fn a_span_shares_the_frame() {
        #[derive(Deserialize)]
        struct Envelope<'a> {
            #[serde(borrow)]
            payload: &'a RawValue,
        }
        let frame = ByteString::from(r#"{"payload":[1,2]}"#);
        let envelope: Envelope<'_> = serde_json::from_str(&frame).unwrap();
        let raw = Raw::span(&frame, envelope.payload);
        assert_eq!(raw.as_str(), "[1,2]");
        assert_eq!(raw.as_str().as_ptr(), frame[11..].as_ptr());
    }

    #[test]
    fn debug_shows_no_payload() {
        assert_eq!(format!("{:?}", Raw::parse("\"secret\"").unwrap()), "Raw(8 bytes)");
    }

    #[test]
    fn a_small_part_keeps_no_large_frame() {
        let is_shared = |raw: &Raw, frame: &ByteString| {
            frame.as_bytes().as_ptr_range().contains(&raw.as_str().as_ptr())
        };
        let frame = |small: usize, large: usize| {
            let [small, large] = [small, large].map(|length| "x".repeat(length));
            ByteString::from(format!("[\"{small}\",\"{large}\"]"))
        };
        let parts = |frame: &ByteString| {
            let [one, other]: [&RawValue; 2] = serde_json::from_str(frame).unwrap();
            (
                Raw::span(frame, one),
                Raw::span(frame, other),
                Raw::kept(frame, one),
                Raw::kept(frame, other),
            )
        };
        let whole = frame(10, 100_000);
        let (small, large, kept, most) = parts(&whole);
        assert!(!is_shared(&small, &whole) && is_shared(&large, &whole));
        assert!(!is_shared(&kept, &whole) && is_shared(&most, &whole));
        assert_eq!(small.as_str().len(), 12);
        let whole = frame(10, 100);
        let (small, large, kept, most) = parts(&whole);
        assert!(is_shared(&small, &whole) && is_shared(&large, &whole));
        assert!(!is_shared(&kept, &whole) && !is_shared(&most, &whole));
    }
}
