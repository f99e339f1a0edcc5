//! Socket.IO v5: packets in Engine.IO messages.
//!
//! ```text
//! <type digit>[<attachments>-][<namespace>,][<ack id>][<json>]
//! ```
//!
//! Source: `socket.io-protocol` revision 5, `socket.io-parser` 4.2.7. JSON is checked, never built:
//! what a packet carries is a span of the frame that brought it. Bytes inside a value travel as
//! attachments, binary messages that follow; in the text `{"_placeholder":true,"num":i}` stands for
//! each.

mod encode;
mod placeholders;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use bytes::Bytes;
use bytestring::ByteString;
use serde::Deserialize;
use serde_json::value::RawValue;

pub use encode::{ack, connect, connect_error, disconnect, event, event_with};

use crate::base::json::scan::Scanner;
use crate::base::json::{Raw, lenient_text};
use crate::words;

/// The most byte strings of one message: JavaScript peers drop a connection that sends more.
pub const MAX_ATTACHMENTS: usize = 10;

/// The namespace of packets that name none.
pub const ROOT: &str = "/";

/// Names that no event may have: they mean something to the peers' own libraries.
const RESERVED: [&str; 6] =
    ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"];

/// What a packet is for. Events and acknowledgements with attachments are of the same kind as
/// those without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `0`: asks for a namespace, or says that it was joined.
    Connect,
    /// `1`: leaves a namespace.
    Disconnect,
    /// `2` and `5`: an event with its arguments.
    Event,
    /// `3` and `6`: the answer to an event with an id.
    Ack,
    /// `4`: a namespace was refused.
    ConnectError,
}

/// One packet, complete with its attachments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// What it is for.
    pub kind: Kind,
    /// The namespace, with its slash; `/` if none was named.
    pub namespace: ByteString,
    /// What an acknowledgement refers to.
    pub id: Option<u64>,
    /// All that it carries: an array for events and acknowledgements, an object for a connect, an
    /// object or a string for a connect error; absent if there is nothing. Holds the attachments.
    pub data: Raw,
    /// The name of an event, unescaped; a numeric name as its text; empty for other kinds.
    pub name: ByteString,
    /// The first argument of an event after its name; absent if there is none. Holds the
    /// attachments.
    pub argument: Raw,
}

words! {
    /// Why a packet cannot be read. The session with such a peer ends.
    pub enum Malformed {
        /// The first character is no packet type.
        Type = "a packet of an unknown type",
        /// The number of attachments is missing, zero or not followed by a dash.
        Attachments = "a packet without a valid number of attachments",
        /// There are more attachments than allowed.
        TooManyAttachments = "a packet with too many attachments",
        /// An acknowledgement id is beyond what can be counted.
        Id = "a packet whose id is too large",
        /// The JSON is not well-formed, or of a shape that this kind of packet does not have.
        Payload = "a packet with an invalid payload",
        /// A placeholder names an attachment that does not exist.
        Placeholder = "a packet that refers to an attachment it does not have",
        /// The value around the attachments is nested too deeply.
        Depth = "a packet with attachments that is nested too deeply",
        /// Text came while attachments were awaited.
        TextWhileCollecting = "text in the middle of a packet's attachments",
        /// Bytes came while no attachment was awaited.
        UnexpectedBinary = "bytes that belong to no packet",
        /// The attachments are larger together than allowed.
        TooLarge = "a packet whose attachments are too large",
    }
}

impl std::error::Error for Malformed {}

/// Limits of a [`Decoder`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecoderLimits {
    /// The most attachments of one packet.
    pub max_attachments: usize,
    /// The most bytes of one packet's attachments together.
    pub max_attachment_bytes: usize,
    /// The deepest nesting of a value that has attachments.
    pub max_depth: usize,
}

impl Default for DecoderLimits {
    fn default() -> Self {
        Self {
            max_attachments: MAX_ATTACHMENTS,
            max_attachment_bytes: 268_435_456,
            max_depth: 1_024,
        }
    }
}

/// Reads the messages of one session. After an error the session ends and the decoder with it.
#[derive(Clone, Debug, Default)]
pub struct Decoder {
    limits: DecoderLimits,
    collecting: Option<Collecting>,
}

/// A packet whose attachments are still coming.
#[derive(Clone, Debug)]
struct Collecting {
    packet: Packet,
    wanted: usize,
    blobs: Vec<Bytes>,
    bytes: usize,
}

impl Decoder {
    /// Makes a decoder for a new session.
    #[must_use]
    pub const fn new(limits: DecoderLimits) -> Self {
        Self { limits, collecting: None }
    }

    /// Tells whether attachments are awaited.
    #[must_use]
    pub const fn is_collecting(&self) -> bool {
        self.collecting.is_some()
    }

    /// Reads a text message, without Engine.IO's digit. `None` if attachments must follow.
    ///
    /// # Errors
    /// Whatever is not a packet, and any text while attachments are awaited.
    pub fn text(&mut self, text: &ByteString) -> Result<Option<Packet>, Malformed> {
        if self.collecting.is_some() {
            return Err(Malformed::TextWhileCollecting);
        }
        let (packet, wanted) = self.read(text)?;
        if wanted == 0 {
            return Ok(Some(packet));
        }
        placeholders::check(packet.data.as_str(), wanted, self.limits.max_depth)?;
        let blobs = Vec::with_capacity(wanted);
        self.collecting = Some(Collecting { packet, wanted, blobs, bytes: 0 });
        Ok(None)
    }

    /// Takes an attachment. `None` if more must follow.
    ///
    /// # Errors
    /// Bytes while none are awaited, or too many of them.
    pub fn binary(&mut self, bytes: Bytes) -> Result<Option<Packet>, Malformed> {
        let mut collecting = self.collecting.take().ok_or(Malformed::UnexpectedBinary)?;
        collecting.bytes = collecting.bytes.saturating_add(bytes.len());
        if collecting.bytes > self.limits.max_attachment_bytes {
            return Err(Malformed::TooLarge);
        }
        collecting.blobs.push(bytes);
        if collecting.blobs.len() < collecting.wanted {
            self.collecting = Some(collecting);
            return Ok(None);
        }
        let Collecting { mut packet, blobs, .. } = collecting;
        if !packet.argument.is_absent() {
            packet.argument = packet.argument.with_blobs(blobs.clone());
        }
        packet.data = packet.data.with_blobs(blobs);
        Ok(Some(packet))
    }

    /// Reads a packet and how many attachments it wants.
    fn read(&self, whole: &ByteString) -> Result<(Packet, usize), Malformed> {
        let text: &str = whole;
        // Peer: empty text decodes as a connect without payload.
        let (digit, mut rest) = match text.as_bytes().first() {
            None => (b'0', text),
            Some(digit) => (*digit, text.get(1..).ok_or(Malformed::Type)?),
        };
        let kind = match digit {
            b'0' => Kind::Connect,
            b'1' => Kind::Disconnect,
            b'2' | b'5' => Kind::Event,
            b'3' | b'6' => Kind::Ack,
            b'4' => Kind::ConnectError,
            _ => return Err(Malformed::Type),
        };
        let mut wanted = 0;
        if matches!(digit, b'5' | b'6') {
            let (digits, after) = split_digits(rest);
            rest = after.strip_prefix('-').ok_or(Malformed::Attachments)?;
            if digits.trim_start_matches('0').is_empty() {
                return Err(Malformed::Attachments);
            }
            wanted = digits.parse().unwrap_or(usize::MAX);
            if wanted > self.limits.max_attachments {
                return Err(Malformed::TooManyAttachments);
            }
        }
        let mut namespace = ByteString::from_static(ROOT);
        if rest.starts_with('/') {
            let (name, after) = rest.split_once(',').unwrap_or((rest, ""));
            namespace = whole.slice_ref(name);
            rest = after;
        }
        let (digits, rest) = split_digits(rest);
        let id = match digits {
            "" => None,
            digits => Some(digits.parse().map_err(|_| Malformed::Id)?),
        };
        let mut packet = Packet {
            kind,
            namespace,
            id,
            data: Raw::absent(),
            name: ByteString::new(),
            argument: Raw::absent(),
        };
        if !rest.is_empty() {
            packet.fill(whole, rest)?;
        } else if wanted > 0 {
            return Err(Malformed::Payload);
        }
        Ok((packet, wanted))
    }
}

impl Packet {
    /// Reads the JSON of a packet; `text` is a part of `whole`.
    fn fill(&mut self, whole: &ByteString, text: &str) -> Result<(), Malformed> {
        if self.kind == Kind::Event {
            let (name, argument) = event_parts(text).ok_or(Malformed::Payload)?;
            self.name = event_name(whole, name)?;
            if let Some(argument) = argument {
                self.argument = Raw::shared(whole, argument);
            }
            self.data = Raw::accepted(whole.slice_ref(trim(text)));
            return Ok(());
        }
        let value: &RawValue = serde_json::from_str(text).map_err(|_| Malformed::Payload)?;
        let first = value.get().as_bytes().first();
        let fits = match self.kind {
            Kind::Connect => first == Some(&b'{'),
            Kind::ConnectError => matches!(first, Some(b'{' | b'"')),
            Kind::Ack => first == Some(&b'['),
            Kind::Disconnect | Kind::Event => false,
        };
        if !fits {
            return Err(Malformed::Payload);
        }
        self.data = Raw::span(whole, value);
        Ok(())
    }
}

/// Cuts leading ASCII digits off.
fn split_digits(text: &str) -> (&str, &str) {
    let end = text.bytes().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or((text, ""))
}

/// Removes the white space that JSON allows around a value.
fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t', '\n', '\r'])
}

/// Reads an array that begins with the name of an event: returns that and what follows it, if anything.
fn event_parts(text: &str) -> Option<(&str, Option<&str>)> {
    let (mut scanner, mut parts) = (Scanner::new(text), [None; 2]);
    let mut places = parts.iter_mut();
    scanner.array(|scanner| {
        let value = scanner.value()?;
        if let Some(place) = places.next() {
            *place = Some(value);
        }
        Some(())
    })?;
    let [name, argument] = parts;
    name.filter(|_| scanner.is_at_end()).map(|name| (name, argument))
}

/// Reads the name of an event. A name that is no Unicode text keeps its escapes: it is nobody's.
fn event_name(whole: &ByteString, text: &str) -> Result<ByteString, Malformed> {
    let name = match lenient_text(text) {
        Some(Cow::Borrowed(inner)) => whole.slice_ref(inner),
        Some(Cow::Owned(name)) => name.into(),
        None if text.starts_with(|first: char| first == '-' || first.is_ascii_digit()) => {
            return Ok(whole.slice_ref(text));
        }
        None => return Err(Malformed::Payload),
    };
    if RESERVED.contains(&&*name) { Err(Malformed::Payload) } else { Ok(name) }
}

/// What a server says when a namespace was joined.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Joined {
    /// The id of the socket; a server of revision 4 or older says none.
    #[serde(default)]
    pub sid: Option<String>,
}

/// Returns the message of a connect error: the member `message`, or the bare string.
#[must_use]
pub fn refusal(data: &Raw) -> String {
    #[derive(Deserialize)]
    struct Refusal {
        message: String,
    }
    if let Ok(text) = data.read::<String>() {
        return text;
    }
    data.read::<Refusal>().map_or_else(|_| String::new(), |refusal| refusal.message)
}
