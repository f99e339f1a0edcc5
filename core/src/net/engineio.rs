//! Engine.IO v4: packets in WebSocket frames and in bodies of HTTP long-polling.
//!
//! Source: `engine.io-protocol` revision 4, `engine.io-parser` 5. Nothing here keeps state, and
//! what is decoded shares the memory of the frame or body it came in.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use bytes::Bytes;
use bytestring::ByteString;
use serde::{Deserialize, Serialize};

use super::Frame;
use super::target::Pulses;
use crate::words;

/// The revision of the protocol, the value of `EIO` in every URL.
pub const REVISION: &str = "4";

/// What a ping and a pong carry while an upgrade is probed.
pub const PROBE: &str = "probe";

/// The server's ping as a WebSocket frame: what a client must hear in time.
pub const PINGS: Pulses = &[b"2"];

/// The client's pong as a WebSocket frame: what a server must hear in time.
pub const PONGS: Pulses = &[b"3"];

/// What stands between the packets of a polling body.
pub const SEPARATOR: char = '\u{1e}';

/// Peers decode base64 with and without padding.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// One packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packet {
    /// `0`: the server's handshake, as JSON text; see [`Handshake`].
    Open(ByteString),
    /// `1`: the session ends. Polling only.
    Close,
    /// `2`: the server asks for a sign of life, or a client probes an upgrade.
    Ping(ByteString),
    /// `3`: the answer to a ping, with its content.
    Pong(ByteString),
    /// `4`: a packet of the protocol above.
    Message(ByteString),
    /// A message that consists of bytes.
    Binary(Bytes),
    /// `5`: the client changes over to this transport.
    Upgrade,
    /// `6`: releases a poll that has nothing to carry.
    Noop,
}

words! {
    /// Why bytes are not a packet.
    pub enum Malformed {
        /// The first character is no packet type, or there is none.
        Type = "a packet of an unknown type",
        /// A `b` packet is not base64.
        Base64 = "a binary packet that is not base64",
    }
}

impl std::error::Error for Malformed {}

impl Packet {
    /// Makes the WebSocket frame of this packet.
    #[must_use]
    pub fn to_frame(&self) -> Frame {
        match self {
            Self::Open(text) => Frame::Text(format!("0{text}").into()),
            Self::Close => Frame::Text(ByteString::from_static("1")),
            Self::Ping(text) => Frame::Text(format!("2{text}").into()),
            Self::Pong(text) => Frame::Text(format!("3{text}").into()),
            Self::Message(text) => Frame::Text(format!("4{text}").into()),
            Self::Binary(bytes) => Frame::Binary(bytes.clone()),
            Self::Upgrade => Frame::Text(ByteString::from_static("5")),
            Self::Noop => Frame::Text(ByteString::from_static("6")),
        }
    }
}

/// Reads a WebSocket frame.
///
/// # Errors
/// A text whose first character is no packet type; WebSocket's own pings and pongs.
pub fn decode(frame: &Frame) -> Result<Packet, Malformed> {
    match frame {
        Frame::Text(text) => packet(text, text),
        Frame::Binary(bytes) => Ok(Packet::Binary(bytes.clone())),
        Frame::Ping(_) | Frame::Pong(_) => Err(Malformed::Type),
    }
}

/// Reads one packet as text; `text` is a part of `whole`.
fn packet(whole: &ByteString, text: &str) -> Result<Packet, Malformed> {
    let mut rest = text.chars();
    let digit = rest.next().ok_or(Malformed::Type)?;
    let content = || whole.slice_ref(rest.as_str());
    Ok(match digit {
        '0' => Packet::Open(content()),
        '1' => Packet::Close,
        '2' => Packet::Ping(content()),
        '3' => Packet::Pong(content()),
        '4' => Packet::Message(content()),
        '5' => Packet::Upgrade,
        '6' => Packet::Noop,
        'b' => {
            let bytes = LENIENT.decode(rest.as_str()).map_err(|_| Malformed::Base64)?;
            Packet::Binary(bytes.into())
        }
        _ => return Err(Malformed::Type),
    })
}

/// Reads the packets of a polling body, one after the other; nothing comes after an error.
pub fn split(body: &ByteString) -> impl Iterator<Item = Result<Packet, Malformed>> + use<> {
    let mut rest = Some(body.clone());
    std::iter::from_fn(move || {
        let whole = rest.take()?;
        let (text, after) = match whole.split_once(SEPARATOR) {
            Some((text, after)) => (text, Some(after)),
            None => (&*whole, None),
        };
        let packet = packet(&whole, text);
        rest = after.filter(|_| packet.is_ok()).map(|after| whole.slice_ref(after));
        Some(packet)
    })
}

/// Joins packets to a polling body.
#[derive(Clone, Debug, Default)]
pub struct PayloadWriter {
    body: String,
    /// Whether a packet was written: an empty body and a body of one empty packet differ.
    begun: bool,
}

impl PayloadWriter {
    /// Makes an empty body.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a packet in the form of its WebSocket frame. Pings and pongs of WebSocket itself
    /// have no place in a body and are left out.
    pub fn push(&mut self, frame: &Frame) {
        match frame {
            Frame::Text(text) => {
                self.separate();
                self.body.push_str(text);
            }
            Frame::Binary(bytes) => {
                self.separate();
                self.body.push('b');
                STANDARD.encode_string(bytes, &mut self.body);
            }
            Frame::Ping(_) | Frame::Pong(_) => {}
        }
    }

    fn separate(&mut self) {
        if std::mem::replace(&mut self.begun, true) {
            self.body.push(SEPARATOR);
        }
    }

    /// Returns the bytes written so far.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.body.len()
    }

    /// Tells whether no packet was written.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        !self.begun
    }

    /// Returns by how many bytes [`push`](Self::push) of this frame would lengthen the body.
    #[must_use]
    pub fn would_grow_by(&self, frame: &Frame) -> usize {
        let own = match frame {
            Frame::Text(text) => text.len(),
            Frame::Binary(bytes) => bytes.len().div_ceil(3).saturating_mul(4).saturating_add(1),
            Frame::Ping(_) | Frame::Pong(_) => return 0,
        };
        own + usize::from(self.begun)
    }

    /// Returns the body.
    #[must_use]
    pub fn finish(self) -> String {
        self.body
    }
}

/// What the server says of a new session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Handshake {
    /// The session's id, named in every later request.
    pub sid: String,
    /// The transports that the session may change over to.
    #[serde(default)]
    pub upgrades: Vec<String>,
    /// How often the server pings, in milliseconds.
    pub ping_interval: u64,
    /// How long a ping may be late, in milliseconds.
    pub ping_timeout: u64,
    /// The largest polling body and WebSocket message that the server takes, in bytes. Older
    /// servers do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_payload: Option<u64>,
}

impl Handshake {
    /// Reads the content of an open packet. Unknown members are ignored.
    ///
    /// # Errors
    /// The parser's message when it is not JSON, or a member is missing or of another type.
    pub fn parse(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// Makes the content of an open packet.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Text, numbers and a list of texts: nothing that cannot be written.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Tells whether WebSocket is on offer.
    #[must_use]
    pub fn upgrades_to_websocket(&self) -> bool {
        self.upgrades.iter().any(|name| name == "websocket")
    }
}

words! {
    /// Why a server declines a request, with the code of the body.
    pub enum RequestError {
        /// The query names no transport that is served.
        TransportUnknown = "Transport unknown",
        /// No session has this id, or no longer.
        SessionUnknown = "Session ID unknown",
        /// A session does not begin with this method.
        HandshakeMethod = "Bad handshake method",
        /// The request does not fit its session.
        BadRequest = "Bad request",
        /// The server does not want this client.
        Forbidden = "Forbidden",
        /// The query names another revision of the protocol.
        UnsupportedVersion = "Unsupported protocol version",
    }
}

/// The body of a declined request.
#[derive(Serialize, Deserialize)]
struct ErrorBody<'a> {
    code: u8,
    #[serde(default)]
    message: std::borrow::Cow<'a, str>,
}

impl RequestError {
    /// Returns the code of the body.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// Returns the HTTP status of the answer.
    #[must_use]
    pub const fn status(self) -> u16 {
        if matches!(self, Self::Forbidden) { 403 } else { 400 }
    }

    /// Makes the body.
    #[must_use]
    pub fn to_json(self) -> String {
        let body = ErrorBody { code: self.code(), message: self.as_str().into() };
        serde_json::to_string(&body).unwrap_or_default()
    }

    /// Reads a body; `None` when it is of another kind.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let body: ErrorBody<'_> = serde_json::from_str(text).ok()?;
        Self::ALL.iter().copied().find(|error| error.code() == body.code)
    }
}

#[cfg(test)]
mod tests;
