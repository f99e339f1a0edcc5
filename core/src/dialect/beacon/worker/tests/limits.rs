//! Messages that are too large for somebody.

use super::*;

/// How many bytes a result adds to the frame that reports it.
fn frame_of(result: usize) -> usize {
    let head = r#"{"Action":"WorkComplete","WorkItemHash":"wi-1","Outputs":{"Result":"#;
    let tail = r#"},"Log":[],"AttemptNumber":1}"#;
    head.len() + result + tail.len()
}

fn result(bytes: usize) -> String {
    format!("\"{}\"", "x".repeat(bytes - 2))
}

fn notice(bench: &mut Bench) -> ErrorCode {
    let Event::Session(SessionEvent::Notice { error }) = bench.event() else { panic!() };
    error.code()
}

#[test]
fn the_hubs_word_on_its_limit_holds_for_the_encoded_frame() {
    for (bytes, passes) in [(2_000 - frame_of(0), true), (2_001 - frame_of(0), false)] {
        let mut bench = Bench::worker("");
        bench.handle("Echo/Say");
        bench.command(Command::Start).unwrap();
        let conn = bench.greeted(r#","Moorline":{"Acks":true,"MaxMessageBytes":2000}"#);
        bench.push(conn, "wi-1", 1);
        let (work, _) = bench.work();
        bench.done(work, &result(bytes));
        let said = bench.text(conn);
        assert_eq!(said.contains("WorkComplete"), passes, "{bytes}");
        assert_eq!(said.contains("\"TOO_LARGE: its message of 2001 bytes"), !passes, "{said}");
        if !passes {
            assert_eq!(notice(&mut bench), ErrorCode::TooLarge);
        }
    }
}

#[test]
fn a_close_with_1009_fails_the_largest_outcome_and_no_other() {
    let (mut bench, conn) = Bench::ready(r#"{"max_concurrent":3,"ping_interval_ms":3600000}"#);
    let mut works = Vec::new();
    for hash in ["wi-1", "wi-2", "wi-3"] {
        bench.push(conn, hash, 1);
        works.push(bench.work().0);
    }
    for (work, bytes) in works.into_iter().zip([500, 9_000, 4_000]) {
        bench.done(work, &result(bytes));
    }
    bench.rest();
    let cause = CloseCause::Remote { code: 1009, reason: String::new() };
    bench.input(Input::Conn(ConnInput::Closed { conn, cause }));
    bench.event();
    bench.pass(1_000);
    let conn = bench.greeted("");
    assert!(bench.text(conn).contains("\"WorkComplete\",\"WorkItemHash\":\"wi-1\""));
    assert!(bench.text(conn).contains("\"WorkComplete\",\"WorkItemHash\":\"wi-3\""));
    let failure = bench.text(conn);
    assert!(failure.contains("WorkError") && failure.contains("wi-2"), "{failure}");
    assert!(failure.contains("it closed a connection with 1009"), "{failure}");
    assert_eq!(notice(&mut bench), ErrorCode::TooLarge);
}

#[test]
fn an_outcome_from_the_store_that_cannot_pass_fails_too() {
    let mut bench = Bench::worker(r#"{"runtime":{"store_path":"/tmp/w.db"}}"#);
    bench.command(Command::Start).unwrap();
    let record = format!(r#"{{"attempt":3,"value":{},"log":[]}}"#, result(5_000));
    bench.recalled(vec![("wi-9".into(), record.into())]);
    let conn = bench.greeted(r#","Moorline":{"Acks":true,"MaxMessageBytes":4000}"#);
    let said = bench.text(conn);
    assert!(said.contains("TOO_LARGE") && said.contains("\"AttemptNumber\":3"), "{said}");
    let StoreRequest::Commit { writes } = bench.stored() else { panic!() };
    assert!(matches!(&writes[..], [Write::Put { key, value, .. }]
        if key == "wi-9" && value.len() < 1_000));
}

#[test]
fn an_answer_413_fails_the_item_and_a_failure_that_is_refused_too_is_lost() {
    let mut bench = Bench::worker(r#"{"transport":"polling"}"#);
    bench.handle("Echo/Say");
    bench.command(Command::Start).unwrap();
    bench.answer_login();
    let (http, _) = bench.asked();
    bench.answer(http, 200, r#"{"BeaconID":"bcn-1"}"#);
    bench.event();
    let (http, _) = bench.asked();
    let item = work("wi-1", 1, 0).replace(r#""EventType":"WorkItem","#, "");
    bench.answer(http, 200, &item);
    let (item, _) = bench.work();
    bench.rest();
    bench.done(item, &result(5_000));
    let (http, request) = bench.asked();
    assert!(request.url.ends_with("/wi-1/Complete"), "{}", request.url);
    bench.answer(http, 413, r#"{"Error":"no"}"#);
    assert_eq!(notice(&mut bench), ErrorCode::TooLarge);
    let (http, request) = loop {
        let (http, request) = bench.asked();
        if request.url.ends_with("/wi-1/Error") {
            break (http, request);
        }
    };
    assert!(request.body.len() < 1_000);
    bench.answer(http, 413, r#"{"Error":"no"}"#);
    assert_eq!(notice(&mut bench), ErrorCode::WorkLost);
    assert_eq!(bench.state()["outbox"], 0);
}

#[test]
fn progress_that_cannot_pass_is_refused() {
    let (mut bench, conn) = Bench::ready(r#"{"limits":{"max_message_bytes":1024}}"#);
    bench.push(conn, "wi-1", 1);
    let (work, _) = bench.work();
    let report = crate::base::json::Raw::parse(format!(r#"{{"Message":{}}}"#, result(1_000)));
    let command = Command::Work(WorkCommand::Progress { work, report: report.unwrap() });
    assert_eq!(bench.command(command).unwrap_err().code(), ErrorCode::TooLarge);
    bench.quiet();
}
