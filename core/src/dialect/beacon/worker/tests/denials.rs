//! What a worker tells of what does not let it in, or cannot be read.

use super::*;

#[test]
fn a_hub_that_takes_registrations_later_is_tried_later() {
    let mut bench = Bench::worker("");
    bench.command(Command::Start).unwrap();
    bench.answer_login();
    let conn = bench.dialed();
    bench.input(Input::Conn(ConnInput::Opened { conn }));
    bench.text(conn);
    let cause = CloseCause::Remote { code: 1013, reason: "too many".into() };
    bench.input(Input::Conn(ConnInput::Closed { conn, cause }));
    let Event::Session(SessionEvent::Lost { reason, .. }) = bench.event() else { panic!() };
    assert!(reason.message().contains("too many"), "{reason}");
    bench.quiet();
}

#[test]
fn a_hub_that_is_away_during_the_login_has_refused_nobody() {
    for (status, code) in [
        (401, ErrorCode::AuthenticationFailed),
        (403, ErrorCode::AuthenticationFailed),
        (404, ErrorCode::ConnectFailed),
        (429, ErrorCode::RateLimited),
        (502, ErrorCode::ConnectFailed),
        (503, ErrorCode::ConnectFailed),
    ] {
        let mut bench = Bench::worker("");
        bench.command(Command::Start).unwrap();
        let (http, _) = bench.asked();
        bench.answer(http, status, "<html>");
        let Event::Session(SessionEvent::Lost { reason, .. }) = bench.event() else { panic!() };
        assert_eq!(reason.code(), code, "{status}");
    }
}

#[test]
fn a_login_is_tried_again_when_the_hub_says_so() {
    let mut bench = Bench::worker("");
    bench.command(Command::Start).unwrap();
    let (http, _) = bench.asked();
    let mut response = crate::net::HttpResponse::json(503, r#"{"Error":"The hub is loading."}"#);
    response.headers.push("retry-after", "20");
    let replied = crate::machine::HttpInput::Replied { http, result: Ok(response) };
    bench.input(Input::Http(replied));
    let event = bench.event();
    assert!(
        matches!(event, Event::Session(SessionEvent::Lost { retry_ms: 20_000, .. })),
        "{event:?}"
    );
    bench.pass(19_999);
    bench.quiet();
    bench.pass(1);
    bench.asked();
}

#[test]
fn outcomes_that_cannot_be_read_are_told() {
    let mut bench = Bench::worker(r#"{"runtime":{"store_path":"/tmp/w.db"}}"#);
    bench.command(Command::Start).unwrap();
    let record = |text: &'static str| bytes::Bytes::from_static(text.as_bytes());
    let records = [("wi-1", "{}"), ("wi-2", "\u{0}")];
    bench.recalled(records.map(|(key, value)| (key.to_owned(), record(value))).to_vec());
    let Event::Session(SessionEvent::Notice { error }) = bench.event() else { panic!() };
    assert_eq!(error.code(), ErrorCode::StoreFailed);
    assert!(error.message().starts_with("2 records"), "{error}");
    bench.asked();
}
