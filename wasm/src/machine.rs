//! The machine as JavaScript holds it: inputs and commands in, actions and events out.
//!
//! Ids are numbers on the JavaScript side: counters of one machine stay far below 2⁵³. Every method
//! that can depend on time takes both clocks in milliseconds.

use moorline_core::command::parse_turn;
use moorline_core::{CallEvent, ConnInput, HttpInput, ServerInput, SessionEvent};
use moorline_core::{
    CloseCause, Command, ConnId, DialAddress, Endpoint, Error, ErrorCode, Event, Frame, Headers,
    HttpBody, HttpId, HttpResponse, Input, Now, Opened, Output, Raw,
};
use wasm_bindgen::prelude::wasm_bindgen;

use crate::actions::{Actions, Bounds};
use crate::events::Events;
use crate::store::Store;

/// One endpoint without transports.
#[wasm_bindgen]
pub struct Machine {
    pub(crate) endpoint: Box<dyn Endpoint + Send>,
    actions: Actions,
    events: Events,
    store: Store,
    lag_ms: u64,
    max_event_bytes: usize,
    #[cfg(feature = "scripted")]
    pub(crate) script: Option<crate::scripted::Script>,
}

#[wasm_bindgen]
impl Machine {
    /// Opens a role with options as JSON text; `host` names the machine, `seed` is 32 random bytes.
    ///
    /// # Errors
    /// An error as JSON text: `ROLE_UNKNOWN`, `ARGUMENT_INVALID` or `CONFIG_INVALID`.
    pub fn open(
        dialect: &str,
        role: &str,
        options: &str,
        host: &str,
        seed: &[u8],
    ) -> Result<Self, String> {
        crate::open::open(dialect, role, options, host, seed).map(Self::of).map_err(thrown)
    }

    /// Checks what a handler is offered under; `meta` is JSON text.
    ///
    /// # Errors
    /// `ARGUMENT_INVALID` as JSON text.
    pub fn check_handler(dialect: &str, role: &str, key: &str, meta: &str) -> Result<(), String> {
        let meta = Raw::parse(meta.to_owned()).map_err(|e| {
            thrown(Error::new(ErrorCode::ArgumentInvalid, format!("the handler's meta: {e}")))
        })?;
        moorline_core::check_handler(dialect, role, key, &meta).map_err(thrown)
    }

    /// Carries out one turn of commands, see [`parse_turn`].
    ///
    /// # Errors
    /// `ARGUMENT_INVALID` as JSON text; then nothing was carried out.
    pub fn submit(&mut self, turn: String, mono: f64, unix: f64) -> Result<(), String> {
        let now = now(mono, unix);
        #[cfg(feature = "scripted")]
        if self.take_line(&turn) {
            return Ok(());
        }
        for command in parse_turn(turn).map_err(thrown)? {
            self.command(command, now);
        }
        Ok(())
    }

    /// A WebSocket opened.
    pub fn opened(&mut self, conn: f64, mono: f64, unix: f64) {
        self.input(Input::Conn(ConnInput::Opened { conn: ConnId(id(conn)) }), mono, unix);
    }

    /// A text message came in.
    pub fn received_text(&mut self, conn: f64, text: String, mono: f64, unix: f64) {
        let frame = Frame::Text(text.into());
        self.input(Input::Conn(ConnInput::Received { conn: ConnId(id(conn)), frame }), mono, unix);
    }

    /// A binary message came in.
    pub fn received_binary(&mut self, conn: f64, bytes: Vec<u8>, mono: f64, unix: f64) {
        let frame = Frame::Binary(bytes.into());
        self.input(Input::Conn(ConnInput::Received { conn: ConnId(id(conn)), frame }), mono, unix);
    }

    /// What was sent before a `ping` action has left this program.
    pub fn ponged(&mut self, conn: f64, payload: Vec<u8>, mono: f64, unix: f64) {
        let frame = Frame::Pong(payload.into());
        self.input(Input::Conn(ConnInput::Received { conn: ConnId(id(conn)), frame }), mono, unix);
    }

    /// What was sent before an `ask_sent` action has left this program.
    pub fn sent(&mut self, conn: f64, mono: f64, unix: f64) {
        self.input(Input::Conn(ConnInput::Sent { conn: ConnId(id(conn)) }), mono, unix);
    }

    /// The other side closed a WebSocket.
    pub fn closed(&mut self, conn: f64, code: u16, reason: String, mono: f64, unix: f64) {
        self.ended(conn, CloseCause::Remote { code, reason }, mono, unix);
    }

    /// This side closed a WebSocket.
    pub fn closed_here(&mut self, conn: f64, mono: f64, unix: f64) {
        self.ended(conn, CloseCause::Local, mono, unix);
    }

    /// A WebSocket failed, or never opened; `code` is the name of an error code.
    pub fn failed(&mut self, conn: f64, code: &str, message: &str, mono: f64, unix: f64) {
        self.ended(conn, CloseCause::Failed(error(code, message)), mono, unix);
    }

    /// A part of a successful answer that is wanted in parts.
    pub fn http_part(&mut self, http: f64, bytes: Vec<u8>, mono: f64, unix: f64) {
        self.input(
            Input::Http(HttpInput::Part { http: HttpId(id(http)), bytes: bytes.into() }),
            mono,
            unix,
        );
    }

    /// A request was answered. `headers` is a JSON list of `[name, value]`; there is no `body` if it
    /// went in parts.
    ///
    /// # Errors
    /// `ARGUMENT_INVALID` as JSON text if the headers are not such a list.
    pub fn http_replied(
        &mut self,
        http: f64,
        status: u16,
        headers: &str,
        body: Option<Vec<u8>>,
        mono: f64,
        unix: f64,
    ) -> Result<(), String> {
        let pairs: Vec<(String, String)> = serde_json::from_str(headers).map_err(|e| {
            thrown(Error::new(ErrorCode::ArgumentInvalid, format!("not a list of headers: {e}")))
        })?;
        let mut headers = Headers::new();
        for (name, value) in pairs {
            headers.push(&name, value);
        }
        let body = body.map_or(HttpBody::Streaming, |body| HttpBody::Full(body.into()));
        let response = HttpResponse { status, headers, body };
        let http = HttpId(id(http));
        self.input(Input::Http(HttpInput::Replied { http, result: Ok(response) }), mono, unix);
        Ok(())
    }

    /// A request failed; `code` is the name of an error code.
    pub fn http_failed(&mut self, http: f64, code: &str, message: &str, mono: f64, unix: f64) {
        let result = Err(error(code, message));
        self.input(Input::Http(HttpInput::Replied { http: HttpId(id(http)), result }), mono, unix);
    }

    /// Acts on every deadline up to now. `lag_ms` tells how late the page's own work made this call.
    pub fn timeout(&mut self, lag_ms: f64, mono: f64, unix: f64) {
        let now = now(mono, unix);
        self.lag_ms = id(lag_ms);
        self.lag(now);
        self.endpoint.handle_timeout(now);
        self.turn(now);
    }

    /// Returns when `timeout` wants to be called, in milliseconds of the monotonic clock.
    #[must_use]
    pub fn deadline(&self) -> Option<f64> {
        #[cfg(feature = "scripted")]
        if self.script.as_ref().is_some_and(|script| !script.rings) {
            return None;
        }
        self.endpoint.poll_timeout().map(|deadline| deadline.at.as_millis() as f64)
    }

    /// Takes what is to be done, in order, as a JSON array of `[name, id, ...]`; "" for nothing.
    pub fn actions(&mut self) -> String {
        self.actions.drain()
    }

    /// Takes at most 64 KiB of events (at least one, if there is any) as one JSON array.
    pub fn events(&mut self) -> String {
        self.events.drain()
    }

    /// Tells whether events wait.
    #[must_use]
    pub fn has_events(&self) -> bool {
        self.events.bytes() > 0
    }

    /// Tells whether more events wait than `runtime.max_event_bytes` allows.
    #[must_use]
    pub fn is_overloaded(&self) -> bool {
        self.events.bytes() > self.max_event_bytes
    }
}

impl Machine {
    pub(crate) fn of(opened: Opened) -> Self {
        let max_event_bytes = usize::try_from(opened.runtime.max_event_bytes).unwrap_or(usize::MAX);
        Self {
            endpoint: opened.endpoint,
            actions: Actions::default(),
            events: Events::default(),
            store: Store::default(),
            lag_ms: 0,
            max_event_bytes,
            #[cfg(feature = "scripted")]
            script: None,
        }
    }

    /// Tells how late the page is.
    fn lag(&mut self, now: Now) {
        #[cfg(feature = "scripted")]
        if let Some(script) = &mut self.script {
            script.rings = false;
            return;
        }
        self.endpoint.handle_input(Input::HostLag { millis: self.lag_ms }, now);
    }

    fn command(&mut self, command: Command, now: Now) {
        let call = command.call();
        if let Err(error) = self.endpoint.handle_command(command, now) {
            let event = match call {
                Some(call) => Event::Call(CallEvent::Done { call, result: Err(error) }),
                None => Event::Session(SessionEvent::Notice { error }),
            };
            #[cfg(feature = "scripted")]
            if let Some(script) = &mut self.script {
                script.tell(&event);
            }
            self.events.push(&event);
        }
        self.turn(now);
    }

    fn ended(&mut self, conn: f64, cause: CloseCause, mono: f64, unix: f64) {
        self.input(Input::Conn(ConnInput::Closed { conn: ConnId(id(conn)), cause }), mono, unix);
    }

    fn input(&mut self, input: Input, mono: f64, unix: f64) {
        let now = now(mono, unix);
        self.endpoint.handle_input(input, now);
        self.turn(now);
    }

    /// Drains the machine: keeps actions and events, answers what needs no JavaScript.
    pub(crate) fn turn(&mut self, now: Now) {
        while let Some(output) = self.endpoint.poll_output() {
            #[cfg(feature = "scripted")]
            if self.script.as_mut().is_some_and(|script| !script.say(&output)) {
                continue;
            }
            match output {
                Output::Dial { conn, target } => match &target.address {
                    DialAddress::WebSocket { url, .. } => self.actions.dial(conn.0, url, &target),
                    DialAddress::Tcp { .. } | DialAddress::Unix { .. } => {
                        let message = format!("a browser cannot dial {}", target.address.url());
                        let error = Error::new(ErrorCode::Unsupported, message);
                        let cause = CloseCause::Failed(error);
                        let closed = Input::Conn(ConnInput::Closed { conn, cause });
                        self.endpoint.handle_input(closed, now);
                    }
                },
                Output::SetLimits { conn, limits } => self.actions.limits(conn.0, limits),
                // The browser compresses by itself what it has agreed on.
                Output::Send { conn, frame } | Output::SendCompressed { conn, frame } => {
                    self.actions.send(conn.0, &frame);
                }
                Output::Close { conn, code, reason } => self.actions.close(conn.0, code, &reason),
                Output::HttpCall { http, request, timeout_ms, max_body, streams } => {
                    let bounds = Bounds { timeout_ms, max_body, streams };
                    self.actions.http(http.0, &request, &bounds);
                }
                Output::HttpCancel { http } => self.actions.http_cancel(http.0),
                Output::AskSent { conn } => self.actions.ask_sent(conn.0),
                Output::Store { store, request } => {
                    let result = Ok(self.store.perform(request));
                    self.endpoint.handle_input(Input::Stored { store, result }, now);
                }
                Output::ProbeHost => {
                    let millis = self.lag_ms;
                    self.endpoint.handle_input(Input::HostLag { millis }, now);
                }
                Output::Event(event) => self.events.push(&event),
                Output::Listen { listen, target } => {
                    let message = format!("a browser cannot listen on {}", target.address());
                    let error = Error::new(ErrorCode::Unsupported, message);
                    self.endpoint.handle_input(
                        Input::Server(ServerInput::ListenFailed { listen, error }),
                        now,
                    );
                }
                // Only a role that listens is asked for these.
                Output::Admit { .. }
                | Output::Refuse { .. }
                | Output::HttpReply { .. }
                | Output::HttpPart { .. }
                | Output::HttpEnd { .. }
                | Output::Unlisten { .. } => {}
            }
        }
    }
}

fn now(mono: f64, unix: f64) -> Now {
    Now::new(id(mono), id(unix))
}

/// Reads a number of JavaScript: what is negative or no number becomes 0.
fn id(number: f64) -> u64 {
    number as u64
}

fn error(code: &str, message: &str) -> Error {
    let known = ErrorCode::ALL.iter().copied().find(|known| known.name() == code);
    Error::new(known.unwrap_or(ErrorCode::Internal), message)
}

/// An error as JavaScript catches it; the driver makes a `MoorlineError` of it.
pub(crate) fn thrown(error: Error) -> String {
    serde_json::to_string(&error).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::{Arc, Mutex};

    use moorline_core::{Deadline, DialTarget, FrameLimits, Framing};

    use super::*;

    /// Dials what no browser can dial, and keeps what it is told.
    struct Dialer {
        outputs: VecDeque<Output>,
        told: Arc<Mutex<Vec<Input>>>,
    }

    impl moorline_core::Machine for Dialer {
        fn handle_input(&mut self, input: Input, _: Now) {
            self.told.lock().unwrap().push(input);
        }
        fn handle_timeout(&mut self, _: Now) {}
        fn poll_output(&mut self) -> Option<Output> {
            self.outputs.pop_front()
        }
        fn poll_timeout(&self) -> Option<Deadline> {
            None
        }
    }

    impl Endpoint for Dialer {
        fn handle_command(&mut self, _: Command, _: Now) -> Result<(), Error> {
            Ok(())
        }
        fn snapshot(&self, _: Now) -> String {
            String::from("{}")
        }
    }

    #[test]
    fn a_stream_that_is_dialed_is_closed_as_unsupported() {
        let framing = Framing::Lines;
        let told = Arc::default();
        let outputs = [
            DialAddress::Tcp { host: "h".into(), port: 9, tls: false, framing },
            DialAddress::Unix { path: "/run/x".into(), framing },
        ]
        .map(|address| {
            let limits = FrameLimits { max_message: 9, max_fragments: 9, max_send_queue: 9 };
            let target = DialTarget { address, timeout_ms: 9, limits, pulses: &[] };
            Output::Dial { conn: ConnId(2), target }
        });
        let endpoint = Dialer { outputs: outputs.into(), told: Arc::clone(&told) };
        let runtime = moorline_core::options::RuntimeOptions::default();
        let scripts = moorline_core::options::ScriptOptions::default();
        let opened = Opened { endpoint: Box::new(endpoint), runtime, scripts };
        let mut machine = Machine::of(opened);
        machine.turn(Now::new(1, 2));
        let told = told.lock().unwrap();
        for (input, url) in told.iter().zip(["tcp://h:9", "unix:/run/x"]) {
            let Input::Conn(ConnInput::Closed { cause: CloseCause::Failed(error), .. }) = input
            else {
                panic!("{input:?}")
            };
            assert_eq!(error.code(), ErrorCode::Unsupported);
            assert!(error.message().contains(url), "{error}");
        }
        assert_eq!((told.len(), machine.actions.drain().as_str()), (2, ""));
    }
}
