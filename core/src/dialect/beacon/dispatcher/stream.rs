//! The frames of a streamed answer: `[type: u8][length: u32, big-endian][payload]`.
//!
//! Source: `ultravisor` 1.3.24, protocol `binary-frames-v1`.

use crate::base::json::Raw;
use crate::dialect::beacon::wire::bytes_part;

/// A streamed answer as far as it has come. The driver bounds its size.
#[derive(Debug, Default)]
pub(super) struct Stream {
    /// The beginning of a frame whose rest is on its way.
    pub(super) cut: Vec<u8>,
    /// The bytes that belong to the result.
    pub(super) bytes: Vec<u8>,
    /// How it ended, if it has.
    pub(super) end: Option<End>,
}

/// The last frame of a stream.
#[derive(Debug)]
pub(super) enum End {
    /// The result, as JSON.
    Result(Vec<u8>),
    /// Why there is none, as JSON.
    Error(Vec<u8>),
}

impl Stream {
    /// Takes more of the answer; returns the parts for the application.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Vec<Raw> {
        let mut parts = Vec::new();
        self.cut.extend_from_slice(bytes);
        let mut rest = &self.cut[..];
        while self.end.is_none()
            && let Some(frame) = take(&mut rest)
        {
            match frame.kind {
                Kind::Progress => {
                    let text = std::str::from_utf8(frame.payload).unwrap_or_default();
                    parts.extend(Raw::parse(text.to_owned()));
                }
                Kind::Bytes => parts.push(bytes_part(frame.payload)),
                Kind::FinalBytes => self.bytes = frame.payload.to_vec(),
                Kind::Result => self.end = Some(End::Result(frame.payload.to_vec())),
                Kind::Error => self.end = Some(End::Error(frame.payload.to_vec())),
                Kind::Unknown => {}
            }
        }
        let taken = self.cut.len() - rest.len();
        self.cut.drain(..taken);
        parts
    }
}

/// One frame.
#[derive(Debug, PartialEq, Eq)]
struct StreamFrame<'a> {
    kind: Kind,
    payload: &'a [u8],
}

/// What a frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// JSON: progress.
    Progress,
    /// Bytes on the way.
    Bytes,
    /// Bytes that belong to the result.
    FinalBytes,
    /// JSON: the result.
    Result,
    /// JSON: why there is none.
    Error,
    /// Anything else: skipped.
    Unknown,
}

/// The length of a frame's head.
const HEAD: usize = 5;

/// Takes one whole frame off the front of `bytes`, or leaves them alone.
fn take<'a>(bytes: &mut &'a [u8]) -> Option<StreamFrame<'a>> {
    let [kind, a, b, c, d] = bytes.get(..HEAD)?.try_into().ok()?;
    let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).ok()?;
    let end = HEAD.checked_add(length)?;
    let payload = bytes.get(HEAD..end)?;
    *bytes = bytes.get(end..).unwrap_or_default();
    let kind = match kind {
        1 => Kind::Progress,
        2 => Kind::Bytes,
        3 => Kind::FinalBytes,
        4 => Kind::Result,
        5 => Kind::Error,
        _ => Kind::Unknown,
    };
    Some(StreamFrame { kind, payload })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_taken_one_by_one() {
        let bytes = [1, 0, 0, 0, 2, b'{', b'}', 9, 0, 0, 0, 0, 4, 0, 0, 0, 9, b'x'];
        let mut rest = &bytes[..];
        assert_eq!(take(&mut rest), Some(StreamFrame { kind: Kind::Progress, payload: b"{}" }));
        assert_eq!(take(&mut rest), Some(StreamFrame { kind: Kind::Unknown, payload: b"" }));
        assert_eq!(take(&mut rest), None, "the last one is cut short");
        assert_eq!(rest.len(), 6);
    }

    #[test]
    fn a_length_beyond_memory_is_harmless() {
        let mut rest: &[u8] = &[4, 255, 255, 255, 255, 1];
        assert_eq!(take(&mut rest), None);
    }
}
