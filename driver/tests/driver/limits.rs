//! What exceeds a limit gets the documented answer, and nothing grows.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use bytes::Bytes;
use moorline_driver::Handle;
use moorline_driver::core::options::RuntimeOptions;
use moorline_driver::core::{
    CloseCause, ConnId, DialTarget, ErrorCode, Event, Frame, FrameLimits, HttpLimits, HttpResponse,
    Input, Output, Pulses, Raw,
};
use moorline_driver::core::{ConnInput, PeerEvent, ServerInput};

use crate::rig::{FRAME_LIMITS, HTTP_LIMITS, Rig, admitting, connected, target};

#[test]
fn a_message_beyond_its_limit_closes_with_1009() {
    let (hub, _, worker, conn) = connected();
    let mut big = vec![7; FRAME_LIMITS.max_message + 1];
    big[0] = 9;
    worker.perform([Output::Send { conn, frame: Frame::Binary(big.clone().into()) }]);
    let Input::Conn(ConnInput::Closed { cause, .. }) = hub.input() else { panic!() };
    let CloseCause::Exceeded { error, beginning } = cause else { panic!("{cause:?}") };
    assert_eq!(error.code(), ErrorCode::TooLarge);
    assert_eq!(beginning, big[..256]);
    let Input::Conn(ConnInput::Closed { cause: CloseCause::Remote { code, .. }, .. }) =
        worker.input()
    else {
        panic!()
    };
    assert_eq!(code, 1009);
}

#[test]
fn limits_can_change_while_a_connection_is_open() {
    let (hub, accepted, worker, conn) = connected();
    let small = FrameLimits { max_message: 10, ..FRAME_LIMITS };
    hub.perform([Output::SetLimits { conn: accepted, limits: small }]);
    hub.rest();
    worker.perform([
        Output::Send { conn, frame: Frame::Text("short".into()) },
        Output::Send { conn, frame: Frame::Text("rather long".into()) },
    ]);
    assert!(matches!(hub.input(), Input::Conn(ConnInput::Received { .. })));
    assert!(matches!(hub.input(), Input::Conn(ConnInput::Closed { .. })));
}

#[test]
fn too_many_fragments_close_with_1008() {
    let hub = admitting();
    let mut client = upgraded(&hub);
    let mut frames = vec![0x01, 0x81, 0, 0, 0, 0, b'a'];
    for _ in 0..FRAME_LIMITS.max_fragments {
        frames.extend([0x00, 0x81, 0, 0, 0, 0, b'b']);
    }
    client.write_all(&frames).unwrap();
    let Input::Conn(ConnInput::Closed { cause: CloseCause::Failed(error), .. }) = hub.input()
    else {
        panic!()
    };
    assert_eq!(error.code(), ErrorCode::TooLarge);
    let mut close = [0; 4];
    client.read_exact(&mut close).unwrap();
    assert_eq!((close[0], u16::from_be_bytes([close[2], close[3]])), (0x88, 1008));
}

#[test]
fn a_few_fragments_are_one_message() {
    let hub = admitting();
    let mut client = upgraded(&hub);
    client.write_all(&[0x01, 0x81, 0, 0, 0, 0, b'a', 0x80, 0x81, 0, 0, 0, 0, b'b']).unwrap();
    let Input::Conn(ConnInput::Received { frame: Frame::Text(text), .. }) = hub.input() else {
        panic!()
    };
    assert_eq!(text, "ab");
}

#[test]
fn a_frame_without_mask_breaks_the_protocol() {
    let hub = admitting();
    let mut client = upgraded(&hub);
    client.write_all(&[0x81, 0x01, b'a']).unwrap();
    let Input::Conn(ConnInput::Closed { cause: CloseCause::Failed(error), .. }) = hub.input()
    else {
        panic!()
    };
    assert_eq!(error.code(), ErrorCode::PeerProtocol);
}

#[test]
fn who_breaks_the_protocol_and_stays_is_dropped_within_a_second() {
    let hub = admitting();
    let mut client = upgraded(&hub);
    client.write_all(&[0x81, 0x01, b'a']).unwrap();
    assert!(matches!(hub.input(), Input::Conn(ConnInput::Closed { .. })));
    is_dropped(client);
}

#[test]
fn a_server_that_keeps_what_both_sides_have_closed_is_dropped_within_a_second() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let worker = Rig::new();
    let address = listener.local_addr().unwrap().to_string();
    worker.perform([Output::Dial { conn: ConnId(2), target: target(&address) }]);
    let mut server = crate::autobahn::accept(&listener);
    assert!(matches!(worker.input(), Input::Conn(ConnInput::Opened { .. })));
    server.write_all(&[0x88, 0x02, 0x03, 0xe8]).unwrap();
    assert!(matches!(worker.input(), Input::Conn(ConnInput::Closed { .. })));
    is_dropped(server);
}

/// Waits until a stream is gone: what is written then has nobody to read it.
fn is_dropped(mut stream: TcpStream) {
    let begun = Instant::now();
    while stream.write_all(&[0; 16]).is_ok() {
        assert!(begun.elapsed() < Duration::from_secs(2), "still there");
        std::thread::yield_now();
    }
}

#[test]
fn a_flood_of_pings_closes_with_1008() {
    let hub = admitting();
    let mut client = upgraded(&hub);
    let ping = [0x89, 0x81, 0, 0, 0, 0, b'p'];
    client.write_all(&ping.repeat(1_000)).unwrap();
    let cause = loop {
        match hub.input() {
            Input::Conn(ConnInput::Received { frame: Frame::Ping(_), .. }) => {}
            Input::Conn(ConnInput::Closed { cause, .. }) => break cause,
            other => panic!("{other:?}"),
        }
    };
    let CloseCause::Failed(error) = cause else { panic!("{cause:?}") };
    assert_eq!(error.code(), ErrorCode::PeerProtocol);
    let mut answer = Vec::new();
    let _ = client.read_to_end(&mut answer);
    let close = answer.windows(4).find(|it| it[0] == 0x88).unwrap();
    assert_eq!(u16::from_be_bytes([close[2], close[3]]), 1008);
    let pongs = answer.windows(3).filter(|it| *it == [0x8a, 1, b'p']).count();
    assert!(pongs <= 100, "{pongs}");
}

#[test]
fn a_peer_that_does_not_read_is_overloaded() {
    let hub = admitting();
    let client = upgraded(&hub);
    let conn = ConnId(1);
    let part = Bytes::from(vec![0; 500_000]);
    let cause = loop {
        let frame = Frame::Binary(part.clone());
        hub.perform([Output::Send { conn, frame }]);
        hub.rest();
        if let Some(Input::Conn(ConnInput::Closed { cause, .. })) = hub.input_now() {
            break cause;
        }
    };
    let CloseCause::Failed(error) = cause else { panic!("{cause:?}") };
    assert_eq!(error.code(), ErrorCode::Overloaded);
    drop(client);
}

#[test]
fn heads_bodies_and_slowness_have_their_statuses() {
    let hub = answering();
    let limits = HttpLimits { request_timeout_ms: 200, max_body: 100, ..HTTP_LIMITS };
    let address = hub.listen(limits);
    let ask = |request: String| {
        let mut client = TcpStream::connect(&address).unwrap();
        client.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        // The listener may close before it has read everything.
        let _ = client.read_to_string(&mut answer);
        answer.lines().next().unwrap_or_default().to_owned()
    };
    let pad = "x".repeat(20_000);
    assert!(ask(format!("GET / HTTP/1.1\r\nx: {pad}\r\n\r\n")).contains("431"));
    let many: String = (0..80).map(|n| format!("x-{n}: 1\r\n")).collect();
    assert!(ask(format!("GET / HTTP/1.1\r\n{many}\r\n")).contains("431"));
    let body = "y".repeat(101);
    assert!(
        ask(format!("POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 101\r\n\r\n{body}"))
            .contains("413")
    );
    assert!(
        ask(format!(
            "POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n65\r\n{body}\r\n0\r\n\r\n"
        ))
        .contains("413")
    );
    assert!(ask(String::from("GET / HTTP/1.1\r\nhost: h\r\nslow")).contains("408"));
    assert!(
        ask(String::from("POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 9\r\n\r\nslow"))
            .contains("408")
    );
    assert!(ask(String::from("NONSENSE\r\n\r\n")).contains("400"));
    let chunked = "POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n2\r\n{}\r\n0\r\n\r\n";
    assert!(ask(String::from(chunked)).contains("200"));
}

/// K3.4: a silent client is gone after its time, one whose bytes move has more.
#[test]
fn a_body_that_moves_has_more_time() {
    let hub = answering();
    let address =
        hub.listen(HttpLimits { request_timeout_ms: 200, max_body: 200_000, ..HTTP_LIMITS });
    let head = "POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 131072\r\nconnection: close\r\n\r\n";
    let begin = |bytes: usize| {
        let mut client = TcpStream::connect(&address).unwrap();
        client.write_all(head.as_bytes()).unwrap();
        client.write_all(&vec![b' '; bytes]).unwrap();
        client
    };
    let answer = |mut client: TcpStream| {
        let mut answer = String::new();
        let _ = client.read_to_string(&mut answer);
        answer
    };
    let mut moving = begin(65_536);
    // The end of one that says nothing more tells that the time has passed.
    assert!(answer(begin(1)).contains("408"));
    moving.write_all(&vec![b' '; 65_536]).unwrap();
    assert!(answer(moving).contains("200"));
}

/// K3.4: connecting, head and body have one time together.
#[test]
fn a_strangers_time_does_not_begin_anew_with_its_body() {
    let (short, long) = (answering(), answering());
    let listen = |hub: &Rig, request_timeout_ms| {
        hub.listen(HttpLimits { request_timeout_ms, max_body: 200_000, ..HTTP_LIMITS })
    };
    let mut clock = TcpStream::connect(listen(&short, 1_000)).unwrap();
    let (mut slow, began) = (TcpStream::connect(listen(&long, 1_200)).unwrap(), Instant::now());
    slow.write_all(b"POST / HTTP/1.1\r\n").unwrap();
    let mut answer = String::new();
    // The end of one with less time tells that most of it has passed.
    clock.read_to_string(&mut answer).unwrap();
    slow.write_all(b"host: h\r\ntransfer-encoding: chunked\r\n\r\n").unwrap();
    answer.clear();
    slow.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("408"), "{answer}");
    assert!(began.elapsed() < Duration::from_millis(1_900), "{:?}", began.elapsed());
}

#[test]
fn the_machine_is_told_what_a_body_that_is_too_large_was_about() {
    let hub = answering();
    let address = hub.listen(HttpLimits { max_body: 300, ..HTTP_LIMITS });
    let body = format!("{{\"WorkItemHash\":\"wi-1\"{}", " ".repeat(400));
    let chunk = format!("{:x}\r\n{body}\r\n", body.len());
    for (head, body) in [("content-length: 1000", &body), ("transfer-encoding: chunked", &chunk)] {
        let mut client = TcpStream::connect(&address).unwrap();
        let head = format!("POST /Beacon/Work/wi-1/Complete HTTP/1.1\r\nhost: h\r\n{head}\r\n\r\n");
        client.write_all(head.as_bytes()).unwrap();
        client.write_all(body.as_bytes()).unwrap();
        let mut answer = String::new();
        let _ = client.read_to_string(&mut answer);
        assert!(answer.contains("413"), "{answer}");
        let Input::Server(ServerInput::Exceeded { request, .. }) = hub.input() else { panic!() };
        assert_eq!((request.url.as_str(), request.body.len()), ("/Beacon/Work/wi-1/Complete", 256));
    }
}

#[test]
fn strangers_beyond_the_limit_wait_until_others_have_asked() {
    let hub = answering();
    let limits = HttpLimits { max_unadmitted_per_address: 2, ..HTTP_LIMITS };
    let address = hub.listen(limits);
    let mut strangers: Vec<_> = (0..100).map(|_| TcpStream::connect(&address).unwrap()).collect();
    for stranger in strangers.iter_mut().rev() {
        stranger.write_all(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n").unwrap();
    }
    for mut stranger in strangers {
        let mut status = [0; 12];
        stranger.read_exact(&mut status).unwrap();
        assert_eq!(&status, b"HTTP/1.1 200");
    }
}

#[test]
fn one_address_has_three_quarters_of_the_places_until_it_has_registered() {
    let hub = admitting();
    let address = hub.listen(HttpLimits { max_connections: 4, ..HTTP_LIMITS });
    let mut offered = Vec::new();
    let _visitors: Vec<_> = (0..3)
        .map(|_| {
            let client = upgrade(&address);
            let Input::Server(ServerInput::Offered { conn, .. }) = hub.input() else { panic!() };
            offered.push(conn);
            client
        })
        .collect();
    let fourth = std::thread::spawn(move || upgrade(&address));
    hub.rest();
    assert!(hub.input_now().is_none());
    hub.perform([Output::SetLimits { conn: offered[0], limits: FRAME_LIMITS }]);
    assert!(matches!(hub.input(), Input::Server(ServerInput::Offered { .. })));
    fourth.join().unwrap();
}

#[test]
fn silent_strangers_give_their_places_up() {
    let hub = answering();
    let limits =
        HttpLimits { max_unadmitted_per_address: 2, request_timeout_ms: 100, ..HTTP_LIMITS };
    let address = hub.listen(limits);
    let _silent: Vec<_> = (0..2).map(|_| TcpStream::connect(&address).unwrap()).collect();
    let mut client = TcpStream::connect(&address).unwrap();
    client.write_all(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n").unwrap();
    let mut status = [0; 12];
    client.read_exact(&mut status).unwrap();
    assert_eq!(&status, b"HTTP/1.1 200");
}

#[test]
fn connections_beyond_the_limit_wait_until_places_are_given_back() {
    let hub = admitting();
    let address = hub.listen(HttpLimits { max_connections: 1, ..HTTP_LIMITS });
    let mut first = upgrade(&address);
    assert!(matches!(hub.input(), Input::Server(ServerInput::Offered { .. })));
    let third = std::thread::spawn(move || upgrade(&address));
    hub.rest();
    assert!(hub.input_now().is_none());
    // A masked close frame with code 1000.
    first.write_all(&[0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8]).unwrap();
    assert!(matches!(hub.input(), Input::Conn(ConnInput::Closed { .. })));
    let mut end = Vec::new();
    first.read_to_end(&mut end).unwrap();
    assert!(matches!(hub.input(), Input::Server(ServerInput::Offered { .. })));
    third.join().unwrap();
}

#[test]
fn unread_events_hold_frames_back_but_pings_pass() {
    let payload = Raw::from_value(&"x".repeat(10_000)).unwrap();
    let react = move |input: &Input| match input {
        Input::Server(ServerInput::Offered { conn, .. }) => {
            vec![Output::Admit { conn: *conn, limits: FRAME_LIMITS, pulses: &[], deflate: None }]
        }
        Input::Conn(ConnInput::Received { frame: Frame::Text(_), .. }) => {
            vec![Output::Event(Event::Peer(PeerEvent::Message {
                peer: None,
                payload: payload.clone(),
            }))]
        }
        _ => Vec::new(),
    };
    let mut runtime = RuntimeOptions::default();
    runtime.max_event_bytes = 65_536;
    let hub = Rig::build(react, runtime, Handle::drive);
    let mut client = upgraded(&hub);
    for _ in 0..30 {
        client.write_all(&[0x81, 0x81, 0, 0, 0, 0, b'a']).unwrap();
        client.write_all(&[0x89, 0x80, 0, 0, 0, 0]).unwrap();
        // The pong proves that the frame before the ping has been dealt with.
        let mut pong = [0; 2];
        client.read_exact(&mut pong).unwrap();
        assert_eq!(pong, [0x8a, 0]);
    }
    let (mut text, mut events) = (String::new(), 0);
    hub.handle.events().drain(&mut text);
    let held: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
    events += held.len();
    assert!(events < 20, "{events}");
    while events < 30 {
        let more: Vec<serde_json::Value> = serde_json::from_str(&hub.events()).unwrap();
        events += more.len();
    }
    assert_eq!(events, 30);
}

/// K2.5: that nothing is heard of a peer which is not read says nothing about it.
#[test]
fn the_machine_is_told_before_its_deadlines_whom_it_does_not_hear() {
    let hub = lagging();
    let mut client = upgraded(&hub);
    client.set_nonblocking(true).unwrap();
    let frame: Vec<u8> =
        [&[0x81, 0x80 | 126, 0x3f, 0xff, 0, 0, 0, 0][..], &[b'a'; 0x3fff]].concat();
    let mut rest: &[u8] = &[];
    let mut is_held = |hub: &Rig| {
        // More than is taken in for an application that does not read.
        while let Ok(written) = client.write(if rest.is_empty() { &frame } else { rest }) {
            rest = &(if rest.is_empty() { &frame[..] } else { rest })[written..];
        }
        hub.wake_at(moorline_driver::core::Instant::from_millis(0));
        std::iter::from_fn(|| hub.input_now())
            .any(|input| matches!(input, Input::Conn(ConnInput::Held { .. })))
    };
    let begun = Instant::now();
    while !is_held(&hub) {
        assert!(begun.elapsed() < Duration::from_secs(10), "never held");
        std::thread::yield_now();
    }
}

#[test]
fn a_pulse_passes_frames_that_are_held_back() {
    let (hub, daemon) = (admitting(), lagging());
    let address = hub.listen(HTTP_LIMITS);
    let target = DialTarget { pulses: PULSES, ..target(&address) };
    daemon.perform([Output::Dial { conn: ConnId(2), target }]);
    let Input::Server(ServerInput::Offered { conn, .. }) = hub.input() else { panic!() };
    pulses_pass(&hub, conn, &daemon);
}

#[test]
fn a_pulse_passes_at_the_side_that_listens_too() {
    let (hub, daemon) = (lagging(), Rig::new());
    let address = hub.listen(HTTP_LIMITS);
    let conn = ConnId(2);
    daemon.perform([Output::Dial { conn, target: target(&address) }]);
    assert!(matches!(daemon.input(), Input::Conn(ConnInput::Opened { .. })));
    pulses_pass(&daemon, conn, &hub);
}

pub(crate) const PULSES: Pulses = &[b"2"];

/// A rig whose application reads no events; it answers pulses and lets in whoever comes.
pub(crate) fn lagging() -> Rig {
    let payload = Raw::from_value(&"x".repeat(10_000)).unwrap();
    let react = move |input: &Input| match input {
        Input::Server(ServerInput::Offered { conn, .. } | ServerInput::Accepted { conn, .. }) => {
            vec![Output::Admit { conn: *conn, limits: FRAME_LIMITS, pulses: PULSES, deflate: None }]
        }
        Input::Conn(ConnInput::Received { conn, frame: Frame::Text(frame) }) if frame == "2" => {
            vec![Output::Send { conn: *conn, frame: Frame::Text("3".into()) }]
        }
        Input::Conn(ConnInput::Received { frame: Frame::Text(_), .. }) => {
            vec![Output::Event(Event::Peer(PeerEvent::Message {
                peer: None,
                payload: payload.clone(),
            }))]
        }
        _ => Vec::new(),
    };
    let mut runtime = RuntimeOptions::default();
    runtime.max_event_bytes = 65_536;
    Rig::build(react, runtime, Handle::drive)
}

/// Asks a rig that lags for a hundred signs of life, each behind a message.
pub(crate) fn pulses_pass(asking: &Rig, conn: ConnId, lagging: &Rig) {
    let text = |text: &'static str| Output::Send { conn, frame: Frame::Text(text.into()) };
    for _ in 0..100 {
        asking.perform([text("a message"), text("2")]);
        assert!(
            matches!(asking.input(), Input::Conn(ConnInput::Received { frame: Frame::Text(t), .. }) if t == "3")
        );
    }
    let mut events = String::new();
    lagging.handle.events().drain(&mut events);
    let held: Vec<serde_json::Value> = serde_json::from_str(&events).unwrap();
    assert!(held.len() < 20, "{}", held.len());
}

/// A rig that answers whatever is asked over HTTP.
fn answering() -> Rig {
    Rig::reacting(|input| match input {
        Input::Server(ServerInput::Asked { http, .. }) => {
            vec![Output::HttpReply { http: *http, response: HttpResponse::json(200, "{}") }]
        }
        _ => Vec::new(),
    })
}

/// A raw client that the hub has let in.
fn upgraded(hub: &Rig) -> TcpStream {
    let client = upgrade(&hub.listen(HTTP_LIMITS));
    assert!(matches!(hub.input(), Input::Server(ServerInput::Offered { .. })));
    client
}

pub(crate) fn upgrade(address: &str) -> TcpStream {
    let mut client = TcpStream::connect(address).unwrap();
    client.set_nodelay(true).unwrap();
    write!(
        client,
        "GET / HTTP/1.1\r\nhost: {address}\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    .unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    assert!(head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{head}");
    client
}
