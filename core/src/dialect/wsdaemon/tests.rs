//! A daemon of either kind, from its inputs to what it says and tells.

// Outputs are matched by the one variant that a step is about.
#![allow(clippy::wildcard_enum_match_arm, clippy::indexing_slicing)]

use bytes::Bytes;

use super::options::DaemonMode;
use super::*;
use crate::api::command::{CallCommand, Command, Outcome, WorkCommand};
use crate::api::event::{CallEvent, PeerEvent, SessionEvent, WorkEvent};
use crate::api::options::read;
use crate::base::ids::{CallId, ListenId, WorkId};
use crate::base::json::Raw;
use crate::machine::{CloseCause, Endpoint as _};
use crate::net::target::ListenTarget;
use crate::net::{Headers, HttpRequest, Method};

const PROGRAM: ConnId = ConnId(101);
const OTHER: ConnId = ConnId(103);

struct Rig {
    daemon: WsDaemon,
    at: u64,
    /// Texts in order, each with its connection.
    said: Vec<(u64, String)>,
    closed: Vec<u64>,
    refused: Vec<u16>,
    listens: Vec<ListenTarget>,
    work: Vec<(WorkId, String)>,
    told: Vec<Event>,
    dialed: Option<ConnId>,
    pings: Vec<u64>,
    /// Who is asked about whether all has left.
    asked: Vec<u64>,
}

impl Rig {
    fn new(daemon: WsDaemon) -> Self {
        Self {
            daemon,
            at: 0,
            said: Vec::new(),
            closed: Vec::new(),
            refused: Vec::new(),
            listens: Vec::new(),
            work: Vec::new(),
            told: Vec::new(),
            dialed: None,
            pings: Vec::new(),
            asked: Vec::new(),
        }
    }

    fn client(options: &str) -> Self {
        let mut rig = Self::new(WsDaemon::new(read(options).unwrap(), [3; 32]).unwrap());
        rig.begin();
        rig
    }

    fn server(options: &str) -> Self {
        let mut options: DaemonOptions = read(options).unwrap();
        options.mode = DaemonMode::Server;
        let mut rig = Self::new(WsDaemon::new(options, [3; 32]).unwrap());
        rig.begin();
        rig
    }

    fn begin(&mut self) {
        for key in ["ok", "slow"] {
            self.command(Command::Work(WorkCommand::Handle {
                key: key.into(),
                meta: Raw::empty_object(),
            }));
        }
        self.command(Command::Start);
    }

    fn now(&self) -> Now {
        Now::new(self.at, 1_795_000_000_000 + self.at)
    }

    fn command(&mut self, command: Command) {
        self.try_command(command).unwrap();
    }

    fn try_command(&mut self, command: Command) -> Result<(), Error> {
        let result = self.daemon.handle_command(command, self.now());
        self.drain();
        result
    }

    fn input(&mut self, input: Input) {
        self.daemon.handle_input(input, self.now());
        self.drain();
    }

    fn pass(&mut self, millis: u64) {
        let until = self.at + millis;
        while let Some(due) = self.daemon.poll_timeout().filter(|due| due.at.as_millis() <= until) {
            self.at = self.at.max(due.at.as_millis());
            self.daemon.handle_timeout(self.now());
            self.drain();
        }
        self.at = until;
    }

    fn drain(&mut self) {
        while let Some(output) = self.daemon.poll_output() {
            match output {
                Output::Send { conn, frame: Frame::Text(text) } => {
                    self.said.push((conn.0, text.to_string()));
                }
                Output::Send { conn, .. } => self.pings.push(conn.0),
                Output::AskSent { conn } => self.asked.push(conn.0),
                Output::Close { conn, .. } => self.closed.push(conn.0),
                Output::Refuse { response, .. } => self.refused.push(response.status),
                Output::Listen { target, .. } => self.listens.push(target),
                Output::Dial { conn, .. } => self.dialed = Some(conn),
                Output::Event(Event::Work(WorkEvent::Assigned { work, key, .. })) => {
                    self.work.push((work, key));
                }
                Output::Event(event) => self.told.push(event),
                _ => {}
            }
        }
    }

    fn program(&mut self, conn: ConnId) {
        let (listen, remote) = (ListenId(1), String::from("unix:x"));
        let accepted = ServerInput::Accepted { conn, listen, remote, credentials: None };
        self.input(Input::Server(accepted));
    }

    fn open(&mut self) -> ConnId {
        let conn = self.dialed.take().expect("a dial");
        self.input(Input::Conn(ConnInput::Opened { conn }));
        conn
    }

    fn lose(&mut self, conn: ConnId) {
        let cause = CloseCause::Failed(ErrorCode::ConnectionLost.into());
        self.input(Input::Conn(ConnInput::Closed { conn, cause }));
    }

    fn offer(&mut self, conn: u64, headers: &[(&str, &str)]) {
        let mut all = Headers::new().with("host", "127.0.0.1:80");
        headers.iter().for_each(|(name, value)| all.push(name, *value));
        let (method, url) = (Method::Get, String::from("/"));
        let request = HttpRequest { method, url, headers: all, body: Bytes::new() };
        let remote = String::from("10.0.0.1:5");
        self.input(Input::Server(ServerInput::Offered { conn: ConnId(conn), request, remote }));
    }

    fn hear(&mut self, conn: ConnId, text: &str) {
        let frame = Frame::Text(text.to_owned().into());
        self.input(Input::Conn(ConnInput::Received { conn, frame }));
    }

    /// All has left that was on its way to a connection; returns what follows.
    fn sent(&mut self, conn: ConnId) -> Vec<String> {
        self.input(Input::Conn(ConnInput::Sent { conn }));
        self.said().into_iter().map(|(_, text)| text).collect()
    }

    fn notices(&self, code: ErrorCode) -> usize {
        let is_one = |event: &&Event| matches!(event, Event::Session(SessionEvent::Notice { error }) if error.code() == code);
        self.told.iter().filter(is_one).count()
    }

    fn complete(&mut self, index: usize, value: &str) {
        let outcome =
            Outcome::Done { value: Raw::parse(value.to_owned()).unwrap(), log: Raw::empty_list() };
        let work = self.work[index].0;
        self.command(Command::Work(WorkCommand::Complete { work, outcome }));
    }

    fn said(&mut self) -> Vec<(u64, String)> {
        std::mem::take(&mut self.said)
    }

    /// Returns what calls came to: a value, or the name of an error's code.
    fn done(&mut self) -> Vec<String> {
        let told = std::mem::take(&mut self.told).into_iter();
        told.filter_map(|event| match event {
            Event::Call(CallEvent::Done { result: Ok(value), .. }) => Some(value.as_str().into()),
            Event::Call(CallEvent::Done { result: Err(e), .. }) => Some(e.code().name().into()),
            _ => None,
        })
        .collect()
    }

    fn call(&mut self, call: u64, name: &str, options: &str) -> Result<(), Error> {
        self.try_command(Command::Call(CallCommand::Make {
            call: CallId(call),
            name: name.into(),
            payload: Raw::absent(),
            options: Raw::parse(options.to_owned()).unwrap(),
        }))
    }
}

fn status(status: &str) -> String {
    format!(r#"{{"name":"&cmd","params":{{"code":"STATUS","data":{{"status":{status}}}}}}}"#)
}

const LOCAL: &str = r#"{"local":{"socket_path":"/p/x.sock"}}"#;

/// Half of it is on its way at once.
const NARROW: &str = r#"{"local":{"socket_path":"/p/x.sock"},
    "limits":{"max_send_queue_bytes":65536,"max_message_bytes":65536},
    "asks":{"max_queued_bytes":1000000}}"#;

/// A request of 10,000 bytes and a little.
fn large(id: u64) -> String {
    format!(r#"{{"name":"a","id":{id},"params":"{}"}}"#, "x".repeat(10_000))
}

#[test]
fn each_status_goes_to_the_program_that_asked() {
    let mut rig = Rig::client(LOCAL);
    let link = rig.open();
    rig.program(PROGRAM);
    rig.program(OTHER);
    rig.hear(PROGRAM, r#"{"name":"a","id":1}"#);
    rig.hear(OTHER, r#"{"name":"a","id":2}"#);
    rig.said();
    for (id, program) in [(2, OTHER), (1, PROGRAM)] {
        rig.hear(link, &status(&format!("0,\"id\":{id}")));
        assert_eq!(rig.said(), [(program.0, format!(r#"{{"status":0,"id":{id}}}"#))]);
    }
    rig.hear(link, &status("7"));
    assert_eq!(rig.said(), [(OTHER.0, r#"{"status":7}"#.into())], "asked by nobody: the newest");
    rig.input(Input::Conn(ConnInput::Closed { conn: OTHER, cause: CloseCause::Local }));
    rig.hear(link, &status("8"));
    assert_eq!(rig.said()[0].0, PROGRAM.0);
    rig.input(Input::Conn(ConnInput::Closed { conn: PROGRAM, cause: CloseCause::Local }));
    rig.hear(link, &status("9"));
    let is_message = |event: &Event| matches!(event, Event::Peer(PeerEvent::Message { .. }));
    assert!(rig.told.iter().any(is_message), "the application has it");
}

#[test]
fn a_server_answers_the_connection_that_asked() {
    let mut rig = Rig::server("{}");
    [1, 3, 5].into_iter().for_each(|conn| rig.offer(conn, &[]));
    for conn in [5, 1, 3] {
        rig.hear(ConnId(conn), r#"{"name":"ok"}"#);
    }
    for (index, conn) in [(2, 3), (0, 5), (1, 1)] {
        rig.complete(index, "0");
        assert_eq!(rig.said(), [(conn, status("0"))]);
    }
}

#[test]
fn every_request_is_answered() {
    let mut rig =
        Rig::server(r#"{"handlers":{"max_concurrent":1,"max_waiting":1,"timeout_ms":1000}}"#);
    rig.offer(1, &[]);
    for odd in [r#"{"name":"no"}"#, r#"{"name":"+cmd"}"#, "{}", r#"{"name":["ok"]}"#] {
        rig.hear(ConnId(1), odd);
        assert_eq!(rig.said(), [(1, status("-1"))], "{odd}");
    }
    (0..3).for_each(|_| rig.hear(ConnId(1), r#"{"name":"slow"}"#));
    assert_eq!(rig.said(), [(1, status("-5"))]);
    rig.pass(1_000);
    assert_eq!(rig.said(), [(1, status("-3")), (1, status("-3"))]);
    assert_eq!(rig.work.len(), 1, "the second never had a slot");
    // The handler ignored its withdrawal; its slot comes back.
    rig.pass(10_000);
    rig.hear(ConnId(1), r#"{"name":"ok","id":"x"}"#);
    let work = rig.work[1].0;
    let outcome = Outcome::Failed { message: String::from("boom") };
    rig.command(Command::Work(WorkCommand::Complete { work, outcome }));
    assert_eq!(rig.said(), [(1, status(r#"1,"id":"x""#))]);
    for ignored in ["5", "[]", r#"{"name":"&cmd"}"#, "not json"] {
        rig.hear(ConnId(1), ignored);
        assert!(rig.said().is_empty(), "{ignored}");
    }
    let mut rig = Rig::server(r#"{"handlers":{"answer_unknown":false}}"#);
    rig.offer(1, &[]);
    rig.hear(ConnId(1), r#"{"name":"no"}"#);
    assert!(rig.said().is_empty(), "as the original");
}

#[test]
fn requests_that_wait_are_bounded_by_their_bytes() {
    let mut rig = Rig::server(
        r#"{"limits":{"max_message_bytes":65536},
            "handlers":{"max_concurrent":1,"max_waiting_bytes":65536}}"#,
    );
    rig.offer(1, &[]);
    let params = format!("\"{}\"", "x".repeat(30_000));
    let ask = |id: &str| format!(r#"{{"name":"ok","id":{id},"params":{params}}}"#);
    (1..=4).for_each(|id| rig.hear(ConnId(1), &ask(&id.to_string())));
    assert_eq!(rig.said(), [(1, status(r#"-5,"id":4"#))], "one runs and two wait");
    assert!(rig.daemon.snapshot(rig.now()).contains(r#""waiting_bytes":60020"#));
    rig.complete(0, "0");
    rig.said();
    let id = format!("\"{}\"", "i".repeat(20_000));
    rig.hear(ConnId(1), &format!(r#"{{"name":"ok","id":{id}}}"#));
    assert!(rig.said().is_empty(), "there is room again");
    rig.hear(ConnId(1), &format!(r#"{{"name":"ok","id":{id}}}"#));
    assert_eq!(rig.said().len(), 1, "ids count, too");
}

#[test]
fn what_is_said_while_the_link_is_down_waits_in_order_and_in_bounds() {
    let mut rig = Rig::client(
        r#"{"asks":{"max_queued":2,"timeout_ms":5000},"local":{"socket_path":"/p/x.sock"}}"#,
    );
    rig.program(PROGRAM);
    for id in 1..=3 {
        rig.hear(PROGRAM, &format!(r#"{{"name":"a","id":{id}}}"#));
    }
    assert_eq!(rig.said(), [(PROGRAM.0, r#"{"status":-5,"id":3}"#.into())]);
    let link = rig.open();
    let said = rig.said();
    assert_eq!(said[0], (link.0, r#"{"name":"a","id":1}"#.into()));
    assert_eq!((said[1].1.as_str(), said.len()), (r#"{"name":"a","id":2}"#, 2));
    rig.hear(link, &status(r#"4,"id":1"#));
    assert_eq!(rig.said(), [(PROGRAM.0, r#"{"status":4,"id":1}"#.into())]);
    rig.pass(5_000);
    assert_eq!(rig.said(), [(PROGRAM.0, r#"{"status":-3,"id":2}"#.into())]);
}

#[test]
fn what_was_on_its_way_when_the_link_went_is_settled_and_shifts_nobodys_status() {
    let mut rig = Rig::client(NARROW);
    let link = rig.open();
    rig.program(PROGRAM);
    rig.program(OTHER);
    rig.hear(PROGRAM, r#"{"name":"a"}"#);
    rig.call(1, "a", "{}").unwrap();
    // The last waits for room.
    (0..5).for_each(|id| rig.hear(PROGRAM, &large(id)));
    rig.said();
    rig.lose(link);
    let lost = ["", r#","id":0"#, r#","id":1"#, r#","id":2"#, r#","id":3"#];
    let lost = lost.map(|id| (PROGRAM.0, format!(r#"{{"status":-4{id}}}"#)));
    assert_eq!((rig.said(), rig.done()), (lost.to_vec(), vec!["CONNECTION_LOST".into()]));
    while rig.dialed.is_none() {
        rig.pass(100);
    }
    let link = rig.open();
    rig.hear(OTHER, r#"{"name":"a"}"#);
    rig.said();
    rig.hear(link, &status("7"));
    rig.hear(link, &status(r#"8,"id":4"#));
    let wanted =
        [(OTHER.0, r#"{"status":7}"#.into()), (PROGRAM.0, r#"{"status":8,"id":4}"#.into())];
    assert_eq!(rig.said(), wanted);
    // Nor does a drain wait for them.
    rig.hear(OTHER, r#"{"name":"a"}"#);
    rig.command(Command::Stop { drain_ms: 60_000 });
    rig.lose(link);
    assert!(matches!(rig.told.last(), Some(Event::Session(SessionEvent::Ended { error: None }))));
}

#[test]
fn a_server_without_clients_says_so_and_a_lost_one_is_told() {
    let mut rig = Rig::server(LOCAL);
    rig.program(PROGRAM);
    rig.hear(PROGRAM, r#"{"name":"a","id":1}"#);
    assert_eq!(rig.said(), [(PROGRAM.0, r#"{"status":-2,"id":1}"#.into())]);
    rig.offer(1, &[]);
    rig.hear(PROGRAM, r#"{"name":"a","id":2}"#);
    rig.said();
    rig.lose(ConnId(1));
    assert_eq!(rig.said(), [(PROGRAM.0, r#"{"status":-4,"id":2}"#.into())]);
}

/// Vector 22: the original keeps a dead client in its rotation.
#[test]
fn a_client_that_answers_no_ping_is_dropped() {
    let mut rig = Rig::server(LOCAL);
    rig.program(PROGRAM);
    rig.offer(1, &[]);
    rig.offer(3, &[]);
    rig.hear(PROGRAM, r#"{"name":"a","id":1}"#);
    assert_eq!(rig.said()[0].0, 3);
    for _ in 0..3 {
        rig.pass(9_000);
        rig.input(Input::Conn(ConnInput::Received {
            conn: ConnId(1),
            frame: Frame::Pong(Bytes::new()),
        }));
    }
    assert_eq!(rig.closed, [3], "21 s after its last sign of life");
    assert_eq!(rig.said(), [(PROGRAM.0, r#"{"status":-4,"id":1}"#.into())]);
    for id in 2..5 {
        rig.hear(PROGRAM, &format!(r#"{{"name":"a","id":{id}}}"#));
        assert_eq!(rig.said()[0].0, 1);
    }
}

#[test]
fn a_silent_server_is_left() {
    let mut rig = Rig::client("{}");
    let link = rig.open();
    rig.pass(20_999);
    assert!(rig.closed.is_empty());
    rig.pass(1);
    assert_eq!((rig.closed.as_slice(), rig.pings.len()), ([link.0].as_slice(), 2));
}

/// Vectors 23 and 24.
#[test]
fn a_pause_is_one_state() {
    let pause =
        |data: &str| format!(r#"{{"name":"&cmd","params":{{"code":"PAUSE","data":{data}}}}}"#);
    let mut rig = Rig::client(LOCAL);
    let link = rig.open();
    for odd in ["null", "-1", "\"5\"", "2147483648"] {
        rig.hear(link, &pause(odd));
        assert!(rig.closed.is_empty(), "{odd}");
    }
    rig.hear(link, &pause("3000"));
    assert_eq!(rig.closed, [link.0]);
    rig.program(PROGRAM);
    let local = r#"{"name":"+cmd","params":{"code":"PAUSE","data":500}}"#;
    rig.hear(PROGRAM, local);
    rig.pass(499);
    assert!(rig.dialed.is_none());
    rig.pass(1);
    let link = rig.open();
    rig.pass(5_000);
    assert_eq!(rig.closed.len(), 1, "the first pause is forgotten");
    // While it waits for its next attempt.
    rig.lose(link);
    rig.hear(PROGRAM, &local.replace("500", "60000"));
    rig.pass(59_999);
    assert!(rig.dialed.is_none());
    rig.pass(1);
    assert!(rig.dialed.is_some());
    let mut rig = Rig::client(r#"{"honor_pause":false}"#);
    let link = rig.open();
    rig.hear(link, &pause("3000"));
    assert!(rig.closed.is_empty());
}

#[test]
fn the_application_asks_and_is_answered_once() {
    let mut rig = Rig::client("{}");
    let link = rig.open();
    rig.call(1, "a", "{}").unwrap();
    let (_, text) = rig.said().remove(0);
    let id = text.split("\"id\":").nth(1).unwrap().trim_end_matches('}').to_owned();
    rig.hear(link, &status(&format!("3,\"id\":{id}")));
    assert_eq!(rig.done(), [format!(r#"{{"status":3,"id":{id}}}"#)]);
    rig.call(2, "a", r#"{"timeout_ms":50}"#).unwrap();
    rig.call(3, "a", "{}").unwrap();
    rig.command(Command::Call(CallCommand::Cancel { call: CallId(3) }));
    rig.pass(50);
    assert_eq!(rig.done(), ["CALL_CANCELLED", "CALL_TIMEOUT"]);
    for bad in ["&cmd", "+cmd"] {
        assert_eq!(rig.call(4, bad, "{}").unwrap_err().code(), ErrorCode::ArgumentInvalid);
    }
    let mut rig = Rig::server("{}");
    rig.call(1, "a", "{}").unwrap();
    assert_eq!(rig.done(), ["NOT_READY"]);
}

#[test]
fn an_emitted_message_goes_as_a_programs_would() {
    let mut rig = Rig::client("{}");
    let link = rig.open();
    let emit = |name: &str, payload: &str| Command::Emit {
        name: name.into(),
        payload: Raw::parse(payload.to_owned()).unwrap(),
    };
    rig.command(emit("&cmd", r#"{"code":"STATUS","data":"x"}"#));
    let text = r#"{"name":"&cmd","params":{"code":"STATUS","data":"x"}}"#;
    assert_eq!(rig.said(), [(link.0, text.into())]);
    rig.command(emit("+cmd", r#"{"code":"PAUSE","data":10}"#));
    assert_eq!(rig.closed, [link.0]);
}

#[test]
fn strangers_are_refused_and_told() {
    let mut rig = Rig::server(r#"{"token":"sesame"}"#);
    rig.offer(1, &[]);
    rig.offer(3, &[("authorization", "Bearer wrong")]);
    rig.offer(5, &[("authorization", "Bearer sesame"), ("origin", "https://evil.example")]);
    assert_eq!(rig.refused, [401, 401, 403]);
    rig.offer(7, &[("authorization", "Bearer sesame")]);
    assert_eq!(rig.refused.len(), 3);
    (0..20).for_each(|n| rig.offer(9 + 2 * n, &[]));
    assert_eq!(rig.refused.last(), Some(&429));
    rig.offer(101, &[("authorization", "Bearer sesame")]);
    assert_eq!((rig.refused.len(), rig.refused.last()), (24, Some(&429)), "unseen");
    let is_notice = |event: &&Event| matches!(event, Event::Session(SessionEvent::Notice { .. }));
    assert_eq!(rig.told.iter().filter(is_notice).count(), 5);
    rig.pass(1_000);
    rig.offer(103, &[("authorization", "Bearer sesame")]);
    assert_eq!(rig.refused.len(), 24);
    assert!(!format!("{:?}", rig.told).contains("sesame"));
}

#[test]
fn options_that_would_open_a_door_are_refused() {
    let problems = |mode: &str, options: &str| {
        let options = options.replacen('{', &format!("{{\"mode\":\"{mode}\","), 1);
        let opened = crate::open::open("wsdaemon", "daemon", &options, "h", [0; 32]);
        opened.err().map(|e| e.to_string())
    };
    for (role, options, path) in [
        ("server", r#"{"listen":"0.0.0.0:80"}"#, "listen:"),
        ("server", r#"{"listen":"0.0.0.0:80","token":"t"}"#, "listen:"),
        ("server", r#"{"local":{"tcp_address":"0.0.0.0:9007"}}"#, "local.tcp_address:"),
        ("client", r#"{"server_url":"ws://far.example","token":"t"}"#, "token:"),
        ("client", r#"{"server_url":"far.example"}"#, "server_url:"),
        ("client", r#"{"asks":{"max_queued_bytes":16777215}}"#, "limits.max_message_bytes:"),
        ("server", r#"{"handlers":{"max_waiting_bytes":16777215}}"#, "limits.max_message_bytes:"),
    ] {
        let problem = problems(role, options).unwrap_or_default();
        assert!(problem.contains(path), "{role} {options}: {problem}");
    }
    for (role, options) in [
        ("server", r#"{"listen":"0.0.0.0:80","danger_open_network":true}"#),
        ("client", r#"{"server_url":"wss://far.example","token":"t"}"#),
        ("client", r#"{"server_url":"ws://127.0.0.1:80","token":"t"}"#),
        ("client", r#"{"asks":{"max_queued_bytes":1073741824}}"#),
        ("server", r#"{"asks":{"max_queued_bytes":1024}}"#),
    ] {
        assert_eq!(problems(role, options), None, "{role} {options}");
    }
}

#[test]
fn a_name_that_another_daemon_has_is_passed_over() {
    let mut rig = Rig::client(LOCAL);
    let failed =
        || ServerInput::ListenFailed { listen: ListenId(1), error: ErrorCode::ListenFailed.into() };
    rig.input(Input::Server(failed()));
    rig.input(Input::Server(failed()));
    let paths: Vec<_> = rig.listens.iter().map(|target| target.address().into_owned()).collect();
    assert_eq!(paths, ["unix:/p/x.sock", "unix:/p/x0.sock", "unix:/p/x1.sock"]);
}

#[test]
fn a_program_that_speaks_something_else_is_let_go() {
    let mut rig = Rig::client(LOCAL);
    rig.program(PROGRAM);
    rig.hear(PROGRAM, "POST");
    assert_eq!(rig.closed, [PROGRAM.0]);
    rig.hear(PROGRAM, r#"{"name":"a"}"#);
    assert!(rig.said().is_empty());
}

#[test]
fn a_drain_lets_run_what_runs_and_answers_the_rest() {
    let mut rig = Rig::server(LOCAL);
    rig.offer(1, &[]);
    rig.program(PROGRAM);
    rig.hear(ConnId(1), r#"{"name":"slow"}"#);
    rig.command(Command::Stop { drain_ms: 1_000 });
    rig.hear(ConnId(1), r#"{"name":"ok"}"#);
    rig.hear(PROGRAM, r#"{"name":"a","id":1}"#);
    rig.offer(3, &[]);
    assert_eq!(rig.refused, [503]);
    let said = [(1, status("-5")), (PROGRAM.0, r#"{"status":-5,"id":1}"#.into())];
    assert_eq!(rig.said(), said);
    rig.complete(0, "0");
    assert_eq!(rig.said(), [(1, status("0"))]);
    assert_eq!(rig.closed, [1, PROGRAM.0]);
    let ended = Event::Session(SessionEvent::Ended { error: None });
    assert_eq!(format!("{:?}", rig.told.last().unwrap()), format!("{ended:?}"));
    // One that does not end in time.
    let mut rig = Rig::server(LOCAL);
    rig.offer(1, &[]);
    rig.hear(ConnId(1), r#"{"name":"slow"}"#);
    rig.command(Command::Stop { drain_ms: 1_000 });
    rig.pass(1_000);
    assert_eq!(rig.said(), [(1, status("-4"))]);
}

#[test]
fn a_wrong_token_ends_a_client_that_was_never_let_in() {
    let mut rig = Rig::client(r#"{"token":"x"}"#);
    let conn = rig.dialed.unwrap();
    let cause = CloseCause::Refused { status: 401 };
    rig.input(Input::Conn(ConnInput::Closed { conn, cause }));
    let is_end = |event: &Event| {
        matches!(event, Event::Session(SessionEvent::Ended { error: Some(e) })
            if e.code() == ErrorCode::AuthenticationFailed)
    };
    assert!(rig.told.iter().any(is_end));
}

#[test]
fn what_waited_for_the_link_leaves_as_the_link_takes_it() {
    let mut rig = Rig::client(NARROW);
    rig.program(PROGRAM);
    (0..20).for_each(|id| rig.hear(PROGRAM, &large(id)));
    assert!(rig.said().is_empty(), "more than the driver may keep waits here");
    let link = rig.open();
    let mut left: Vec<String> = rig.said().into_iter().map(|(_, text)| text).collect();
    assert_eq!((left.len(), rig.asked.as_slice()), (4, [link.0].as_slice()));
    rig.hear(PROGRAM, &large(20));
    // What is lost with a connection is what was on its way.
    left.extend(rig.sent(link));
    assert_eq!(left.len(), 8);
    rig.lose(link);
    assert_eq!(rig.said().len(), 8, "their program is told");
    while rig.dialed.is_none() {
        rig.pass(100);
    }
    let link = rig.open();
    left.extend(rig.said().into_iter().map(|(_, text)| text));
    while left.len() < 21 {
        let next = rig.sent(link);
        assert!((1..=4).contains(&next.len()));
        left.extend(next);
    }
    assert_eq!(left, (0..21).map(large).collect::<Vec<_>>());
    assert_eq!(rig.notices(ErrorCode::Overloaded), 0);
}

#[test]
fn a_program_that_reads_slowly_is_not_cut() {
    let mut rig = Rig::client(NARROW);
    let link = rig.open();
    rig.program(PROGRAM);
    let data = format!("\"{}\"", "x".repeat(10_000));
    let text = format!(r#"{{"name":"&cmd","params":{{"code":"STATUS","data":{data}}}}}"#);
    (0..20).for_each(|_| rig.hear(link, &text));
    assert_eq!((rig.said().len(), rig.closed.len()), (4, 0));
    assert_eq!(rig.notices(ErrorCode::Overloaded), 1, "told once that some found no room");
    assert_eq!([rig.sent(PROGRAM).len(), rig.sent(PROGRAM).len()], [4, 2]);
    assert!(rig.daemon.snapshot(rig.now()).contains(r#""undelivered":10"#));
    rig.hear(link, &status("0"));
    assert_eq!(rig.said().len(), 1, "there is room again");
}

#[test]
fn a_client_that_reads_slowly_is_passed_over() {
    let mut rig = Rig::server(NARROW);
    rig.program(PROGRAM);
    rig.offer(1, &[]);
    rig.offer(3, &[]);
    for id in 0..40 {
        rig.hear(PROGRAM, &large(id));
        // The second reads as fast as it is sent to.
        rig.input(Input::Conn(ConnInput::Sent { conn: ConnId(1) }));
    }
    let count = |said: &[(u64, String)], to| said.iter().filter(|(conn, _)| *conn == to).count();
    let said = rig.said();
    let counts = [3, 1, PROGRAM.0].map(|to| count(&said, to));
    assert_eq!(counts, [4, 30, 0], "six more wait for the first");
    // Where nobody takes more, the program is told.
    (40..60).for_each(|id| rig.hear(PROGRAM, &large(id)));
    let said = rig.said();
    assert_eq!([3, 1, PROGRAM.0].map(|to| count(&said, to)), [0, 4, 10]);
    assert!(said.iter().filter(|(conn, _)| *conn == PROGRAM.0).all(|(_, it)| it.contains("-5")));
    assert!(rig.closed.is_empty());
}

#[test]
fn a_drain_lets_leave_what_waits() {
    let mut rig = Rig::client(NARROW);
    let link = rig.open();
    let emit = Command::Emit {
        name: "a".into(),
        payload: Raw::trusted(format!("\"{}\"", "x".repeat(60_000))),
    };
    rig.command(emit.clone());
    rig.command(emit);
    assert_eq!(rig.said().len(), 1);
    rig.command(Command::Stop { drain_ms: 1_000 });
    assert!(rig.closed.is_empty());
    assert_eq!(rig.sent(link).len(), 1);
    assert!(rig.closed.is_empty());
    rig.sent(link);
    assert_eq!(rig.closed, [link.0]);
}

#[test]
fn a_drain_waits_for_a_link_that_is_away_and_says_what_was_not_sent() {
    for comes_back in [true, false] {
        let mut rig = Rig::client("{}");
        let link = rig.open();
        rig.hear(link, r#"{"name":"slow","id":1}"#);
        rig.lose(link);
        rig.complete(0, "0");
        rig.command(Command::Stop { drain_ms: 30_000 });
        assert!(rig.daemon.life.is_running(), "its status waits for the link");
        if comes_back {
            while rig.dialed.is_none() {
                rig.pass(100);
            }
            rig.open();
            assert_eq!(rig.said().len(), 1);
        } else {
            rig.pass(30_000);
        }
        let Some(Event::Session(SessionEvent::Ended { error })) = rig.told.last() else {
            panic!("{:?}", rig.told);
        };
        let text = error.as_ref().map(|error| error.message().to_owned());
        assert_eq!(text.is_none(), comes_back, "{text:?}");
        assert!(comes_back || text.unwrap().contains("1 messages were not sent"));
        let undelivered = format!(r#""undelivered":{}"#, u64::from(!comes_back));
        assert!(rig.daemon.snapshot(rig.now()).contains(&undelivered));
    }
}

#[test]
fn an_end_hands_over_no_more_than_the_driver_takes() {
    let mut rig = Rig::client(NARROW);
    rig.open();
    rig.program(PROGRAM);
    (0..20).for_each(|id| rig.hear(PROGRAM, &large(id)));
    rig.command(Command::Stop { drain_ms: 0 });
    let most = 2 * 65_536;
    let bytes =
        rig.said().iter().filter(|(to, _)| *to != PROGRAM.0).map(|it| it.1.len()).sum::<usize>();
    assert!((65_536..most).contains(&bytes), "{bytes}");
    assert!(rig.daemon.snapshot(rig.now()).contains(r#""undelivered":13"#));
}

#[test]
fn an_id_whose_status_would_exceed_the_limit_is_refused() {
    let mut rig = Rig::client(NARROW);
    rig.open();
    rig.program(PROGRAM);
    for (length, is_taken) in [(65_406, true), (65_407, false)] {
        let id = format!("\"{}\"", "i".repeat(length));
        rig.hear(PROGRAM, &format!(r#"{{"name":"a","id":{id}}}"#));
        let status = wire::status_command(&wire::answer(Some(-5), &Raw::trusted(id)));
        assert!(!is_taken || status.len() <= 65_536);
        let refused = rig.said().iter().filter(|(to, _)| *to == PROGRAM.0).count();
        assert_eq!(refused == 0, is_taken);
    }
}

#[test]
fn nonsense_of_a_peer_is_told_a_few_times() {
    let mut rig = Rig::server("{}");
    for conn in [1, 3, 5] {
        rig.offer(conn, &[]);
        (0..20).for_each(|_| rig.hear(ConnId(conn), "not json"));
    }
    assert_eq!(rig.notices(ErrorCode::PeerProtocol), 5, "all are of one address");
    rig.pass(60_000);
    let mut rig = Rig::client("{}");
    let link = rig.open();
    (0..20).for_each(|_| rig.hear(link, "not json"));
    assert_eq!(rig.notices(ErrorCode::PeerProtocol), 5);
}

#[test]
fn ids_that_wait_for_their_status_are_bounded_by_their_bytes() {
    let mut rig = Rig::client(
        r#"{"local":{"socket_path":"/p/x.sock"},"asks":{"max_queued_bytes":1024},"limits":{"max_message_bytes":1024}}"#,
    );
    rig.open();
    rig.program(PROGRAM);
    for (id, is_taken) in [("a".repeat(600), true), ("b".repeat(600), false)] {
        rig.hear(PROGRAM, &format!(r#"{{"name":"a","id":"{id}"}}"#));
        let said = rig.said();
        assert_eq!(said.iter().all(|(conn, _)| *conn != PROGRAM.0), is_taken, "{said:?}");
    }
}
