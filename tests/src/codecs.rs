//! What holds for every input of a codec: the fuzz targets, and a test that feeds them the recorded
//! transcripts.
//!
//! Each function panics when something does not hold.

use bytes::{Bytes, BytesMut};
use bytestring::ByteString;
use moorline_core::CallCommand;
use moorline_core::command::parse_batch;
use moorline_core::frame::engineio::{self, Handshake, Packet, PayloadWriter, RequestError};
use moorline_core::frame::socketio::{self, Decoder, DecoderLimits, Kind, Malformed};
use moorline_core::frame::{Framing, Splitter};
use moorline_core::{Command, ErrorCode, Frame, Raw};
use serde_json::Value;
use serde_json::value::RawValue;

/// Reads `data` as a payload, and as a turn of commands.
pub fn json(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let parsed = serde_json::from_str::<&RawValue>(text).ok();
    let read = Raw::parse(text).ok();
    assert_eq!(read.as_ref().map(Raw::as_str), parsed.map(RawValue::get));
    for command in parse_batch(text).unwrap_or_default() {
        assert!(parsed.is_some(), "a turn that is no JSON");
        let Command::Call(CallCommand::Make { payload, options, .. }) = command else { continue };
        for part in [payload, options].iter().filter(|part| !part.is_absent()) {
            assert!(serde_json::from_str::<&RawValue>(part.as_str()).is_ok());
        }
    }
}

/// Reads `data` as a polling body and as a WebSocket frame.
pub fn engineio(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        let frame = Frame::Binary(Bytes::copy_from_slice(data));
        let packet = engineio::decode(&frame).expect("bytes are a packet");
        assert!(packet.to_frame() == frame);
        return;
    };
    let body = ByteString::from(text);
    let read: Vec<_> = engineio::split(&body).collect();
    // The same as one frame after the other, up to the first that is none.
    let mut single = Vec::new();
    for part in text.split(engineio::SEPARATOR) {
        single.push(engineio::decode(&Frame::Text(part.into())));
        if single.last().is_some_and(Result::is_err) {
            break;
        }
    }
    assert_eq!(read, single);
    let packets: Vec<Packet> = read.into_iter().map_while(Result::ok).collect();
    for packet in &packets {
        assert_eq!(engineio::decode(&packet.to_frame()).as_ref(), Ok(packet));
        if let Packet::Open(json) = packet
            && let Ok(handshake) = Handshake::parse(json)
        {
            assert_eq!(Handshake::parse(&handshake.to_json()).ok(), Some(handshake));
        }
    }
    let whole = join(&packets);
    assert!(whole.len() <= body.len() + packets.len() * 3, "a body grows by padding alone");
    let again: Vec<Packet> = engineio::split(&whole.clone().into()).map_while(Result::ok).collect();
    if !packets.is_empty() {
        assert_eq!(again, packets);
    }
    for cut in 1..packets.len().min(16) {
        let (left, right) = packets.split_at(cut);
        assert_eq!(format!("{}{}{}", join(left), engineio::SEPARATOR, join(right)), whole);
    }
    if let Some(error) = RequestError::parse(text) {
        assert_eq!(RequestError::parse(&error.to_json()), Some(error));
    }
    if let Ok(handshake) = Handshake::parse(text) {
        assert_eq!(Handshake::parse(&handshake.to_json()).ok(), Some(handshake));
    }
}

fn join(packets: &[Packet]) -> String {
    let mut writer = PayloadWriter::new();
    for packet in packets {
        let frame = packet.to_frame();
        let foretold = writer.len() + writer.would_grow_by(&frame);
        writer.push(&frame);
        assert_eq!(writer.len(), foretold);
    }
    writer.finish()
}

/// The limits of the fuzzed decoder: small enough to be reached.
const LIMITS: DecoderLimits =
    DecoderLimits { max_attachments: 10, max_attachment_bytes: 64, max_depth: 64 };

/// Reads `data` as the messages of a session, divided by U+001E; one that begins with `b` is bytes.
pub fn socketio(data: &[u8]) {
    let mut decoder = Decoder::new(LIMITS);
    let mut attachments = 0;
    for message in data.split(|byte| *byte == 0x1e) {
        let collecting = decoder.is_collecting();
        let result = if let Some(bytes) = message.strip_prefix(b"b") {
            attachments += bytes.len();
            decoder.binary(Bytes::copy_from_slice(bytes))
        } else {
            let Ok(text) = std::str::from_utf8(message) else { return };
            attachments = 0;
            let result = decoder.text(&text.into());
            if !collecting {
                agrees(text, &result);
            }
            result
        };
        match result {
            Ok(None) => assert!(decoder.is_collecting()),
            Ok(Some(packet)) => {
                assert!(!decoder.is_collecting());
                survives(&packet);
            }
            Err(Malformed::TextWhileCollecting) => {
                assert!(collecting);
                return;
            }
            Err(Malformed::UnexpectedBinary) => {
                assert!(!collecting);
                return;
            }
            Err(Malformed::TooLarge) => {
                assert!(attachments > LIMITS.max_attachment_bytes);
                return;
            }
            Err(_) => return,
        }
    }
}

/// What is written from a packet is read as the same packet.
fn survives(packet: &socketio::Packet) {
    let mut frames = Vec::new();
    let namespace = &*packet.namespace;
    match packet.kind {
        Kind::Connect => frames.push(socketio::connect(namespace, &packet.data)),
        Kind::Disconnect => frames.push(socketio::disconnect(namespace)),
        Kind::ConnectError => {
            let _ = socketio::refusal(&packet.data);
            frames.push(socketio::connect_error(namespace, packet.data.as_str()));
        }
        Kind::Event => {
            if packet.data.is_absent() {
                return;
            }
            let argument = &packet.argument;
            socketio::event(namespace, packet.id, &packet.name, argument, &mut frames)
                .expect("no more attachments than were read");
        }
        Kind::Ack => {
            let Some(id) = packet.id else { return };
            socketio::ack(namespace, id, &packet.data, &mut frames)
                .expect("no more attachments than were read");
        }
    }
    let mut decoder = Decoder::new(LIMITS);
    let mut again = None;
    let mut written = 0;
    for frame in &frames {
        assert!(again.is_none(), "nothing follows a packet");
        written += frame.len();
        let result = match engineio::decode(frame).expect("a packet") {
            Packet::Message(text) => decoder.text(&text),
            Packet::Binary(bytes) => decoder.binary(bytes),
            other => panic!("{other:?}"),
        };
        again = result.expect("what was written is read");
    }
    let again = again.expect("a whole packet");
    let read: usize = packet.data.blobs().iter().map(Bytes::len).sum();
    let bound = 2 * packet.data.as_str().len() + packet.namespace.len() + read + 64;
    assert!(written <= bound, "the output is bounded by the input");
    assert_eq!((again.kind, &again.namespace), (packet.kind, &packet.namespace));
    assert_eq!(again.name, packet.name);
    // Only events and acknowledgements have ids; elsewhere they are read and mean nothing.
    if matches!(packet.kind, Kind::Event | Kind::Ack) {
        assert_eq!(again.id, packet.id);
    }
    if packet.kind == Kind::Event {
        assert!(again.argument == packet.argument);
    } else if packet.kind == Kind::Ack && packet.data.is_absent() {
        assert_eq!(again.data.as_str(), "[]");
    } else {
        assert!(again.data == packet.data);
    }
}

/// Compares with a parser that builds trees.
fn agrees(text: &str, result: &Result<Option<socketio::Packet>, Malformed>) {
    if let Ok(Some(packet)) = result
        && !packet.data.is_absent()
    {
        assert!(text.ends_with(packet.data.as_str()) || text.ends_with([' ', '\t', '\n', '\r']));
        assert!(Raw::parse(packet.data.as_str()).is_ok());
        if let Ok(Value::Array(list)) = packet.data.read::<Value>()
            && packet.kind == Kind::Event
        {
            match list.first() {
                Some(Value::String(name)) => assert_eq!(name.as_str(), &*packet.name),
                Some(Value::Number(_)) => {}
                other => panic!("{other:?} is no name"),
            }
            assert_eq!(list.get(1), packet.argument.read::<Value>().ok().as_ref());
        }
    }
    // Binary packets without namespace and id: placeholders by another reader.
    let Some((wanted, json)) =
        text.strip_prefix('5').and_then(|rest| rest.split_once('-')).and_then(|(count, json)| {
            Some((count.parse::<u64>().ok().filter(|count| (1..=10).contains(count))?, json))
        })
    else {
        return;
    };
    let Ok(value @ Value::Array(_)) = serde_json::from_str::<Value>(json) else { return };
    match result {
        Ok(None) => assert!(in_range(&value, wanted), "an attachment that does not exist"),
        // A tree forgets the first of two members with one name, and what was wrong with it.
        Err(Malformed::Placeholder) if value.to_string().len() == json.trim().len() => {
            assert!(!in_range(&value, wanted));
        }
        Ok(Some(_)) => panic!("attachments are missing"),
        Err(_) => {}
    }
}

fn in_range(value: &Value, count: u64) -> bool {
    match value {
        Value::Object(map) if map.get("_placeholder") == Some(&Value::Bool(true)) => {
            map.get("num").and_then(Value::as_u64).is_some_and(|number| number < count)
                && map.values().all(|value| in_range(value, count))
        }
        Value::Object(map) => map.values().all(|value| in_range(value, count)),
        Value::Array(list) => list.iter().all(|value| in_range(value, count)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
    }
}

/// The framings that divide a stream into frames.
const FRAMINGS: [Framing; 3] = [Framing::Lines, Framing::Prefixed, Framing::Json];

/// Splits `data` but for its first three bytes: they say how it is framed, how large a frame may be and
/// where reads cut it.
pub fn split(data: &[u8]) {
    let [framing, max, cut, stream @ ..] = data else { return };
    let framing = FRAMINGS[usize::from(*framing) % FRAMINGS.len()];
    let max = usize::from(*max).pow(2) / 16;
    let (frames, end) = read(framing, max, &[stream]);
    let (left, right) = stream.split_at(stream.len() * usize::from(*cut) / 256);
    assert_eq!(read(framing, max, &[left, right]), (frames.clone(), end));
    assert_eq!(read(framing, max, &stream.chunks(1).collect::<Vec<_>>()), (frames.clone(), end));
    let naive = match framing {
        Framing::Lines => lines(max, stream),
        Framing::Prefixed => prefixed(max, stream),
        Framing::Json | Framing::Bytes => json_values(max, stream),
    };
    if let Some(naive) = naive {
        assert_eq!((&frames, end), (&naive, None));
    }
    let mut again = BytesMut::new();
    for frame in &frames {
        framing.write_head(frame.len(), &mut again);
        again.extend_from_slice(payload(frame));
        again.extend_from_slice(framing.tail());
    }
    // A line that ends in a return loses it to the feed that follows.
    if frames.iter().all(|frame| framing != Framing::Lines || !payload(frame).ends_with(b"\r")) {
        assert_eq!(read(framing, max, &[&again]), (frames, None));
    }
}

/// The frames of a stream that comes in these reads, and the error that it ends in.
fn read(framing: Framing, max: usize, reads: &[&[u8]]) -> (Vec<Frame>, Option<ErrorCode>) {
    let mut splitter = Splitter::new(framing, max);
    let (mut frames, mut buffer) = (Vec::new(), BytesMut::new());
    for read in reads {
        buffer.extend_from_slice(read);
        loop {
            match splitter.take(&mut buffer) {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => return (frames, Some(error.code())),
            }
        }
        assert!(buffer.len() <= max + 10, "an unfinished frame and its length are all that waits");
    }
    loop {
        match splitter.finish(&mut buffer) {
            Ok(Some(frame)) => frames.push(frame),
            Ok(None) => return (frames, None),
            Err(error) => return (frames, Some(error.code())),
        }
    }
}

/// Lines by another reader; `None` unless all are whole texts within the limit.
fn lines(max: usize, stream: &[u8]) -> Option<Vec<Frame>> {
    let text = std::str::from_utf8(stream).ok()?;
    let whole = text.is_empty() || text.ends_with('\n');
    let lines = || text.lines().filter(|line| !line.is_empty());
    let fits = whole && lines().all(|line| line.len() <= max);
    fits.then(|| lines().map(|line| Frame::Text(line.into())).collect())
}

/// Frames with a length by another reader; `None` unless all are whole and within the limit.
fn prefixed(max: usize, mut stream: &[u8]) -> Option<Vec<Frame>> {
    let mut frames = Vec::new();
    while !stream.is_empty() {
        let end = stream.iter().position(|byte| *byte < 0x80)?;
        let (head, rest) = stream.split_at(end + 1);
        let length = head.iter().rev().try_fold(0_usize, |sum, byte| {
            Some(sum.checked_mul(0x80)? + usize::from(*byte & 0x7f))
        })?;
        if head.len() > 10 || length > max {
            return None;
        }
        let (payload, rest) = rest.split_at_checked(length)?;
        frames.push(Frame::Binary(Bytes::copy_from_slice(payload)));
        stream = rest;
    }
    Some(frames)
}

/// JSON values by another reader; `None` unless all are JSON and within the limit.
fn json_values(max: usize, stream: &[u8]) -> Option<Vec<Frame>> {
    let values = serde_json::Deserializer::from_slice(stream).into_iter::<&RawValue>();
    let values: Vec<&RawValue> = values.collect::<Result<_, _>>().ok()?;
    let fits = values.iter().all(|value| value.get().len() <= max);
    fits.then(|| values.iter().map(|value| Frame::Text(value.get().into())).collect())
}

fn payload(frame: &Frame) -> &[u8] {
    match frame {
        Frame::Text(text) => text.as_bytes(),
        Frame::Binary(bytes) | Frame::Ping(bytes) | Frame::Pong(bytes) => bytes,
    }
}

/// The inputs that the recorded transcripts make.
#[derive(Debug, Default)]
pub struct Seeds {
    /// For [`json`].
    pub json: Vec<Vec<u8>>,
    /// For [`engineio`].
    pub engineio: Vec<Vec<u8>>,
    /// For [`socketio`].
    pub socketio: Vec<Vec<u8>>,
    /// For [`split`]: the messages of each session and direction as one stream, in every framing.
    pub split: Vec<Vec<u8>>,
}

impl Seeds {
    /// Reads the lines of one transcript: its polling bodies and packets, and the messages of each
    /// session and direction.
    ///
    /// # Panics
    /// When a line is not of the described form.
    #[must_use]
    pub fn read(transcript: &str) -> Self {
        let mut seeds = Self::default();
        let mut sessions: std::collections::BTreeMap<(String, u64), Vec<u8>> = Default::default();
        for line in transcript.lines() {
            let line: Value = serde_json::from_str(line).expect("a line of JSON");
            let data = &line["data"];
            match line["kind"].as_str() {
                Some("http") => {
                    seeds.engineio.extend(data["body"].as_str().map(|body| body.into()));
                }
                Some("eio") => {
                    let key = (
                        line["dir"].as_str().unwrap_or_default().to_owned(),
                        line["conn"].as_u64().unwrap_or_default(),
                    );
                    let packet = match data.as_str() {
                        Some(text) => {
                            engineio::decode(&Frame::Text(text.into())).expect("a packet")
                        }
                        None => Packet::Binary(decode(data["base64"].as_str().expect("base64"))),
                    };
                    seeds.engineio.extend(data.as_str().map(|text| text.into()));
                    let message = match packet {
                        Packet::Message(text) => text.as_bytes().to_vec(),
                        Packet::Binary(bytes) => [b"b", &bytes[..]].concat(),
                        Packet::Open(_)
                        | Packet::Close
                        | Packet::Ping(_)
                        | Packet::Pong(_)
                        | Packet::Upgrade
                        | Packet::Noop => continue,
                    };
                    if let Some(start) = message.iter().position(|byte| b"{[".contains(byte)) {
                        let json = message[start..].to_vec();
                        let call =
                            [b"[[\"call\",1,{\"name\":\"a\",\"payload\":", &json[..], b"}]]"];
                        seeds.json.push(call.concat());
                        seeds.json.push(json);
                    }
                    seeds.socketio.push(message.clone());
                    let session = sessions.entry(key).or_default();
                    if !session.is_empty() {
                        session.push(0x1e);
                    }
                    session.extend(message);
                }
                _ => {}
            }
        }
        for session in sessions.into_values() {
            for (index, framing) in FRAMINGS.into_iter().enumerate() {
                let mut stream = BytesMut::from(&[index as u8, u8::MAX, 0x80][..]);
                for message in session.split(|byte| *byte == 0x1e) {
                    let start = message.iter().position(|byte| b"{[".contains(byte));
                    let payload = start.map_or(message, |start| &message[start..]);
                    framing.write_head(payload.len(), &mut stream);
                    stream.extend_from_slice(payload);
                    stream.extend_from_slice(framing.tail());
                }
                seeds.split.push(stream.to_vec());
            }
            seeds.socketio.push(session);
        }
        seeds
    }
}

/// Decodes base64 as a polling body holds it.
fn decode(base64: &str) -> Bytes {
    match engineio::decode(&Frame::Text(format!("b{base64}").into())) {
        Ok(Packet::Binary(bytes)) => bytes,
        other => panic!("{other:?}"),
    }
}
