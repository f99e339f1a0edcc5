//! One Engine.IO session, step by step.

#![allow(clippy::wildcard_enum_match_arm, reason = "a step is about one output of many")]

mod liveness;
mod polling;
mod upgrade;

use super::*;

/// An engine, what it has asked for, and time.
struct Bench {
    engine: Engine,
    millis: u64,
}

/// What the engine wants, as text: `dial 2 ws://…`, `get 4 http://…`, `post 6 BODY`, `send 2 FRAME`,
/// `close 2`, `cancel 4`, `flush 2`.
fn show(output: Output) -> String {
    match output {
        Output::Dial { conn, target } => format!("dial {} {}", conn.0, target.address.url()),
        Output::HttpCall { http, request, .. } if request.method == Method::Get => {
            format!("get {} {}", http.0, request.url)
        }
        Output::HttpCall { http, request, .. } => {
            format!("post {} {}", http.0, String::from_utf8(request.body.to_vec()).unwrap())
        }
        Output::HttpCancel { http } => format!("cancel {}", http.0),
        Output::Send { conn, frame: Frame::Text(text) } => format!("send {} {text}", conn.0),
        Output::Send { conn, frame } => format!("send {} {frame:?}", conn.0),
        Output::Close { conn, code, .. } => {
            assert_eq!(code, 1005);
            format!("close {}", conn.0)
        }
        Output::AskSent { conn } => format!("flush {}", conn.0),
        other => panic!("{other:?}"),
    }
}

impl Bench {
    fn new(transport: DaemonTransport) -> Self {
        let options = DaemonOptions {
            control_socket_url: "ws://v".into(),
            transport,
            ..DaemonOptions::default()
        };
        let engine = Engine::new(Address::parse(&options).unwrap(), &options);
        let mut bench = Self { engine, millis: 1_000 };
        bench.engine.open();
        bench
    }

    /// A session on a WebSocket.
    fn on_web_socket() -> Self {
        let mut bench = Self::new(DaemonTransport::WebSocket);
        bench.wants(&["dial 2 ws://v/socket.io/?EIO=4&transport=websocket"]);
        bench.opened(2);
        bench.hear(2, &handshake("", 1_000));
        assert_eq!(bench.happened(), ["opened"]);
        bench
    }

    /// A session on polling whose first poll waits as 4.
    fn on_polling(transport: DaemonTransport, handshake: &str) -> Self {
        let mut bench = Self::new(transport);
        bench.wants(&["get 2 http://v/socket.io/?EIO=4&transport=polling"]);
        bench.reply(2, 200, handshake);
        assert_eq!(bench.happened(), ["opened"]);
        bench
    }

    fn now(&self) -> Now {
        Now::new(self.millis, 1_795_000_000_000 + self.millis)
    }

    /// Compares everything that was asked for since.
    #[track_caller]
    fn wants(&mut self, wanted: &[&str]) {
        self.engine.pump();
        let seen: Vec<String> =
            std::mem::take(&mut self.engine.out).into_iter().map(show).collect();
        assert_eq!(seen, wanted);
    }

    fn happened(&mut self) -> Vec<String> {
        let next = || self.engine.events.pop_front();
        std::iter::from_fn(next)
            .map(|event| match event {
                EngineEvent::Opened => String::from("opened"),
                EngineEvent::Text(text) => text.to_string(),
                EngineEvent::Binary(bytes) => format!("{bytes:?}"),
                EngineEvent::Flushed => String::from("flushed"),
                EngineEvent::Failed(error) => format!("failed: {}", error.message()),
                EngineEvent::Closed(reason, None) => format!("closed: {reason}"),
                EngineEvent::Closed(reason, Some(error)) => format!("closed: {reason}: {error}"),
                EngineEvent::Gone => String::from("gone"),
            })
            .collect()
    }

    fn opened(&mut self, conn: u64) {
        self.engine.opened(ConnId(conn));
    }

    fn hear(&mut self, conn: u64, text: &str) {
        self.hear_frame(conn, Frame::Text(text.into()));
    }

    fn hear_frame(&mut self, conn: u64, frame: Frame) {
        self.engine.received(ConnId(conn), &frame, self.now());
    }

    fn closed(&mut self, conn: u64, cause: &CloseCause) {
        self.engine.closed(ConnId(conn), cause);
    }

    fn reply(&mut self, http: u64, status: u16, body: &str) {
        self.reply_bytes(http, status, body.as_bytes());
    }

    fn reply_bytes(&mut self, http: u64, status: u16, body: &[u8]) {
        let body = HttpBody::Full(Bytes::copy_from_slice(body));
        self.reply_with(http, HttpResponse { status, headers: Headers::new(), body });
    }

    fn reply_with(&mut self, http: u64, response: HttpResponse) {
        self.engine.replied(HttpId(http), Ok(response), self.now());
    }

    fn fail(&mut self, http: u64) {
        let error = Err(ErrorCode::ConnectFailed.into());
        self.engine.replied(HttpId(http), error, self.now());
    }

    fn send(&mut self, text: &str) {
        self.engine.send(Frame::Text(text.into()), self.now());
    }

    /// Says a message of so many bytes, in its turn.
    fn say(&mut self, bytes: usize) {
        let now = self.now();
        let frame = Frame::Text(format!("4{}", "x".repeat(bytes - 1)).into());
        self.engine.say(&mut vec![frame], Rank::InTurn, now);
    }

    fn close(&mut self, last: Option<&str>) {
        let last = last.map(|text| Frame::Text(text.into()));
        self.engine.close(last);
    }

    /// Lets time pass to the next deadline.
    fn expire(&mut self) -> Why {
        let Deadline { at, why } = self.engine.deadline().unwrap();
        self.millis = at.as_millis();
        self.engine.timed_out(self.now());
        why
    }
}

fn handshake(upgrades: &str, max: u64) -> String {
    format!(
        "0{{\"sid\":\"s1\",\"upgrades\":[{upgrades}],\"pingInterval\":300,\"pingTimeout\":200,\
         \"maxPayload\":{max}}}"
    )
}

fn lost() -> CloseCause {
    CloseCause::Failed(ErrorCode::ConnectionLost.into())
}

const POLL: &str = "http://v/socket.io/?EIO=4&transport=polling&sid=s1";

#[test]
fn c3_a_websocket_that_fails_before_the_handshake_falls_back_to_polling() {
    let refused = CloseCause::Refused { status: 403 };
    let remote = CloseCause::Remote { code: 1006, reason: String::new() };
    for cause in [refused, remote, lost(), CloseCause::Failed(ErrorCode::ConnectTimeout.into())] {
        for is_up in [false, true] {
            let mut bench = Bench::new(DaemonTransport::Auto);
            bench.wants(&["dial 2 ws://v/socket.io/?EIO=4&transport=websocket"]);
            if is_up {
                bench.opened(2);
            }
            bench.closed(2, &cause);
            bench.wants(&["get 4 http://v/socket.io/?EIO=4&transport=polling"]);
            assert!(bench.happened().is_empty(), "nobody is told");
            bench.reply(4, 200, &handshake("\"websocket\"", 1_000));
            bench.wants(&[&format!("get 6 {POLL}")]);
            assert_eq!(bench.happened(), ["opened"]);
            assert_eq!(bench.engine.transport(), Transport::Polling);
        }
    }
}

#[test]
fn the_fallback_has_half_the_time_left() {
    let timeout = |transport| {
        let mut bench = Bench::new(transport);
        match bench.engine.out.pop_front() {
            Some(Output::Dial { target, .. }) => target.timeout_ms,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(timeout(DaemonTransport::Auto), 10_000);
    assert_eq!(timeout(DaemonTransport::WebSocket), 20_000);
}

#[test]
fn without_a_fallback_the_failure_is_told_in_the_peers_words() {
    let mut bench = Bench::new(DaemonTransport::WebSocket);
    bench.closed(2, &CloseCause::Refused { status: 502 });
    assert_eq!(
        bench.happened(),
        ["failed: websocket error: the server answered the upgrade with status 502"]
    );
    let mut bench = Bench::new(DaemonTransport::Polling);
    bench.fail(2);
    assert_eq!(
        bench.happened(),
        ["failed: xhr poll error: The connection could not be established."]
    );
    bench.engine.out.clear();
    bench.wants(&[]);
}

#[test]
fn what_is_no_handshake_opens_nothing() {
    let cases = [
        "",
        "hello",
        "2",
        "40{\"sid\":\"x\"}",
        "0",
        "0{}",
        "0{\"sid\":\"\",\"upgrades\":[],\"pingInterval\":1,\"pingTimeout\":1}",
    ];
    for case in cases {
        // A server that answers nonsense is not asked again by other means.
        let mut bench = Bench::new(DaemonTransport::Auto);
        bench.engine.out.clear();
        bench.opened(2);
        bench.hear(2, case);
        bench.wants(&["close 2"]);
        let happened = bench.happened();
        assert!(matches!(&happened[..], [one] if one.starts_with("failed: ")), "{happened:?}");

        let mut bench = Bench::new(DaemonTransport::Polling);
        bench.engine.out.clear();
        bench.reply(2, 200, case);
        bench.wants(&[]);
        let happened = bench.happened();
        assert!(matches!(&happened[..], [one] if one.starts_with("failed: ")), "{happened:?}");
    }
}

#[test]
fn frames_go_out_at_once_on_a_websocket_and_come_in_by_packets() {
    let mut bench = Bench::on_web_socket();
    bench.send("40");
    bench.send("42[1]");
    bench.wants(&["send 2 40", "send 2 42[1]"]);
    bench.hear(2, "4abc");
    bench.hear_frame(2, Frame::Binary(Bytes::from_static(b"xy")));
    bench.hear_frame(2, Frame::Ping(Bytes::new()));
    bench.hear(2, "6");
    bench.hear(2, "3late");
    bench.hear(2, "0{}");
    bench.hear(2, "5");
    bench.hear(8, "4of another connection");
    assert_eq!(bench.happened(), ["abc", "b\"xy\""]);
    bench.hear(2, "9");
    bench.wants(&["close 2"]);
    assert_eq!(bench.happened(), ["closed: parse error"]);
    bench.hear(2, "4too late");
    assert!(bench.happened().is_empty());
}

#[test]
fn how_a_connection_ended_has_the_peers_words() {
    let remote = |code| CloseCause::Remote { code, reason: "why".into() };
    let failed = |code: ErrorCode| CloseCause::Failed(code.into());
    for (cause, words) in [
        (remote(1005), "transport close"),
        (remote(1009), "transport close"),
        (lost(), "transport close"),
        (
            failed(ErrorCode::PeerProtocol),
            "transport error: PEER_PROTOCOL: The other side sent something that the protocol does not allow.",
        ),
    ] {
        let mut bench = Bench::on_web_socket();
        bench.closed(2, &cause);
        assert_eq!(bench.happened(), [format!("closed: {words}")], "{cause:?}");
        bench.wants(&[]);
    }
    let mut bench = Bench::on_web_socket();
    bench.hear(2, "1");
    bench.wants(&["close 2"]);
    assert_eq!(bench.happened(), ["closed: transport close"]);
}

#[test]
fn a_websocket_is_closed_without_a_code_behind_the_last_frame() {
    let mut bench = Bench::on_web_socket();
    bench.send("42[1]");
    bench.close(Some("41"));
    bench.send("42[2]");
    bench.wants(&["send 2 42[1]", "send 2 41", "close 2"]);
    bench.hear(2, "4too late");
    assert!(bench.happened().is_empty());
    bench.closed(2, &CloseCause::Local);
    assert_eq!(bench.happened(), ["gone"]);
    assert!(bench.engine.deadline().is_none());
}

#[test]
fn what_is_closed_before_it_is_open_is_gone_at_once() {
    let mut bench = Bench::new(DaemonTransport::WebSocket);
    bench.engine.out.clear();
    bench.close(Some("41"));
    bench.wants(&["close 2"]);
    assert_eq!(bench.happened(), ["gone"]);
    let mut bench = Bench::new(DaemonTransport::Polling);
    bench.engine.out.clear();
    bench.close(Some("41"));
    bench.wants(&["cancel 2"]);
    assert_eq!(bench.happened(), ["gone"]);
    bench.reply(2, 200, &handshake("", 1_000));
    assert!(bench.happened().is_empty());
}

#[test]
fn what_has_left_a_websocket_is_told_when_asked() {
    let mut bench = Bench::on_web_socket();
    bench.engine.say(&mut vec![Frame::Text("42[1]".into())], Rank::InTurn, bench.now());
    bench.engine.sent(ConnId(2));
    assert!(bench.happened().is_empty(), "nobody asked");
    bench.engine.ask_flushed();
    bench.wants(&["send 2 42[1]", "flush 2"]);
    bench.engine.sent(ConnId(4));
    assert!(bench.happened().is_empty());
    bench.engine.sent(ConnId(2));
    assert_eq!(bench.happened(), ["flushed"]);
}

#[test]
fn a_connection_that_moves_is_handed_what_it_takes_and_never_dropped() {
    let mut bench = Bench::on_web_socket();
    for _ in 0..200 {
        bench.say(64_000);
    }
    let handed = |bench: &mut Bench| {
        let out = std::mem::take(&mut bench.engine.out);
        let is_frame = |output: &Output| matches!(output, Output::Send { .. });
        let asks = out.iter().filter(|output| matches!(output, Output::AskSent { .. })).count();
        (out.iter().filter(|output| is_frame(output)).count(), asks)
    };
    let (mut sum, asks) = handed(&mut bench);
    assert!((1..20).contains(&sum) && asks == 1, "{sum} {asks}");
    while sum < 200 {
        bench.engine.sent(ConnId(2));
        let (more, _) = handed(&mut bench);
        assert!((1..20).contains(&more), "{more}");
        sum += more;
    }
    assert!(bench.happened().is_empty());
}

#[test]
fn a_pong_passes_everything_that_waits() {
    let mut bench = Bench::on_web_socket();
    for _ in 0..100 {
        bench.say(64_000);
    }
    bench.engine.out.clear();
    bench.hear(2, "2");
    bench.wants(&["send 2 3"]);
}

#[test]
fn a_message_that_is_too_large_is_told_with_the_option() {
    let mut bench = Bench::on_web_socket();
    let error =
        Error::new(ErrorCode::TooLarge, "a message of 9 bytes exceeds the 8 that are allowed");
    bench.closed(2, &CloseCause::Exceeded { error, beginning: Bytes::new() });
    let happened = bench.happened();
    assert!(happened[0].starts_with("closed: transport error: "), "{happened:?}");
    assert!(happened[0].contains("9 bytes") && happened[0].contains("limits.max_message_bytes"));
}

#[test]
fn a_server_that_asks_and_does_not_read_is_left_with_the_options_name() {
    let mut bench = Bench::on_web_socket();
    bench.say(2_000_000);
    while bench.engine.is_open() {
        let frame = Frame::Text("x".repeat(100_000).into());
        bench.engine.say(&mut vec![frame], Rank::Demanded, bench.now());
    }
    let happened = bench.happened();
    assert!(happened[0].contains("limits.max_send_queue_bytes"), "{happened:?}");
}
