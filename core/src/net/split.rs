//! Frames in a stream of bytes: how they are divided, and the splitter that finds them.
//!
//! The splitter is pure: a driver reads into a buffer and takes whole frames out of it. It refuses what
//! exceeds the limit as soon as that is certain, before more is read: by the length that is announced,
//! or at the first byte too many. The buffer holds one unfinished frame at most, no byte is searched
//! twice wherever reads cut the stream, and frames share the buffer's memory.

use bytes::{Buf, BufMut, BytesMut};
use bytestring::ByteString;
use memchr::{memchr, memchr2};

use crate::base::error::{Error, ErrorCode};
use crate::net::Frame;
use crate::words;

words! {
    /// How frames are divided in a stream of bytes.
    ///
    /// [`Frame::Text`] and [`Frame::Binary`] are written alike. A payload must suit the framing: a line
    /// holds no line feed, JSON is one value.
    #[derive(Hash)]
    pub enum Framing {
        /// Not at all: bytes come as they were read, as [`Frame::Binary`]. Where they are cut means
        /// nothing.
        Bytes = "bytes",
        /// A text to a line, as [`Frame::Text`]. A line ends in `\n` or `\r\n`; empty ones are passed over.
        Lines = "lines",
        /// Bytes after their length, as [`Frame::Binary`]. The length is written in LEB128: seven bits to
        /// a byte, the lowest first.
        Prefixed = "prefixed",
        /// JSON values one after the other, with or without space between them, as [`Frame::Text`]. Only
        /// their ends are looked for: whether a value is JSON is for its reader to find. What neither
        /// quotes nor brackets enclose, such as a number, ends with the byte after it or with the stream.
        Json = "json",
    }
}

/// The most bytes of a length in LEB128.
const MAX_LENGTH_BYTES: usize = 10;

impl Framing {
    /// Writes what stands before a payload of `length` bytes.
    pub fn write_head(self, length: usize, out: &mut BytesMut) {
        match self {
            Self::Bytes | Self::Lines | Self::Json => {}
            Self::Prefixed => {
                let mut rest = length;
                while rest >= 0x80 {
                    out.put_u8(rest as u8 | 0x80);
                    rest >>= 7;
                }
                out.put_u8(rest as u8);
            }
        }
    }

    /// Returns what stands after a payload.
    #[must_use]
    pub const fn tail(self) -> &'static [u8] {
        match self {
            Self::Bytes | Self::Prefixed => b"",
            Self::Lines | Self::Json => b"\n",
        }
    }
}

/// Finds the frames of one stream.
///
/// It remembers how far it has looked into the buffer, so between two calls the buffer may grow at its
/// end and change in no other way. After an error the stream cannot be read on.
#[derive(Debug)]
pub struct Splitter {
    framing: Framing,
    max: usize,
    /// How much of the unfinished frame has been looked at.
    seen: usize,
    json: Json,
}

/// Where in a sequence of JSON values the splitter stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Json {
    Between,
    Word,
    Enclosed { depth: usize, in_text: bool },
}

impl Splitter {
    /// Makes a splitter for payloads of at most `max` bytes.
    #[must_use]
    pub const fn new(framing: Framing, max: usize) -> Self {
        Self { framing, max, seen: 0, json: Json::Between }
    }

    /// Changes the limit from the next frame on, the unfinished one included.
    pub const fn set_max(&mut self, max: usize) {
        self.max = max;
    }

    /// Takes the next frame out of `buffer`; `None` if more must be read first.
    ///
    /// # Errors
    /// `TOO_LARGE` for a frame beyond the limit, `PEER_PROTOCOL` for a text that is not UTF-8, a length
    /// that is none, and a byte between JSON values that begins none.
    pub fn take(&mut self, buffer: &mut BytesMut) -> Result<Option<Frame>, Error> {
        match self.framing {
            Framing::Bytes => {
                let length = buffer.len().min(self.max.max(1));
                Ok((length > 0).then(|| Frame::Binary(buffer.split_to(length).freeze())))
            }
            Framing::Lines => self.line(buffer),
            Framing::Prefixed => self.prefixed(buffer),
            Framing::Json => self.value(buffer),
        }
    }

    /// Takes what is left when the stream has ended: `None` if it ended between two frames.
    ///
    /// # Errors
    /// `CONNECTION_LOST` if it ended inside one; and those of [`take`](Self::take).
    pub fn finish(&mut self, buffer: &mut BytesMut) -> Result<Option<Frame>, Error> {
        if let Some(frame) = self.take(buffer)? {
            return Ok(Some(frame));
        }
        if buffer.is_empty() {
            return Ok(None);
        }
        if self.json == Json::Word {
            return self.cut(buffer.len(), buffer).map(Some);
        }
        Err(Error::new(
            ErrorCode::ConnectionLost,
            "the other side ended the stream in the middle of a frame",
        ))
    }

    fn line(&mut self, buffer: &mut BytesMut) -> Result<Option<Frame>, Error> {
        loop {
            let new = buffer.get(self.seen..).unwrap_or_default();
            let end = memchr(b'\n', new).map(|at| self.seen + at);
            let line = buffer.get(..end.unwrap_or(buffer.len())).unwrap_or_default();
            // A carriage return at the end of what was read may belong to the line's end.
            let length = line.len() - usize::from(line.last() == Some(&b'\r'));
            if length > self.max {
                return Err(self.too_large());
            }
            let Some(end) = end else {
                self.seen = buffer.len();
                return Ok(None);
            };
            self.seen = 0;
            if length == 0 {
                buffer.advance(end + 1);
                continue;
            }
            let line = buffer.split_to(length);
            buffer.advance(end + 1 - length);
            return text(line).map(Some);
        }
    }

    fn prefixed(&mut self, buffer: &mut BytesMut) -> Result<Option<Frame>, Error> {
        let mut length = 0_u64;
        let mut head = 0;
        loop {
            let Some(&byte) = buffer.get(head) else { return Ok(None) };
            let bits = u64::from(byte & 0x7f);
            let shift = 7 * head as u32;
            head += 1;
            if head > MAX_LENGTH_BYTES || bits << shift >> shift != bits {
                return Err(malformed("a length has more bits than it may have"));
            }
            length |= bits << shift;
            if length > self.max as u64 {
                return Err(self.too_large());
            }
            if byte & 0x80 == 0 {
                break;
            }
        }
        let length = length as usize;
        if buffer.len() - head < length {
            return Ok(None);
        }
        buffer.advance(head);
        Ok(Some(Frame::Binary(buffer.split_to(length).freeze())))
    }

    fn value(&mut self, buffer: &mut BytesMut) -> Result<Option<Frame>, Error> {
        if self.json == Json::Between {
            let space = buffer.iter().take_while(|byte| is_space(**byte)).count();
            buffer.advance(space);
            let Some(first) = buffer.first() else { return Ok(None) };
            self.json = match first {
                b'{' | b'[' | b'"' => Json::Enclosed { depth: 0, in_text: false },
                b'}' | b']' | b',' | b':' => {
                    return Err(malformed("what stands between two JSON values begins none"));
                }
                _ => Json::Word,
            };
        }
        let end = if self.json == Json::Word { self.word(buffer) } else { self.enclosed(buffer) };
        if end.unwrap_or(buffer.len()) > self.max {
            return Err(self.too_large());
        }
        end.map(|end| self.cut(end, buffer)).transpose()
    }

    /// Looks for the end of what neither quotes nor brackets enclose.
    fn word(&mut self, bytes: &[u8]) -> Option<usize> {
        let new = bytes.get(self.seen..)?;
        let end = new.iter().position(|byte| is_space(*byte) || b"{}[]\",:".contains(byte));
        let end = end.map(|at| self.seen + at);
        self.seen = end.unwrap_or(bytes.len());
        end
    }

    /// Looks for the bracket or quote that closes what the first byte opened.
    fn enclosed(&mut self, bytes: &[u8]) -> Option<usize> {
        let Json::Enclosed { mut depth, mut in_text } = self.json else { return None };
        let mut at = self.seen;
        let mut end = None;
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            let found = if in_text {
                memchr2(b'"', b'\\', rest)
            } else {
                rest.iter().position(|byte| b"\"{}[]".contains(byte))
            };
            at += found.unwrap_or(rest.len());
            let Some(byte) = bytes.get(at) else { break };
            match byte {
                b'\\' if at + 1 == bytes.len() => break,
                b'\\' => at += 1,
                b'"' => in_text = !in_text,
                b'{' | b'[' => depth += 1,
                _ => depth -= 1,
            }
            at += 1;
            if depth == 0 && !in_text {
                end = Some(at);
                break;
            }
        }
        self.seen = at;
        self.json = Json::Enclosed { depth, in_text };
        end
    }

    fn cut(&mut self, end: usize, buffer: &mut BytesMut) -> Result<Frame, Error> {
        self.seen = 0;
        self.json = Json::Between;
        text(buffer.split_to(end))
    }

    fn too_large(&self) -> Error {
        let message = format!("a frame exceeds the {} bytes that are allowed", self.max);
        Error::new(ErrorCode::TooLarge, message)
    }
}

fn text(bytes: BytesMut) -> Result<Frame, Error> {
    match ByteString::try_from(bytes.freeze()) {
        Ok(text) => Ok(Frame::Text(text)),
        Err(_) => Err(malformed("a text is not UTF-8")),
    }
}

fn malformed(message: &str) -> Error {
    Error::new(ErrorCode::PeerProtocol, message)
}

const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\n' | b'\r' | b'\t')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FRAMINGS: [Framing; 3] = [Framing::Lines, Framing::Prefixed, Framing::Json];

    #[test]
    fn lines_end_in_a_feed_with_or_without_a_return_and_empty_ones_are_none() {
        let stream = "\r\n\n{\"a\":1}\r\nb \r c\n\r\n";
        assert_eq!(texts(Framing::Lines, stream), ["{\"a\":1}", "b \r c"]);
        assert_eq!(split(Framing::Lines, 8, b"\r\r\n"), (vec![text("\r")], None));
    }

    #[test]
    fn json_values_need_nothing_between_them() {
        let stream = "{\"a\":\"}\\\"{\"}[1,[2]]\"x\\\\\"\"\"true 5\n-1.5e3{}nul[]";
        let wanted = [
            "{\"a\":\"}\\\"{\"}",
            "[1,[2]]",
            "\"x\\\\\"",
            "\"\"",
            "true",
            "5",
            "-1.5e3",
            "{}",
            "nul",
            "[]",
        ];
        assert_eq!(texts(Framing::Json, stream), wanted);
    }

    #[test]
    fn a_bare_word_ends_with_the_stream() {
        assert_eq!(texts(Framing::Json, " 12"), ["12"]);
        assert_eq!(texts(Framing::Json, "{} null\r\n"), ["{}", "null"]);
    }

    #[test]
    fn what_begins_no_json_value_is_refused() {
        for stream in ["}", "] {}", ",1", " : "] {
            let (frames, error) = split(Framing::Json, 100, stream.as_bytes());
            assert_eq!((frames, error), (vec![], Some(ErrorCode::PeerProtocol)), "{stream}");
        }
    }

    #[test]
    fn lengths_are_leb128() {
        let long = vec![7; 300];
        let stream = [&[0, 1, 5, 0x80 | 44, 2][..], &long, &[0x81, 0x80, 0, 9]].concat();
        let wanted = [vec![], vec![5], long, vec![9]].map(|it| Frame::Binary(it.into()));
        assert_eq!(split(Framing::Prefixed, 300, &stream), (Vec::from(wanted), None));
    }

    #[test]
    fn a_length_that_is_none_is_refused() {
        let padded = [0x80; 11];
        let wide = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02];
        for stream in [&padded[..], &wide] {
            let (_, error) = split(Framing::Prefixed, usize::MAX, stream);
            assert_eq!(error, Some(ErrorCode::PeerProtocol));
        }
    }

    #[test]
    fn what_is_announced_too_large_is_refused_before_it_comes() {
        let mut splitter = Splitter::new(Framing::Prefixed, 1_000);
        let mut buffer = BytesMut::from(&[0xe9, 0x07][..]);
        let error = splitter.take(&mut buffer).unwrap_err();
        assert_eq!(error.code(), ErrorCode::TooLarge);
        assert!(error.message().contains("1000"), "{error}");
        assert_eq!(
            split(Framing::Prefixed, 1_000, &[0x80, 0x80, 0x80]).1,
            Some(ErrorCode::ConnectionLost)
        );
        assert_eq!(split(Framing::Prefixed, 1_000, &[0x80, 0x88]).1, Some(ErrorCode::TooLarge));
    }

    #[test]
    fn a_frame_as_large_as_the_limit_passes_and_one_byte_more_does_not() {
        for (framing, fits, exceeds) in [
            (Framing::Lines, "1234\r\n", "12345"),
            (Framing::Lines, "1234\n", "1234\r5"),
            (Framing::Prefixed, "\u{4}1234", "\u{5}"),
            (Framing::Json, "[1 ]", "[1   "),
            (Framing::Json, "\"12\"", "\"123\""),
            (Framing::Json, "1234 ", "12345"),
        ] {
            let (frames, error) = split(framing, 4, fits.as_bytes());
            assert_eq!((frames.len(), error), (1, None), "{fits:?}");
            let (frames, error) = split(framing, 4, exceeds.as_bytes());
            assert_eq!((frames.len(), error), (0, Some(ErrorCode::TooLarge)), "{exceeds:?}");
        }
    }

    #[test]
    fn a_limit_can_change_before_a_frame_is_whole() {
        let mut splitter = Splitter::new(Framing::Lines, 4);
        let mut buffer = BytesMut::from("12");
        assert_eq!(splitter.take(&mut buffer), Ok(None));
        splitter.set_max(8);
        buffer.extend_from_slice(b"345678\n");
        assert_eq!(splitter.take(&mut buffer), Ok(Some(text("12345678"))));
    }

    #[test]
    fn a_stream_that_ends_inside_a_frame_was_cut_off() {
        for (framing, stream) in
            [(Framing::Lines, "a"), (Framing::Prefixed, "\u{2}a"), (Framing::Json, "[1,")]
        {
            assert_eq!(split(framing, 9, stream.as_bytes()).1, Some(ErrorCode::ConnectionLost));
        }
    }

    #[test]
    fn a_text_is_utf_8() {
        assert_eq!(split(Framing::Lines, 9, b"\xff\n").1, Some(ErrorCode::PeerProtocol));
        assert_eq!(split(Framing::Json, 9, b"\"\xc3\"").1, Some(ErrorCode::PeerProtocol));
        assert_eq!(texts(Framing::Lines, "grüß\n"), ["grüß"]);
    }

    #[test]
    fn bytes_pass_as_they_come_but_in_parts_within_the_limit() {
        let (frames, error) = split(Framing::Bytes, 3, b"abcde");
        let wanted = ["abc", "de"].map(|part| Frame::Binary(part.into()));
        assert_eq!((frames, error), (Vec::from(wanted), None));
    }

    #[test]
    fn frames_share_the_memory_that_was_read_into() {
        for (framing, stream) in
            [(Framing::Lines, "ab\n"), (Framing::Prefixed, "\u{2}ab"), (Framing::Json, " [] ")]
        {
            let mut buffer = BytesMut::from(stream);
            let memory = buffer.as_ptr_range();
            let frame = Splitter::new(framing, 9).take(&mut buffer).unwrap().unwrap();
            assert!(memory.contains(&bytes_of(frame).as_ptr()), "{framing:?}");
        }
    }

    #[test]
    fn what_has_been_searched_is_not_searched_again() {
        for (framing, stream) in [
            (Framing::Lines, "a long line, unfinished"),
            (Framing::Json, "[\"a long text\", {\"unfinished\": [1"),
            (Framing::Json, "unfinished"),
        ] {
            let mut splitter = Splitter::new(framing, 99);
            let mut buffer = BytesMut::new();
            for byte in stream.bytes() {
                buffer.put_u8(byte);
                assert_eq!(splitter.take(&mut buffer), Ok(None));
                assert_eq!(splitter.seen, buffer.len());
            }
        }
    }

    proptest! {
        #[test]
        fn any_cut_of_the_bytes_gives_the_same_frames(
            which in 0..3_usize,
            tokens in prop::collection::vec(token(), 0..24),
            max in 0..40_usize,
            cuts in prop::collection::vec(1..9_usize, 1..12),
        ) {
            let stream = tokens.concat();
            let whole = split(FRAMINGS[which], max, &stream);
            prop_assert_eq!(&whole, &in_reads(FRAMINGS[which], max, &stream, &[1]));
            prop_assert_eq!(&whole, &in_reads(FRAMINGS[which], max, &stream, &cuts));
        }

        #[test]
        fn what_is_written_is_read(
            payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..8),
            cuts in prop::collection::vec(1..99_usize, 1..12),
        ) {
            let stream = joined(Framing::Prefixed, &payloads);
            let frames = payloads.into_iter().map(|it| Frame::Binary(it.into())).collect();
            prop_assert_eq!((frames, None), in_reads(Framing::Prefixed, 300, &stream, &cuts));
        }

        #[test]
        fn json_texts_are_found_whatever_stands_between_them(
            values in prop::collection::vec(value(), 0..8),
            space in "[ \t\r\n]{1,3}",
            cuts in prop::collection::vec(1..9_usize, 1..12),
        ) {
            let stream: String = values.iter().map(|value| format!("{value}{space}")).collect();
            let wanted = values.iter().map(|value| text(&value.to_string())).collect();
            prop_assert_eq!((wanted, None), in_reads(Framing::Json, 1 << 20, stream.as_bytes(), &cuts));
        }
    }

    fn token() -> impl Strategy<Value = Vec<u8>> {
        let known = prop::sample::select(vec![
            "\n",
            "\r\n",
            "\r",
            "{",
            "}",
            "[",
            "]",
            "\"",
            "\\",
            "\\\"",
            ",",
            ":",
            " ",
            "12",
            "null",
            "{\"a\":[1]}",
            "é",
            "\u{1}",
            "\u{3}abc",
            "\u{0}",
        ]);
        prop_oneof![
            8 => known.prop_map(|text| text.as_bytes().to_vec()),
            1 => prop::collection::vec(any::<u8>(), 1..4),
        ]
    }

    fn value() -> impl Strategy<Value = serde_json::Value> {
        use serde_json::Value;
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            ".{0,12}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 24, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::btree_map(".{0,5}", inner, 0..5).prop_map(Value::from_iter),
            ]
        })
    }

    fn text(text: &str) -> Frame {
        Frame::Text(text.into())
    }

    fn bytes_of(frame: Frame) -> bytes::Bytes {
        match frame {
            Frame::Text(text) => text.into_bytes(),
            Frame::Binary(bytes) | Frame::Ping(bytes) | Frame::Pong(bytes) => bytes,
        }
    }

    fn texts(framing: Framing, stream: &str) -> Vec<String> {
        let (frames, error) = split(framing, 1 << 20, stream.as_bytes());
        assert_eq!(error, None);
        let texts = frames.into_iter().map(|frame| String::from_utf8(bytes_of(frame).to_vec()));
        texts.map(Result::unwrap).collect()
    }

    fn joined(framing: Framing, payloads: &[Vec<u8>]) -> Vec<u8> {
        let mut out = BytesMut::new();
        for payload in payloads {
            framing.write_head(payload.len(), &mut out);
            out.extend_from_slice(payload);
            out.extend_from_slice(framing.tail());
        }
        out.to_vec()
    }

    /// The frames of a stream that is read at once, and what it ends in.
    fn split(framing: Framing, max: usize, stream: &[u8]) -> (Vec<Frame>, Option<ErrorCode>) {
        let mut rest = Some(stream);
        read(Splitter::new(framing, max), || rest.take().unwrap_or_default())
    }

    fn in_reads(
        framing: Framing,
        max: usize,
        stream: &[u8],
        cuts: &[usize],
    ) -> (Vec<Frame>, Option<ErrorCode>) {
        let (mut rest, mut cuts) = (stream, cuts.iter().cycle());
        read(Splitter::new(framing, max), || {
            let (part, left) = rest.split_at(rest.len().min(*cuts.next().unwrap()));
            rest = left;
            part
        })
    }

    fn read<'a>(
        mut splitter: Splitter,
        mut next: impl FnMut() -> &'a [u8],
    ) -> (Vec<Frame>, Option<ErrorCode>) {
        let (mut frames, mut buffer) = (Vec::new(), BytesMut::new());
        loop {
            let part = next();
            buffer.extend_from_slice(part);
            loop {
                let taken = if part.is_empty() {
                    splitter.finish(&mut buffer)
                } else {
                    splitter.take(&mut buffer)
                };
                match taken {
                    Ok(Some(frame)) => frames.push(frame),
                    Ok(None) if part.is_empty() => return (frames, None),
                    Ok(None) => break,
                    Err(error) => return (frames, Some(error.code())),
                }
            }
            // An unfinished frame is all that stays: its length, or a return before a feed, and
            // what the limit allows.
            assert!(buffer.len() <= splitter.max.saturating_add(MAX_LENGTH_BYTES));
        }
    }
}
