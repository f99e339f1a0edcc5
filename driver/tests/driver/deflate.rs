//! Compressed messages: what is agreed on, and what then is on the wire, against another use of the
//! library than the driver's own. A short form of sections 12 and 13 of the Autobahn test suite.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use bytes::Bytes;
use moorline_driver::core::{
    CloseCause, ConnId, ConnInput, Deflate, DialAddress, DialTarget, ErrorCode, Frame, FrameLimits,
    Headers, Input, Output, ServerInput,
};
use zlib_rs::{DeflateFlush, InflateFlush};

use crate::autobahn::wire::{BINARY, CONTINUATION, TEXT, WireFrame};
use crate::autobahn::{accept_with, head_of};
use crate::rig::{FRAME_LIMITS, HTTP_LIMITS, Rig, target};

const ALL: Deflate = Deflate {
    server_max_window_bits: 15,
    client_max_window_bits: 15,
    server_no_context_takeover: false,
    client_no_context_takeover: false,
    threshold: None,
};
/// As a server of one compressor for each connection and one decompressor for all has it.
const DEDICATED: Deflate = Deflate { client_no_context_takeover: true, ..ALL };
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];
const LARGE: FrameLimits = FrameLimits { max_fragments: 4_096, ..FRAME_LIMITS };

/// The side of the test: one stream of each kind that is never begun anew.
struct Peer {
    stream: TcpStream,
    is_client: bool,
    deflate: zlib_rs::Deflate,
    inflate: zlib_rs::Inflate,
    is_kept: bool,
}

impl Peer {
    fn new(stream: TcpStream, is_client: bool, window_bits: u8, is_kept: bool) -> Self {
        let deflate = zlib_rs::Deflate::new(6, false, window_bits);
        Self { stream, is_client, deflate, inflate: zlib_rs::Inflate::new(false, 15), is_kept }
    }

    /// Sends a compressed message in fragments.
    fn send(&mut self, opcode: u8, message: &[u8], fragment: usize) {
        if !self.is_kept {
            self.deflate.reset();
        }
        let mut out = vec![0; message.len() + 1_024];
        let before = self.deflate.total_out();
        self.deflate.compress(message, &mut out, DeflateFlush::SyncFlush).unwrap();
        out.truncate((self.deflate.total_out() - before) as usize);
        // Nothing comes of nothing after the first time.
        let packed = if message.is_empty() { &[0] } else { out.strip_suffix(&TAIL).unwrap() };
        let last = packed.len().div_ceil(fragment).max(1) - 1;
        for n in 0..=last {
            let end = packed.len().min((n + 1) * fragment);
            let opcode = if n == 0 { opcode } else { CONTINUATION };
            let frame = WireFrame {
                is_final: n == last,
                reserved: if n == 0 { 4 } else { 0 },
                ..WireFrame::new(opcode, &packed[n * fragment..end])
            };
            frame.write(&mut self.stream, self.is_client).unwrap();
        }
    }

    /// Receives a message: what it is, whether it was compressed, and what it says.
    fn receive(&mut self, longest: usize) -> (u8, bool, Vec<u8>) {
        let frame = WireFrame::read(&mut self.stream).unwrap().unwrap();
        if frame.reserved == 0 {
            return (frame.opcode, false, frame.payload.to_vec());
        }
        let packed = [&frame.payload[..], &TAIL].concat();
        let mut out = vec![0; longest + 1];
        let before = self.inflate.total_out();
        self.inflate.decompress(&packed, &mut out, InflateFlush::SyncFlush).unwrap();
        out.truncate((self.inflate.total_out() - before) as usize);
        (frame.opcode, true, out)
    }
}

/// A hub that grants `deflate` and sends back, compressed, what it is told.
fn hub(deflate: Option<Deflate>, limits: FrameLimits) -> (Rig, String) {
    let rig = Rig::reacting(move |input| match input {
        Input::Server(ServerInput::Offered { conn, .. }) => {
            vec![Output::Admit { conn: *conn, limits, pulses: &[], deflate }]
        }
        Input::Conn(ConnInput::Received { conn, frame }) => {
            vec![Output::SendCompressed { conn: *conn, frame: frame.clone() }]
        }
        _ => Vec::new(),
    });
    let address = rig.listen(HTTP_LIMITS);
    (rig, address)
}

/// Upgrades with an offer; returns what is granted.
fn upgrade(address: &str, offer: &str) -> (TcpStream, Option<String>) {
    let mut client = TcpStream::connect(address).unwrap();
    client.set_nodelay(true).unwrap();
    write!(
        client,
        "GET / HTTP/1.1\r\nhost: {address}\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         sec-websocket-extensions: {offer}\r\n\r\n"
    )
    .unwrap();
    let head = head_of(&mut client);
    let granted = head.lines().find_map(|line| line.strip_prefix("sec-websocket-extensions: "));
    (client, granted.map(str::to_owned))
}

/// Text in which some is repeated.
fn prose(length: usize) -> String {
    let mut state = 1_u32;
    let word = |state: &mut u32| {
        *state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        [
            "habe ",
            "nun, ",
            "ach! ",
            "Philosophie, ",
            "Juristerei ",
            "und ",
            "Medizin, ",
            "gr\u{fc}n ",
        ][(*state >> 29) as usize]
    };
    let mut text = String::new();
    while text.len() < length {
        text.push_str(word(&mut state));
    }
    text.truncate(text.floor_char_boundary(length));
    text
}

#[test]
fn what_is_granted_is_what_servers_of_such_clients_grant() {
    let of = |server_max_window_bits| Deflate { server_max_window_bits, ..DEDICATED };
    let shared = Deflate { server_no_context_takeover: true, ..DEDICATED };
    let usual = "permessage-deflate; client_max_window_bits";
    let begin = "permessage-deflate; client_no_context_takeover";
    let rows = [
        (None, usual, None),
        (Some(shared), usual, Some(format!("{begin}; server_no_context_takeover"))),
        (Some(of(15)), "permessage-deflate", Some(begin.to_owned())),
        (Some(of(9)), usual, Some(format!("{begin}; server_max_window_bits=9"))),
        (
            Some(of(14)),
            "permessage-deflate; server_max_window_bits=10",
            Some(format!("{begin}; server_max_window_bits=10")),
        ),
        (
            Some(of(15)),
            "permessage-deflate; server_max_window_bits=8",
            Some(format!("{begin}; server_max_window_bits=9")),
        ),
        (Some(of(15)), "", None),
    ];
    for (deflate, offer, wanted) in rows {
        let (_hub, address) = hub(deflate, LARGE);
        assert_eq!(upgrade(&address, offer).1, wanted, "{offer}");
    }
}

#[test]
fn messages_of_all_sizes_cross_compressed_however_windows_and_fragments_are() {
    let offers = [
        "permessage-deflate",
        "permessage-deflate; client_max_window_bits",
        "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
        "permessage-deflate; server_max_window_bits=9; client_max_window_bits=9",
        "permessage-deflate; server_max_window_bits=15; server_no_context_takeover",
    ];
    for offer in offers {
        for deflate in [ALL, DEDICATED] {
            let (_hub, address) = hub(Some(deflate), LARGE);
            let (stream, granted) = upgrade(&address, offer);
            let granted = granted.unwrap();
            let is_kept = !granted.contains("client_no_context_takeover");
            let window_bits = if granted.contains("client_max_window_bits=9") { 9 } else { 15 };
            let mut peer = Peer::new(stream, true, window_bits, is_kept);
            for size in [0, 16, 64, 256, 1_024, 4_096, 16_384, 65_536, 131_072] {
                let text = prose(size);
                for (opcode, fragment) in [(TEXT, usize::MAX / 2), (BINARY, 256), (TEXT, 1_000)] {
                    peer.send(opcode, text.as_bytes(), fragment);
                    let wanted = (opcode, true, text.clone().into_bytes());
                    assert!(peer.receive(size) == wanted, "{offer}: {size} in {fragment}");
                }
            }
        }
    }
}

#[test]
fn what_is_not_marked_is_compressed_from_the_threshold_on() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let worker = Rig::new();
    let deflate = Some(Deflate { threshold: Some(1_024), ..ALL });
    let (conn, target) = (ConnId(2), offering(&listener, deflate));
    worker.perform([Output::Dial { conn, target }]);
    let granted = "sec-websocket-extensions: permessage-deflate; server_max_window_bits=10\r\n";
    let (stream, head) = accept_with(&listener, granted);
    let offer = "sec-websocket-extensions: permessage-deflate; client_max_window_bits";
    assert!(head.lines().any(|line| line == offer), "{head}");
    assert!(matches!(worker.input(), Input::Conn(ConnInput::Opened { .. })));
    let mut server = Peer::new(stream, false, 10, true);
    for (size, is_compressed) in [(1_023, false), (1_024, true), (9_000, true), (9_000, true)] {
        let text = prose(size);
        let frame = Frame::Text(text.clone().into());
        worker.perform([Output::Send { conn, frame: frame.clone() }]);
        assert!(server.receive(size) == (TEXT, is_compressed, text.clone().into_bytes()));
        server.send(TEXT, text.as_bytes(), 4_000);
        let Input::Conn(ConnInput::Received { frame: got, .. }) = worker.input() else { panic!() };
        assert_eq!(got, frame);
    }
    worker.perform([Output::SendCompressed { conn, frame: Frame::Ping(Bytes::new()) }]);
    let ping = WireFrame::read(&mut server.stream).unwrap().unwrap();
    assert_eq!((ping.opcode, ping.reserved), (9, 0));
}

#[test]
fn without_an_agreement_what_is_marked_is_sent_as_it_is() {
    let (_hub, address) = hub(None, LARGE);
    let (mut stream, granted) = upgrade(&address, "permessage-deflate");
    assert_eq!(granted, None);
    WireFrame::new(TEXT, &[b'a'; 2_000]).write(&mut stream, true).unwrap();
    let echo = WireFrame::read(&mut stream).unwrap().unwrap();
    assert_eq!((echo.reserved, echo.payload.len()), (0, 2_000));
}

#[test]
fn a_grant_that_nobody_asked_for_fails_the_dial() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let worker = Rig::new();
    worker.perform([Output::Dial { conn: ConnId(2), target: offering(&listener, None) }]);
    let granted = "sec-websocket-extensions: permessage-deflate\r\n";
    let (_stream, head) = accept_with(&listener, granted);
    assert!(!head.contains("sec-websocket-extensions"), "{head}");
    let Input::Conn(ConnInput::Closed { cause: CloseCause::Failed(error), .. }) = worker.input()
    else {
        panic!()
    };
    assert_eq!(error.code(), ErrorCode::ConnectFailed);
}

#[test]
fn a_bomb_costs_its_limit_and_tells_its_beginning() {
    let (hub, address) = hub(Some(ALL), LARGE);
    let mut peer = Peer::new(upgrade(&address, "permessage-deflate").0, true, 15, true);
    assert!(matches!(hub.input(), Input::Server(ServerInput::Offered { .. })));
    peer.send(TEXT, &vec![b'b'; 50 * 1_024 * 1_024], 1_000);
    let Input::Conn(ConnInput::Closed { cause, .. }) = hub.input() else { panic!() };
    let CloseCause::Exceeded { error, beginning } = cause else { panic!("{cause:?}") };
    assert_eq!((error.code(), beginning.as_ref()), (ErrorCode::TooLarge, &[b'b'; 256][..]));
    assert_eq!(closed_with(&mut peer.stream), 1009);
}

#[test]
fn what_is_broken_or_no_text_ends_the_connection() {
    let wrong = [
        WireFrame { reserved: 4, ..WireFrame::new(TEXT, &[0xff; 20]) },
        // The bytes 0xff 0xff in a block that is not compressed.
        WireFrame { reserved: 4, ..WireFrame::new(TEXT, &[0, 2, 0, 0xfd, 0xff, 0xff, 0xff, 0]) },
    ];
    for frame in wrong {
        let (hub, address) = hub(Some(ALL), LARGE);
        let (mut stream, _) = upgrade(&address, "permessage-deflate");
        assert!(matches!(hub.input(), Input::Server(ServerInput::Offered { .. })));
        frame.write(&mut stream, true).unwrap();
        let Input::Conn(ConnInput::Closed { cause: CloseCause::Failed(error), .. }) = hub.input()
        else {
            panic!()
        };
        assert_eq!(error.code(), ErrorCode::PeerProtocol);
        assert_eq!(closed_with(&mut stream), 1007);
    }
}

/// A target that offers compression.
fn offering(listener: &TcpListener, deflate: Option<Deflate>) -> DialTarget {
    let address = listener.local_addr().unwrap().to_string();
    let url = format!("ws://{address}/");
    let address = DialAddress::WebSocket { url, headers: Headers::new(), deflate };
    DialTarget { address, ..target("127.0.0.1:1") }
}

fn closed_with(stream: &mut impl Read) -> u16 {
    let close = WireFrame::read(stream).unwrap().unwrap();
    assert_eq!(close.opcode, 8);
    u16::from_be_bytes([close.payload[0], close.payload[1]])
}
