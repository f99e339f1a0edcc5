use super::*;
use crate::net::Frame;

fn read(text: &str) -> Result<Option<Packet>, Malformed> {
    Decoder::default().text(&ByteString::from(text))
}

fn error(text: &str) -> Malformed {
    read(text).unwrap_err()
}

fn packet(text: &str) -> Packet {
    read(text).unwrap().unwrap()
}

const ONE: &str = r#"51-["e",{"_placeholder":true,"num":0}]"#;

#[test]
fn a_message_is_a_span_of_its_frame() {
    let frame = ByteString::from(r#"2["team-cluster-daemon:message",{"type":"response","n":1.0}]"#);
    let packet = Decoder::default().text(&frame).unwrap().unwrap();
    assert_eq!(packet.name, "team-cluster-daemon:message");
    assert_eq!(packet.argument.as_str(), r#"{"type":"response","n":1.0}"#);
    let at = frame.find('{').unwrap();
    assert_eq!(packet.argument.as_str().as_ptr(), frame[at..].as_ptr());
    assert_eq!(packet.data.as_str().as_ptr(), frame[1..].as_ptr());
    assert_eq!(packet.name.as_ptr(), frame[3..].as_ptr());
}

#[test]
fn namespace_and_id_are_read() {
    let packet = packet(r#"2/control,12["e",1]"#);
    assert_eq!((&*packet.namespace, packet.id), ("/control", Some(12)));
    assert_eq!(packet.data.as_str(), r#"["e",1]"#);
}

#[test]
fn parse_error_unknown_type() {
    assert_eq!(error("7"), Malformed::Type);
    assert_eq!(error("x"), Malformed::Type);
    assert_eq!(error("é"), Malformed::Type);
}

#[test]
fn parse_error_text_while_collecting() {
    let mut decoder = Decoder::default();
    assert_eq!(decoder.text(&ONE.into()), Ok(None));
    assert!(decoder.is_collecting());
    assert_eq!(decoder.text(&r#"2["x"]"#.into()), Err(Malformed::TextWhileCollecting));
}

#[test]
fn parse_error_binary_while_not_collecting() {
    let mut decoder = Decoder::default();
    assert_eq!(decoder.binary(Bytes::new()), Err(Malformed::UnexpectedBinary));
    decoder.text(&ONE.into()).unwrap();
    decoder.binary(Bytes::new()).unwrap().unwrap();
    assert_eq!(decoder.binary(Bytes::new()), Err(Malformed::UnexpectedBinary));
}

#[test]
fn parse_error_fewer_than_one_attachment() {
    for text in [r#"50-["e"]"#, r#"5-["e"]"#, r#"5["e"]"#, "5", r#"5-1-["e"]"#, r#"51["e"]"#] {
        assert_eq!(error(text), Malformed::Attachments, "{text}");
    }
}

#[test]
fn parse_error_more_than_ten_attachments() {
    assert_eq!(error(r#"511-["e"]"#), Malformed::TooManyAttachments);
    assert_eq!(error(&format!("5{}-[\"e\"]", "9".repeat(400))), Malformed::TooManyAttachments);
    assert_eq!(read(r#"510-["e"]"#), Ok(None));
}

#[test]
fn parse_error_placeholder_out_of_range() {
    for value in [
        r#"{"_placeholder":true,"num":1}"#,
        r#"{"_placeholder":true,"num":-1}"#,
        r#"{"_placeholder":true,"num":"0"}"#,
        r#"{"_placeholder":true}"#,
        r#"{"num":3,"_placeholder":true}"#,
        r#"[[{"a":{"_placeholder" : true , "num" : 7}}]]"#,
        r#"{"_placeholder":true,"num":0.5}"#,
        r#"{"\u005fplaceholder":true,"num":1}"#,
        r#"{"_placeholder":true,"x":{"num":0}}"#,
    ] {
        assert_eq!(error(&format!("51-[\"e\",{value}]")), Malformed::Placeholder, "{value}");
    }
    for value in [
        r#"{"_placeholder":false,"num":9}"#,
        r#"{"_placeholder":"true","num":9}"#,
        r#"{"x":"_placeholder","num":9}"#,
        r#""{\"_placeholder\":true,\"num\":9}""#,
        r#"["_placeholder",true,"num",9]"#,
        r#"{"_placeholder":true,"num":9,"num":0}"#,
        r#"{"s":"\\","_placeholder":true,"num":0}"#,
    ] {
        assert_eq!(read(&format!("51-[\"e\",{value}]")), Ok(None), "{value}");
    }
}

#[test]
fn parse_error_bad_json() {
    for text in [r#"2["a""#, "2[1,]", r#"2["a"]]"#, "2[\"a\n\"]", "3[", "0{", "2nul"] {
        assert_eq!(error(text), Malformed::Payload, "{text}");
    }
    assert_eq!(packet("213").id, Some(13), "an event may have no payload");
}

#[test]
fn parse_error_payload_of_another_shape() {
    for text in [
        r#"2{"a":1}"#,
        "2[]",
        "2[null]",
        "2[true]",
        r#"2["disconnect"]"#,
        r#"2["conn\u0065ct"]"#,
        r#"1"x""#,
        r#"0["x"]"#,
        r#"0"x""#,
        "4[1]",
        r#"3{"a":1}"#,
        "51-",
    ] {
        assert_eq!(error(text), Malformed::Payload, "{text}");
    }
}

#[test]
fn parse_error_id_beyond_counting() {
    assert_eq!(error(&format!("2{}[\"e\"]", "9".repeat(40))), Malformed::Id);
    assert_eq!(packet(&format!("2{}[\"e\"]", u64::MAX)).id, Some(u64::MAX));
}

#[test]
fn lone_surrogates_pass() {
    let packet = packet(r#"2["e",{"a":"\ud800"}]"#);
    assert_eq!(packet.argument.as_str(), r#"{"a":"\ud800"}"#);
    assert_eq!(self::packet(r#"2["\ud800",1]"#).name, r"\ud800");
    assert_eq!(self::packet(r#"2["\u0065",1]"#).name, "e");
}

#[test]
fn depth_costs_little_and_ends() {
    let deep = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(read(&format!("2[\"e\",{}]", deep(100_000))).is_ok());
    assert_eq!(error(&format!("51-[\"e\",{}]", deep(100_000))), Malformed::Depth);
    assert_eq!(read(&format!("51-[\"e\",{}]", deep(1_000))), Ok(None));
}

#[test]
fn attachments_are_limited_in_bytes() {
    let limits = DecoderLimits { max_attachment_bytes: 3, ..DecoderLimits::default() };
    let mut decoder = Decoder::new(limits);
    let text = r#"52-["e",{"_placeholder":true,"num":1}]"#;
    assert_eq!(decoder.text(&text.into()), Ok(None));
    assert_eq!(decoder.binary(Bytes::from_static(b"ab")), Ok(None));
    assert_eq!(decoder.binary(Bytes::from_static(b"cd")), Err(Malformed::TooLarge));
}

#[test]
fn attachments_come_with_the_packet() {
    let mut decoder = Decoder::default();
    assert_eq!(decoder.text(&ONE.into()), Ok(None));
    let packet = decoder.binary(Bytes::from_static(b"x")).unwrap().unwrap();
    assert_eq!(packet.kind, Kind::Event);
    assert_eq!(packet.data.blobs(), [Bytes::from_static(b"x")]);
    assert_eq!(packet.argument.blobs(), packet.data.blobs());
    let mut out = Vec::new();
    event("/", None, "e", &packet.argument, &mut out).unwrap();
    assert_eq!(out[0], Frame::Text(format!("4{ONE}").into()));
    assert_eq!(out[1], Frame::Binary(Bytes::from_static(b"x")));
}

#[test]
fn events_are_written_as_the_peers_write_them() {
    let mut out = Vec::new();
    event("/control", Some(12), "e\"", &Raw::absent(), &mut out).unwrap();
    event("/", Some(0), "e", &Raw::null(), &mut out).unwrap();
    ack("/", 3, &Raw::absent(), &mut out).unwrap();
    event_with("/", None, "e", 9, &[], &mut out, |json| json.push_str("{\"a\":1}")).unwrap();
    let texts = [r#"42/control,12["e\""]"#, r#"420["e",null]"#, "433[]", r#"42["e",{"a":1}]"#];
    assert_eq!(out, texts.map(|text| Frame::Text(text.into())));
    let many = Raw::null().with_blobs(vec![Bytes::new(); 11]);
    assert_eq!(event("/", None, "e", &many, &mut out), Err(Malformed::TooManyAttachments));
    assert_eq!(out.len(), 4);
}

#[test]
fn refusals_are_objects_or_strings() {
    assert_eq!(refusal(&packet(r#"4{"message":"Invalid namespace"}"#).data), "Invalid namespace");
    assert_eq!(refusal(&packet(r#"4"nope""#).data), "nope");
    assert_eq!(refusal(&packet("4").data), "");
}
