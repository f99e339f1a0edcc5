//! Bytes become frames and messages (RFC 6455, sections 5 and 7).
//!
//! What is wrong is told with the byte that shows it. Payloads are unmasked where they lie and copied
//! once, to what is no larger than they are: no frame keeps the buffer alive that it came in, and a
//! message of which a part is missing holds at most twice what came of it.

use bytes::Bytes;
use bytestring::ByteString;
use moorline_core::Frame;
use simdutf8::basic;

use super::BEGINNING;
use super::head::{Accepts, Head, Opcode, may_close_with};
use super::mask::{Key, after, mask};
use super::room::{Rest, exact};
use super::text::{NotUtf8, Text};

/// What was read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Item {
    /// A message, a ping or a pong.
    Frame(Frame),
    /// A compressed message, still as it came.
    Compressed {
        /// Whether it is to be a text.
        is_text: bool,
        /// What came.
        bytes: Vec<u8>,
    },
    /// A close frame: its code, unless it says none, and its reason.
    Close(Option<(u16, String)>),
    /// A message that is too large.
    Excess(Excess),
}

/// What is known of a message that is too large.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Excess {
    /// How large it is at least, in bytes.
    pub(crate) size: u64,
    /// Its first bytes.
    pub(crate) beginning: Vec<u8>,
    /// Whether these are compressed.
    pub(crate) is_compressed: bool,
}

/// What the other side may not do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It broke the protocol.
    Protocol(&'static str),
    /// It sent what is not what it is said to be, such as a text that is not UTF-8.
    Payload(&'static str),
    /// It sent a message in more fragments than are allowed.
    Fragments,
}

impl From<NotUtf8> for Fault {
    fn from(_: NotUtf8) -> Self {
        Self::Payload("a text is not UTF-8")
    }
}

/// Reads what one side of a connection sends.
#[derive(Debug)]
pub(crate) struct Decoder {
    accepts: Accepts,
    max_message: usize,
    max_fragments: usize,
    fragments: usize,
    message: Message,
    /// The frame whose payload comes, if one does.
    payload: Option<Payload>,
}

#[derive(Clone, Copy, Debug)]
struct Payload {
    left: u64,
    /// The key for the next byte.
    key: Key,
    is_final: bool,
}

/// The message of which a part is still to come.
#[derive(Debug)]
enum Message {
    None,
    Text(Text),
    Binary(Vec<u8>),
    Compressed { is_text: bool, bytes: Vec<u8> },
    Excess(Excess),
}

impl Decoder {
    /// Makes a decoder.
    pub(crate) const fn new(accepts: Accepts, max_message: usize, max_fragments: usize) -> Self {
        let (fragments, message, payload) = (0, Message::None, None);
        Self { accepts, max_message, max_fragments, fragments, message, payload }
    }

    /// Changes the limits from the next frame on.
    pub(crate) const fn set_limits(&mut self, max_message: usize, max_fragments: usize) {
        self.max_message = max_message;
        self.max_fragments = max_fragments;
    }

    /// Returns the largest message that is allowed.
    pub(crate) const fn max_message(&self) -> usize {
        self.max_message
    }

    /// Reads up to one item. Returns how many bytes were used up, which are changed, and the item;
    /// without one, the rest is to be given again with what follows it: at most 139 bytes, the
    /// beginning of a head or of a control frame.
    pub(crate) fn decode(&mut self, bytes: &mut [u8]) -> (usize, Result<Option<Item>, Fault>) {
        let mut used = 0;
        loop {
            let rest = bytes.get_mut(used..).unwrap_or_default();
            if self.payload.is_some() {
                let (count, item) = self.take_payload(rest);
                used += count;
                match item {
                    Ok(None) if self.payload.is_none() => continue,
                    item => return (used, item),
                }
            }
            let (head, size) = match Head::read(rest, self.accepts) {
                Ok(Some(it)) => it,
                Ok(None) => return (used, Ok(None)),
                Err(wrong) => return (used, Err(Fault::Protocol(wrong))),
            };
            let payload = rest.get_mut(size..).unwrap_or_default();
            // Longer than an address space: never all there.
            let length = usize::try_from(head.length).unwrap_or(usize::MAX);
            let whole = payload.get_mut(..length);
            if head.is_control() {
                let Some(payload) = whole else { return (used, Ok(None)) };
                mask(payload, head.key);
                return (used + size + length, control(head.opcode, payload).map(Some));
            }
            if let Err(fault) = self.begin(&head) {
                return (used, Err(fault));
            }
            if let Some(payload) = whole
                && head.is_final
                && let Some(item) = self.take_whole(&head, payload)
            {
                return (used + size + length, item.map(Some));
            }
            used += size;
            self.payload =
                Some(Payload { left: head.length, key: head.key, is_final: head.is_final });
        }
    }

    /// Returns how many bytes are held for a message of which a part is still to come.
    pub(crate) const fn held(&self) -> usize {
        match &self.message {
            Message::None => 0,
            Message::Text(text) => text.capacity(),
            Message::Binary(bytes) | Message::Compressed { bytes, .. } => bytes.capacity(),
            Message::Excess(excess) => excess.beginning.capacity(),
        }
    }

    /// Returns what is known of a message that is too large, of which nothing more will come.
    pub(crate) fn give_up(&mut self) -> Option<Excess> {
        if let Message::Excess(excess) = &mut self.message {
            return Some(std::mem::take(excess));
        }
        None
    }

    /// Checks the order of frames and their limits, and what they add up to.
    fn begin(&mut self, head: &Head) -> Result<(), Fault> {
        match (&self.message, head.opcode) {
            (Message::None, Opcode::Continuation) => {
                return Err(Fault::Protocol("a fragment continues no message"));
            }
            (Message::None, _) | (_, Opcode::Continuation) => {}
            (_, _) => return Err(Fault::Protocol("a message begins before another has ended")),
        }
        self.fragments = if head.is_final { 0 } else { self.fragments + 1 };
        if self.fragments > self.max_fragments {
            return Err(Fault::Fragments);
        }
        if matches!(self.message, Message::None) {
            let is_text = head.opcode == Opcode::Text;
            self.message = match is_text {
                _ if head.is_compressed => Message::Compressed { is_text, bytes: Vec::new() },
                true => Message::Text(Text::default()),
                false => Message::Binary(Vec::new()),
            };
        }
        let size = head.length.saturating_add(self.message.len() as u64);
        if size > self.max_message as u64 {
            self.message = Message::Excess(Excess {
                size,
                beginning: self.message.beginning(),
                is_compressed: matches!(self.message, Message::Compressed { .. }),
            });
        }
        Ok(())
    }

    /// Takes a message that is one frame and all there; `None` if it must go the long way.
    fn take_whole(&mut self, head: &Head, payload: &mut [u8]) -> Option<Result<Item, Fault>> {
        let is_text = head.opcode == Opcode::Text && matches!(self.message, Message::Text(_));
        let is_binary = head.opcode == Opcode::Binary && matches!(self.message, Message::Binary(_));
        if !is_text && !is_binary {
            return None;
        }
        mask(payload, head.key);
        self.message = Message::None;
        Some(if is_text {
            let text = basic::from_utf8(payload).map_err(|_| NotUtf8.into());
            text.map(|text| Item::Frame(Frame::Text(ByteString::from(text))))
        } else {
            Ok(Item::Frame(Frame::Binary(Bytes::copy_from_slice(payload))))
        })
    }

    /// Takes what is there of a frame's payload.
    fn take_payload(&mut self, bytes: &mut [u8]) -> (usize, Result<Option<Item>, Fault>) {
        let Some(payload) = &mut self.payload else { return (0, Ok(None)) };
        let count = usize::try_from(payload.left).unwrap_or(usize::MAX).min(bytes.len());
        let bytes = bytes.get_mut(..count).unwrap_or_default();
        mask(bytes, payload.key);
        payload.key = after(payload.key, count);
        payload.left -= count as u64;
        let Payload { left, is_final, .. } = *payload;
        let rest = Rest { left, is_final };
        match &mut self.message {
            Message::Text(text) => {
                if let Err(not) = text.push(bytes, rest) {
                    return (count, Err(not.into()));
                }
            }
            Message::Binary(whole) | Message::Compressed { bytes: whole, .. } => {
                whole.reserve_exact(rest.room(whole.len(), whole.capacity(), count));
                whole.extend_from_slice(bytes);
            }
            Message::Excess(excess) => {
                let room = BEGINNING - excess.beginning.len().min(BEGINNING);
                excess.beginning.extend(bytes.iter().take(room));
                if left == 0 || excess.beginning.len() >= BEGINNING {
                    let excess = std::mem::take(excess);
                    return (count, Ok(Some(Item::Excess(excess))));
                }
            }
            Message::None => {}
        }
        if left > 0 {
            return (count, Ok(None));
        }
        self.payload = None;
        if !is_final {
            return (count, Ok(None));
        }
        (count, std::mem::replace(&mut self.message, Message::None).finish())
    }
}

impl Message {
    const fn len(&self) -> usize {
        match self {
            Self::None | Self::Excess(_) => 0,
            Self::Text(text) => text.len(),
            Self::Binary(bytes) | Self::Compressed { bytes, .. } => bytes.len(),
        }
    }

    fn beginning(&self) -> Vec<u8> {
        match self {
            Self::None | Self::Excess(_) => Vec::new(),
            Self::Text(text) => text.beginning(),
            Self::Binary(bytes) | Self::Compressed { bytes, .. } => {
                bytes.iter().copied().take(BEGINNING).collect()
            }
        }
    }

    fn finish(self) -> Result<Option<Item>, Fault> {
        Ok(Some(match self {
            Self::None | Self::Excess(_) => return Ok(None),
            Self::Text(text) => Item::Frame(Frame::Text(text.finish()?)),
            Self::Binary(bytes) => Item::Frame(Frame::Binary(exact(bytes))),
            Self::Compressed { is_text, bytes } => Item::Compressed { is_text, bytes },
        }))
    }
}

/// Makes a message of what it is to be.
pub(crate) fn message(is_text: bool, bytes: Vec<u8>) -> Result<Frame, Fault> {
    if !is_text {
        return Ok(Frame::Binary(exact(bytes)));
    }
    let text = basic::from_utf8(&bytes).map_err(|_| NotUtf8)?;
    Ok(Frame::Text(ByteString::from(text)))
}

fn control(opcode: Opcode, payload: &[u8]) -> Result<Item, Fault> {
    match opcode {
        Opcode::Ping => Ok(Item::Frame(Frame::Ping(Bytes::copy_from_slice(payload)))),
        Opcode::Pong => Ok(Item::Frame(Frame::Pong(Bytes::copy_from_slice(payload)))),
        Opcode::Close | Opcode::Continuation | Opcode::Text | Opcode::Binary => close(payload),
    }
}

fn close(payload: &[u8]) -> Result<Item, Fault> {
    if payload.is_empty() {
        return Ok(Item::Close(None));
    }
    let Some((code, reason)) = payload.split_first_chunk() else {
        return Err(Fault::Protocol("a close frame has half a code"));
    };
    let code = u16::from_be_bytes(*code);
    if !may_close_with(code) {
        return Err(Fault::Protocol("a close frame has a code that nobody may send"));
    }
    let reason = basic::from_utf8(reason)
        .map_err(|_| Fault::Payload("the reason of a close frame is not UTF-8"))?;
    Ok(Item::Close(Some((code, reason.to_owned()))))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVER: Accepts = Accepts { masked: true, compressed: false };

    /// A masked frame.
    fn frame(opcode: Opcode, is_final: bool, payload: &[u8]) -> Vec<u8> {
        let (mut bytes, mut payload) = (Vec::new(), payload.to_vec());
        Head::write(opcode, false, Some([1, 2, 3, 4]), payload.len(), &mut bytes);
        if !is_final {
            bytes[0] &= 0x7f;
        }
        mask(&mut payload, [1, 2, 3, 4]);
        [bytes, payload].concat()
    }

    /// Reads everything that comes, in steps; what it gave.
    fn read(decoder: &mut Decoder, bytes: &[u8], step: usize) -> Result<Vec<Item>, Fault> {
        let (mut items, mut rest) = (Vec::new(), Vec::new());
        for part in bytes.chunks(step) {
            rest.extend_from_slice(part);
            loop {
                let (used, item) = decoder.decode(&mut rest);
                rest.drain(..used);
                let Some(item) = item? else { break };
                let is_last = matches!(item, Item::Excess(_));
                items.push(item);
                if is_last {
                    return Ok(items);
                }
            }
        }
        Ok(items)
    }

    #[test]
    fn the_beginning_of_a_long_message_is_kept_however_it_comes() {
        let text: Vec<u8> = (0..2_000).map(|n| b'a' + (n % 26) as u8).collect();
        let whole = frame(Opcode::Text, true, &text);
        let parts = [
            frame(Opcode::Text, false, &text[..150]),
            frame(Opcode::Ping, true, b"p"),
            frame(Opcode::Continuation, true, &text[150..]),
        ];
        let late = [
            frame(Opcode::Text, false, &text[..900]),
            frame(Opcode::Continuation, true, &text[900..]),
        ];
        for step in [1, 7, 5_000] {
            for bytes in [whole.clone(), parts.concat(), late.concat()] {
                let mut decoder = Decoder::new(SERVER, 1_000, 9);
                let items = read(&mut decoder, &bytes, step).unwrap();
                let Some(Item::Excess(excess)) = items.last() else { panic!("{items:?}") };
                assert_eq!((excess.size, &excess.beginning[..]), (2_000, &text[..BEGINNING]));
            }
            let mut decoder = Decoder::new(SERVER, 10, 9);
            let bytes = frame(Opcode::Text, true, &text[..11]);
            let items = read(&mut decoder, &bytes, step).unwrap();
            let wanted = Excess { size: 11, beginning: text[..11].to_vec(), is_compressed: false };
            assert_eq!(items, [Item::Excess(wanted)]);
        }
    }

    #[test]
    fn what_came_of_a_long_message_that_is_cut_off_is_told() {
        let mut decoder = Decoder::new(SERVER, 10, 9);
        let bytes = frame(Opcode::Binary, true, &[7; 100]);
        assert_eq!(read(&mut decoder, &bytes[..20], 3), Ok(Vec::new()));
        let excess = decoder.give_up().unwrap();
        assert_eq!((excess.size, excess.beginning), (100, vec![7; 14]));
        assert_eq!(Decoder::new(SERVER, 10, 9).give_up(), None);
    }

    #[test]
    fn fragments_are_counted_for_each_message_and_not_beside_it() {
        let mut decoder = Decoder::new(SERVER, 1_000, 2);
        let message = [
            frame(Opcode::Text, false, b"a"),
            frame(Opcode::Continuation, false, b"b"),
            frame(Opcode::Ping, true, b""),
            frame(Opcode::Continuation, true, b"c"),
            frame(Opcode::Text, true, b"whole"),
        ];
        for _ in 0..10 {
            assert_eq!(read(&mut decoder, &message.concat(), 4).unwrap().len(), 3);
        }
        let more = [&message[..2], &message[1..2]].concat().concat();
        assert_eq!(read(&mut decoder, &more, 4), Err(Fault::Fragments));
    }

    #[test]
    fn limits_change_with_the_next_frame() {
        let mut decoder = Decoder::new(SERVER, 10, 2);
        let bytes = frame(Opcode::Text, true, &[b'a'; 20]);
        decoder.set_limits(20, 2);
        assert_eq!(read(&mut decoder, &bytes, 5).unwrap().len(), 1);
        decoder.set_limits(19, 2);
        let items = read(&mut decoder, &bytes, 5).unwrap();
        assert!(matches!(items[..], [Item::Excess(_)]), "{items:?}");
    }
}
