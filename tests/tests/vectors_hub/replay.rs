//! Plays one recording against our hub in virtual time.

use std::collections::{BTreeMap, VecDeque};

use base64::Engine as _;
use bytes::Bytes;
use moorline_core::{
    CloseCause, ConnId, Frame, Headers, HttpId, HttpRequest, HttpResponse, Input, Method,
};
use moorline_core::{ConnInput, ServerInput};
use moorline_tests::transcript::{self, Body, Line, Way, What};
use serde_json::Value;

use crate::expectation::{self, Difference};
use crate::keys;
use crate::world::World;

/// Numbers that depend on how fast the original was.
const TIMING: [&str; 4] = [
    "WorkItem.QueueMetadata.QueueWaitMs",
    "WorkItem.Settings.QueueMetadata.QueueWaitMs",
    "0.QueueWaitMs",
    "0.Settings.QueueMetadata.QueueWaitMs",
];

/// A recording being played.
pub(crate) struct Replay {
    name: &'static str,
    world: World,
    differences: Vec<Difference>,
    used: Vec<bool>,
    /// Recorded ids and ours.
    ids: BTreeMap<String, String>,
    /// Our connections by the recorded number.
    opened: BTreeMap<u64, ConnId>,
    unrecorded: u64,
    /// Requests that went past the recorder.
    unrecorded_http: Vec<HttpId>,
    /// The hub was killed, and nobody has been answered since.
    down: bool,
    report: Vec<String>,
}

impl Replay {
    pub(crate) fn new(name: &'static str, options: &'static str) -> Self {
        let differences = expectation::read(name);
        Self {
            name,
            world: World::new(options),
            used: vec![false; differences.len()],
            differences,
            ids: BTreeMap::new(),
            opened: BTreeMap::new(),
            unrecorded: 100_001,
            unrecorded_http: Vec::new(),
            down: false,
            report: Vec::new(),
        }
    }

    pub(crate) fn run(mut self) {
        let lines = transcript::read(&format!("beacon/{}.jsonl", self.name));
        let refused: Vec<u64> = lines
            .iter()
            .filter_map(|line| match line.what {
                What::Failure { id, .. } => Some(id),
                What::Request { .. }
                | What::Response { .. }
                | What::Text { .. }
                | What::Binary { .. }
                | What::Close { .. } => None,
            })
            .collect();
        for line in &lines {
            self.world.pass_to(line.t);
            self.send_unrecorded(line.t);
            if self.mark(line.t, |difference| difference.skip) {
                continue;
            }
            match line.way {
                Way::ToHub => self.say(line, &refused),
                Way::FromHub => self.hear(line),
            }
            self.take_extra(line.t);
        }
        for (conn, frames) in &self.world.frames {
            for frame in frames {
                self.report.push(format!("the end: {conn:?} got unexpected {frame}"));
            }
        }
        for (difference, used) in self.differences.iter().zip(&self.used) {
            if !used {
                self.report
                    .push(format!("{}: no such difference: {}", difference.at, difference.why));
            }
        }
        assert!(self.report.is_empty(), "{}:\n{}", self.name, self.report.join("\n"));
    }

    /// Puts in what a recorded peer said.
    fn say(&mut self, line: &Line, refused: &[u64]) {
        match &line.what {
            What::Request { id, .. } if refused.contains(id) => {}
            What::Request { id, method, path, headers, body } => {
                let upgrade = headers.first("upgrade").is_some();
                let request = HttpRequest {
                    method: read_method(method),
                    url: self.translate(path),
                    headers: self.translate_headers(headers),
                    body: Bytes::from(self.translate(body.as_str())),
                };
                self.ask(*id, request, upgrade);
            }
            What::Text { ws, text } => {
                let Some(conn) = self.opened.get(ws).copied() else { return };
                let frame = Frame::Text(self.translate(text).into());
                self.world.input(Input::Conn(ConnInput::Received { conn, frame }));
            }
            What::Close { ws, code, reason } => {
                let Some(conn) = self.opened.get(ws).copied() else { return };
                let cause = CloseCause::Remote { code: *code, reason: reason.clone() };
                self.world.input(Input::Conn(ConnInput::Closed { conn, cause }));
            }
            What::Binary { .. } | What::Response { .. } | What::Failure { .. } => {
                panic!("a peer does not say {line:?}")
            }
        }
    }

    fn ask(&mut self, id: u64, request: HttpRequest, upgrade: bool) {
        let remote = "127.0.0.1:40000".to_owned();
        let number = id * 2 + 1;
        if upgrade {
            self.world.input(Input::Server(ServerInput::Offered {
                conn: ConnId(number),
                request,
                remote,
            }));
        } else {
            self.world.input(Input::Server(ServerInput::Asked {
                http: HttpId(number),
                request,
                remote,
            }));
        }
    }

    /// Compares what the original hub said with what ours has said.
    fn hear(&mut self, line: &Line) {
        if self.mark(line.t, |difference| difference.absent) {
            return;
        }
        match &line.what {
            What::Response { id, status: 101, ws: Some(ws), .. } => {
                if self.world.admitted.contains(&ConnId(id * 2 + 1)) {
                    self.opened.insert(*ws, ConnId(id * 2 + 1));
                } else {
                    self.fault(line, "the upgrade is not accepted");
                }
            }
            What::Response { id, status, headers, body, .. } => {
                self.down = false;
                let Some(reply) = self.world.replies.remove(&HttpId(id * 2 + 1)) else {
                    self.fault(line, "there is no answer yet");
                    return;
                };
                let instead = self.instead(line.t);
                let status = instead
                    .as_ref()
                    .and_then(|instead| instead["status"].as_u64())
                    .unwrap_or(u64::from(*status));
                if u64::from(reply.status) != status {
                    self.fault(line, &format!("status {} instead of {status}", reply.status));
                }
                for name in ["content-type", "set-cookie"] {
                    let wanted = headers.first(name).map(transcript::generic_text);
                    let seen = reply.headers.first(name).map(transcript::generic_text);
                    if wanted != seen {
                        self.fault(line, &format!("{name} is {seen:?} instead of {wanted:?}"));
                    }
                }
                match (body, instead) {
                    (Body::Bytes(base64), _) => self.hear_stream(line, *id, base64),
                    (_, Some(instead)) => {
                        let wanted = instead["body"].to_string();
                        self.compare(line, &wanted, text_of(&reply), false);
                    }
                    (Body::Json(raw), None) => {
                        self.compare(line, raw.as_str(), text_of(&reply), true);
                    }
                    (Body::Empty | Body::Text(_), None) => {
                        self.fault(line, "the recorded body is no JSON");
                    }
                }
            }
            What::Text { ws, text } => {
                let conn = self.opened.get(ws).copied();
                let frames = conn.and_then(|conn| self.world.frames.get_mut(&conn));
                match frames.and_then(VecDeque::pop_front) {
                    Some(frame) => self.compare(line, text, &frame, true),
                    None => self.fault(line, "no frame was sent"),
                }
            }
            What::Close { code: 1006, .. } => self.kill(),
            What::Close { ws, code, reason } => {
                let closed = self.opened.get(ws).and_then(|conn| self.world.closes.get(conn));
                if closed != Some(&(*code, reason.clone())) {
                    self.fault(line, &format!("closed as {closed:?}"));
                }
            }
            What::Failure { .. } if !self.down => self.kill(),
            What::Failure { .. } => {}
            What::Binary { .. } | What::Request { .. } => panic!("a hub does not say {line:?}"),
        }
    }

    fn hear_stream(&mut self, line: &Line, id: u64, base64: &str) {
        let engine = base64::engine::general_purpose::STANDARD;
        let wanted = engine.decode(base64).expect("base64");
        let seen = self.world.parts.remove(&HttpId(id * 2 + 1)).unwrap_or_default();
        let (wanted, seen) = (split(&wanted), split(&seen));
        if wanted.len() != seen.len() {
            self.fault(line, &format!("{} frames instead of {}", seen.len(), wanted.len()));
        }
        for ((kind, wanted), (seen_kind, seen)) in wanted.iter().zip(&seen) {
            if kind != seen_kind {
                self.fault(line, &format!("a frame of type {seen_kind} instead of {kind}"));
            } else if matches!(kind, 2 | 3) {
                if wanted != seen {
                    self.fault(line, "the bytes differ");
                }
            } else {
                let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
                self.compare(line, &text(wanted), &text(seen), true);
            }
        }
    }

    /// Compares by pattern and learns which of our ids stand for which recorded ones.
    fn compare(&mut self, line: &Line, wanted: &str, seen: &str, in_order: bool) {
        let seen_value = transcript::value(seen);
        self.learn(&transcript::value(wanted), &seen_value);
        let wanted = &self.translate(wanted);
        let wanted_value = transcript::value(wanted);
        let mut ignored = TIMING.map(str::to_owned).to_vec();
        for (index, difference) in self.differences.iter().enumerate() {
            if difference.at == line.t || difference.at == 0 {
                ignored.extend(difference.ignore.iter().cloned());
                self.used[index] |= !difference.ignore.is_empty();
            }
        }
        let ignored: Vec<&str> = ignored.iter().map(String::as_str).collect();
        let found = transcript::differences(&wanted_value, &seen_value, &ignored);
        let same_keys = found.is_empty() && ignored.len() == TIMING.len();
        for difference in found {
            self.fault(line, &difference);
        }
        if in_order && same_keys && keys::order(wanted) != keys::order(seen) {
            self.fault(line, &format!("the keys of {seen} are in another order"));
        }
    }

    fn learn(&mut self, wanted: &Value, seen: &Value) {
        match (wanted, seen) {
            (Value::String(wanted), Value::String(seen)) => {
                let pattern = transcript::generic_text(wanted);
                let is_id = pattern != *wanted && pattern != "<time>";
                if is_id && pattern == transcript::generic_text(seen) {
                    self.ids.insert(wanted.clone(), seen.clone());
                }
            }
            (Value::Array(wanted), Value::Array(seen)) => {
                wanted.iter().zip(seen).for_each(|(wanted, seen)| self.learn(wanted, seen));
            }
            (Value::Object(wanted), Value::Object(seen)) => {
                for (key, wanted) in wanted {
                    if let Some(seen) = seen.get(key) {
                        self.learn(wanted, seen);
                    }
                }
            }
            _ => {}
        }
    }

    /// Puts our ids in the place of recorded ones.
    fn translate(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (recorded, ours) in self.ids.iter().rev() {
            text = text.replace(recorded, ours);
        }
        text
    }

    fn translate_headers(&self, headers: &Headers) -> Headers {
        headers.iter().fold(Headers::new(), |all, (name, value)| {
            all.with(name, self.translate(value.expose()))
        })
    }

    fn kill(&mut self) {
        self.down = true;
        self.world.kill();
    }

    fn send_unrecorded(&mut self, t: u64) {
        let due: Vec<(usize, HttpRequest)> = self
            .differences
            .iter()
            .enumerate()
            .filter(|(_, difference)| difference.at == t)
            .filter_map(|(index, difference)| {
                let asked = difference.unrecorded.as_ref()?;
                let mut headers = Headers::new();
                if let Some(cookie) = self.cookie().filter(|_| asked.with_cookie) {
                    headers.push("cookie", cookie);
                }
                let request = HttpRequest {
                    method: read_method(&asked.method),
                    url: asked.path.clone(),
                    headers,
                    body: Bytes::from(asked.body.to_string()),
                };
                Some((index, request))
            })
            .collect();
        for (index, request) in due {
            if std::mem::replace(&mut self.used[index], true) {
                continue;
            }
            self.unrecorded += 1;
            self.ask(self.unrecorded, request, false);
            self.unrecorded_http.push(HttpId(self.unrecorded * 2 + 1));
        }
    }

    /// The cookie that the latest unrecorded login got.
    fn cookie(&self) -> Option<String> {
        self.unrecorded_http.iter().rev().find_map(|http| {
            let cookie = self.world.replies.get(http)?.headers.first("set-cookie")?;
            cookie.split(';').next().map(str::to_owned)
        })
    }

    /// Takes frames that only our hub sends.
    fn take_extra(&mut self, t: u64) {
        for index in 0..self.differences.len() {
            let difference = &self.differences[index];
            let Some(extra) = difference.extra.as_ref().filter(|_| difference.at == t) else {
                continue;
            };
            if std::mem::replace(&mut self.used[index], true) {
                continue;
            }
            let conn = self.opened[&extra.ws];
            let frame = self.world.frames.get_mut(&conn).and_then(VecDeque::pop_front);
            let seen = transcript::value(&frame.unwrap_or_else(|| "null".to_owned()));
            if !holds(&seen, &transcript::generic(&extra.frame)) {
                self.report.push(format!("{t}: {seen} instead of {}", extra.frame));
            }
            if let Some(answer) = &extra.answer {
                let hash = seen["WorkItem"]["WorkItemHash"].as_str().unwrap_or_default();
                let text = answer.to_string().replace("<work>", hash);
                self.world.input(Input::Conn(ConnInput::Received {
                    conn,
                    frame: Frame::Text(text.into()),
                }));
            }
        }
    }

    fn instead(&mut self, t: u64) -> Option<Value> {
        let index = self
            .differences
            .iter()
            .position(|difference| difference.at == t && difference.instead.is_some())?;
        self.used[index] = true;
        self.differences[index].instead.clone()
    }

    /// Tells whether a difference of this line is of some kind.
    fn mark(&mut self, t: u64, is: impl Fn(&Difference) -> bool) -> bool {
        let found =
            self.differences.iter().position(|difference| difference.at == t && is(difference));
        if let Some(index) = found {
            self.used[index] = true;
        }
        found.is_some()
    }

    fn fault(&mut self, line: &Line, text: &str) {
        self.report.push(format!("{} ({}): {text}", line.t, line.peer));
    }
}

fn read_method(name: &str) -> Method {
    match name {
        "GET" => Method::Get,
        "POST" => Method::Post,
        "DELETE" => Method::Delete,
        other => panic!("the method {other} is not recorded"),
    }
}

fn text_of(reply: &HttpResponse) -> &str {
    std::str::from_utf8(reply.bytes()).expect("UTF-8")
}

/// Splits a stream into frames of type and payload.
fn split(mut bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut frames = Vec::new();
    while let [kind, a, b, c, d, rest @ ..] = bytes {
        let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
        frames.push((*kind, rest[..length].to_vec()));
        bytes = &rest[length..];
    }
    frames
}

/// Tells whether a value holds at least what another says, by pattern.
fn holds(seen: &Value, wanted: &Value) -> bool {
    match (seen, wanted) {
        (Value::Object(seen), Value::Object(wanted)) => {
            wanted.iter().all(|(key, wanted)| seen.get(key).is_some_and(|seen| holds(seen, wanted)))
        }
        _ => transcript::generic(seen) == *wanted,
    }
}
