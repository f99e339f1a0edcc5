//! Streams over TCP, both directions.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use bytes::Bytes;
use moorline_driver::core::{
    CloseCause, ConnId, ConnInput, DialAddress, DialTarget, ErrorCode, Frame, FrameLimits, Framing,
    Input, ListenTarget, Output, ServerInput, StreamLimits,
};

use crate::limits::{lagging, pulses_pass};
use crate::rig::{FRAME_LIMITS, HTTP_LIMITS, LISTENER, Rig, admitting};

pub(crate) const STREAM_LIMITS: StreamLimits = StreamLimits {
    max_connections: 100,
    max_unadmitted_per_address: 64,
    handshake_timeout_ms: 5_000,
};

/// The end of a stream, as the machine is told.
const ENDED: CloseCause = CloseCause::Remote { code: 1005, reason: String::new() };

#[test]
fn frames_of_every_framing_arrive_in_order_and_unchanged() {
    let large = format!("[{}]", "7,".repeat(150_000));
    for framing in [Framing::Lines, Framing::Prefixed, Framing::Json] {
        let payloads = ["{\"a\":\"grüß\"}", large.as_str(), "[]", "{}"];
        let (hub, accepted, worker, conn) = connected(framing);
        for (from, from_conn, to, to_conn) in
            [(&worker, conn, &hub, accepted), (&hub, accepted, &worker, conn)]
        {
            let frames = payloads.iter().map(|payload| frame(framing, payload));
            from.perform(frames.clone().map(|frame| Output::Send { conn: from_conn, frame }));
            for wanted in frames {
                assert_eq!(received(to), (to_conn, wanted));
            }
        }
    }
}

#[test]
fn bytes_arrive_as_they_come() {
    let (hub, _, worker, conn) = connected(Framing::Bytes);
    let part = Bytes::from_iter((0..200_000_u32).map(|n| n as u8));
    worker.perform([binary(conn, part.clone()), binary(conn, part.clone())]);
    let mut got = Vec::new();
    while got.len() < 400_000 {
        let (_, Frame::Binary(bytes)) = received(&hub) else { panic!() };
        got.extend_from_slice(&bytes);
    }
    assert_eq!(got, [&part[..], &part].concat());
}

#[test]
fn who_connects_is_told() {
    let hub = admitting();
    let address = hub.listen_at(tcp(Framing::Lines, false));
    let client = TcpStream::connect(&address).unwrap();
    let Input::Server(ServerInput::Accepted { conn, listen, remote, credentials }) = hub.input()
    else {
        panic!()
    };
    assert_eq!((conn.0 % 2, listen, credentials), (1, LISTENER, None));
    assert_eq!(remote, client.local_addr().unwrap().to_string());
}

#[test]
fn frames_are_found_wherever_writes_cut_the_stream() {
    let hub = admitting();
    let address = hub.listen_at(tcp(Framing::Json, false));
    let mut client = TcpStream::connect(&address).unwrap();
    client.set_nodelay(true).unwrap();
    assert!(matches!(hub.input(), Input::Server(ServerInput::Accepted { .. })));
    for byte in b"{\"a\":[1]}{}" {
        client.write_all(&[*byte]).unwrap();
    }
    assert_eq!(received(&hub).1, text("{\"a\":[1]}"));
    assert_eq!(received(&hub).1, text("{}"));
    client.write_all(b" 12").unwrap();
    drop(client);
    assert_eq!(received(&hub).1, text("12"));
    assert_eq!(closed(&hub), ENDED);
}

#[test]
fn a_burst_costs_one_write_and_few_reads() {
    for framing in [Framing::Lines, Framing::Prefixed] {
        let (hub, _, worker, conn) = connected(framing);
        worker.perform([binary(conn, "first".into())]);
        received(&hub);
        worker.rest();
        let before = (hub.handle.counters(), worker.handle.counters());
        // Small ones are gathered, large ones are written from where they lie.
        let large = Bytes::from(vec![b'x'; 2_000]);
        worker.perform((0..200_usize).map(|n| {
            binary(conn, if n.is_multiple_of(10) { large.clone() } else { n.to_string().into() })
        }));
        for n in 0..200_usize {
            let wanted = if n.is_multiple_of(10) { 2_000 } else { n.to_string().len() };
            assert_eq!(received(&hub).1.len(), wanted);
        }
        worker.rest();
        let after = (hub.handle.counters(), worker.handle.counters());
        assert_eq!(after.1.writes - before.1.writes, 1);
        assert!(after.0.reads - before.0.reads <= 6, "{:?}", after.0);
    }
}

#[test]
fn closing_flushes_and_tells_both_sides() {
    let (hub, accepted, worker, conn) = connected(Framing::Lines);
    let large = "x".repeat(800_000);
    let close = Output::Close { conn, code: 1000, reason: String::from("not on this wire") };
    worker.perform([send(conn, text(&large)), send(conn, text("last words")), close]);
    assert_eq!(received(&hub), (accepted, text(&large)));
    assert_eq!(received(&hub), (accepted, text("last words")));
    assert_eq!(closed(&hub), ENDED);
    assert_eq!(closed(&worker), CloseCause::Local);
}

#[test]
fn what_was_sent_still_goes_when_the_other_side_has_ended() {
    let hub = Rig::reacting(|input| match input {
        Input::Server(ServerInput::Accepted { conn, .. }) => {
            vec![Output::Admit { conn: *conn, limits: FRAME_LIMITS, pulses: &[], deflate: None }]
        }
        Input::Conn(ConnInput::Received { conn, .. }) => {
            vec![send(*conn, text(&"y".repeat(500_000)))]
        }
        _ => Vec::new(),
    });
    let address = hub.listen_at(tcp(Framing::Lines, false));
    let mut client = TcpStream::connect(&address).unwrap();
    client.write_all(b"ask\n").unwrap();
    client.shutdown(std::net::Shutdown::Write).unwrap();
    assert!(matches!(hub.input(), Input::Server(ServerInput::Accepted { .. })));
    received(&hub);
    assert_eq!(closed(&hub), ENDED);
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).unwrap();
    assert_eq!(answer.len(), 500_001);
}

#[test]
fn an_end_inside_a_frame_is_a_loss() {
    let (hub, client) = raw(Framing::Prefixed);
    let mut client = client;
    client.write_all(&[9, 1, 2]).unwrap();
    drop(client);
    assert_eq!(failure(&hub), ErrorCode::ConnectionLost);
}

#[test]
fn a_frame_beyond_its_limit_ends_the_stream() {
    let (hub, mut client) = raw(Framing::Prefixed);
    // A length of 2 MiB, and nothing behind it.
    client.write_all(&[0x80, 0x80, 0x80, 0x01]).unwrap();
    assert_eq!(failure(&hub), ErrorCode::TooLarge);
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
}

#[test]
fn what_is_no_frame_breaks_the_protocol() {
    let (hub, mut client) = raw(Framing::Json);
    client.write_all(b"[1] ]").unwrap();
    assert_eq!(received(&hub).1, text("[1]"));
    assert_eq!(failure(&hub), ErrorCode::PeerProtocol);
}

#[test]
fn limits_can_change_while_a_stream_is_open() {
    let (hub, accepted, worker, conn) = connected(Framing::Lines);
    let small = FrameLimits { max_message: 10, ..FRAME_LIMITS };
    hub.perform([Output::SetLimits { conn: accepted, limits: small }]);
    hub.rest();
    worker.perform([send(conn, text("short")), send(conn, text("rather long"))]);
    received(&hub);
    assert_eq!(failure(&hub), ErrorCode::TooLarge);
}

#[test]
fn a_peer_that_does_not_read_is_overloaded() {
    let (hub, client) = raw(Framing::Prefixed);
    let part = Bytes::from(vec![0; 500_000]);
    let cause = loop {
        hub.perform([binary(ConnId(1), part.clone())]);
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
fn news_of_what_was_sent_comes_after_the_flush() {
    let (hub, _, worker, conn) = connected(Framing::Lines);
    worker.perform([send(conn, text("first")), Output::AskSent { conn }, Output::AskSent { conn }]);
    received(&hub);
    assert!(matches!(worker.input(), Input::Conn(ConnInput::Sent { conn: sent }) if sent == conn));
    worker.perform([Output::AskSent { conn }]);
    assert!(matches!(worker.input(), Input::Conn(ConnInput::Sent { .. })));
}

#[test]
fn a_pulse_passes_frames_that_are_held_back() {
    let (hub, worker) = (lagging(), Rig::new());
    let address = hub.listen_at(tcp(Framing::Lines, false));
    let conn = ConnId(2);
    worker.perform([Output::Dial { conn, target: stream(&address, Framing::Lines, false) }]);
    assert!(matches!(worker.input(), Input::Conn(ConnInput::Opened { .. })));
    pulses_pass(&worker, conn, &hub);
}

#[test]
fn a_client_that_is_turned_away_sees_the_end() {
    let hub = Rig::reacting(|input| match input {
        Input::Server(ServerInput::Accepted { conn, .. }) => {
            vec![Output::Close { conn: *conn, code: 1000, reason: String::new() }]
        }
        _ => Vec::new(),
    });
    let address = hub.listen_at(tcp(Framing::Lines, false));
    let mut client = TcpStream::connect(&address).unwrap();
    assert!(matches!(hub.input(), Input::Server(ServerInput::Accepted { .. })));
    assert_eq!(closed(&hub), CloseCause::Local);
    assert_eq!(client.read(&mut [0]).unwrap_or(0), 0);
}

#[test]
fn connections_beyond_the_limit_wait_until_places_are_given_back() {
    let hub = admitting();
    let limits = StreamLimits { max_connections: 1, ..STREAM_LIMITS };
    let address = String::from("127.0.0.1:0");
    let framing = Framing::Lines;
    let address = hub.listen_at(ListenTarget::Tcp { address, tls: false, framing, limits });
    let mut first = TcpStream::connect(&address).unwrap();
    assert!(matches!(hub.input(), Input::Server(ServerInput::Accepted { .. })));
    let _second = TcpStream::connect(&address).unwrap();
    hub.rest();
    assert!(hub.input_now().is_none());
    first.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(closed(&hub), ENDED);
    assert_eq!(first.read(&mut [0]).unwrap(), 0);
    assert!(matches!(hub.input(), Input::Server(ServerInput::Accepted { .. })));
}

#[test]
fn nobody_there_is_connect_failed() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let worker = Rig::new();
    let target = stream(&free.to_string(), Framing::Lines, false);
    worker.perform([Output::Dial { conn: ConnId(2), target }]);
    assert_eq!(failure(&worker), ErrorCode::ConnectFailed);
}

/// How often a test of small writes goes back and forth: at 40 ms each, far beyond [`SOON`].
const ROUNDS: usize = 60;
const SOON: Duration = Duration::from_millis(1_200);

#[test]
#[cfg(target_os = "linux")]
fn two_small_writes_of_a_peer_are_acknowledged_at_once() {
    let hub = Rig::reacting(|input| match input {
        Input::Server(ServerInput::Accepted { conn, .. }) => {
            vec![Output::Admit { conn: *conn, limits: FRAME_LIMITS, pulses: &[], deflate: None }]
        }
        Input::Conn(ConnInput::Received { conn, frame }) if frame.len() == 2 => {
            vec![send(*conn, text("answer"))]
        }
        _ => Vec::new(),
    });
    let address = hub.listen_at(tcp(Framing::Lines, false));
    // Without TCP_NODELAY the second write waits until the first is acknowledged.
    let mut client = TcpStream::connect(&address).unwrap();
    let began = Instant::now();
    for _ in 0..ROUNDS {
        client.write_all(b"1\n").unwrap();
        client.write_all(b"22\n").unwrap();
        client.read_exact(&mut [0; 7]).unwrap();
    }
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
}

#[test]
fn two_small_writes_of_ours_wait_for_no_acknowledgement() {
    for is_stream in [true, false] {
        let hub = admitting();
        let mut client = if is_stream {
            TcpStream::connect(hub.listen_at(tcp(Framing::Lines, false))).unwrap()
        } else {
            crate::limits::upgrade(&hub.listen(HTTP_LIMITS))
        };
        let Input::Server(ServerInput::Accepted { conn, .. } | ServerInput::Offered { conn, .. }) =
            hub.input()
        else {
            panic!()
        };
        // One byte of framing for a line, two for a frame of a WebSocket.
        let (ask, length): (&[u8], _) =
            if is_stream { (b"?\n", 2) } else { (&[0x81, 0x81, 0, 0, 0, 0, b'?'], 3) };
        let began = Instant::now();
        for _ in 0..ROUNDS {
            // Whoever asks and is answered delays acknowledgements, in case there is more to ask.
            client.write_all(ask).unwrap();
            received(&hub);
            for _ in 0..2 {
                hub.perform([send(conn, text("1")), Output::AskSent { conn }]);
                assert!(matches!(hub.input(), Input::Conn(ConnInput::Sent { .. })));
            }
            client.read_exact(&mut [0; 6][..2 * length]).unwrap();
        }
        assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    }
}

/// A hub rig and a worker rig with one open stream: `(hub, its id, worker, its id)`.
fn connected(framing: Framing) -> (Rig, ConnId, Rig, ConnId) {
    let (hub, worker, conn) = (admitting(), Rig::new(), ConnId(2));
    let address = hub.listen_at(tcp(framing, false));
    worker.perform([Output::Dial { conn, target: stream(&address, framing, false) }]);
    assert!(matches!(worker.input(), Input::Conn(ConnInput::Opened { conn: ConnId(2) })));
    let Input::Server(ServerInput::Accepted { conn: accepted, .. }) = hub.input() else { panic!() };
    (hub, accepted, worker, conn)
}

/// A raw client that the hub has let in.
fn raw(framing: Framing) -> (Rig, TcpStream) {
    let hub = admitting();
    let client = TcpStream::connect(hub.listen_at(tcp(framing, false))).unwrap();
    assert!(matches!(hub.input(), Input::Server(ServerInput::Accepted { .. })));
    (hub, client)
}

/// Where to listen for streams on loopback.
pub(crate) fn tcp(framing: Framing, tls: bool) -> ListenTarget {
    let address = String::from("127.0.0.1:0");
    ListenTarget::Tcp { address, tls, framing, limits: STREAM_LIMITS }
}

/// A stream to dial at `address`.
pub(crate) fn stream(address: &str, framing: Framing, tls: bool) -> DialTarget {
    let (host, port) = address.rsplit_once(':').unwrap();
    let (host, port) = (host.to_owned(), port.parse().unwrap());
    target(DialAddress::Tcp { host, port, tls, framing })
}

pub(crate) fn target(address: DialAddress) -> DialTarget {
    DialTarget { address, timeout_ms: 5_000, limits: FRAME_LIMITS, pulses: &[] }
}

pub(crate) fn received(rig: &Rig) -> (ConnId, Frame) {
    match rig.input() {
        Input::Conn(ConnInput::Received { conn, frame }) => (conn, frame),
        other => panic!("{other:?}"),
    }
}

pub(crate) fn closed(rig: &Rig) -> CloseCause {
    match rig.input() {
        Input::Conn(ConnInput::Closed { cause, .. }) => cause,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn failure(rig: &Rig) -> ErrorCode {
    match closed(rig) {
        CloseCause::Failed(error) => error.code(),
        other => panic!("{other:?}"),
    }
}

pub(crate) fn text(text: &str) -> Frame {
    Frame::Text(text.into())
}

pub(crate) fn send(conn: ConnId, frame: Frame) -> Output {
    Output::Send { conn, frame }
}

fn binary(conn: ConnId, bytes: Bytes) -> Output {
    send(conn, Frame::Binary(bytes))
}

/// A payload as the framing delivers it.
fn frame(framing: Framing, payload: &str) -> Frame {
    match framing {
        Framing::Lines | Framing::Json => text(payload),
        Framing::Prefixed | Framing::Bytes => {
            Frame::Binary(Bytes::copy_from_slice(payload.as_bytes()))
        }
    }
}
