//! A streamed answer, put together from its frames.

use crate::base::json::Raw;
use crate::net::binary_frames::{Kind, bytes_part, take};

/// A streamed answer as far as it has come.
#[derive(Debug, Default)]
pub(super) struct Stream {
    /// The beginning of a frame whose rest is on its way.
    pub(super) cut: Vec<u8>,
    /// The bytes that belong to the result.
    pub(super) bytes: Vec<u8>,
    /// The result, or why there is none, as JSON; once it has ended.
    pub(super) end: Option<Result<Vec<u8>, Vec<u8>>>,
}

impl Stream {
    /// Takes more of the answer; returns the parts for the application.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Vec<Raw> {
        let mut parts = Vec::new();
        self.cut.extend_from_slice(bytes);
        let mut rest = &self.cut[..];
        while self.end.is_none()
            && let Some((kind, payload)) = take(&mut rest)
        {
            match kind {
                Kind::Progress => {
                    let text = std::str::from_utf8(payload).unwrap_or_default();
                    parts.extend(Raw::parse(text.to_owned()));
                }
                Kind::Bytes => parts.push(bytes_part(payload)),
                Kind::FinalBytes => self.bytes = payload.to_vec(),
                Kind::Result => self.end = Some(Ok(payload.to_vec())),
                Kind::Error => self.end = Some(Err(payload.to_vec())),
                Kind::Unknown => {}
            }
        }
        let taken = self.cut.len() - rest.len();
        self.cut.drain(..taken);
        parts
    }
}
