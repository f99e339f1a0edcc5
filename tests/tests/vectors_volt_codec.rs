//! The tables of the VOLT vectors: every row of what the original's parsers and encoders do.

#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a table that cannot be read fails the test"
)]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use bytestring::ByteString;
use moorline_core::frame::engineio::{self, Packet, PayloadWriter};
use moorline_core::frame::socketio::{self, Decoder, Kind};
use moorline_core::{Frame, Raw};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

fn rows(file: &str) -> Vec<Row> {
    let path = format!("{}/vectors/volt/{file}.jsonl", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[derive(Deserialize)]
struct Row {
    case: String,
    name: String,
    packet: Option<Box<RawValue>>,
    #[serde(default)]
    packets: Vec<Box<RawValue>>,
    #[serde(default)]
    frames: Vec<Value>,
    frame: Option<Value>,
    body: Option<String>,
    error: Option<String>,
}

fn bytes_of(value: &Value, key: &str) -> Option<Bytes> {
    let text = value.get(key)?.as_str()?;
    Some(STANDARD.decode(text).unwrap().into())
}

/// A message as text, or as bytes.
fn message(value: &Value) -> Frame {
    match bytes_of(value, "base64") {
        Some(bytes) => Frame::Binary(bytes),
        None => Frame::Text(value.as_str().unwrap().into()),
    }
}

/// Replaces `{"$base64":"…"}` by placeholders.
fn with_attachments(json: &str) -> Raw {
    const MARK: &str = "{\"$base64\":\"";
    let (mut text, mut rest, mut blobs) = (String::new(), json, Vec::new());
    while let Some((before, after)) = rest.split_once(MARK) {
        let (content, after) = after.split_once("\"}").unwrap();
        text += before;
        text += &format!("{{\"_placeholder\":true,\"num\":{}}}", blobs.len());
        blobs.push(Bytes::from(STANDARD.decode(content).unwrap()));
        rest = after;
    }
    text += rest;
    Raw::parse(text).unwrap().with_blobs(blobs)
}

/// Replaces placeholders by `{"$base64":"…"}`.
fn substituted(value: Value, blobs: &[Bytes]) -> Value {
    match value {
        Value::Object(map) if map.get("_placeholder") == Some(&Value::Bool(true)) => {
            let index = usize::try_from(map["num"].as_u64().unwrap()).unwrap();
            json!({ "$base64": STANDARD.encode(&blobs[index]) })
        }
        Value::Object(map) => {
            map.into_iter().map(|(key, value)| (key, substituted(value, blobs))).collect()
        }
        Value::Array(list) => list.into_iter().map(|value| substituted(value, blobs)).collect(),
        other => other,
    }
}

#[derive(Deserialize)]
struct SocketPacket {
    r#type: u64,
    nsp: String,
    id: Option<u64>,
    data: Option<Box<RawValue>>,
}

fn encode(packet: &RawValue) -> Vec<Frame> {
    let packet: SocketPacket = serde_json::from_str(packet.get()).unwrap();
    let data = packet.data.as_ref().map_or_else(Raw::absent, |data| with_attachments(data.get()));
    let mut out = Vec::new();
    match packet.r#type {
        0 => out.push(socketio::connect(&packet.nsp, &data)),
        1 => out.push(socketio::disconnect(&packet.nsp)),
        2 => {
            let parts: Vec<&RawValue> = serde_json::from_str(data.as_str()).unwrap();
            let name: String = serde_json::from_str(parts[0].get()).unwrap();
            assert!(parts.len() <= 2);
            let argument =
                parts.get(1).map_or_else(Raw::absent, |text| Raw::parse(text.get()).unwrap());
            let argument = argument.with_blobs(data.blobs().to_vec());
            socketio::event(&packet.nsp, packet.id, &name, &argument, &mut out).unwrap();
        }
        3 => socketio::ack(&packet.nsp, packet.id.unwrap(), &data, &mut out).unwrap(),
        4 => out.push(socketio::connect_error(&packet.nsp, data.as_str())),
        other => panic!("type {other}"),
    }
    out
}

fn decoded(frames: &[Frame]) -> Result<Vec<Value>, socketio::Malformed> {
    let mut decoder = Decoder::default();
    let mut packets = Vec::new();
    for frame in frames {
        let packet = match frame {
            Frame::Text(text) => decoder.text(text)?,
            Frame::Binary(bytes) => decoder.binary(bytes.clone())?,
            other => panic!("{other:?}"),
        };
        let Some(packet) = packet else { continue };
        let number = match packet.kind {
            Kind::Connect => 0,
            Kind::Disconnect => 1,
            Kind::Event => 2,
            Kind::Ack => 3,
            Kind::ConnectError => 4,
        };
        let mut value = json!({ "type": number, "nsp": &*packet.namespace });
        if let Some(id) = packet.id {
            value["id"] = id.into();
        }
        if !packet.data.is_absent() {
            let data = serde_json::from_str(packet.data.as_str()).unwrap();
            value["data"] = substituted(data, packet.data.blobs());
        }
        packets.push(value);
    }
    assert!(!decoder.is_collecting());
    Ok(packets)
}

#[test]
fn every_row_of_the_socketio_table() {
    let (mut encoded, mut read) = (0, 0);
    for row in rows("50-codec-socketio") {
        let frames: Vec<Frame> = row.frames.iter().map(message).collect();
        match row.case.as_str() {
            "encode" => {
                let expected: Vec<Frame> = row
                    .frames
                    .iter()
                    .map(|value| match message(value) {
                        Frame::Text(text) => Frame::Text(format!("4{text}").into()),
                        other => other,
                    })
                    .collect();
                let got = match &row.packet {
                    Some(packet) => encode(packet),
                    // Only the text is given: what was decoded is encoded again.
                    None => again(&frames),
                };
                assert_eq!(texts(&got), texts(&expected), "{}", row.name);
                encoded += 1;
            }
            "decode" => {
                let got = decoded(&frames);
                match row.error {
                    Some(_) => assert!(got.is_err(), "{}: {got:?}", row.name),
                    None => {
                        let expected: Vec<Value> = row
                            .packets
                            .iter()
                            .map(|packet| serde_json::from_str(packet.get()).unwrap())
                            .collect();
                        assert_eq!(got, Ok(expected), "{}", row.name);
                    }
                }
                read += 1;
            }
            other => panic!("case {other}"),
        }
    }
    assert_eq!((encoded, read), (26, 30));
}

fn again(frames: &[Frame]) -> Vec<Frame> {
    let Frame::Text(text) = &frames[0] else { panic!() };
    let packet = Decoder::default().text(text).unwrap().unwrap();
    let mut out = Vec::new();
    socketio::event(&packet.namespace, packet.id, &packet.name, &packet.argument, &mut out)
        .unwrap();
    out
}

/// Frames with their content, which `Debug` hides.
fn texts(frames: &[Frame]) -> Vec<Result<ByteString, Bytes>> {
    frames
        .iter()
        .map(|frame| match frame {
            Frame::Text(text) => Ok(text.clone()),
            Frame::Binary(bytes) => Err(bytes.clone()),
            other => panic!("{other:?}"),
        })
        .collect()
}

/// A packet of the table; `None` for the parser's error.
fn engine_packet(value: &RawValue) -> Option<Packet> {
    let value: Value = serde_json::from_str(value.get()).unwrap();
    let data = value.get("data");
    let text = || ByteString::from(data.and_then(Value::as_str).unwrap_or_default());
    Some(match value["type"].as_str().unwrap() {
        "open" => Packet::Open(text()),
        "close" => Packet::Close,
        "ping" => Packet::Ping(text()),
        "pong" => Packet::Pong(text()),
        "message" => match data.and_then(|data| bytes_of(data, "$base64")) {
            Some(bytes) => Packet::Binary(bytes),
            None => Packet::Message(text()),
        },
        "upgrade" => Packet::Upgrade,
        "noop" => Packet::Noop,
        "error" => return None,
        other => panic!("type {other}"),
    })
}

#[test]
fn every_row_of_the_engineio_table() {
    let mut rows_seen = 0;
    for row in rows("51-codec-engineio") {
        rows_seen += 1;
        match row.case.as_str() {
            "encode-polling" => {
                let mut writer = PayloadWriter::new();
                for packet in &row.packets {
                    writer.push(&engine_packet(packet).unwrap().to_frame());
                }
                assert_eq!(Some(writer.finish()), row.body, "{}", row.name);
            }
            "encode-websocket" => {
                let packet = engine_packet(&row.packet.unwrap()).unwrap();
                let frame = message(&row.frame.unwrap());
                assert_eq!(
                    texts(&[packet.to_frame()]),
                    texts(std::slice::from_ref(&frame)),
                    "{}",
                    row.name
                );
                assert_eq!(engineio::decode(&frame), Ok(packet), "{}", row.name);
            }
            "decode-polling" => {
                let body = ByteString::from(row.body.unwrap());
                let got: Vec<Option<Packet>> = engineio::split(&body).map(Result::ok).collect();
                let expected: Vec<Option<Packet>> =
                    row.packets.iter().map(|packet| engine_packet(packet)).collect();
                assert_eq!(got, expected, "{}", row.name);
            }
            other => panic!("case {other}"),
        }
    }
    assert_eq!(rows_seen, 21);
}
