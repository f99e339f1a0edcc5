//! Outcomes on their way to the store, whatever the store does.

use super::*;
use crate::base::ids::StoreId;

const STORED: &str = r#"{"max_concurrent":3,"runtime":{"store_path":"/tmp/w.db"}}"#;

fn ready() -> (Bench, crate::base::ids::ConnId) {
    let mut bench = Bench::worker(STORED);
    bench.handle("Echo/Say");
    bench.command(Command::Start).unwrap();
    bench.recalled(Vec::new());
    let conn = bench.greeted(ACKS);
    (bench, conn)
}

fn finish(bench: &mut Bench, conn: crate::base::ids::ConnId, hash: &str) {
    bench.push(conn, hash, 1);
    let (work, _) = bench.work();
    bench.done(work, "{}");
    bench.text(conn);
}

fn take(bench: &mut Bench, conn: crate::base::ids::ConnId, hash: &str) {
    let item = format!(r#"{{"WorkItemHash":"{hash}","Taken":true}}"#);
    bench.say(conn, &format!(r#"{{"EventType":"WorkTaken","Items":[{item}]}}"#));
}

fn answer(bench: &mut Bench, store: StoreId, is_stored: bool) {
    let failed = || Error::new(ErrorCode::StoreFailed, "disk full");
    let result = if is_stored { Ok(StoreReply::Committed) } else { Err(failed()) };
    bench.input(Input::Stored { store, result });
}

fn keys(request: &StoreRequest) -> Vec<(bool, &str)> {
    let StoreRequest::Commit { writes } = request else { panic!() };
    let keys = writes.iter().map(|write| match write {
        Write::Put { key, .. } => (true, key.as_str()),
        Write::Delete { key, .. } => (false, key.as_str()),
    });
    keys.collect()
}

#[test]
fn a_commit_that_fails_is_tried_until_it_succeeds() {
    let (mut bench, conn) = ready();
    finish(&mut bench, conn, "wi-1");
    for is_told in [true, false] {
        let (store, request) = bench.commit();
        assert_eq!(keys(&request), [(true, "wi-1")]);
        answer(&mut bench, store, false);
        if is_told {
            let Event::Session(SessionEvent::Notice { error }) = bench.event() else { panic!() };
            assert_eq!(error.code(), ErrorCode::StoreFailed);
        }
        bench.quiet();
        bench.pass(1_000);
    }
    let (store, _) = bench.commit();
    answer(&mut bench, store, true);
    take(&mut bench, conn, "wi-1");
    let (store, request) = bench.commit();
    assert_eq!(keys(&request), [(false, "wi-1")]);
    answer(&mut bench, store, false);
    bench.event();
    bench.pass(1_000);
    let (_, request) = bench.commit();
    assert_eq!(keys(&request), [(false, "wi-1")], "a deletion too");
}

#[test]
fn a_store_that_hangs_has_one_commit_and_takes_the_rest_at_once() {
    let (mut bench, conn) = ready();
    for hash in ["wi-1", "wi-2", "wi-3"] {
        finish(&mut bench, conn, hash);
    }
    let (store, request) = bench.commit();
    assert_eq!(keys(&request), [(true, "wi-1")]);
    take(&mut bench, conn, "wi-2");
    bench.quiet();
    answer(&mut bench, store, true);
    let (_, request) = bench.commit();
    assert_eq!(keys(&request), [(false, "wi-2"), (true, "wi-3")]);
}

#[test]
fn what_is_not_stored_at_the_end_goes_out_as_a_last_commit() {
    let (mut bench, conn) = ready();
    for hash in ["wi-1", "wi-2"] {
        finish(&mut bench, conn, hash);
    }
    bench.commit();
    bench.command(Command::Stop { drain_ms: 0 }).unwrap();
    bench.pass(10_000);
    let (_, request) = bench.commit();
    assert_eq!(keys(&request), [(true, "wi-2")]);
}

#[test]
fn a_store_that_is_needed_is_waited_for_however_long_it_reads() {
    let mut bench = Bench::worker(STORED);
    bench.command(Command::Start).unwrap();
    bench.pass(60_000);
    let Event::Session(SessionEvent::Notice { error }) = bench.event() else { panic!() };
    assert_eq!(error.code(), ErrorCode::StoreFailed);
    let record = r#"{"attempt":3,"value":{},"log":[]}"#;
    bench.recalled(vec![("wi-9".into(), record.into())]);
    let conn = bench.greeted(ACKS);
    assert!(bench.text(conn).contains("wi-9"));
}

#[test]
fn a_store_that_takes_nothing_holds_up_new_work_at_last() {
    let options = STORED.replace("\"max_c", "\"outbox\":{\"max_items\":1},\"max_c");
    let mut bench = Bench::worker(&options);
    bench.handle("Echo/Say");
    bench.command(Command::Start).unwrap();
    bench.recalled(Vec::new());
    let conn = bench.greeted(ACKS);
    for hash in ["wi-1", "wi-2", "wi-3"] {
        finish(&mut bench, conn, hash);
        take(&mut bench, conn, hash);
    }
    let (store, _) = bench.commit();
    bench.push(conn, "wi-4", 1);
    bench.quiet();
    answer(&mut bench, store, true);
    bench.work();
}
