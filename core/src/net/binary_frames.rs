//! The frames of a streamed HTTP answer: `[type: u8][length: u32, big-endian][payload]`.
//!
//! Source: `ultravisor` 1.3.24, protocol `binary-frames-v1`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use crate::base::json::Raw;
use crate::net::{Headers, HttpBody, HttpResponse};

/// The length of a frame's head.
const HEAD: usize = 5;

/// What a frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// JSON: progress.
    Progress = 1,
    /// Bytes on the way.
    Bytes = 2,
    /// Bytes that belong to the result.
    FinalBytes = 3,
    /// JSON: the result.
    Result = 4,
    /// JSON: why there is none.
    Error = 5,
    /// Anything else: skipped, never written.
    Unknown = 0,
}

/// The answer that begins a stream.
pub(crate) fn head() -> HttpResponse {
    HttpResponse {
        status: 200,
        headers: Headers::new()
            .with("content-type", "application/octet-stream")
            .with("x-ultravisor-protocol", "binary-frames-v1"),
        body: HttpBody::Streaming,
    }
}

/// Makes a frame.
pub(crate) fn frame(kind: Kind, payload: &[u8]) -> Bytes {
    let mut frame = Vec::with_capacity(payload.len() + HEAD);
    frame.push(kind as u8);
    frame.extend_from_slice(&u32::try_from(payload.len()).unwrap_or(u32::MAX).to_be_bytes());
    frame.extend_from_slice(payload);
    frame.into()
}

/// Takes one whole frame off the front of `bytes`, or leaves them alone.
pub(crate) fn take<'a>(bytes: &mut &'a [u8]) -> Option<(Kind, &'a [u8])> {
    let [kind, a, b, c, d] = bytes.get(..HEAD)?.try_into().ok()?;
    let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).ok()?;
    let end = HEAD.checked_add(length)?;
    let payload = bytes.get(HEAD..end)?;
    *bytes = bytes.get(end..).unwrap_or_default();
    let known = [Kind::Progress, Kind::Bytes, Kind::FinalBytes, Kind::Result, Kind::Error];
    let kind = known.into_iter().find(|known| *known as u8 == kind);
    Some((kind.unwrap_or(Kind::Unknown), payload))
}

/// Shows bytes of a stream to the application.
pub(crate) fn bytes_part(bytes: &[u8]) -> Raw {
    Raw::trusted(format!("{{\"BinaryData\":\"{}\"}}", STANDARD.encode(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_taken_one_by_one() {
        let mut bytes = frame(Kind::Progress, b"{}").to_vec();
        assert_eq!(bytes, [1, 0, 0, 0, 2, b'{', b'}']);
        bytes.extend_from_slice(&[9, 0, 0, 0, 0, 4, 0, 0, 0, 9, b'x']);
        let mut rest = &bytes[..];
        assert_eq!(take(&mut rest), Some((Kind::Progress, &b"{}"[..])));
        assert_eq!(take(&mut rest), Some((Kind::Unknown, &b""[..])));
        assert_eq!(take(&mut rest), None, "the last one is cut short");
        assert_eq!(rest.len(), 6);
    }

    #[test]
    fn a_length_beyond_memory_is_harmless() {
        let mut rest: &[u8] = &[4, 255, 255, 255, 255, 1];
        assert_eq!(take(&mut rest), None);
    }
}
