//! Recorded transcripts: one JSON object a line, as described in `vectors/beacon/provenance.md`.
//!
//! A replay keeps the lines of one peer and compares what our side says with what the recorded side
//! said. Ids and times of the recording are compared [by pattern](generic).

use std::path::PathBuf;

use moorline_core::{Headers, Raw};
use serde::Deserialize;
use serde_json::Value;

/// One line of a transcript.
#[derive(Clone, Debug)]
pub struct Line {
    /// Milliseconds since the recording began.
    pub t: u64,
    /// Which way it went.
    pub way: Way,
    /// Who is at the other end from the hub: `beacon`, `dispatcher` and so on.
    pub peer: String,
    /// What was said.
    pub what: What,
    /// A remark of the recorder, such as on injected frames.
    pub note: Option<String>,
}

/// The direction of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Towards the hub.
    ToHub,
    /// From the hub.
    FromHub,
}

/// What a line says.
#[derive(Clone, Debug)]
pub enum What {
    /// An HTTP request.
    Request {
        /// Its number in the recording.
        id: u64,
        /// The method.
        method: String,
        /// Path and query.
        path: String,
        /// The relevant header fields.
        headers: Headers,
        /// The body.
        body: Body,
    },
    /// An HTTP answer; 101 is the acceptance of an upgrade.
    Response {
        /// The number of the request.
        id: u64,
        /// The status.
        status: u16,
        /// The relevant header fields.
        headers: Headers,
        /// The body.
        body: Body,
        /// The connection that an accepted upgrade opened.
        ws: Option<u64>,
    },
    /// An HTTP request failed, such as `connection refused`.
    Failure {
        /// The number of the request.
        id: u64,
        /// Why.
        error: String,
    },
    /// A text frame.
    Text {
        /// The connection.
        ws: u64,
        /// Its text.
        text: String,
    },
    /// A binary frame.
    Binary {
        /// The connection.
        ws: u64,
        /// Its length in bytes.
        bytes: u64,
    },
    /// A connection was closed.
    Close {
        /// The connection.
        ws: u64,
        /// The close code; 1006 if the connection was cut.
        code: u16,
        /// The reason.
        reason: String,
    },
}

/// The body of a request or an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// There was none.
    Empty,
    /// JSON, as it was on the wire but for blanks.
    Json(Raw),
    /// Other text.
    Text(String),
    /// Bytes, as base64.
    Bytes(String),
}

impl Body {
    /// Returns the text for the wire; bytes are not decoded.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Empty => "",
            Self::Json(raw) => raw.as_str(),
            Self::Text(text) | Self::Bytes(text) => text,
        }
    }
}

/// Reads a transcript from the folder of vectors, such as `beacon/01-ws-lifecycle.jsonl`.
///
/// # Panics
/// If it cannot be read: a vector is part of the source.
#[must_use]
pub fn read(name: &str) -> Vec<Line> {
    let path = vectors().join(name);
    let text = std::fs::read_to_string(&path)
        .unwrap_or_else(|e| panic!("the transcript {} cannot be read: {e}", path.display()));
    text.lines()
        .enumerate()
        .map(|(index, line)| {
            parse(line).unwrap_or_else(|e| panic!("{name}, line {}: {e}", index + 1))
        })
        .collect()
}

/// Reads a transcript and keeps the lines of one peer.
#[must_use]
pub fn of_peer(name: &str, peer: &str) -> Vec<Line> {
    read(name).into_iter().filter(|line| line.peer == peer).collect()
}

/// Returns the folder of vectors.
#[must_use]
pub fn vectors() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("vectors")
}

/// Replaces what differs from run to run by a pattern: beacon ids, work hashes, run ids, UUIDs and
/// ISO times become `<beacon:name>`, `<work>`, `<run>`, `<uuid>` and `<time>`, wherever they occur.
#[must_use]
pub fn generic(value: &Value) -> Value {
    match value {
        Value::String(text) => Value::String(generic_text(text)),
        Value::Array(items) => Value::Array(items.iter().map(generic).collect()),
        Value::Object(fields) => fields
            .iter()
            .map(|(key, value)| (key.clone(), generic(value)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

/// [`generic`] for one text, such as a path: each segment between slashes by itself.
#[must_use]
pub fn generic_text(text: &str) -> String {
    text.split('/').map(generic_segment).collect::<Vec<_>>().join("/")
}

/// Parses JSON for a comparison.
///
/// # Panics
/// If `text` is not JSON.
#[must_use]
pub fn value(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|e| panic!("not JSON: {e}: {text}"))
}

/// Lists where `seen` differs from `wanted`, by path; empty if they are equal by pattern.
/// Paths in `ignored` (such as `WorkItem.QueueMetadata.QueueWaitMs`) are not compared.
#[must_use]
pub fn differences(wanted: &Value, seen: &Value, ignored: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    compare(&generic(wanted), &generic(seen), "", ignored, &mut found);
    found
}

fn compare(wanted: &Value, seen: &Value, path: &str, ignored: &[&str], found: &mut Vec<String>) {
    if ignored.contains(&path) {
        return;
    }
    let below = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    match (wanted, seen) {
        (Value::Object(wanted), Value::Object(seen)) => {
            for (key, value) in wanted {
                let other = seen.get(key).unwrap_or(&Value::Null);
                if seen.contains_key(key) || value.is_null() {
                    compare(value, other, &below(key), ignored, found);
                } else if !ignored.contains(&below(key).as_str()) {
                    found.push(format!("{} is missing", below(key)));
                }
            }
            for key in seen.keys().filter(|key| !wanted.contains_key(*key)) {
                if !ignored.contains(&below(key).as_str()) {
                    found.push(format!("{} is not in the recording", below(key)));
                }
            }
        }
        (Value::Array(wanted), Value::Array(seen)) if wanted.len() == seen.len() => {
            for (index, (wanted, seen)) in wanted.iter().zip(seen).enumerate() {
                compare(wanted, seen, &below(&index.to_string()), ignored, found);
            }
        }
        _ if wanted == seen => {}
        _ => found.push(format!("{path}: {seen} instead of {wanted}")),
    }
}

#[derive(Deserialize)]
struct WireLine<'a> {
    t: u64,
    dir: String,
    kind: String,
    #[serde(borrow)]
    data: WireData<'a>,
}

#[derive(Deserialize)]
struct WireData<'a> {
    peer: String,
    id: Option<u64>,
    method: Option<String>,
    path: Option<String>,
    #[serde(default)]
    headers: serde_json::Map<String, Value>,
    #[serde(borrow)]
    body: Option<&'a serde_json::value::RawValue>,
    status: Option<u16>,
    error: Option<String>,
    ws: Option<u64>,
    op: Option<String>,
    #[serde(borrow)]
    json: Option<&'a serde_json::value::RawValue>,
    bytes: Option<u64>,
    code: Option<u16>,
    reason: Option<String>,
    note: Option<String>,
}

fn parse(line: &str) -> Result<Line, String> {
    let line: WireLine<'_> = serde_json::from_str(line).map_err(|e| e.to_string())?;
    let data = line.data;
    let way = match line.dir.as_str() {
        "c2s" => Way::ToHub,
        "s2c" => Way::FromHub,
        other => return Err(format!("the direction {other:?} is unknown")),
    };
    let need = |what: &str| format!("{what} is missing");
    let what = match (line.kind.as_str(), data.op.as_deref()) {
        ("http", _) => {
            let id = data.id.ok_or_else(|| need("id"))?;
            let headers = read_headers(&data.headers);
            let body = read_body(data.body)?;
            match (data.method, data.status, data.error) {
                (Some(method), None, None) => What::Request {
                    id,
                    method,
                    path: data.path.ok_or_else(|| need("path"))?,
                    headers,
                    body,
                },
                (None, Some(status), None) => {
                    What::Response { id, status, headers, body, ws: data.ws }
                }
                (None, None, Some(error)) => What::Failure { id, error },
                _ => return Err(need("one of method, status, error")),
            }
        }
        ("ws", Some(op)) => {
            let ws = data.ws.ok_or_else(|| need("ws"))?;
            match op {
                "text" => What::Text { ws, text: read_body(data.json)?.as_str().to_owned() },
                "binary" => What::Binary { ws, bytes: data.bytes.ok_or_else(|| need("bytes"))? },
                "close" => What::Close {
                    ws,
                    code: data.code.ok_or_else(|| need("code"))?,
                    reason: data.reason.unwrap_or_default(),
                },
                other => return Err(format!("the operation {other:?} is unknown")),
            }
        }
        (kind, _) => return Err(format!("the kind {kind:?} is unknown")),
    };
    Ok(Line { t: line.t, way, peer: data.peer, what, note: data.note })
}

fn read_headers(fields: &serde_json::Map<String, Value>) -> Headers {
    let mut headers = Headers::new();
    for (name, value) in fields {
        if let Value::Array(values) = value {
            values.iter().for_each(|value| push(&mut headers, name, value));
        } else {
            push(&mut headers, name, value);
        }
    }
    headers
}

fn push(headers: &mut Headers, name: &str, value: &Value) {
    headers.push(name, value.as_str().map_or_else(|| value.to_string(), str::to_owned));
}

fn read_body(body: Option<&serde_json::value::RawValue>) -> Result<Body, String> {
    let Some(body) = body else { return Ok(Body::Empty) };
    Ok(match serde_json::from_str(body.get()).map_err(|e| e.to_string())? {
        Value::Null => Body::Empty,
        Value::String(text) => Body::Text(text),
        Value::Object(fields) if fields.contains_key("base64") => {
            Body::Bytes(fields.get("base64").and_then(Value::as_str).unwrap_or_default().to_owned())
        }
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            Body::Json(Raw::parse(body.get().to_owned()).map_err(|e| e.to_string())?)
        }
    })
}

fn generic_segment(text: &str) -> String {
    let tail_is_number = |text: &str| {
        text.rsplit_once('-').is_some_and(|(_, tail)| {
            !tail.is_empty() && tail.bytes().all(|byte| byte.is_ascii_digit())
        })
    };
    if let Some(rest) = text.strip_prefix("bcn-").filter(|rest| tail_is_number(rest)) {
        let name = rest.rsplit_once('-').map_or(rest, |(name, _)| name);
        return format!("<beacon:{name}>");
    }
    if text.starts_with("wi-") && tail_is_number(text) {
        return "<work>".to_owned();
    }
    if text.starts_with("rn-") && tail_is_number(text) {
        return "<run>".to_owned();
    }
    if let Some(session) = text.strip_prefix("SessionID=") {
        let (session, rest) = session.split_at(session.find(';').unwrap_or(session.len()));
        return format!("SessionID={}{rest}", generic_segment(session));
    }
    let shape: String = text.chars().map(|c| if c.is_ascii_hexdigit() { 'x' } else { c }).collect();
    match shape.as_str() {
        "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx" => "<uuid>".to_owned(),
        "xxxx-xx-xxTxx:xx:xx.xxxZ" => "<time>".to_owned(),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_times_become_patterns() {
        assert_eq!(
            generic_text("/Beacon/bcn-echo-ws-1795246617919/Heartbeat"),
            "/Beacon/<beacon:echo-ws>/Heartbeat"
        );
        assert_eq!(generic_text("wi-unknown-unknown-1795246617932-1"), "<work>");
        assert_eq!(generic_text("2026-11-21T07:36:57.932Z"), "<time>");
        assert_eq!(
            generic_text("SessionID=0f0e0d0c-0b0a-4908-8706-050403020100; Path=x"),
            "SessionID=<uuid>; Path=x"
        );
        assert_eq!(generic_text("hello-world"), "hello-world");
    }

    #[test]
    fn differences_are_named_by_path() {
        let wanted = value(r#"{"A":{"B":1,"C":"wi-a-b-1-2"},"D":[1]}"#);
        let seen = value(r#"{"A":{"B":2,"C":"wi-x-y-3-4"},"D":[1],"E":0}"#);
        assert_eq!(
            differences(&wanted, &seen, &[]),
            ["A.B: 2 instead of 1", "E is not in the recording"]
        );
        assert!(differences(&wanted, &seen, &["A.B", "E"]).is_empty());
    }

    #[test]
    fn every_vector_of_the_beacon_dialect_is_readable() {
        let folder = std::fs::read_dir(vectors().join("beacon")).expect("the folder exists");
        let mut count = 0;
        for entry in folder {
            let path = entry.expect("readable").path();
            if path.extension().is_some_and(|extension| extension == "jsonl") {
                let name = path.file_name().expect("a name").to_string_lossy().into_owned();
                assert!(!read(&format!("beacon/{name}")).is_empty());
                count += 1;
            }
        }
        assert!(count > 0);
    }
}
