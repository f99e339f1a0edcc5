//! Recorded packets: what the application did to cause them, and how they are shown.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use moorline_core::CallCommand;
use moorline_core::frame::engineio::PROBE;
use moorline_core::frame::socketio::{Decoder, Kind};
use moorline_core::words::MESSAGE;
use moorline_core::{CallId, Command, Frame, Headers, HttpBody, HttpResponse, Raw};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::lines::{Line, What};

/// Tells whether a packet belongs to the transport alone; pings and pongs of a session do not.
pub(crate) fn is_of_engine(frame: &Frame) -> bool {
    let Frame::Text(text) = frame else { return false };
    text.ends_with(PROBE) || text.starts_with(['0', '1', '5', '6'])
}

pub(crate) fn show(frame: &Frame) -> String {
    match frame {
        Frame::Text(text) => text.to_string(),
        Frame::Binary(bytes) => format!("bytes {}", STANDARD.encode(bytes)),
        Frame::Ping(_) | Frame::Pong(_) => format!("{frame:?}"),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Message<'a> {
    r#type: &'a str,
    command: Option<&'a str>,
    #[serde(borrow)]
    payload: Option<&'a RawValue>,
}

/// Returns the command of the application that a recorded packet comes from; the daemon itself and its
/// handlers are not the application. `behind` are the daemon's lines after it, with its attachments.
pub(crate) fn cause<'a>(
    frame: &Frame,
    call: CallId,
    timeout_ms: u64,
    behind: impl Iterator<Item = &'a Line>,
) -> Option<Command> {
    let Frame::Text(text) = frame else { return None };
    let text = bytestring::ByteString::from(text.strip_prefix('4')?);
    let mut decoder = Decoder::default();
    let mut packet = decoder.text(&text).expect("a packet");
    for line in behind {
        if packet.is_some() {
            break;
        }
        let What::Packet(Frame::Binary(bytes)) = &line.what else { continue };
        packet = decoder.binary(bytes.clone()).expect("an attachment");
    }
    let packet = packet.expect("a whole packet");
    if packet.kind == Kind::Disconnect {
        return Some(Command::Stop { drain_ms: 0 });
    }
    if packet.kind != Kind::Event || &*packet.name != MESSAGE {
        return None;
    }
    let message: Message<'_> = serde_json::from_str(packet.argument.as_str()).expect("an object");
    let blobs = packet.argument.blobs().to_vec();
    match (message.r#type, message.command) {
        ("command", Some("runtime.heartbeat")) | ("response" | "stream" | "stream-end", _) => None,
        ("command", Some(name)) => Some(Command::Call(CallCommand::Make {
            call,
            name: name.to_owned(),
            payload: message.payload.map_or_else(Raw::absent, |it| raw(it.get())).with_blobs(blobs),
            options: raw(&format!("{{\"timeout_ms\":{timeout_ms}}}")),
        })),
        _ => Some(Command::Emit { name: String::new(), payload: packet.argument.clone() }),
    }
}

fn raw(text: &str) -> Raw {
    Raw::parse(text.to_owned()).expect("JSON")
}

/// Returns the target and the handshake with which a recorded session began.
pub(crate) fn opening(lines: &[Line], conn: u64) -> Option<(String, String)> {
    let mut of_conn = lines.iter().filter(|line| line.conn == Some(conn));
    let target = of_conn.find_map(|line| match &line.what {
        What::Request { target, .. } => Some(target.clone()),
        What::Response { .. } | What::Packet(_) | What::Closed(_) | What::Api(_) => None,
    })?;
    let handshake = of_conn.find_map(|line| match &line.what {
        What::Packet(Frame::Text(text)) if text.starts_with('0') => Some(text.to_string()),
        What::Packet(_)
        | What::Request { .. }
        | What::Response { .. }
        | What::Closed(_)
        | What::Api(_) => None,
    })?;
    Some((target, handshake))
}

/// Compares the target of a session's first request with the URL of ours: the same path and query,
/// but for the transport and the number that keeps caches away.
pub(crate) fn is_target(recorded: &str, url: &str) -> bool {
    let plain = |text: &str| {
        let (path, query) = text.split_once('?').unwrap_or((text, ""));
        let pairs =
            query.split('&').filter(|it| !it.starts_with("t=") && !it.starts_with("transport="));
        (path.to_owned(), pairs.map(str::to_owned).collect::<Vec<_>>())
    };
    let ours = url.split_once("://volt.test").map_or("", |(_, rest)| rest);
    plain(recorded) == plain(ours)
}

/// Makes an answer of HTTP.
pub(crate) fn response(status: u16, location: Option<&str>, body: &str) -> HttpResponse {
    let mut headers = Headers::new();
    if let Some(location) = location {
        headers.push("location", location);
    }
    HttpResponse { status, headers, body: HttpBody::Full(body.to_owned().into()) }
}

/// Returns where a recorded redirect led, which the recorder left out: to the next request.
pub(crate) fn redirection(lines: &[Line], number: usize) -> Option<&str> {
    lines.iter().find_map(|line| match &line.what {
        What::Request { target, .. } if line.number > number => Some(target.as_str()),
        What::Request { .. }
        | What::Response { .. }
        | What::Packet(_)
        | What::Closed(_)
        | What::Api(_) => None,
    })
}

/// Returns the message that a packet carries to the application.
pub(crate) fn message(packet: &str) -> Option<serde_json::Value> {
    let event: (String, serde_json::Value) =
        serde_json::from_str(packet.strip_prefix("42")?).ok()?;
    (event.0 == MESSAGE).then_some(event.1)
}
