//! The frames of a streaming dispatch: `[u8 type][u32 big-endian length][payload]`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::value::RawValue;

use crate::api::options::Fields;
use crate::base::json::Raw;
use crate::dialect::beacon::hub_wire::{OUTPUT_DATA, Object};
use crate::net::{Headers, HttpBody, HttpResponse};

/// What a frame carries.
#[derive(Clone, Copy, Debug)]
pub(super) enum Part {
    /// Progress as JSON.
    Progress = 1,
    /// Bytes that came with progress.
    Bytes = 2,
    /// Bytes that came with the outcome.
    FinalBytes = 3,
    /// The result as JSON.
    Result = 4,
    /// An error as JSON.
    Error = 5,
}

/// Makes a frame.
pub(super) fn frame(part: Part, payload: &[u8]) -> Bytes {
    let mut frame = Vec::with_capacity(payload.len() + 5);
    frame.push(part as u8);
    frame.extend_from_slice(&u32::try_from(payload.len()).unwrap_or(u32::MAX).to_be_bytes());
    frame.extend_from_slice(payload);
    frame.into()
}

/// The answer that begins a stream.
pub(super) fn head() -> HttpResponse {
    HttpResponse {
        status: 200,
        headers: Headers::new()
            .with("content-type", "application/octet-stream")
            .with("x-ultravisor-protocol", "binary-frames-v1"),
        body: HttpBody::Streaming,
    }
}

/// Decodes base64 inside a JSON string; anything else is absent.
pub(super) fn decode(raw: &RawValue) -> Option<Vec<u8>> {
    let text: String = serde_json::from_str(raw.get()).ok()?;
    STANDARD.decode(text).ok()
}

/// Takes the bytes out of the outputs, leaving the rest as it is.
pub(super) fn split_outputs(outputs: &Raw) -> (Option<Vec<u8>>, String) {
    let whole = || outputs.as_str().to_owned();
    if !outputs.as_str().contains(OUTPUT_DATA) {
        return (None, whole());
    }
    let Ok(fields) = outputs.read::<Fields<'_>>() else { return (None, whole()) };
    let mut bytes = None;
    let mut rest = Object::new();
    for (key, value) in fields.0 {
        if key == OUTPUT_DATA {
            bytes = decode(value);
        } else {
            rest = rest.foreign(&key, value.get());
        }
    }
    if bytes.is_some() { (bytes, rest.end()) } else { (None, whole()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_type_length_payload() {
        assert_eq!(&frame(Part::Error, b"{}")[..], [5, 0, 0, 0, 2, b'{', b'}']);
    }

    #[test]
    fn output_bytes_leave_the_outputs() {
        let outputs = Raw::parse(r#"{"Result":"ok","OutputData":"aGk=","n":1.0}"#).unwrap();
        let (bytes, rest) = split_outputs(&outputs);
        assert_eq!(bytes.as_deref(), Some(&b"hi"[..]));
        assert_eq!(rest, r#"{"Result":"ok","n":1.0}"#);
        let plain = Raw::parse(r#"{"OutputData":7}"#).unwrap();
        assert_eq!(split_outputs(&plain), (None, r#"{"OutputData":7}"#.to_owned()));
    }
}
