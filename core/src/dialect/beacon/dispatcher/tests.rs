//! The dispatcher in virtual time, against scripted answers.

// A test picks the one event that it waits for.
#![allow(clippy::wildcard_enum_match_arm)]

use bytes::Bytes;

use crate::api::command::CallCommand;
use crate::api::command::Command;
use crate::api::event::Event;
use crate::api::event::{CallEvent, SessionEvent};
use crate::base::error::{Error, ErrorCode};
use crate::base::ids::{CallId, HttpId};
use crate::base::json::Raw;
use crate::dialect::beacon::bench::Bench;
use crate::machine::HttpInput;
use crate::machine::{Input, Output};
use crate::net::{Headers, HttpBody, HttpResponse, Method};

const DONE: &str =
    r#"{"Success":true,"WorkItemHash":"wi-1","Outputs":{"b":1.0,"a":1e2},"Log":["x"]}"#;

#[test]
fn a_call_is_one_request_and_its_result_passes_untouched() {
    let mut bench = ready("{}");
    call(&mut bench, 1, "Echo/Say", r#"{"n":1.0}"#, r#"{"timeout_ms":1000,"affinity_key":"k"}"#);
    let (http, request) = bench.asked();
    assert_eq!(request.url, "http://localhost:54321/Beacon/Work/Dispatch");
    assert!(request.headers.first("x-idempotency-key").is_some_and(|key| key.len() == 36));
    assert_eq!(
        request.body,
        r#"{"Capability":"Echo","Action":"Say","Settings":{"n":1.0},"TimeoutMs":1000,"AffinityKey":"k"}"#
    );
    bench.answer(http, 200, DONE);
    let value = result(&mut bench, 1).unwrap();
    assert_eq!(
        value.as_str(),
        r#"{"WorkItemHash":"wi-1","Outputs":{"b":1.0,"a":1e2},"Log":["x"]}"#
    );
    bench.quiet();
}

#[test]
fn a_call_is_repeated_under_one_key_until_the_control_plane_is_back() {
    let mut bench = ready("{}");
    call(&mut bench, 1, "Echo/Say", "{}", "{}");
    let (http, first) = bench.asked();
    bench.fail(http);
    bench.pass(250);
    let (http, second) = bench.asked();
    bench.answer(http, 502, "<html>");
    bench.pass(500);
    let (http, third) = bench.asked();
    let key = first.headers.first("x-idempotency-key");
    assert_eq!(second.headers.first("x-idempotency-key"), key);
    assert_eq!(third.headers.first("x-idempotency-key"), key);
    assert!(third.body.ends_with(br#""TimeoutMs":299250}"#));
    bench.answer(http, 200, DONE);
    assert!(result(&mut bench, 1).is_ok());
}

#[test]
fn a_key_of_any_text_is_carried_and_one_with_a_line_break_refused_at_once() {
    let mut bench = ready("{}");
    call(&mut bench, 1, "Echo/Say", "{}", r#"{"idempotency_key":"schlüssel-7"}"#);
    let (_, request) = bench.asked();
    let value = request.headers.first("x-idempotency-key");
    assert_eq!(value, Some("UTF-8''schl%C3%BCssel%2D7"));
    assert_eq!(request.headers.first_text("x-idempotency-key").unwrap(), "schlüssel-7");
    for key in ["a\\nb", "a\\r", "\\u0000", "\\u007f", "\\u0085"] {
        let options = format!(r#"{{"idempotency_key":"{key}"}}"#);
        let refused = bench.command(order(2, "Echo/Say", "{}", &options)).unwrap_err();
        assert_eq!(refused.code(), ErrorCode::ArgumentInvalid, "{key}");
    }
    bench.quiet();
}

#[test]
fn a_call_ends_at_its_deadline_to_the_millisecond_whatever_happens() {
    let mut bench = ready("{}");
    call(&mut bench, 1, "Echo/Say", "{}", r#"{"timeout_ms":30000}"#);
    let (http, _) = bench.asked();
    bench.pass(29_999);
    bench.quiet();
    bench.pass(1);
    assert!(matches!(bench.next(), Some(Output::HttpCancel { http: id }) if id == http));
    assert_eq!(result(&mut bench, 1).unwrap_err().code(), ErrorCode::CallTimeout);
    bench.answer(http, 200, DONE);
    bench.quiet();
}

#[test]
fn failures_are_told_apart() {
    let cases = [
        (500, r#"{"Success":false,"Error":"deliberate failure"}"#, ErrorCode::RemoteError),
        (400, r#"{"Success":false,"Error":"Capability is required."}"#, ErrorCode::ArgumentInvalid),
        (409, r#"{"Success":false,"Error":"used before"}"#, ErrorCode::ArgumentInvalid),
        (403, r#"{"Success":false,"Error":"no"}"#, ErrorCode::RemoteError),
        (401, r#"{"Error":"Authentication required."}"#, ErrorCode::AuthenticationFailed),
        (413, r#"{"Error":"too large"}"#, ErrorCode::TooLarge),
        (200, "<html>", ErrorCode::PeerProtocol),
    ];
    for (status, body, code) in cases {
        let mut bench = ready("{}");
        call(&mut bench, 1, "Echo/Say", "{}", "{}");
        let (http, _) = bench.asked();
        bench.answer(http, status, body);
        assert_eq!(result(&mut bench, 1).unwrap_err().code(), code, "{status}");
    }
}

#[test]
fn without_any_worker_a_call_waits_a_little_and_says_so() {
    let mut bench = ready(r#"{"reconnect":{"base_delay_ms":10000,"jitter_percent":0}}"#);
    call(&mut bench, 1, "Echo/Say", "{}", "{}");
    let body = r#"{"Success":false,"Error":"No Beacon workers are registered."}"#;
    let (http, _) = bench.asked();
    bench.answer(http, 503, body);
    bench.quiet();
    bench.pass(10_000);
    let (http, _) = bench.asked();
    bench.answer(http, 503, body);
    assert_eq!(result(&mut bench, 1).unwrap_err().code(), ErrorCode::NoWorker);
}

#[test]
fn a_limited_rate_is_honoured() {
    let mut bench = ready("{}");
    call(&mut bench, 1, "$enqueue", r#"{"Capability":"Echo"}"#, "{}");
    let (http, _) = bench.asked();
    let mut response = HttpResponse::json(429, r#"{"Reason":"client_rate_limit"}"#);
    response.headers.push("retry-after", "3");
    bench.input(Input::Http(HttpInput::Replied { http, result: Ok(response) }));
    bench.pass(2_999);
    bench.quiet();
    bench.pass(1);
    bench.asked();
}

#[test]
fn a_stream_yields_parts_and_then_the_result() {
    let mut bench = ready("{}");
    let (http, body) = streaming(&mut bench);
    let response =
        HttpResponse { status: 200, headers: Headers::new(), body: HttpBody::Full(body.into()) };
    bench.input(Input::Http(HttpInput::Replied { http, result: Ok(response) }));
    assert_eq!(part(&mut bench), r#"{"Percent":40}"#);
    assert_streamed(&mut bench);
}

#[test]
fn a_stream_is_passed_on_as_it_comes() {
    let mut bench = ready("{}");
    let (http, body) = streaming(&mut bench);
    let mut percent = false;
    for byte in body {
        bench.input(Input::Http(HttpInput::Part { http, bytes: vec![byte].into() }));
        if !percent && let Some(Output::Event(event)) = bench.next() {
            let Event::Call(CallEvent::Part { part, .. }) = event else { panic!("{event:?}") };
            assert_eq!(part.as_str(), r#"{"Percent":40}"#);
            percent = true;
        }
    }
    let response = HttpResponse { status: 200, headers: Headers::new(), body: HttpBody::Streaming };
    bench.input(Input::Http(HttpInput::Replied { http, result: Ok(response) }));
    assert_streamed(&mut bench);
}

/// Begins a streaming call; returns its exchange and an answer.
fn streaming(bench: &mut Bench) -> (HttpId, Vec<u8>) {
    call(bench, 1, "S/Go", "{}", r#"{"stream":true}"#);
    let (http, request) = bench.asked();
    assert!(request.url.ends_with("/DispatchStream"));
    let mut body = Vec::new();
    let result_frame = r#"{"Success":true,"WorkItemHash":"wi-1","Outputs":{"a":1},"Log":[]}"#;
    let frames: [(u8, &[u8]); 4] =
        [(1, b"{\"Percent\":40}"), (2, b"chunk"), (3, b"tail"), (4, result_frame.as_bytes())];
    for (kind, payload) in frames {
        body.push(kind);
        body.extend((payload.len() as u32).to_be_bytes());
        body.extend(payload);
    }
    (http, body)
}

fn assert_streamed(bench: &mut Bench) {
    assert_eq!(part(bench), r#"{"BinaryData":"Y2h1bms="}"#);
    let value = result(bench, 1).unwrap();
    let wanted = r#"{"WorkItemHash":"wi-1","Outputs":{"a":1,"OutputData":"dGFpbA=="},"Log":[]}"#;
    assert_eq!(value.as_str(), wanted);
}

#[test]
fn a_cancelled_call_settles_at_once_and_its_item_is_cancelled_by_the_key() {
    let mut bench = ready("{}");
    call(&mut bench, 1, "Echo/Say", "{}", r#"{"idempotency_key":"mine"}"#);
    let (asked, _) = bench.asked();
    bench.command(Command::Call(CallCommand::Cancel { call: CallId(1) })).unwrap();
    assert!(matches!(bench.next(), Some(Output::HttpCancel { http }) if http == asked));
    assert_eq!(result(&mut bench, 1).unwrap_err().code(), ErrorCode::CallCancelled);
    let (http, request) = bench.asked();
    assert!(request.url.ends_with("/Beacon/Work/Cancel"));
    assert_eq!(request.headers.first("x-idempotency-key"), Some("mine"));
    bench.answer(http, 404, "{}");
    bench.quiet();
}

#[test]
fn items_of_many_cancelled_calls_are_cancelled_a_few_at_a_time_and_a_drain_waits_for_it() {
    let mut bench = ready("{}");
    for id in 1..=20 {
        call(&mut bench, id, "Echo/Say", "{}", "{}");
    }
    bench.rest();
    for id in 1..=20 {
        bench.command(Command::Call(CallCommand::Cancel { call: CallId(id) })).unwrap();
    }
    let asked = |bench: &mut Bench| -> Vec<HttpId> {
        let calls = bench.rest().into_iter().filter_map(|output| match output {
            Output::HttpCall { http, .. } => Some(http),
            _ => None,
        });
        calls.collect()
    };
    let first = asked(&mut bench);
    assert_eq!(first.len(), 8);
    bench.command(Command::Stop { drain_ms: 5_000 }).unwrap();
    let mut waiting = std::collections::VecDeque::from(first);
    let mut all = 0;
    while let Some(http) = waiting.pop_front() {
        assert_eq!(bench.state()["state"], "draining", "{all}");
        all += 1;
        bench.answer(http, 200, "{}");
        waiting.extend(asked(&mut bench));
    }
    assert_eq!((all, bench.state()["state"].as_str()), (20, Some("ended")));
}

#[test]
fn an_expired_session_is_renewed_once_for_all_calls() {
    let mut bench = Bench::open("dispatcher", r#"{"user_name":"ada","password":"pw"}"#);
    bench.command(Command::Start).unwrap();
    call(&mut bench, 1, "Echo/Say", "{}", "{}");
    log_in(&mut bench);
    let (http, request) = bench.asked();
    assert_eq!(request.headers.first("cookie"), Some("SessionID=1"));
    bench.answer(http, 200, DONE);
    result(&mut bench, 1).unwrap();

    for id in [2, 3] {
        call(&mut bench, id, "Echo/Say", "{}", "{}");
    }
    let ((two, _), (three, _)) = (bench.asked(), bench.asked());
    bench.answer(two, 401, "{}");
    bench.answer(three, 401, "{}");
    log_in(&mut bench);
    let ((two, _), (three, _)) = (bench.asked(), bench.asked());
    bench.quiet();
    bench.answer(two, 200, DONE);
    bench.answer(three, 200, DONE);
    assert!(result(&mut bench, 2).is_ok() && result(&mut bench, 3).is_ok());
}

#[test]
fn administrative_calls_are_plain_requests() {
    let cases = [
        ("$status", "{}", Method::Get, "/Moorline/Status"),
        ("$beacons", "{}", Method::Get, "/Beacon"),
        ("$work", "{}", Method::Get, "/Beacon/Work"),
        ("$capabilities", "{}", Method::Get, "/Beacon/Capabilities"),
        ("$result", r#"{"WorkItemHash":"a/b"}"#, Method::Get, "/Beacon/Work/a%2Fb/Result"),
        ("$cancel", r#"{"WorkItemHash":"a"}"#, Method::Post, "/Beacon/Work/a/Cancel"),
        ("$run_start", "{}", Method::Post, "/Beacon/Run/Start"),
        ("$run_end", r#"{"RunID":"r"}"#, Method::Post, "/Beacon/Run/r/End"),
        ("$drain", r#"{"BeaconID":"b"}"#, Method::Post, "/Beacon/b/Drain"),
        ("$daemons", "{}", Method::Get, "/Moorline/Volt/Daemons"),
        ("$tokens", "{}", Method::Get, "/Moorline/Volt/Tokens"),
        ("$enroll", r#"{"TeamClusterID":"c"}"#, Method::Post, "/Moorline/Volt/Tokens"),
        ("$revoke", r#"{"TokenID":"t"}"#, Method::Delete, "/Moorline/Volt/Tokens/t"),
        ("$forget", r#"{"TeamClusterID":"c"}"#, Method::Delete, "/Moorline/Volt/Daemons/c"),
        (
            "$rotate",
            r#"{"TeamClusterID":"c d"}"#,
            Method::Post,
            "/Moorline/Volt/Daemons/c%20d/Password",
        ),
    ];
    for (name, payload, method, path) in cases {
        let mut bench = ready("{}");
        call(&mut bench, 1, name, payload, "{}");
        let (http, request) = bench.asked();
        assert_eq!(
            (request.method, request.url),
            (method, format!("http://localhost:54321{path}"))
        );
        bench.answer(http, 200, r#"[{"z":1.0}]"#);
        assert_eq!(result(&mut bench, 1).unwrap().as_str(), r#"[{"z":1.0}]"#);
    }
}

#[test]
fn a_command_to_a_daemon_is_sent_once() {
    let mut bench = ready("{}");
    let options = r#"{"team_cluster_id":"lab","timeout_ms":5000}"#;
    call(&mut bench, 1, "jobs.run", r#"{"n":1.0}"#, options);
    let (http, request) = bench.asked();
    assert_eq!(request.url, "http://localhost:54321/Moorline/Volt/Daemons/lab/Call");
    assert_eq!(
        request.body,
        r#"{"Command":"jobs.run","Payload":{"n":1.0},"ResponseType":"json","TimeoutMs":4750}"#
    );
    bench.answer(http, 200, r#"{"Status":200,"Data":{"z":1.0}}"#);
    assert_eq!(result(&mut bench, 1).unwrap().as_str(), r#"{"Status":200,"Data":{"z":1.0}}"#);
    let failures = [
        (502, r#"{"Error":"busy","Code":"REMOTE_ERROR","Status":409}"#, ErrorCode::RemoteError),
        (503, r#"{"Error":"lost","Code":"NOT_READY"}"#, ErrorCode::NotReady),
        (504, r#"{"Error":"late","Code":"CALL_TIMEOUT"}"#, ErrorCode::CallTimeout),
        (429, r#"{"Error":"too often"}"#, ErrorCode::RateLimited),
        (500, "<html>", ErrorCode::RemoteError),
    ];
    for (index, (status, body, code)) in failures.into_iter().enumerate() {
        let id = index as u64 + 2;
        call(&mut bench, id, "jobs.run", "{}", options);
        let (http, _) = bench.asked();
        bench.answer(http, status, body);
        let error = result(&mut bench, id).unwrap_err();
        assert_eq!(error.code(), code, "{body}");
        assert_eq!(error.status(), body.contains("409").then_some(409));
        bench.quiet();
    }
}

#[test]
fn a_stream_of_a_daemon_yields_its_parts() {
    let mut bench = ready("{}");
    let options = r#"{"team_cluster_id":"lab","response_type":"stream"}"#;
    for (end, payload) in [(4, r#"{"Status":200}"#), (5, r#"{"Error":"e","Code":"TOO_LARGE"}"#)] {
        call(&mut bench, end.into(), "log", "{}", options);
        let (http, _) = bench.asked();
        for (kind, payload) in [(1, r#"{"Status":200}"#), (2, "chunk"), (end, payload)] {
            let length = (payload.len() as u32).to_be_bytes();
            let frame = [&[kind], &length[..], payload.as_bytes()].concat();
            bench.input(Input::Http(HttpInput::Part { http, bytes: frame.into() }));
        }
        assert_eq!(part(&mut bench), r#"{"Status":200}"#);
        assert_eq!(part(&mut bench), r#"{"BinaryData":"Y2h1bms="}"#);
        let body = HttpBody::Streaming;
        let response = HttpResponse { status: 200, headers: Headers::new(), body };
        bench.input(Input::Http(HttpInput::Replied { http, result: Ok(response) }));
        let result = result(&mut bench, end.into());
        match result {
            Ok(value) => assert_eq!(value.as_str(), payload),
            Err(error) => assert_eq!((end, error.code()), (5, ErrorCode::TooLarge)),
        }
    }
    call(&mut bench, 9, "log", "{}", options);
    let (http, _) = bench.asked();
    bench.answer(http, 200, r#"{"Status":200,"Data":1}"#);
    assert_eq!(result(&mut bench, 9).unwrap().as_str(), r#"{"Status":200,"Data":1}"#);
}

#[test]
fn a_run_is_started_under_a_key_of_its_own_or_of_the_call() {
    let mut bench = ready("{}");
    call(&mut bench, 1, "$run_start", r#"{"SubmitterTag":"t"}"#, r#"{"idempotency_key":"k"}"#);
    assert_eq!(bench.asked().1.body, r#"{"SubmitterTag":"t","IdempotencyKey":"k"}"#);
    call(&mut bench, 2, "$run_start", r#"{"IdempotencyKey":"own"}"#, "{}");
    assert_eq!(bench.asked().1.body, r#"{"IdempotencyKey":"own"}"#);
}

#[test]
fn misuse_is_refused_at_once() {
    let mut bench = Bench::open("dispatcher", "{}");
    let refused = |bench: &mut Bench, name: &str, payload: &str, options: &str| {
        let command = Command::Call(CallCommand::Make {
            call: CallId(9),
            name: name.into(),
            payload: Raw::parse(payload.to_owned()).unwrap(),
            options: Raw::parse(options.to_owned()).unwrap(),
        });
        bench.command(command).unwrap_err().code()
    };
    assert_eq!(refused(&mut bench, "Echo/Say", "{}", "{}"), ErrorCode::NotStarted);
    let mut bench = ready(r#"{"limits":{"max_pending_calls":1}}"#);
    assert_eq!(refused(&mut bench, "Echo", "{}", "{}"), ErrorCode::ArgumentInvalid);
    assert_eq!(refused(&mut bench, "$dance", "{}", "{}"), ErrorCode::ArgumentInvalid);
    assert_eq!(refused(&mut bench, "$result", "{}", "{}"), ErrorCode::ArgumentInvalid);
    assert_eq!(refused(&mut bench, "Echo/Say", "[]", "{}"), ErrorCode::ArgumentInvalid);
    assert_eq!(
        refused(&mut bench, "Echo/Say", "{}", r#"{"tmeout_ms":1}"#),
        ErrorCode::ArgumentInvalid
    );
    call(&mut bench, 1, "Echo/Say", "{}", "{}");
    assert_eq!(refused(&mut bench, "Echo/Say", "{}", "{}"), ErrorCode::Overloaded);
}

#[test]
fn a_drain_waits_for_open_calls_and_then_ends_them() {
    let mut bench = ready("{}");
    call(&mut bench, 1, "Echo/Say", "{}", "{}");
    call(&mut bench, 2, "Echo/Say", "{}", "{}");
    let ((one, _), _) = (bench.asked(), bench.asked());
    bench.command(Command::Stop { drain_ms: 1_000 }).unwrap();
    assert!(matches!(bench.event(), Event::Session(SessionEvent::Draining { in_flight: 2, .. })));
    bench.answer(one, 200, DONE);
    assert!(result(&mut bench, 1).is_ok());
    bench.pass(1_000);
    assert_eq!(result(&mut bench, 2).unwrap_err().code(), ErrorCode::Stopped);
    let Event::Session(SessionEvent::Ended { error: Some(error) }) = bench.event() else {
        panic!()
    };
    assert_eq!(error.code(), ErrorCode::DrainTimeout);
    assert!(bench.machine.poll_timeout().is_none());
}

fn ready(options: &str) -> Bench {
    let options = if options == "{}" {
        r#"{"reconnect":{"base_delay_ms":250,"jitter_percent":0}}"#
    } else {
        options
    };
    let mut bench = Bench::open("dispatcher", options);
    bench.command(Command::Start).unwrap();
    assert!(matches!(bench.event(), Event::Session(SessionEvent::Ready { .. })));
    bench
}

fn call(bench: &mut Bench, id: u64, name: &str, payload: &str, options: &str) {
    bench.command(order(id, name, payload, options)).unwrap();
}

fn order(id: u64, name: &str, payload: &str, options: &str) -> Command {
    Command::Call(CallCommand::Make {
        call: CallId(id),
        name: name.into(),
        payload: Raw::parse(payload.to_owned()).unwrap(),
        options: Raw::parse(options.to_owned()).unwrap(),
    })
}

fn result(bench: &mut Bench, id: u64) -> Result<Raw, Error> {
    match bench.event() {
        Event::Call(CallEvent::Done { call, result }) if call == CallId(id) => result,
        other => panic!("{other:?}"),
    }
}

fn part(bench: &mut Bench) -> String {
    match bench.event() {
        Event::Call(CallEvent::Part { part, .. }) => part.as_str().to_owned(),
        other => panic!("{other:?}"),
    }
}

fn log_in(bench: &mut Bench) {
    let (http, request) = bench.asked();
    assert_eq!(request.body, Bytes::from_static(br#"{"UserName":"ada","Password":"pw"}"#));
    let mut response = HttpResponse::json(200, r#"{"LoggedIn":true}"#);
    response.headers.push("set-cookie", "SessionID=1; Path=/");
    bench.input(Input::Http(HttpInput::Replied { http, result: Ok(response) }));
    assert!(matches!(bench.event(), Event::Session(SessionEvent::Ready { .. })));
}

#[test]
fn a_hub_that_is_away_during_the_login_has_refused_nobody() {
    for (status, body, code) in [
        (401, "{}", ErrorCode::AuthenticationFailed),
        (429, "{}", ErrorCode::RateLimited),
        (503, r#"{"Error":"The hub is loading."}"#, ErrorCode::ConnectFailed),
        (200, "<html>", ErrorCode::PeerProtocol),
    ] {
        let mut bench = Bench::open("dispatcher", r#"{"user_name":"ada","password":"pw"}"#);
        bench.command(Command::Start).unwrap();
        let (http, _) = bench.asked();
        let mut response = HttpResponse::json(status, body);
        response.headers.push("retry-after", "40");
        bench.input(Input::Http(HttpInput::Replied { http, result: Ok(response) }));
        let Event::Session(SessionEvent::Lost { reason, retry_ms, .. }) = bench.event() else {
            panic!("{status}")
        };
        assert_eq!((reason.code(), retry_ms), (code, 40_000), "{status}");
    }
}

/// What the hub's own application is told by the same codes.
#[test]
fn a_code_that_the_hub_names_is_the_calls_own() {
    for (status, code) in [
        (400, ErrorCode::ArgumentInvalid),
        (404, ErrorCode::NoWorker),
        (503, ErrorCode::Overloaded),
        (503, ErrorCode::NotReady),
    ] {
        let mut bench = ready("{}");
        call(&mut bench, 1, "$enroll", r#"{"TeamClusterID":"a/b"}"#, "{}");
        let (http, _) = bench.asked();
        let body = format!(r#"{{"Error":"said so","Code":"{}"}}"#, code.name());
        let mut response = HttpResponse::json(status, body);
        response.headers.push("retry-after", "1");
        bench.input(Input::Http(HttpInput::Replied { http, result: Ok(response) }));
        let error = result(&mut bench, 1).unwrap_err();
        assert_eq!((error.code(), error.message()), (code, "said so"));
    }
}
