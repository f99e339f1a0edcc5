//! HTTP calls and answers.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};

use bytes::Bytes;
use moorline_driver::Handle;
use moorline_driver::core::options::RuntimeOptions;
use moorline_driver::core::{
    ErrorCode, Event, Headers, HttpBody, HttpId, HttpRequest, HttpResponse, Input, Method, Output,
    PeerEvent, Raw,
};
use moorline_driver::core::{HttpInput, ServerInput};

use crate::rig::{HTTP_LIMITS, Rig};

fn post(address: &str, body: impl Into<Bytes>) -> HttpRequest {
    HttpRequest {
        method: Method::Post,
        url: format!("http://{address}/work?x=1"),
        headers: Headers::new().with("content-type", "application/json"),
        body: body.into(),
    }
}

fn call(http: u64, request: HttpRequest) -> Output {
    Output::HttpCall {
        http: HttpId(http),
        request,
        timeout_ms: 5_000,
        max_body: 100_000,
        streams: false,
    }
}

fn echoing() -> Rig {
    Rig::reacting(|input| match input {
        Input::Server(ServerInput::Asked { http, request, .. }) => vec![Output::HttpReply {
            http: *http,
            response: HttpResponse::json(200, request.body.clone()),
        }],
        _ => Vec::new(),
    })
}

fn replied(rig: &Rig) -> Result<HttpResponse, moorline_driver::core::Error> {
    match rig.input() {
        Input::Http(HttpInput::Replied { result, .. }) => result,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_call_is_answered_and_its_connection_kept() {
    let hub = echoing();
    let address = hub.listen(HTTP_LIMITS);
    let client = Rig::new();
    for n in 0..3 {
        client.perform([call(2 + 2 * n, post(&address, format!("[{n}]")))]);
        let Input::Server(ServerInput::Asked { request, .. }) = hub.input() else { panic!() };
        assert_eq!((request.method, request.url.as_str()), (Method::Post, "/work?x=1"));
        let response = replied(&client).unwrap();
        assert_eq!(response.status, 200);
        assert_eq!(response.headers.first("connection"), Some("keep-alive"));
        assert_eq!(response.bytes(), format!("[{n}]").as_bytes());
    }
    assert_eq!(client.handle.counters().requests_out, 3);
}

#[test]
fn header_fields_are_bytes() {
    let hub = Rig::reacting(|input| match input {
        Input::Server(ServerInput::Asked { http, request, .. }) => {
            let mut response = HttpResponse::json(200, "{}");
            for (name, value) in request.headers.iter().filter(|(name, _)| name.starts_with("x-")) {
                response.headers.push(name, value.expose());
            }
            vec![Output::HttpReply { http: *http, response }]
        }
        _ => Vec::new(),
    });
    let address = hub.listen(HTTP_LIMITS);
    let client = Rig::new();
    let mut request = post(&address, "");
    request.headers.push("x-utf8", "schlüssel");
    client.perform([call(2, request)]);
    assert_eq!(replied(&client).unwrap().headers.first("x-utf8"), Some("schlüssel"));
    let _ = hub.input();
    // Another program's cookie beside ours, in Latin-1.
    let mut stranger = TcpStream::connect(&address).unwrap();
    let head = b"GET / HTTP/1.1\r\nHost: h\r\nCookie: other=\xfc; SessionID=1\r\n\r\n";
    stranger.write_all(head).unwrap();
    let Input::Server(ServerInput::Asked { request, .. }) = hub.input() else { panic!() };
    assert_eq!(request.headers.first("cookie"), Some("other=ü; SessionID=1"));
}

#[test]
fn a_streaming_answer_arrives_in_parts_and_ends() {
    let hub = Rig::reacting(|input| match input {
        Input::Server(ServerInput::Asked { http, .. }) => {
            let response =
                HttpResponse { status: 200, headers: Headers::new(), body: HttpBody::Streaming };
            vec![
                Output::HttpReply { http: *http, response },
                Output::HttpPart { http: *http, bytes: Bytes::from_static(b"one\n") },
                Output::HttpPart { http: *http, bytes: Bytes::from_static(b"two\n") },
                Output::HttpEnd { http: *http },
            ]
        }
        _ => Vec::new(),
    });
    let address = hub.listen(HTTP_LIMITS);
    let client = Rig::new();
    client.perform([call(2, post(&address, ""))]);
    assert_eq!(replied(&client).unwrap().bytes(), b"one\ntwo\n");
}

#[test]
fn a_streaming_call_gets_parts_before_the_end() {
    let hub = Rig::new();
    let address = hub.listen(HTTP_LIMITS);
    let client = Rig::new();
    let request = post(&address, "{}");
    client.perform([Output::HttpCall {
        http: HttpId(2),
        request,
        timeout_ms: 5_000,
        max_body: 100,
        streams: true,
    }]);
    let Input::Server(ServerInput::Asked { http, .. }) = hub.input() else { panic!() };
    let response = HttpResponse { status: 200, headers: Headers::new(), body: HttpBody::Streaming };
    hub.perform([
        Output::HttpReply { http, response },
        Output::HttpPart { http, bytes: Bytes::from_static(b"early") },
    ]);
    let Input::Http(HttpInput::Part { bytes, .. }) = client.input() else { panic!() };
    assert_eq!(bytes, "early");
    hub.perform([Output::HttpEnd { http }]);
    assert_eq!(replied(&client).unwrap().body, HttpBody::Streaming);
}

/// K2.5: nothing gathers between the network and an application that does not read its events.
#[test]
fn unread_events_hold_back_parts_and_large_answers_but_no_small_ones() {
    const PARTS: usize = 100;
    const PART: usize = 4_000;
    let payload = Raw::from_value(&"x".repeat(10_000)).unwrap();
    let react = move |input: &Input| match input {
        Input::Http(HttpInput::Part { .. }) => {
            vec![Output::Event(Event::Peer(PeerEvent::Message {
                peer: None,
                payload: payload.clone(),
            }))]
        }
        _ => Vec::new(),
    };
    let mut runtime = RuntimeOptions::default();
    runtime.max_event_bytes = 65_536;
    let client = Rig::build(react, runtime, Handle::drive);
    let (address, server) = streaming(PARTS, PART);
    let streamed = Output::HttpCall {
        http: HttpId(2),
        request: post(&address, ""),
        timeout_ms: 60_000,
        max_body: 100,
        streams: true,
    };
    client.perform([streamed]);
    let mut come = 0;
    while come <= 65_536 / 10_000 * PART {
        let Input::Http(HttpInput::Part { bytes, .. }) = client.input() else { panic!() };
        come += bytes.len();
    }
    // From here on every turn could bring a part: all of them wait on this machine.
    let hub = echoing();
    let other = hub.listen(HTTP_LIMITS);
    client.perform([call(4, post(&other, vec![b' '; 5_000]))]);
    for small in 0..PARTS as u64 {
        client.perform([call(6 + 2 * small, post(&other, "{}"))]);
        loop {
            match client.input() {
                Input::Http(HttpInput::Part { bytes, .. }) => come += bytes.len(),
                Input::Http(HttpInput::Replied { http, .. }) => {
                    assert_eq!(http, HttpId(6 + 2 * small));
                    break;
                }
                other => panic!("{other:?}"),
            }
        }
    }
    assert!(come < 20 * PART, "{come} bytes came although nobody reads");
    let (mut text, mut replied) = (String::new(), 0);
    while replied < 2 {
        client.handle.events().drain(&mut text);
        match client.input() {
            Input::Http(HttpInput::Part { bytes, .. }) => come += bytes.len(),
            Input::Http(HttpInput::Replied { result, .. }) => {
                assert_eq!(result.unwrap().status, 200);
                replied += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(come, PARTS * PART);
    server.join().unwrap();
}

#[test]
fn the_connections_of_a_burst_serve_the_next_one() {
    const BURST: u64 = 100;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (accepted, burst) = (Arc::new(AtomicUsize::new(0)), Arc::new(Barrier::new(BURST as usize)));
    let counted = Arc::clone(&accepted);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, burst) = (stream.unwrap(), Arc::clone(&burst));
            counted.fetch_add(1, Ordering::SeqCst);
            std::thread::spawn(move || {
                let mut asked = Vec::new();
                let mut byte = [0];
                while stream.read_exact(&mut byte).is_ok() {
                    asked.extend(byte);
                    if asked.ends_with(b"\r\n\r\n") {
                        asked.clear();
                        // Nobody is answered before all have asked.
                        burst.wait();
                        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").unwrap();
                    }
                }
            });
        }
    });
    let client = Rig::new();
    for round in 0..2 {
        let ids = (0..BURST).map(|n| 2 + 2 * (round * BURST + n));
        client.perform(ids.map(|id| call(id, post(&address, ""))));
        for _ in 0..BURST {
            assert_eq!(replied(&client).unwrap().status, 200);
        }
    }
    assert_eq!(accepted.load(Ordering::SeqCst) as u64, BURST);
}

/// A server that answers one request with so many chunks.
fn streaming(count: usize, size: usize) -> (String, std::thread::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let (mut asked, mut byte) = (Vec::new(), [0]);
        while !asked.ends_with(b"\r\n\r\n") {
            stream.read_exact(&mut byte).unwrap();
            asked.extend(byte);
        }
        let chunk = format!("{size:x}\r\n{}\r\n", "y".repeat(size));
        let chunks = chunk.repeat(count);
        let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        stream.write_all(format!("{head}{chunks}0\r\n\r\n").as_bytes()).unwrap();
    });
    (address, server)
}

#[test]
fn an_answer_beyond_its_limit_is_too_large() {
    let hub = Rig::reacting(|input| match input {
        Input::Server(ServerInput::Asked { http, .. }) => vec![Output::HttpReply {
            http: *http,
            response: HttpResponse::json(200, vec![b' '; 100_001]),
        }],
        _ => Vec::new(),
    });
    let address = hub.listen(HTTP_LIMITS);
    let client = Rig::new();
    client.perform([call(2, post(&address, ""))]);
    assert_eq!(replied(&client).unwrap_err().code(), ErrorCode::TooLarge);
}

#[test]
fn a_call_that_is_given_up_reports_nothing_and_the_server_learns_it() {
    let hub = Rig::new();
    let address = hub.listen(HTTP_LIMITS);
    let client = Rig::new();
    client.perform([call(2, post(&address, "{}"))]);
    let Input::Server(ServerInput::Asked { http, .. }) = hub.input() else { panic!() };
    client.perform([Output::HttpCancel { http: HttpId(2) }]);
    let Input::Server(ServerInput::Gone { http: gone }) = hub.input() else { panic!() };
    assert_eq!(gone, http);
    let echo = echoing();
    let address = echo.listen(HTTP_LIMITS);
    client.perform([call(4, post(&address, "{}"))]);
    let Input::Http(HttpInput::Replied { http, .. }) = client.input() else { panic!() };
    assert_eq!(http, HttpId(4));
}

#[test]
fn a_call_without_answer_ends_at_its_time_limit() {
    let hub = Rig::new();
    let address = hub.listen(HTTP_LIMITS);
    let client = Rig::new();
    let request = post(&address, "{}");
    client.perform([Output::HttpCall {
        http: HttpId(2),
        request,
        timeout_ms: 50,
        max_body: 100,
        streams: false,
    }]);
    assert_eq!(replied(&client).unwrap_err().code(), ErrorCode::CallTimeout);
}
