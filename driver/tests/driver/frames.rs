//! Frames over WebSocket, both directions.

use std::io::Write as _;
use std::net::TcpStream;

use bytes::Bytes;
use moorline_driver::core::{
    CloseCause, ConnId, ErrorCode, Event, Frame, HttpResponse, Input, ListenTarget, Networks,
    Output,
};
use moorline_driver::core::{ConnInput, ServerInput, SessionEvent};

use crate::autobahn::head_of;
use crate::rig::{FRAME_LIMITS, HTTP_LIMITS, Rig, admitting, connected, target};

fn text(conn: ConnId, text: impl Into<bytestring::ByteString>) -> Output {
    Output::Send { conn, frame: Frame::Text(text.into()) }
}

#[test]
fn the_upgrade_request_carries_path_and_headers() {
    let hub = admitting();
    let address = hub.listen(HTTP_LIMITS);
    let worker = Rig::new();
    worker.perform([Output::Dial { conn: ConnId(2), target: target(&address) }]);
    let Input::Server(ServerInput::Offered { request, remote, conn }) = hub.input() else {
        panic!()
    };
    assert_eq!(request.url, "/path?q=1");
    assert_eq!(request.headers.first("x-test"), Some("yes"));
    assert_eq!(request.headers.first("host"), Some(address.as_str()));
    assert!(remote.starts_with("127.0.0.1:"));
    assert_eq!(conn.0 % 2, 1);
}

#[test]
fn frames_arrive_in_order_and_unchanged() {
    let (hub, accepted, worker, conn) = connected();
    let frames = [
        Frame::Text("grüß".into()),
        Frame::Binary(Bytes::from(vec![7; 300_000])),
        Frame::Text("".into()),
        Frame::Ping(Bytes::from_static(b"p")),
    ];
    worker.perform(frames.iter().map(|frame| Output::Send { conn, frame: frame.clone() }));
    for frame in &frames {
        let Input::Conn(ConnInput::Received { conn, frame: got }) = hub.input() else { panic!() };
        assert_eq!((conn, &got), (accepted, frame));
    }
    let Input::Conn(ConnInput::Received { frame: Frame::Pong(pong), .. }) = worker.input() else {
        panic!()
    };
    assert_eq!(pong, "p");
}

#[test]
fn a_burst_costs_one_write_and_few_reads() {
    let (hub, accepted, worker, conn) = connected();
    worker.perform([text(conn, "first")]);
    hub.input();
    worker.rest();
    let before = (hub.handle.counters(), worker.handle.counters());
    worker.perform((0..200).map(|n| text(conn, format!("{{\"n\":{n}}}"))));
    for _ in 0..200 {
        let Input::Conn(ConnInput::Received { conn, .. }) = hub.input() else { panic!() };
        assert_eq!(conn, accepted);
    }
    worker.rest();
    let after = (hub.handle.counters(), worker.handle.counters());
    assert_eq!(after.1.frames_out - before.1.frames_out, 200);
    assert_eq!(after.1.writes - before.1.writes, 1);
    assert!(after.0.reads - before.0.reads <= 3, "{:?}", after.0);
}

#[test]
fn a_thread_that_always_has_commands_still_serves_its_sockets() {
    let (hub, accepted, worker, _) = connected();
    worker.stir();
    hub.perform([text(accepted, "hello")]);
    let Input::Conn(ConnInput::Received { frame, .. }) = worker.input() else { panic!() };
    assert_eq!(frame, Frame::Text("hello".into()));
    worker.handle.close();
}

#[test]
fn with_64_in_flight_ten_messages_share_a_write() {
    const IN_FLIGHT: usize = 64;
    const ROUNDS: usize = 50;
    let echo = |limits| {
        move |input: &Input| match input {
            Input::Server(ServerInput::Offered { conn, .. }) => {
                vec![Output::Admit { conn: *conn, limits, pulses: &[], deflate: None }]
            }
            Input::Conn(ConnInput::Received { conn, frame }) => {
                vec![Output::Send { conn: *conn, frame: frame.clone() }]
            }
            _ => Vec::new(),
        }
    };
    let (hub, worker) = (Rig::reacting(echo(FRAME_LIMITS)), Rig::reacting(echo(FRAME_LIMITS)));
    let address = hub.listen(HTTP_LIMITS);
    let conn = ConnId(2);
    worker.perform([Output::Dial { conn, target: target(&address) }]);
    assert!(matches!(worker.input(), Input::Conn(ConnInput::Opened { .. })));
    let before = worker.handle.counters();
    worker.perform((0..IN_FLIGHT).map(|n| text(conn, n.to_string())));
    for _ in 0..IN_FLIGHT * ROUNDS {
        assert!(matches!(worker.input(), Input::Conn(ConnInput::Received { .. })));
    }
    let after = worker.handle.counters();
    let frames = after.frames_out - before.frames_out;
    assert!(after.writes - before.writes <= frames / 10, "{before:?} {after:?}");
    assert!(after.reads - before.reads <= frames / 10, "{before:?} {after:?}");
}

#[test]
fn closing_tells_both_sides() {
    let (hub, accepted, worker, conn) = connected();
    let reason = String::from("that is all");
    worker.perform([text(conn, "last words"), Output::Close { conn, code: 4001, reason }]);
    assert!(matches!(hub.input(), Input::Conn(ConnInput::Received { .. })));
    let Input::Conn(ConnInput::Closed { conn: closed, cause }) = hub.input() else { panic!() };
    assert_eq!(closed, accepted);
    assert_eq!(cause, CloseCause::Remote { code: 4001, reason: String::from("that is all") });
    let Input::Conn(ConnInput::Closed { cause, .. }) = worker.input() else { panic!() };
    assert_eq!(cause, CloseCause::Local);
}

#[test]
fn a_close_without_a_code_is_one() {
    let (hub, _, worker, conn) = connected();
    worker.perform([Output::Close { conn, code: 1005, reason: String::new() }]);
    let Input::Conn(ConnInput::Closed { cause, .. }) = hub.input() else { panic!() };
    assert_eq!(cause, CloseCause::Remote { code: 1005, reason: String::new() });
    let Input::Conn(ConnInput::Closed { cause, .. }) = worker.input() else { panic!() };
    assert_eq!(cause, CloseCause::Local);
}

#[test]
fn news_of_what_was_sent_comes_after_the_flush() {
    let (hub, _, worker, conn) = connected();
    worker.perform([text(conn, "first"), Output::AskSent { conn }, Output::AskSent { conn }]);
    assert!(matches!(hub.input(), Input::Conn(ConnInput::Received { .. })));
    assert!(matches!(worker.input(), Input::Conn(ConnInput::Sent { conn: sent }) if sent == conn));
    worker.perform([Output::AskSent { conn }]);
    assert!(
        matches!(worker.input(), Input::Conn(ConnInput::Sent { .. })),
        "nothing waits: that is news, too"
    );
}

#[test]
fn what_was_said_last_arrives_although_the_machine_has_ended() {
    let (hub, _, worker, conn) = connected();
    worker.perform([
        text(conn, "farewell"),
        Output::Close { conn, code: 1000, reason: String::new() },
        Output::Event(Event::Session(SessionEvent::Ended { error: None })),
    ]);
    assert!(matches!(hub.input(), Input::Conn(ConnInput::Received { .. })));
    let Input::Conn(ConnInput::Closed { cause, .. }) = hub.input() else { panic!() };
    assert_eq!(cause, CloseCause::Remote { code: 1000, reason: String::new() });
}

#[test]
fn a_refused_upgrade_names_its_status() {
    let hub = Rig::reacting(|input| match input {
        Input::Server(ServerInput::Offered { conn, .. }) => {
            vec![Output::Refuse { conn: *conn, response: HttpResponse::json(401, "{}") }]
        }
        _ => Vec::new(),
    });
    let address = hub.listen(HTTP_LIMITS);
    let worker = Rig::new();
    worker.perform([Output::Dial { conn: ConnId(2), target: target(&address) }]);
    let Input::Conn(ConnInput::Closed { cause, .. }) = worker.input() else { panic!() };
    assert_eq!(cause, CloseCause::Refused { status: 401 });
}

#[test]
fn nobody_there_is_connect_failed() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let worker = Rig::new();
    worker.perform([Output::Dial { conn: ConnId(2), target: target(&free.to_string()) }]);
    let Input::Conn(ConnInput::Closed { cause: CloseCause::Failed(error), .. }) = worker.input()
    else {
        panic!()
    };
    assert_eq!(error.code(), ErrorCode::ConnectFailed);
    assert!(error.message().contains("127.0.0.1"), "{error}");
}

#[test]
fn a_server_that_never_answers_is_connect_timeout() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let worker = Rig::new();
    let mut target = target(&address);
    target.timeout_ms = 50;
    worker.perform([Output::Dial { conn: ConnId(2), target }]);
    let Input::Conn(ConnInput::Closed { cause: CloseCause::Failed(error), .. }) = worker.input()
    else {
        panic!()
    };
    assert_eq!(error.code(), ErrorCode::ConnectTimeout);
}

#[test]
fn the_first_subprotocol_is_answered_where_that_is_wanted() {
    for echoes_protocol in [true, false] {
        let hub = admitting();
        let (address, proxies) = (String::from("127.0.0.1:0"), Networks::default());
        let limits = HTTP_LIMITS;
        let target = ListenTarget::Http { address, limits, proxies, echoes_protocol };
        let address = hub.listen_at(target);
        let mut client = TcpStream::connect(&address).unwrap();
        write!(
            client,
            "GET / HTTP/1.1\r\nhost: {address}\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             sec-websocket-protocol: chat, other\r\n\r\n"
        )
        .unwrap();
        let head = head_of(&mut client);
        let line = head.lines().find_map(|line| line.strip_prefix("sec-websocket-protocol: "));
        assert_eq!(line, echoes_protocol.then_some("chat"), "{head}");
    }
}

#[test]
fn what_is_sent_right_after_admission_is_not_lost() {
    let hub = Rig::reacting(|input| match input {
        Input::Server(ServerInput::Offered { conn, .. }) => {
            vec![
                Output::Admit { conn: *conn, limits: FRAME_LIMITS, pulses: &[], deflate: None },
                text(*conn, "welcome"),
            ]
        }
        _ => Vec::new(),
    });
    let address = hub.listen(HTTP_LIMITS);
    let worker = Rig::new();
    worker.perform([Output::Dial { conn: ConnId(2), target: target(&address) }]);
    assert!(matches!(worker.input(), Input::Conn(ConnInput::Opened { .. })));
    let Input::Conn(ConnInput::Received { frame: Frame::Text(welcome), .. }) = worker.input()
    else {
        panic!()
    };
    assert_eq!(welcome, "welcome");
}
