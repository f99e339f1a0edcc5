//! The transcripts' lines; the format stands in `vectors/volt/provenance.md`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use moorline_core::Frame;
use moorline_tests::transcript::vectors;
use serde::Deserialize;
use serde_json::Value;

/// One line.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    /// Its number in the file, from 1.
    pub(crate) number: usize,
    pub(crate) t: u64,
    pub(crate) by_daemon: bool,
    /// The session, from 1.
    pub(crate) conn: Option<u64>,
    pub(crate) what: What,
}

/// What it says.
#[derive(Clone, Debug)]
pub(crate) enum What {
    Request {
        target: String,
        content_type: String,
        body: String,
    },
    Response {
        status: u16,
        body: String,
    },
    Packet(Frame),
    /// The WebSocket closed; the code, or why there is none.
    Closed(Value),
    Api(Value),
}

#[derive(Deserialize)]
struct Wire {
    t: u64,
    dir: String,
    kind: String,
    conn: Option<u64>,
    data: Value,
}

/// Reads a transcript by its number, such as `01`.
pub(crate) fn read(number: &str) -> Vec<Line> {
    let folder = vectors().join("volt");
    let entries = std::fs::read_dir(&folder).expect("the folder exists");
    let path = entries
        .map(|entry| entry.expect("readable").path())
        .find(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            name.starts_with(&format!("{number}-")) && name.ends_with(".jsonl")
        })
        .unwrap_or_else(|| panic!("there is no transcript {number}"));
    let text = std::fs::read_to_string(path).expect("a vector is text");
    text.lines().enumerate().map(|(index, line)| parse(index + 1, line)).collect()
}

fn parse(number: usize, line: &str) -> Line {
    let wire: Wire = serde_json::from_str(line).unwrap_or_else(|e| panic!("{number}: {e}"));
    let data = wire.data;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let what = match wire.kind.as_str() {
        "http" if data["method"].is_string() => What::Request {
            target: text(&data["target"]),
            content_type: text(&data["headers"]["content-type"]),
            body: text(&data["body"]),
        },
        "http" => What::Response {
            status: data["status"].as_u64().and_then(|it| it.try_into().ok()).expect("a status"),
            body: text(&data["body"]),
        },
        "eio" => What::Packet(frame(&data)),
        "ws-close" => What::Closed(data["code"].clone()),
        "api" => What::Api(data),
        other => panic!("{number}: the kind {other:?}"),
    };
    Line { number, t: wire.t, by_daemon: wire.dir == "c2s", conn: wire.conn, what }
}

/// A packet as the frame of a WebSocket.
pub(crate) fn frame(data: &Value) -> Frame {
    let bytes = |text: &str| Frame::Binary(STANDARD.decode(text).expect("base64").into());
    match data.as_str() {
        Some(text) => text.strip_prefix('b').map_or_else(|| Frame::Text(text.into()), bytes),
        None => bytes(data["base64"].as_str().expect("text or bytes")),
    }
}
