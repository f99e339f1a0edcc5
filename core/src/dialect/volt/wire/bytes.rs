//! How messages carry bytes: in each generation of the protocol in a form of its own.
//!
//! ```text
//! First   base64 text                                 "chunkBase64":"…"
//! Second  an attachment                               "chunk":<bytes>
//! Third   an attachment in an envelope                "chunk":<header><bytes>
//! ```

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Deserialize;

use super::Message;
use crate::base::json::lenient_text;

/// The length of an envelope's header: an operation's id, what the envelope holds and how many bytes.
const HEADER: usize = 10;

/// What an envelope around a part of a stream, a tunnel or a session holds.
const STREAM_CHUNK: u16 = 3;

/// The placeholder of the only attachment of a message.
pub(crate) const PLACEHOLDER: &str = "{\"_placeholder\":true,\"num\":0}";

/// A generation of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Generation {
    First,
    Second,
    Third,
}

impl Generation {
    pub(crate) const fn number(self) -> u8 {
        match self {
            Self::First => 1,
            Self::Second => 2,
            Self::Third => 3,
        }
    }

    /// Makes the attachment that carries bytes; `None` where they are text.
    pub(crate) fn attachment(self, bytes: &Bytes) -> Option<Bytes> {
        match self {
            Self::First => None,
            Self::Second => Some(bytes.clone()),
            Self::Third => Some(wrapped(bytes)),
        }
    }
}

/// Puts bytes into an envelope.
fn wrapped(bytes: &[u8]) -> Bytes {
    let mut envelope = Vec::with_capacity(HEADER + bytes.len());
    envelope.extend_from_slice(&[0; 4]);
    envelope.extend_from_slice(&STREAM_CHUNK.to_le_bytes());
    // A message of 4 GiB is beyond every limit.
    envelope.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
    envelope.extend_from_slice(bytes);
    envelope.into()
}

/// Takes the envelope off; `None` if it is not exactly one, around a part of something.
fn unwrapped(bytes: &Bytes) -> Option<Bytes> {
    let [_, _, _, _, k, l, a, b, c, d] = bytes.get(..HEADER)?.try_into().ok()?;
    let length = usize::try_from(u32::from_le_bytes([a, b, c, d])).ok()?;
    let fits = u16::from_le_bytes([k, l]) == STREAM_CHUNK && bytes.len() - HEADER == length;
    fits.then(|| bytes.slice(HEADER..))
}

/// Finds the attachment that a member stands for.
pub(crate) fn attached<'a>(json: &str, blobs: &'a [Bytes]) -> Option<&'a Bytes> {
    #[derive(Deserialize)]
    struct Placeholder {
        #[serde(rename = "_placeholder")]
        is_one: bool,
        num: usize,
    }
    let place: Placeholder = serde_json::from_str(json).ok()?;
    blobs.get(place.num).filter(|_| place.is_one)
}

/// Reads the bytes that a message carries as its chunk, and in which generation's form they came.
/// `known` is the generation of who says it: only who is unknown, or has shown no form of its own yet, is
/// judged by what came.
///
/// # Errors
/// What is wrong, as the end of "a chunk that is …".
pub(crate) fn read_chunk(
    message: &Message<'_>,
    blobs: &[Bytes],
    known: Option<Generation>,
) -> Result<(Bytes, Generation), &'static str> {
    // Whatever speaks a later generation, base64 is told from bytes.
    if let Some(text) = message.chunk_base64.and_then(lenient_text) {
        let bytes = STANDARD.decode(text.as_bytes()).map_err(|_| "not base64")?;
        return Ok((bytes.into(), Generation::First));
    }
    let chunk =
        message.chunk.and_then(|json| attached(json, blobs)).ok_or("neither bytes nor text")?;
    match (known, unwrapped(chunk)) {
        (Some(Generation::Third) | Some(Generation::First) | None, Some(bytes)) => {
            Ok((bytes, Generation::Third))
        }
        (Some(Generation::Third), None) => Err("in no envelope"),
        (Some(Generation::Second), _) | (Some(Generation::First) | None, None) => {
            Ok((chunk.clone(), Generation::Second))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(
        member: &str,
        bytes: &[u8],
        known: Option<Generation>,
    ) -> Result<(Vec<u8>, u8), &'static str> {
        let text = format!("{{{member}}}");
        let message = Message::read(&text).unwrap();
        let blobs = [Bytes::copy_from_slice(bytes)];
        let read = read_chunk(&message, &blobs, known);
        read.map(|(bytes, generation)| (bytes.to_vec(), generation.number()))
    }

    const ATTACHED: &str = "\"chunk\":{\"_placeholder\":true,\"num\":0}";

    #[test]
    fn an_envelope_is_ten_bytes_around_the_bytes() {
        let envelope = wrapped(b"ab");
        assert_eq!(&envelope[..], [0, 0, 0, 0, 3, 0, 2, 0, 0, 0, b'a', b'b']);
        assert_eq!(unwrapped(&envelope).unwrap(), "ab");
        assert_eq!(unwrapped(&wrapped(b"")).unwrap(), "");
        for wrong in [
            &[][..],
            &[0, 0, 0, 0, 3, 0, 0, 0, 0],
            &[0, 0, 0, 0, 4, 0, 0, 0, 0, 0],
            &[0, 0, 0, 0, 3, 0, 2, 0, 0, 0, 1],
            &[0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 1],
            &[0, 0, 0, 0, 3, 0, 255, 255, 255, 255],
        ] {
            assert_eq!(unwrapped(&Bytes::copy_from_slice(wrong)), None, "{wrong:?}");
        }
    }

    #[test]
    fn the_form_of_a_chunk_shows_the_generation_of_who_is_unknown() {
        let envelope = wrapped(b"ab");
        for unknown in [None, Some(Generation::First)] {
            assert_eq!(read("\"chunkBase64\":\"YWI=\"", b"", unknown), Ok((b"ab".to_vec(), 1)));
            assert_eq!(read(ATTACHED, b"ab", unknown), Ok((b"ab".to_vec(), 2)));
            assert_eq!(read(ATTACHED, &envelope, unknown), Ok((b"ab".to_vec(), 3)));
        }
    }

    #[test]
    fn what_a_known_generation_cannot_mean_is_an_error_and_nothing_is_guessed() {
        let envelope = wrapped(b"ab");
        let second = Some(Generation::Second);
        assert_eq!(read(ATTACHED, &envelope, second), Ok((envelope.to_vec(), 2)));
        let third = Some(Generation::Third);
        assert_eq!(read(ATTACHED, b"ab", third), Err("in no envelope"));
        assert_eq!(read("\"chunkBase64\":\"!\"", b"", None), Err("not base64"));
        for neither in ["", "\"chunk\":7", "\"chunk\":{\"_placeholder\":true,\"num\":1}"] {
            assert_eq!(read(neither, b"", third), Err("neither bytes nor text"));
        }
    }
}
