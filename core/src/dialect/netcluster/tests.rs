#![allow(clippy::wildcard_enum_match_arm, reason = "a few outputs of many are looked at")]

use std::collections::BTreeMap;

use super::{Consumer, Provider};
use crate::api::command::{Command, PeerCommand, Recipients, parse_batch, write};
use crate::api::event::{CallEvent, Event, PeerEvent, SessionEvent};
use crate::api::options::read;
use crate::base::content::Content;
use crate::base::error::ErrorCode;
use crate::base::ids::{CallId, ConnId, ListenId, PeerId};
use crate::base::time::Now;
use crate::machine::{CloseCause, ConnInput, Endpoint, Input, Machine as _, Output, ServerInput};
use crate::net::{Frame, Headers, HttpRequest, Method};

/// A machine, and what it has said since that was taken.
struct Rig<M> {
    machine: M,
    now: u64,
    said: Vec<Output>,
}

impl<M: Endpoint> Rig<M> {
    fn new(machine: M) -> Self {
        let mut rig = Self { machine, now: 1_000, said: Vec::new() };
        rig.command(Command::Start).unwrap();
        rig
    }

    fn command(&mut self, command: Command) -> Result<(), ErrorCode> {
        let result = self.machine.handle_command(command, Now::new(self.now, 0));
        self.drain();
        result.map_err(|error| error.code())
    }

    fn input(&mut self, input: impl Into<Input>) {
        self.machine.handle_input(input.into(), Now::new(self.now, 0));
        self.drain();
    }

    /// Lets time pass, and everything that is due happen when it is.
    fn wait(&mut self, millis: u64) {
        let end = self.now + millis;
        while let Some(due) = self.machine.poll_timeout().filter(|due| due.at.as_millis() <= end) {
            self.now = self.now.max(due.at.as_millis());
            self.machine.handle_timeout(Now::new(self.now, 0));
            self.drain();
        }
        self.now = end;
    }

    fn drain(&mut self) {
        self.said.extend(std::iter::from_fn(|| self.machine.poll_output()));
    }

    fn take(&mut self) -> Vec<Output> {
        std::mem::take(&mut self.said)
    }

    fn received(&mut self, conn: u64, text: &str) {
        let (conn, frame) = (ConnId(conn), Frame::Text(text.into()));
        self.input(ConnInput::Received { conn, frame });
    }

    /// Sends and returns the outcome if it is known at once.
    fn send(&mut self, call: u64, to: Recipients, content: impl Into<Content>) -> Option<String> {
        let (call, content) = (Some(CallId(call)), content.into());
        let send = PeerCommand::Send { call, to, content, compress: false };
        self.command(Command::Peer(send)).unwrap();
        self.said.iter().rev().find_map(outcome)
    }
}

impl From<ConnInput> for Input {
    fn from(input: ConnInput) -> Self {
        Self::Conn(input)
    }
}

impl From<ServerInput> for Input {
    fn from(input: ServerInput) -> Self {
        Self::Server(input)
    }
}

fn provider(options: &str) -> Rig<Provider> {
    let mut rig = Rig::new(Provider::new(read(options).unwrap(), [7; 32]).unwrap());
    rig.input(ServerInput::Listening { listen: ListenId(0), address: "127.0.0.1:8080".into() });
    rig.take();
    rig
}

fn consumer(options: &str) -> Rig<Consumer> {
    Rig::new(Consumer::new(read(options).unwrap(), [7; 32]).unwrap())
}

impl Rig<Provider> {
    fn offer(&mut self, conn: u64, query: &str) {
        let (url, headers) = (format!("/connect{query}"), Headers::new());
        let request = HttpRequest { method: Method::Get, url, headers, body: [].as_slice().into() };
        let remote = format!("10.0.{}.{}:4000", conn / 250, conn % 250);
        self.input(ServerInput::Offered { conn: ConnId(conn), request, remote });
    }
}

fn outcome(output: &Output) -> Option<String> {
    let Output::Event(Event::Call(CallEvent::Done { result, .. })) = output else { return None };
    Some(result.as_ref().map_or_else(|e| e.code().to_string(), |raw| raw.as_str().to_owned()))
}

fn texts(said: &[Output]) -> Vec<(u64, String)> {
    let text = |output: &Output| match output {
        Output::Send { conn, frame: Frame::Text(text) } => Some((conn.0, text.to_string())),
        _ => None,
    };
    said.iter().filter_map(text).collect()
}

fn ends(said: &[Output]) -> Vec<(u64, u32, String)> {
    let end = |output: &Output| match output {
        Output::Event(Event::Peer(PeerEvent::Closed { peer, code, reason })) => {
            Some((peer.map_or(0, |peer| peer.0), *code, reason.clone()))
        }
        _ => None,
    };
    said.iter().filter_map(end).collect()
}

fn statuses(said: &[Output]) -> Vec<u16> {
    let status = |output: &Output| match output {
        Output::Refuse { response, .. } => Some(response.status),
        Output::Admit { .. } => Some(101),
        _ => None,
    };
    said.iter().filter_map(status).collect()
}

/// Returns what is told of refusals, in order.
fn refusals(said: &[Output]) -> Vec<String> {
    let refusal = |output: &Output| match output {
        Output::Event(Event::Session(SessionEvent::Notice { error })) => {
            assert_eq!(error.code(), ErrorCode::PeerRefused);
            Some(error.message().to_owned())
        }
        _ => None,
    };
    said.iter().filter_map(refusal).collect()
}

#[test]
fn a_thousand_consumers_are_served_whatever_one_of_them_does() {
    let mut rig = provider(r#"{"heartbeat":{"interval":1000},"ws":{"max_backpressure":1000}}"#);
    for number in 0..1_000 {
        rig.offer(number * 2 + 1, "");
    }
    assert_eq!(texts(&rig.take()).len(), 1_000);
    // The first does not read; none but it loses anything.
    let mut outcomes = BTreeMap::<String, u32>::new();
    for round in 0..8 {
        for number in 0..1_000 {
            let to = Recipients::Peer(PeerId(number * 2 + 1));
            let outcome = rig.send(round * 1_000 + number, to, "x".repeat(300)).unwrap();
            *outcomes.entry(outcome).or_default() += 1;
        }
        let asked = rig.take().into_iter().filter_map(|output| match output {
            Output::AskSent { conn } if conn.0 != 1 => Some(conn),
            _ => None,
        });
        for conn in asked.collect::<Vec<_>>() {
            rig.input(ConnInput::Sent { conn });
        }
    }
    // Four pass before the limit is known to be reached.
    let wanted = [("\"dropped\"", 4), ("\"queued\"", 3), ("\"sent\"", 7_993)];
    assert_eq!(outcomes, wanted.map(|(word, count)| (word.to_owned(), count)).into());
    rig.take();
    // All but the first answer: it alone has its strikes, and is asked past its backlog.
    for _ in 0..6 {
        rig.wait(1_000);
        let said = rig.take();
        let pings = texts(&said);
        for (conn, text) in pings {
            assert_eq!(text, "PING");
            if conn != 1 {
                rig.received(conn, "PONG");
            }
        }
        if let [(1, 0, reason)] = ends(&said).as_slice() {
            assert_eq!(reason, "");
        }
    }
    assert_eq!(
        rig.machine.snapshot(Now::new(rig.now, 0)).matches("\"connections\":999").count(),
        1
    );
    assert!(size_of_val(&rig.machine) < 4_096);
}

#[test]
fn a_half_open_consumer_is_noticed_within_the_bound_of_the_specification() {
    // Interval, and the bound: idle time, or one interval and the strikes, whichever is earlier.
    for (interval, bound) in [(1_000, 5_000), (8_000, 8_000), (30_000, 32_000), (60_000, 60_000)] {
        let mut rig = provider(&format!(r#"{{"heartbeat":{{"interval":{interval}}}}}"#));
        rig.wait(700);
        rig.offer(1, "");
        rig.wait(bound);
        let ended = ends(&rig.take());
        assert_eq!(ended.len(), 1, "{interval}: {ended:?}");
        rig.wait(200_000);
        assert!(ends(&rig.take()).is_empty());
    }
}

#[test]
fn who_is_not_decided_about_may_come_back() {
    let mut rig = provider(r#"{"auth":{"asks":true,"timeout_ms":50,"max_pending":2}}"#);
    for conn in [1, 3, 5] {
        rig.offer(conn, "?who=%C3%A4");
    }
    let said = rig.take();
    assert_eq!(statuses(&said), [503], "one too many");
    assert_eq!(refusals(&said), ["10.0.0.5: refused: auth.max_pending is reached"]);
    let asked = said.iter().find_map(|output| match output {
        Output::Event(Event::Peer(PeerEvent::AdmissionAsked { peer, request, .. })) => {
            Some((peer.0, request.as_str()))
        }
        _ => None,
    });
    let request = r#"{"method":"GET","url":"/connect?who=%C3%A4","path":"/connect","query":"who=%C3%A4","ip":"10.0.0.1","headers":[],"cookies":[],"parameters":[{"name":"who","value":"ä"}]}"#;
    assert_eq!(asked, Some((1, request)));
    rig.command(Command::Peer(PeerCommand::Admit { peer: PeerId(1) })).unwrap();
    assert_eq!(statuses(&rig.take()), [101]);
    rig.wait(50);
    let said = rig.take();
    assert_eq!(statuses(&said), [503]);
    let told = "10.0.0.3: refused: not decided about within auth.timeout_ms";
    assert_eq!(refusals(&said), [told]);
    rig.command(Command::Peer(PeerCommand::Refuse { peer: PeerId(3) })).unwrap();
    assert_eq!(statuses(&rig.take()), [0; 0], "too late");
    rig.offer(7, "");
    rig.input(ConnInput::Closed { conn: ConnId(7), cause: CloseCause::Local });
    rig.offer(9, "");
    rig.command(Command::Stop { drain_ms: 0 }).unwrap();
    assert_eq!(statuses(&rig.take()), [503], "the one that waits");
}

#[test]
fn who_comes_through_a_trusted_proxy_has_the_address_that_it_names() {
    for (proxies, ip) in [(r#"["10.0.0.0/8"]"#, "198.51.100.7"), ("[]", "10.0.0.1")] {
        let options = format!(r#"{{"trusted_proxies":{proxies},"auth":{{"asks":true}}}}"#);
        let mut rig = provider(&options);
        let headers = Headers::new().with("x-forwarded-for", "203.0.113.9, 198.51.100.7");
        let (method, url) = (Method::Get, String::from("/connect"));
        let request = HttpRequest { method, url, headers, body: [].as_slice().into() };
        let (conn, remote) = (ConnId(1), String::from("10.0.0.1:4000"));
        rig.input(ServerInput::Offered { conn, request, remote });
        let asked = rig.take().into_iter().find_map(|output| match output {
            Output::Event(Event::Peer(PeerEvent::AdmissionAsked { request, .. })) => Some(request),
            _ => None,
        });
        let asked = asked.expect("it is asked about");
        assert!(asked.as_str().contains(&format!(r#""ip":"{ip}""#)), "{}", asked.as_str());
    }
}

#[test]
fn connections_are_bounded() {
    let mut rig = provider(r#"{"max_connections":2}"#);
    [1, 3, 5].into_iter().for_each(|conn| rig.offer(conn, ""));
    let said = rig.take();
    assert_eq!(statuses(&said), [101, 101, 503]);
    assert_eq!(refusals(&said), ["10.0.0.5: refused: max_connections is reached"]);
    rig.input(ConnInput::Closed { conn: ConnId(1), cause: CloseCause::Local });
    rig.offer(7, "");
    assert_eq!(statuses(&rig.take()), [101]);
}

#[test]
fn a_message_that_waits_for_room_is_told_when_it_has_passed() {
    let mut rig =
        provider(r#"{"ws":{"max_backpressure":10,"on_backlog":"block","max_waiting":1}}"#);
    rig.offer(1, "");
    rig.take();
    let to = || Recipients::Peer(PeerId(1));
    assert_eq!(rig.send(1, to(), "x".repeat(11)).as_deref(), Some("\"sent\""));
    rig.take();
    assert_eq!(rig.send(2, to(), "waits"), None);
    assert!(rig.take().iter().any(is_backlog(11)));
    assert_eq!(rig.send(3, to(), "one too many").as_deref(), Some("\"dropped\""));
    rig.take();
    rig.input(ConnInput::Sent { conn: ConnId(1) });
    let said = rig.take();
    assert_eq!(texts(&said), [(1, String::from("waits"))]);
    assert_eq!(said.iter().find_map(outcome).as_deref(), Some("\"queued\""));
    assert!(said.iter().any(is_backlog(0)));
    rig.send(4, to(), "x".repeat(11));
    rig.send(5, to(), "lost");
    rig.take();
    rig.input(ConnInput::Closed { conn: ConnId(1), cause: CloseCause::Local });
    assert_eq!(rig.take().iter().find_map(outcome).as_deref(), Some("CONNECTION_LOST"));
    let late = PeerCommand::Send {
        call: Some(CallId(6)),
        to: to(),
        content: "late".into(),
        compress: false,
    };
    assert_eq!(rig.command(Command::Peer(late)), Err(ErrorCode::InputGone));
}

#[test]
fn who_is_turned_away_is_told_by_its_address_and_counted() {
    let mut rig = provider(
        r#"{"strict":true,"max_unadmitted_per_address":1,"auth":{"asks":true,"max_pending":9}}"#,
    );
    let mut offer = |conn: u64, url: &str, headers: Headers| {
        let (url, body) = (url.to_owned(), [].as_slice().into());
        let request = HttpRequest { method: Method::Get, url, headers, body };
        let remote = format!("[2001:db8::1]:{}", 4_000 + conn);
        rig.input(ServerInput::Offered { conn: ConnId(conn), request, remote });
        (statuses(&rig.said), refusals(&rig.take()))
    };
    let told =
        |status: u16, why: &str| (vec![status], vec![format!("[2001:db8::1]: refused: {why}")]);
    let host = || Headers::new().with("host", "hub.example");
    assert_eq!(offer(1, "/", host()), told(404, "its path is not the provider's"));
    let foreign = host().with("origin", "https://evil.example");
    assert_eq!(offer(3, "/connect", foreign), told(403, "Origin not allowed."));
    assert_eq!(offer(5, "/connect", host()), (vec![], vec![]));
    let why = "max_unadmitted_per_address is reached";
    assert_eq!(offer(7, "/connect", host()), told(503, why));
    rig.command(Command::Peer(PeerCommand::Refuse { peer: PeerId(5) })).unwrap();
    assert_eq!(refusals(&rig.take()), told(403, "the application refuses it").1);
    assert!(rig.machine.snapshot(Now::new(rig.now, 0)).contains("\"refused\":4"));
}

fn is_backlog(wanted: u64) -> impl Fn(&Output) -> bool {
    move |output| {
        let Output::Event(Event::Peer(PeerEvent::Backlog { bytes, .. })) = output else {
            return false;
        };
        *bytes == wanted
    }
}

#[test]
fn a_consumer_that_does_not_read_is_closed_if_that_is_wanted() {
    let mut rig = provider(r#"{"ws":{"max_backpressure":10,"on_backlog":"close"}}"#);
    rig.offer(1, "");
    let to = || Recipients::Peers(vec![PeerId(1), PeerId(99)]);
    rig.send(1, to(), "x".repeat(11));
    rig.take();
    assert_eq!(rig.send(2, to(), "x").as_deref(), Some("\"dropped\""));
    assert_eq!(ends(&rig.take())[0].1, 1_013);
}

#[test]
fn texts_of_the_protocol_are_refused_unless_allowed() {
    let send = |to: Recipients, content: Content| {
        Command::Peer(PeerCommand::Send { call: None, to, content, compress: false })
    };
    let to = || Recipients::Peer(PeerId(1));
    for (allowed, wanted) in [(false, Err(ErrorCode::ArgumentInvalid)), (true, Ok(()))] {
        let mut rig = provider(&format!(r#"{{"allow_reserved":{allowed}}}"#));
        rig.offer(1, "");
        for content in ["PING".into(), b"PING".to_vec().into(), "PROVIDER_HEARTBEAT|x".into()] {
            assert_eq!(rig.command(send(to(), content)), wanted);
        }
        for content in ["PONG", "PING ", "PROVIDER_HEARTBEAT"] {
            assert_eq!(rig.command(send(to(), content.into())), Ok(()));
        }
        let mut rig = consumer(&format!(r#"{{"host":"h","allow_reserved":{allowed}}}"#));
        rig.input(ConnInput::Opened { conn: ConnId(2) });
        assert_eq!(rig.command(send(Recipients::Link, "PONG".into())), wanted);
        for content in ["PING".into(), b"PONG".to_vec().into()] {
            assert_eq!(rig.command(send(Recipients::Link, content)), Ok(()));
        }
    }
}

#[test]
fn a_provider_that_does_not_beat_is_given_up_after_two_intervals() {
    let mut rig = consumer(r#"{"host":"h"}"#);
    rig.input(ConnInput::Opened { conn: ConnId(2) });
    rig.received(2, "PROVIDER_HEARTBEAT|5000");
    rig.received(2, "PROVIDER_HEARTBEAT|");
    rig.wait(6_000);
    rig.received(2, "PING");
    rig.wait(9_999);
    assert_eq!(ends(&rig.take()), []);
    rig.wait(1);
    let said = rig.take();
    assert_eq!(ends(&said), [(0, 1_005, String::new())]);
    assert!(said.iter().any(|it| matches!(it, Output::Close { code: 1_005, .. })));
    // A fresh connection has its own time.
    rig.wait(1_000);
    rig.input(ConnInput::Opened { conn: ConnId(4) });
    rig.received(2, "of the old connection");
    rig.wait(9_999);
    let said = rig.take();
    assert_eq!((ends(&said).len(), texts(&said).len()), (0, 0));
    rig.command(Command::Stop { drain_ms: 0 }).unwrap();
    assert!(rig.machine.poll_timeout().is_none(), "nothing is left to be done");
}

#[test]
fn a_consumer_without_a_limit_has_none_at_the_driver() {
    for (options, wanted) in [
        (r#"{"host":"h","max_backpressure":0}"#, usize::MAX),
        (r#"{"host":"h","max_backpressure":10}"#, 134_217_738),
    ] {
        let mut machine = Consumer::new(read(options).unwrap(), [7; 32]).unwrap();
        machine.handle_command(Command::Start, Now::new(0, 0)).unwrap();
        let dialed = std::iter::from_fn(|| machine.poll_output()).find_map(|output| match output {
            Output::Dial { target, .. } => Some(target.limits.max_send_queue),
            _ => None,
        });
        assert_eq!(dialed, Some(wanted));
    }
}

#[test]
fn a_stop_lets_what_was_sent_leave_for_a_while() {
    for (leaves, wanted) in [(true, None), (false, Some(ErrorCode::DrainTimeout))] {
        let mut rig = consumer(r#"{"host":"h","max_backpressure":10}"#);
        rig.input(ConnInput::Opened { conn: ConnId(2) });
        rig.send(1, Recipients::Link, "x".repeat(11));
        rig.command(Command::Stop { drain_ms: 100 }).unwrap();
        assert!(ended(&rig.take()).is_none());
        if leaves {
            rig.input(ConnInput::Sent { conn: ConnId(2) });
        } else {
            rig.wait(100);
        }
        assert_eq!(ended(&rig.take()), Some(wanted));
        let mut rig = provider(r#"{"ws":{"max_backpressure":10}}"#);
        rig.offer(1, "");
        rig.send(1, Recipients::Peer(PeerId(1)), "x".repeat(11));
        rig.command(Command::Stop { drain_ms: 100 }).unwrap();
        assert!(ended(&rig.take()).is_none());
        if leaves {
            rig.input(ConnInput::Sent { conn: ConnId(1) });
        } else {
            rig.wait(100);
        }
        assert_eq!(ended(&rig.take()), Some(wanted));
    }
}

fn ended(said: &[Output]) -> Option<Option<ErrorCode>> {
    said.iter().find_map(|output| match output {
        Output::Event(Event::Session(SessionEvent::Ended { error })) => {
            Some(error.as_ref().map(|error| error.code()))
        }
        _ => None,
    })
}

#[test]
fn options_that_cannot_work_are_refused() {
    for (options, path) in [
        (r#"{"ssl":{"key":"k.pem"}}"#, "ssl:"),
        (r#"{"ssl":{"key":"k","cert":"c","dh_params":"d"}}"#, "ssl.dh_params:"),
        (r#"{"ssl":{"passphrase":"p"}}"#, "ssl.passphrase:"),
        (r#"{"ws":{"compressor":7}}"#, "ws.compressor:"),
        (r#"{"host":"0.0.0.0"}"#, "host:"),
        (r#"{"path":"connect"}"#, "path:"),
        (r#"{"trusted_proxies":["proxy"]}"#, "trusted_proxies[0]:"),
        (r#"{"auth":{"parameters":[{"name":"k"},{"name":"k"}]}}"#, "auth.parameters[1]:"),
    ] {
        let error = Provider::new(read(options).unwrap(), [7; 32]).unwrap_err();
        assert!(error.message().starts_with(path), "{options}: {error}");
    }
    for options in [r#"{"host":"0.0.0.0","allow_plaintext":true}"#, r#"{"ws":{"compressor":3848}}"#]
    {
        assert!(Provider::new(read(options).unwrap(), [7; 32]).is_ok());
    }
    for options in ["{}", r#"{"host":"a/b"}"#, r#"{"host":"h","path":"/a?b"}"#] {
        assert!(Consumer::new(read(options).unwrap(), [7; 32]).is_err());
    }
}

#[test]
fn commands_are_read_as_they_are_written() {
    let peer = PeerId(7);
    let send = |call: u64, to, content| PeerCommand::Send {
        call: (call > 0).then_some(CallId(call)),
        to,
        content,
        compress: call > 1,
    };
    for command in [
        PeerCommand::Admit { peer },
        PeerCommand::Refuse { peer },
        PeerCommand::Greet { peer },
        PeerCommand::Close { peer },
        PeerCommand::Ping { peer, payload: vec![0, 255].into() },
        PeerCommand::End { peer, code: None, reason: String::new() },
        PeerCommand::End { peer, code: Some(4_000), reason: "r\"".into() },
        send(0, Recipients::Link, "a\"\n".into()),
        send(1, Recipients::Peer(peer), "plain".into()),
        send(2, Recipients::Peers(vec![peer, PeerId(9)]), vec![1, 2].into()),
    ] {
        let text = write(&Command::Peer(command));
        let read = parse_batch(&format!("[{text}]")).unwrap();
        assert_eq!(write(&read[0]), text);
    }
    for wrong in [
        r#"["send",1,{"peer":1}]"#,
        r#"["send",1,{"text":"a","bytes":""}]"#,
        r#"["send",1,{"peer":1,"peers":[],"text":""}]"#,
        r#"["send",1,{"bytes":"?"}]"#,
        r#"["end",1,{"why":1}]"#,
    ] {
        assert!(parse_batch(&format!("[{wrong}]")).is_err(), "{wrong}");
    }
}

#[test]
fn what_heartbeats_come_to_is_told_where_it_is_wanted() {
    for (options, wanted) in [
        (r#"{"heartbeat":{"interval":1000}}"#, vec![]),
        (
            r#"{"heartbeat":{"interval":1000,"max_strikes":1,"tells":true}}"#,
            vec!["cycle 0 1", "ping 1 0", "cycle 0 1", "strike 1 1", "cycle 0 1", "end 1 0"],
        ),
    ] {
        let mut rig = provider(options);
        rig.offer(1, "");
        rig.wait(3_000);
        let told = rig.take().into_iter().filter_map(|output| match output {
            Output::Event(Event::Peer(PeerEvent::Heartbeat { peer, sign, value })) => {
                Some(format!("{} {} {value}", sign.as_str(), peer.map_or(0, |peer| peer.0)))
            }
            _ => None,
        });
        assert_eq!(told.collect::<Vec<_>>(), wanted, "{options}");
    }
}
