//! Actions on their way to the JavaScript driver: one JSON array of `[name, id, ...]` per turn.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use moorline_core::{DialTarget, Frame, FrameLimits, HttpRequest};
use serde::Serialize;

/// The actions of one turn as JSON text without the brackets.
#[derive(Default)]
pub(crate) struct Actions(String);

impl Actions {
    /// `["dial", conn, url, timeout_ms, max_message, max_send_queue, [pulse, ...]]`.
    ///
    /// Header fields stay behind: a page cannot set any on a WebSocket. Its cookies go by themselves.
    pub(crate) fn dial(&mut self, conn: u64, url: &str, target: &DialTarget) {
        let FrameLimits { max_message, max_fragments: _, max_send_queue } = target.limits;
        let pulses: Vec<_> =
            target.pulses.iter().filter_map(|pulse| std::str::from_utf8(pulse).ok()).collect();
        let timeout_ms = target.timeout_ms;
        self.push(&("dial", conn, url, timeout_ms, max_message, max_send_queue, pulses));
    }

    /// `["limits", conn, max_message, max_send_queue]`.
    pub(crate) fn limits(&mut self, conn: u64, limits: FrameLimits) {
        self.push(&("limits", conn, limits.max_message, limits.max_send_queue));
    }

    /// `["text", conn, text]`, `["binary", conn, base64]` or `["ping", conn, base64]`.
    pub(crate) fn send(&mut self, conn: u64, frame: &Frame) {
        match frame {
            Frame::Text(text) => self.push(&("text", conn, &**text)),
            Frame::Binary(bytes) => self.push(&("binary", conn, BASE64_STANDARD.encode(bytes))),
            Frame::Ping(bytes) => self.push(&("ping", conn, BASE64_STANDARD.encode(bytes))),
            // The browser answers pings by itself.
            Frame::Pong(_) => {}
        }
    }

    /// `["ask_sent", conn]`.
    pub(crate) fn ask_sent(&mut self, conn: u64) {
        self.push(&("ask_sent", conn));
    }

    /// `["close", conn, code, reason]`.
    pub(crate) fn close(&mut self, conn: u64, code: u16, reason: &str) {
        self.push(&("close", conn, code, reason));
    }

    /// `["http", http, method, url, [[name, value], ...], body, is_base64, bounds]`; see [`Bounds`].
    pub(crate) fn http(&mut self, http: u64, request: &HttpRequest, bounds: &Bounds) {
        let HttpRequest { method, url, headers, body } = request;
        let headers: Vec<_> = headers.iter().map(|(name, value)| (name, value.expose())).collect();
        let text = std::str::from_utf8(body);
        let is_base64 = text.is_err();
        let body = text.map_or_else(|_| BASE64_STANDARD.encode(body), str::to_owned);
        let method = method.as_str();
        self.push(&("http", http, method, url, headers, body, is_base64, bounds));
    }

    /// `["http_cancel", http]`.
    pub(crate) fn http_cancel(&mut self, http: u64) {
        self.push(&("http_cancel", http));
    }

    /// Takes all of them as one JSON array; empty text if there are none.
    pub(crate) fn drain(&mut self) -> String {
        if self.0.is_empty() {
            return String::new();
        }
        let rows = std::mem::take(&mut self.0);
        format!("[{rows}]")
    }

    fn push<T: Serialize>(&mut self, row: &T) {
        // Rows are tuples of text and numbers: writing cannot fail.
        let text = serde_json::to_string(row).unwrap_or_default();
        if !self.0.is_empty() {
            self.0.push(',');
        }
        self.0.push_str(&text);
    }
}

/// What an exchange may take.
#[derive(Serialize)]
pub(crate) struct Bounds {
    /// Milliseconds in all.
    pub(crate) timeout_ms: u64,
    /// Bytes of the answer.
    pub(crate) max_body: usize,
    /// The answer is wanted in parts, as they come.
    pub(crate) streams: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use moorline_core::{Headers, Method};

    #[test]
    fn a_turn_of_actions_is_one_array() {
        let mut actions = Actions::default();
        assert_eq!(actions.drain(), "");
        actions.send(2, &Frame::Text(r#"{"a":1}"#.into()));
        actions.close(2, 1000, "bye");
        assert_eq!(actions.drain(), r#"[["text",2,"{\"a\":1}"],["close",2,1000,"bye"]]"#);
    }

    #[test]
    fn a_request_carries_its_header_fields() {
        let mut actions = Actions::default();
        let request = HttpRequest {
            method: Method::Post,
            url: "http://h/x".into(),
            headers: Headers::new().with("Content-Type", "application/json"),
            body: "{}".into(),
        };
        actions.http(4, &request, &Bounds { timeout_ms: 15, max_body: 7, streams: false });
        assert_eq!(
            actions.drain(),
            r#"[["http",4,"POST","http://h/x",[["content-type","application/json"]],"{}",false,{"timeout_ms":15,"max_body":7,"streams":false}]]"#
        );
    }
}
