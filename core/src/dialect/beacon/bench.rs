//! A driver for tests: virtual time, a scripted control plane, every output in order.

// A test picks the one output that it waits for.
#![allow(clippy::wildcard_enum_match_arm)]

use bytes::Bytes;
use bytestring::ByteString;

use crate::api::command::WorkCommand;
use crate::api::command::{Command, Outcome};
use crate::api::event::Event;
use crate::api::event::{SessionEvent, Transport, WorkEvent};
use crate::base::error::{Error, ErrorCode};
use crate::base::ids::{ConnId, HttpId, StoreId, WorkId};
use crate::base::json::Raw;
use crate::base::store::{StoreReply, StoreRequest};
use crate::base::time::Now;
use crate::machine::{CloseCause, Endpoint, Input, Output};
use crate::machine::{ConnInput, HttpInput};
use crate::net::{Frame, HttpBody, HttpRequest, HttpResponse};

/// Unix time at virtual zero.
const EPOCH: u64 = 1_795_246_617_000;

/// A machine on the bench.
pub(crate) struct Bench {
    pub(crate) machine: Box<dyn Endpoint + Send>,
    pub(crate) millis: u64,
    outputs: Vec<Output>,
}

impl Bench {
    /// Opens a worker with a quiet jitter; `options` is merged over it as JSON fields.
    pub(crate) fn worker(options: &str) -> Self {
        let fields =
            options.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).unwrap_or(options);
        let comma = if fields.is_empty() { "" } else { "," };
        let text = format!(
            r#"{{"name":"w","reconnect":{{"jitter_percent":0,"base_delay_ms":1000,"max_delay_ms":300000}}{comma}{fields}}}"#
        );
        Self::open("worker", &text)
    }

    pub(crate) fn open(role: &str, options: &str) -> Self {
        let opened = crate::open::open("beacon", role, options, "host-a", [7; 32]);
        let machine = opened.unwrap_or_else(|e| panic!("{e}")).endpoint;
        Self { machine, millis: 0, outputs: Vec::new() }
    }

    /// Opens, offers `Echo/Say`, starts and goes all the way to ready over WebSocket.
    pub(crate) fn ready(options: &str) -> (Self, ConnId) {
        let mut bench = Self::worker(options);
        bench.handle("Echo/Say");
        let conn = bench.connect();
        (bench, conn)
    }

    /// Starts and answers login, dial and registration.
    pub(crate) fn connect(&mut self) -> ConnId {
        self.command(Command::Start).unwrap();
        self.greeted("")
    }

    /// Answers login, dial and registration; `extension` is appended to the registration's fields.
    pub(crate) fn greeted(&mut self, extension: &str) -> ConnId {
        self.answer_login();
        let conn = self.dialed();
        self.input(Input::Conn(ConnInput::Opened { conn }));
        assert!(self.text(conn).contains("BeaconRegister"));
        self.say(
            conn,
            &format!(r#"{{"EventType":"BeaconRegistered","BeaconID":"bcn-1"{extension}}}"#),
        );
        assert!(matches!(
            self.event(),
            Event::Session(SessionEvent::Ready { transport: Transport::WebSocket, .. })
        ));
        conn
    }

    pub(crate) fn answer_login(&mut self) {
        let (http, request) = self.asked();
        assert!(request.url.ends_with("/1.0/Authenticate"), "{}", request.url);
        self.answer(http, 200, r#"{"LoggedIn":false,"Error":"Authentication failed."}"#);
    }

    pub(crate) fn handle(&mut self, key: &str) {
        self.command(Command::Work(WorkCommand::Handle {
            key: key.into(),
            meta: Raw::empty_object(),
        }))
        .unwrap();
    }

    pub(crate) fn now(&self) -> Now {
        Now::new(self.millis, EPOCH + self.millis)
    }

    pub(crate) fn input(&mut self, input: Input) {
        self.machine.handle_input(input, self.now());
        self.drain();
    }

    pub(crate) fn command(&mut self, command: Command) -> Result<(), Error> {
        let result = self.machine.handle_command(command, self.now());
        self.drain();
        result
    }

    pub(crate) fn done(&mut self, work: WorkId, value: &str) {
        let value = Raw::parse(value.to_owned()).unwrap();
        let outcome = Outcome::Done { value, log: Raw::empty_list() };
        self.command(Command::Work(WorkCommand::Complete { work, outcome })).unwrap();
    }

    /// Lets virtual time pass, stopping at every deadline on the way.
    pub(crate) fn pass(&mut self, millis: u64) {
        let end = self.millis + millis;
        let mut steps = 0;
        while let Some(deadline) = self.machine.poll_timeout() {
            let at = deadline.at.as_millis().max(self.millis);
            if at > end {
                break;
            }
            steps += 1;
            assert!(steps < 100_000, "the machine spins on {:?}", deadline.why);
            self.millis = at;
            self.machine.handle_timeout(self.now());
            let before = self.outputs.len();
            self.drain();
            let next = self.machine.poll_timeout().map(|deadline| deadline.at.as_millis());
            let is_later = next.is_none_or(|next| next > self.millis);
            assert!(is_later || self.outputs.len() > before, "stuck on {:?}", deadline.why);
        }
        self.millis = end;
    }

    /// Lets time pass without acting on deadlines, as a suspended machine does.
    pub(crate) fn skip(&mut self, millis: u64) {
        self.millis += millis;
    }

    /// Says a text frame to the machine.
    pub(crate) fn say(&mut self, conn: ConnId, text: &str) {
        let frame = Frame::Text(ByteString::from(text));
        self.input(Input::Conn(ConnInput::Received { conn, frame }));
    }

    pub(crate) fn push(&mut self, conn: ConnId, hash: &str, attempt: u32) {
        self.say(conn, &work(hash, attempt, 0));
    }

    pub(crate) fn answer(&mut self, http: HttpId, status: u16, body: &str) {
        let body = HttpBody::Full(Bytes::from(body.to_owned()));
        let response = HttpResponse { status, headers: Default::default(), body };
        self.input(Input::Http(HttpInput::Replied { http, result: Ok(response) }));
    }

    pub(crate) fn fail(&mut self, http: HttpId) {
        let result = Err(Error::new(ErrorCode::ConnectFailed, "connection refused"));
        self.input(Input::Http(HttpInput::Replied { http, result }));
    }

    pub(crate) fn cut(&mut self, conn: ConnId) {
        let cause = CloseCause::Failed(Error::new(ErrorCode::ConnectionLost, "reset"));
        self.input(Input::Conn(ConnInput::Closed { conn, cause }));
    }

    /// Takes the next output, whatever it is.
    pub(crate) fn next(&mut self) -> Option<Output> {
        (!self.outputs.is_empty()).then(|| self.outputs.remove(0))
    }

    pub(crate) fn rest(&mut self) -> Vec<Output> {
        std::mem::take(&mut self.outputs)
    }

    /// Takes the first HTTP call among the outputs.
    pub(crate) fn asked(&mut self) -> (HttpId, HttpRequest) {
        self.take(|output| match output {
            Output::HttpCall { http, request, .. } => Some((*http, request.clone())),
            _ => None,
        })
    }

    /// Undoes [`asked`](Self::asked); the call goes to the end.
    pub(crate) fn put_back(&mut self, http: HttpId, request: HttpRequest) {
        self.outputs.push(Output::HttpCall {
            http,
            request,
            timeout_ms: 0,
            max_body: 0,
            streams: false,
        });
    }

    pub(crate) fn dialed(&mut self) -> ConnId {
        self.take(|output| match output {
            Output::Dial { conn, .. } => Some(*conn),
            _ => None,
        })
    }

    /// Takes the first text frame for a connection.
    pub(crate) fn text(&mut self, to: ConnId) -> String {
        self.take(|output| match output {
            Output::Send { conn, frame: Frame::Text(text) } if *conn == to => {
                Some(text.to_string())
            }
            _ => None,
        })
    }

    pub(crate) fn pong(&mut self, conn: ConnId, payload: Bytes) {
        self.input(Input::Conn(ConnInput::Received { conn, frame: Frame::Pong(payload) }));
    }

    pub(crate) fn pinged(&mut self, to: ConnId) -> Bytes {
        self.take(|output| match output {
            Output::Send { conn, frame: Frame::Ping(payload) } if *conn == to => {
                Some(payload.clone())
            }
            _ => None,
        })
    }

    pub(crate) fn event(&mut self) -> Event {
        self.take(|output| match output {
            Output::Event(event) => Some(event.clone()),
            _ => None,
        })
    }

    pub(crate) fn work(&mut self) -> (WorkId, Raw) {
        match self.event() {
            Event::Work(WorkEvent::Assigned { work, payload, .. }) => (work, payload),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn closed(&mut self) -> (ConnId, u16) {
        self.take(|output| match output {
            Output::Close { conn, code, .. } => Some((*conn, *code)),
            _ => None,
        })
    }

    pub(crate) fn stored(&mut self) -> StoreRequest {
        let (store, request) = self.take(|output| match output {
            Output::Store { store, request } => Some((*store, request.clone())),
            _ => None,
        });
        if matches!(request, StoreRequest::Commit { .. }) {
            self.input(Input::Stored { store, result: Ok(StoreReply::Committed) });
        }
        request
    }

    /// Takes a commit without answering it.
    pub(crate) fn commit(&mut self) -> (StoreId, StoreRequest) {
        self.take(|output| match output {
            Output::Store { store, request: request @ StoreRequest::Commit { .. } } => {
                Some((*store, request.clone()))
            }
            _ => None,
        })
    }

    /// Answers the question for the outcomes of an earlier run.
    pub(crate) fn recalled(&mut self, records: Vec<(String, Bytes)>) {
        let store = self.take(|output| match output {
            Output::Store { store, request: StoreRequest::Load { .. } } => Some(*store),
            _ => None,
        });
        self.input(Input::Stored { store, result: Ok(StoreReply::Loaded(records)) });
    }

    /// Panics if anything but a question to the store is among the outputs.
    pub(crate) fn quiet_but_store(&self) {
        assert!(self.outputs.iter().all(|output| matches!(output, Output::Store { .. })));
    }

    pub(crate) fn state(&self) -> serde_json::Value {
        serde_json::from_str(&self.machine.snapshot(self.now())).unwrap()
    }

    /// Panics if anything but probes is left among the outputs.
    pub(crate) fn quiet(&mut self) {
        let rest = self.rest();
        let rest: Vec<_> =
            rest.iter().filter(|output| !matches!(output, Output::ProbeHost)).collect();
        assert!(rest.is_empty(), "{rest:?}");
    }

    fn take<T>(&mut self, pick: impl Fn(&Output) -> Option<T>) -> T {
        let found =
            self.outputs.iter().enumerate().find_map(|(i, output)| Some((i, pick(output)?)));
        let Some((index, found)) = found else { panic!("not among {:?}", self.outputs) };
        self.outputs.remove(index);
        found
    }

    fn drain(&mut self) {
        while let Some(output) = self.machine.poll_output() {
            self.outputs.push(output);
        }
    }
}

/// Returns the frame of a fresh work item; a `timeout_ms` of 0 is left out.
pub(crate) fn work(hash: &str, attempt: u32, timeout_ms: u64) -> String {
    let timeout =
        if timeout_ms > 0 { format!(r#","TimeoutMs":{timeout_ms}"#) } else { String::new() };
    format!(
        r#"{{"EventType":"WorkItem","WorkItem":{{"WorkItemHash":"{hash}","Capability":"Echo","Action":"Say","Settings":{{"Text":"hi","n":1.0}},"AttemptNumber":{attempt}{timeout},"QueueMetadata":{{"QueueWaitMs":1}}}}}}"#
    )
}
