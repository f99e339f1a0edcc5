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

/// The pages of a registration, each confirmed with `ours`: what each lists, and its length.
fn pages(bench: &mut Bench, conn: crate::base::ids::ConnId, ours: &str) -> Vec<(usize, usize)> {
    let mut pages = Vec::new();
    loop {
        let text = bench.text(conn);
        assert!(text.contains("BeaconRegister"), "{text:.80}");
        pages.push((text.matches("AttemptNumber").count(), text.len()));
        let answer = r#"{"EventType":"BeaconRegistered","BeaconID":"bcn-1""#;
        bench.say(conn, &format!("{answer}{ours}}}"));
        if bench.state()["state"] == "ready" {
            return pages;
        }
    }
}

#[test]
fn whatever_is_held_is_listed_in_pages_that_an_unregistered_worker_may_say() {
    for (acks, wanted) in [(true, 10_000), (false, 0)] {
        let mut bench = Bench::worker(r#"{"runtime":{"store_path":"/tmp/w.db"}}"#);
        bench.command(Command::Start).unwrap();
        let record = r#"{"attempt":1,"value":{},"log":[]}"#;
        let records = (0..10_000).map(|n| (format!("wi-unknown-unknown-{n}"), record.into()));
        bench.recalled(records.collect());
        bench.answer_login();
        let conn = bench.dialed();
        bench.input(Input::Conn(ConnInput::Opened { conn }));
        let pages = pages(&mut bench, conn, if acks { ACKS } else { "" });
        assert!(pages[0].1 < 65_536, "{}", pages[0].1);
        assert!(pages.iter().all(|(_, bytes)| *bytes < 1_048_576));
        let listed: usize = pages.iter().map(|(listed, _)| listed).sum();
        assert!(if acks { listed == wanted } else { pages.len() == 1 }, "{listed}");
    }
}

#[test]
fn a_large_registration_begins_with_what_an_assignment_needs() {
    for ours in [ACKS, ""] {
        let mut bench = Bench::worker("");
        for number in 0..300 {
            let meta = format!(r#"{{"description":"{}"}}"#, "d".repeat(200));
            let meta = crate::base::json::Raw::parse(meta).unwrap();
            let key = format!("Echo/Say{number}");
            bench.command(Command::Work(WorkCommand::Handle { key, meta })).unwrap();
        }
        bench.command(Command::Start).unwrap();
        bench.answer_login();
        let conn = bench.dialed();
        bench.input(Input::Conn(ConnInput::Opened { conn }));
        let pages = pages(&mut bench, conn, ours);
        assert_eq!(pages.len(), 2);
        assert!(pages[0].1 < 1_000 && pages[1].1 > 80_000, "{pages:?}");
    }
}

#[test]
fn a_registration_that_is_too_large_is_named() {
    let mut bench = Bench::worker(r#"{"transport":"websocket"}"#);
    bench.command(Command::Start).unwrap();
    bench.answer_login();
    let conn = bench.dialed();
    bench.input(Input::Conn(ConnInput::Opened { conn }));
    let cause = CloseCause::Remote { code: 1009, reason: "at most 9 bytes".into() };
    bench.input(Input::Conn(ConnInput::Closed { conn, cause }));
    let Event::Session(SessionEvent::Ended { error: Some(error) }) = bench.event() else {
        panic!()
    };
    assert_eq!(error.code(), ErrorCode::TooLarge);
    assert!(error.message().contains("at most 9 bytes"), "{error}");
}

#[test]
fn progress_gives_way_while_much_waits_to_be_sent() {
    let (mut bench, conn) = Bench::ready(
        r#"{"limits":{"max_message_bytes":65536,"max_send_queue_bytes":131072},"max_concurrent":2}"#,
    );
    bench.push(conn, "wi-1", 1);
    let (work, _) = bench.work();
    let report = |bench: &mut Bench| {
        let report = format!(r#"{{"Message":{}}}"#, result(50_000));
        let report = crate::base::json::Raw::parse(report).unwrap();
        bench.command(Command::Work(WorkCommand::Progress { work, report })).unwrap();
        bench.rest().len()
    };
    assert_eq!(report(&mut bench), 1);
    assert_eq!(report(&mut bench), 2, "it is asked when this is handed on");
    assert_eq!(report(&mut bench), 0);
    bench.input(Input::Conn(ConnInput::Sent { conn }));
    assert_eq!(report(&mut bench), 1);
}

#[test]
fn refusals_do_not_grow_beyond_the_outbox() {
    let (mut bench, conn) = Bench::ready(r#"{"outbox":{"max_items":3}}"#);
    for number in 0..100 {
        let item = work(&format!("wi-{number}"), 1, 0).replace("Echo", "Unknown");
        bench.say(conn, &item);
    }
    assert_eq!(bench.state()["outbox"], 3);
    assert_eq!(bench.state()["counters"]["refused"], 100);
}
