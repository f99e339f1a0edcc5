use super::*;

fn text(text: &'static str) -> Frame {
    Frame::Text(ByteString::from_static(text))
}

fn packets(body: &str) -> Vec<Result<Packet, Malformed>> {
    split(&ByteString::from(body)).collect()
}

#[test]
fn every_packet_survives_a_frame() {
    for packet in [
        Packet::Open("{}".into()),
        Packet::Close,
        Packet::Ping("".into()),
        Packet::Ping(PROBE.into()),
        Packet::Pong(PROBE.into()),
        Packet::Message("2[\"é\"]".into()),
        Packet::Binary(Bytes::from_static(&[0, 255])),
        Packet::Upgrade,
        Packet::Noop,
    ] {
        assert_eq!(decode(&packet.to_frame()), Ok(packet));
    }
}

#[test]
fn a_message_shares_the_memory_of_its_frame() {
    let frame = ByteString::from("42[\"x\"]");
    let Ok(Packet::Message(content)) = decode(&Frame::Text(frame.clone())) else { panic!() };
    assert_eq!(content.as_ptr(), frame[1..].as_ptr());
    let body = ByteString::from("2\u{1e}42[\"x\"]");
    let Some(Ok(Packet::Message(content))) = split(&body).nth(1) else { panic!() };
    assert_eq!(content.as_ptr(), body[3..].as_ptr());
}

#[test]
fn unknown_types_and_empty_texts_are_refused() {
    assert_eq!(decode(&text("")), Err(Malformed::Type));
    assert_eq!(decode(&text("7")), Err(Malformed::Type));
    assert_eq!(decode(&text("é")), Err(Malformed::Type));
    assert_eq!(decode(&Frame::Ping(Bytes::new())), Err(Malformed::Type));
    assert_eq!(packets(""), [Err(Malformed::Type)]);
    assert_eq!(packets("b*"), [Err(Malformed::Base64)]);
}

#[test]
fn nothing_comes_after_an_error() {
    let got = packets("4a\u{1e}z\u{1e}4b");
    assert_eq!(got, [Ok(Packet::Message("a".into())), Err(Malformed::Type)]);
    assert_eq!(packets("4a\u{1e}").len(), 2, "an empty last packet is an error");
}

#[test]
fn base64_comes_with_and_without_padding() {
    for body in ["bAQ==", "bAQ"] {
        assert_eq!(packets(body), [Ok(Packet::Binary(Bytes::from_static(&[1])))]);
    }
}

#[test]
fn a_body_grows_by_what_was_foretold() {
    let mut writer = PayloadWriter::new();
    assert!(writer.is_empty());
    for frame in [text("40"), Frame::Binary(Bytes::from_static(b"abcd")), text("2")] {
        let (before, growth) = (writer.len(), writer.would_grow_by(&frame));
        writer.push(&frame);
        assert_eq!(writer.len(), before + growth);
    }
    writer.push(&Frame::Pong(Bytes::new()));
    assert_eq!(writer.finish(), "40\u{1e}bYWJjZA==\u{1e}2");
}

#[test]
fn a_handshake_is_read_and_written() {
    let json = r#"{"sid":"x","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":60000,"maxPayload":10000000}"#;
    let handshake = Handshake::parse(json).unwrap();
    assert!(handshake.upgrades_to_websocket());
    assert_eq!(handshake.max_payload, Some(10_000_000));
    assert_eq!(handshake.to_json(), json);
    let old =
        Handshake::parse(r#"{"sid":"x","pingInterval":1,"pingTimeout":2,"more":[]}"#).unwrap();
    assert_eq!((old.upgrades_to_websocket(), old.max_payload), (false, None));
    assert!(Handshake::parse(r#"{"sid":"x"}"#).is_err());
    assert!(Handshake::parse("[]").is_err());
}

#[test]
fn declined_requests_say_why() {
    for error in RequestError::ALL.iter().copied() {
        assert_eq!(RequestError::parse(&error.to_json()), Some(error));
    }
    assert_eq!(
        RequestError::SessionUnknown.to_json(),
        r#"{"code":1,"message":"Session ID unknown"}"#
    );
    assert_eq!(RequestError::Forbidden.status(), 403);
    assert_eq!(RequestError::parse("<html>"), None);
    assert_eq!(RequestError::parse(r#"{"code":9,"message":""}"#), None);
}
