//! What the application learned: the recorded notes, and ours in the same form.
//!
//! The facades' part is played here: which event rejects `connect()`, and what errors are called.

use std::collections::VecDeque;

use moorline_core::words::volt_code;
use moorline_core::{CallEvent, PeerEvent, SessionEvent};
use moorline_core::{Error, ErrorCode, Event, Raw};
use serde_json::{Value, json};

/// Three streams: how they interleave is a matter of the host's scheduler.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    life: VecDeque<Value>,
    messages: VecDeque<Value>,
    calls: VecDeque<Value>,
}

/// Which stream a note belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stream {
    Life,
    Messages,
    Calls,
}

/// What a facade remembers of one daemon.
#[derive(Debug, Default)]
pub(crate) struct Facade {
    /// `connect()` has settled.
    is_settled: bool,
    pub(crate) is_ready: bool,
    pub(crate) password: Option<String>,
    pub(crate) has_ended: bool,
}

impl Notes {
    /// Takes an event of a daemon.
    pub(crate) fn take(&mut self, facade: &mut Facade, event: &Event) {
        match event {
            Event::Session(SessionEvent::Ready { .. }) => {
                facade.is_ready = true;
                self.life.push_back(json!({"callback": "onConnected", "isReady": true}));
                if !std::mem::replace(&mut facade.is_settled, true) {
                    self.life.push_back(json!({"call": "connect()", "ok": true}));
                }
            }
            Event::Session(SessionEvent::Lost { reason, .. }) => {
                facade.is_ready = false;
                let reason = reason.message();
                self.life.push_back(json!({"callback": "onDisconnected", "reason": reason}));
            }
            Event::Session(SessionEvent::Notice { error }) => self.failed(facade, error, true),
            Event::Session(SessionEvent::Ended { error }) => {
                facade.is_ready = false;
                facade.has_ended = true;
                if let Some(error) = error {
                    self.failed(facade, error, error.code() != ErrorCode::EnrollmentFailed);
                }
            }
            Event::Call(CallEvent::Done { result, .. }) => self.call(result),
            Event::Peer(PeerEvent::Message { payload, .. }) => {
                let message = plain(payload);
                self.messages.push_back(json!({"callback": "onMessage", "message": message}));
            }
            Event::Session(SessionEvent::Enrolled { password }) => {
                facade.password = Some(password.expose().to_owned());
            }
            Event::Call(CallEvent::Part { .. })
            | Event::Work(_)
            | Event::Peer(PeerEvent::Joined { .. })
            | Event::Peer(
                PeerEvent::Left { .. }
                | PeerEvent::Received { .. }
                | PeerEvent::Closed { .. }
                | PeerEvent::AdmissionAsked { .. }
                | PeerEvent::Backlog { .. }
                | PeerEvent::Heartbeat { .. },
            )
            | Event::Session(SessionEvent::Draining { .. }) => {}
        }
    }

    fn failed(&mut self, facade: &mut Facade, error: &Error, callback: bool) {
        let shown = shown(error);
        if callback {
            self.life.push_back(json!({"callback": "onError", "error": shown}));
        }
        let rejects = matches!(
            error.code(),
            ErrorCode::ConnectFailed | ErrorCode::RegistrationFailed | ErrorCode::EnrollmentFailed
        );
        if rejects && !std::mem::replace(&mut facade.is_settled, true) {
            self.life.push_back(json!({"call": "connect()", "ok": false, "error": shown}));
        }
    }

    /// A command settled.
    pub(crate) fn call(&mut self, result: &Result<Raw, Error>) {
        self.calls.push_back(match result {
            Ok(value) => json!({"call": "sendCommand", "ok": true, "result": plain(value)}),
            Err(error) => json!({"call": "sendCommand", "ok": false, "error": shown(error)}),
        });
    }

    /// Returns the front of the stream that a recorded note belongs to.
    pub(crate) fn next_like(&mut self, recorded: &Value) -> Option<Value> {
        match stream(recorded)? {
            Stream::Life => self.life.pop_front(),
            Stream::Messages => self.messages.pop_front(),
            Stream::Calls => self.calls.pop_front(),
        }
    }

    pub(crate) fn has_like(&self, recorded: &Value) -> bool {
        match stream(recorded) {
            Some(Stream::Life) => !self.life.is_empty(),
            Some(Stream::Messages) => !self.messages.is_empty(),
            Some(Stream::Calls) => !self.calls.is_empty(),
            None => true,
        }
    }

    /// Returns what nobody has asked for.
    pub(crate) fn rest(&self) -> impl Iterator<Item = &Value> {
        self.life.iter().chain(&self.messages).chain(&self.calls)
    }
}

/// Tells whether a recorded note is one that core tells of.
pub(crate) fn is_compared(recorded: &Value) -> bool {
    // What a handler threw is told by the facade that ran it.
    stream(recorded).is_some() && recorded["error"]["code"] != "HANDLER_ERROR"
}

fn stream(recorded: &Value) -> Option<Stream> {
    if let Some(callback) = recorded["callback"].as_str() {
        return Some(if callback == "onMessage" { Stream::Messages } else { Stream::Life });
    }
    let call = recorded["call"].as_str()?;
    recorded["ok"].as_bool()?;
    if call.starts_with("emit ") {
        None
    } else if call.contains("connect()") {
        Some(Stream::Life)
    } else {
        Some(Stream::Calls)
    }
}

/// Says how our note differs from the recorded one; `None` if it does not.
pub(crate) fn difference(recorded: &Value, ours: &Value) -> Option<String> {
    let is_equal = match recorded["callback"].as_str() {
        Some("onError") => ours["callback"] == "onError" && are_alike(recorded, ours),
        Some(_) => recorded["message"] == ours["message"] && recorded["reason"] == ours["reason"],
        None if recorded["ok"] == true => {
            ours["ok"] == true && is_result(&recorded["result"], &ours["result"])
        }
        None => ours["ok"] == false && are_alike(recorded, ours),
    };
    let is_same_kind = recorded["callback"] == ours["callback"];
    (!is_equal || !is_same_kind).then(|| format!("{ours} instead of {recorded}"))
}

fn is_result(recorded: &Value, ours: &Value) -> bool {
    match recorded {
        Value::String(text) if text == "<undefined>" => ours.is_null() || *ours == "<undefined>",
        // The recorder shows what it made of bytes.
        Value::Object(fields) if fields.contains_key("bodyIsBuffer") => {
            ours["body"]["type"] == "Buffer"
        }
        other => other == ours,
    }
}

/// Codes are equal; of the text what programs look for: what the server said, names in quotes, and
/// the prefix of failed connections.
fn are_alike(recorded: &Value, ours: &Value) -> bool {
    let text = |value: &Value| value["error"]["message"].as_str().unwrap_or_default().to_owned();
    let (theirs, mine) = (text(recorded), text(ours));
    let code = recorded["error"]["code"].as_str().unwrap_or_default();
    let is_text_alike = match code {
        "SOCKET_CONNECTION_FAILED" => mine.starts_with(&theirs),
        "COMMAND_REJECTED" if !theirs.contains('"') => mine == theirs,
        "SOCKET_NOT_READY" => true,
        "ENROLLMENT_FAILED" => telling(&theirs).all(|word| mine.contains(word)),
        _ => theirs.split('"').skip(1).step_by(2).all(|name| mine.contains(&format!("\"{name}\""))),
    };
    code == ours["error"]["code"] && is_text_alike
}

/// Words of an enrollment's failure that tell which it is.
fn telling(text: &str) -> impl Iterator<Item = &str> {
    let words = ["HTTP 400", "HTTP 401", "HTTP 404", "HTTP 409", "HTTP 429", "HTTP 502", "JSON"];
    words
        .into_iter()
        .chain(["data", "daemonPassword", "teamCluster", "reach", "http://"])
        .filter(|word| text.contains(word))
}

fn shown(error: &Error) -> Value {
    json!({"code": volt_code(error.code()), "message": error.message()})
}

/// A payload as the recorder shows it.
fn plain(payload: &Raw) -> Value {
    if payload.is_absent() {
        return json!("<undefined>");
    }
    let value = serde_json::from_str(payload.as_str()).expect("payloads are JSON");
    with_bytes(value, payload)
}

fn with_bytes(value: Value, payload: &Raw) -> Value {
    match value {
        Value::Object(map) if map.get("_placeholder") == Some(&Value::Bool(true)) => {
            let index = map["num"].as_u64().and_then(|num| usize::try_from(num).ok());
            let bytes = index.and_then(|index| payload.blobs().get(index)).expect("an attachment");
            json!({"type": "Buffer", "data": bytes.to_vec()})
        }
        Value::Object(map) => {
            map.into_iter().map(|(key, value)| (key, with_bytes(value, payload))).collect()
        }
        Value::Array(list) => list.into_iter().map(|value| with_bytes(value, payload)).collect(),
        other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => other,
    }
}
