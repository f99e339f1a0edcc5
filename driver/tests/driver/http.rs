//! HTTP calls and answers.

use std::io::Write as _;
use std::net::TcpStream;

use bytes::Bytes;
use moorline_driver::core::{
    ErrorCode, Headers, HttpBody, HttpId, HttpRequest, HttpResponse, Input, Method, Output,
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
