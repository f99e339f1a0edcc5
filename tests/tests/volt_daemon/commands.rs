//! Commands both ways, where the transcripts are silent.

use moorline_core::{CallCommand, CallEvent, WorkCommand};
use moorline_core::{Command, ErrorCode, Event, Outcome, WorkId};
use serde_json::json;

use crate::server::{Scene, brief, raw};

#[test]
fn a_typed_rejection_is_no_success() {
    let mut it = Scene::ready(&json!({}));
    let work = it.ask("r", "json");
    it.done(work, "{\"reject\":{\"status\":409,\"message\":\"busy\"}}").expect("an answer");
    assert_eq!(
        it.said(),
        ["42[\"team-cluster-daemon:message\",{\"type\":\"response\",\"requestId\":\"r\",\
          \"ok\":false,\"status\":409,\"message\":\"busy\"}]"]
    );
}

#[test]
fn a_result_that_is_wrong_or_too_large_is_a_failure_to_the_server() {
    let mut it = Scene::ready(&json!({}));
    let large = format!("{{\"data\":\"{}\"}}", "x".repeat(20_000));
    for (value, code) in [
        ("7", ErrorCode::ArgumentInvalid),
        ("{\"nonsense\":1}", ErrorCode::ArgumentInvalid),
        (large.as_str(), ErrorCode::TooLarge),
    ] {
        let work = it.ask("r", "json");
        let error = it.done(work, value).expect_err("a mistake");
        assert_eq!(error.code(), code);
        let answer = it.messages().remove(0);
        assert_eq!((&answer["ok"], &answer["status"]), (&json!(false), &json!(500)));
        it.done(work, "{}").expect("a second outcome is late, not wrong");
        assert!(it.said().is_empty());
    }
    let unknown = it.done(WorkId(99), "{}").expect_err("there is no such command");
    assert_eq!(unknown.code(), ErrorCode::WorkUnknown);
}

#[test]
fn more_commands_than_wanted_are_refused() {
    let mut it = Scene::ready(&json!({"max_concurrent": 1}));
    let work = it.ask("r1", "json");
    it.say("42[\"team-cluster-daemon:message\",{\"type\":\"command\",\"requestId\":\"r2\",\"command\":\"h\"}]");
    let answer = it.messages().remove(0);
    assert_eq!((&answer["requestId"], &answer["status"]), (&json!("r2"), &json!(503)));
    it.done(work, "{}").expect("an answer");
    it.ask("r3", "json");
}

#[test]
fn c9_a_command_before_the_registration_is_run_and_answered_behind_it() {
    let mut it = Scene::new(&json!({}));
    it.joins();
    it.said();
    let work = it.ask("r", "json");
    it.done(work, "{\"data\":1}").expect("an answer");
    assert!(it.said().is_empty(), "the server would not hear it");
    it.confirm();
    assert_eq!(it.messages()[0]["requestId"], "r");
}

#[test]
fn c9_work_of_a_lost_connection_is_withdrawn_and_its_outcome_dropped() {
    let mut it = Scene::ready(&json!({}));
    let work = it.ask("r", "stream");
    let open = raw("{\"open\":{}}");
    it.daemon
        .command(Command::Work(WorkCommand::Progress { work, report: open }))
        .expect("a stream");
    it.said();
    it.cut();
    assert_eq!(brief(&it.events()), ["withdrawn link_lost", "lost: transport close 500"]);
    it.pass(500);
    it.registers();
    let chunk = raw("{\"chunk\":\"AAAA\"}");
    it.daemon
        .command(Command::Work(WorkCommand::Progress { work, report: chunk }))
        .expect("late, not wrong");
    it.done(work, "{}").expect("late, not wrong");
    assert!(it.said().is_empty());
}

#[test]
fn a_stream_is_cut_to_what_the_server_takes_and_tells_what_has_left() {
    let mut it = Scene::ready(&json!({}));
    let work = it.ask("r", "stream");
    it.daemon
        .command(Command::Work(WorkCommand::Progress { work, report: raw("{\"open\":{}}") }))
        .expect("a stream");
    let chunk = "QUJD".repeat(10_000);
    let report = raw(&format!("{{\"chunk\":\"{chunk}\"}}"));
    it.daemon.command(Command::Work(WorkCommand::Progress { work, report })).expect("a chunk");
    it.done(work, "{}").expect("the end");
    let said = it.said();
    assert!(said.iter().all(|text| text.len() <= 20_000));
    let messages: Vec<serde_json::Value> = said
        .iter()
        .map(|text| serde_json::from_str::<(String, _)>(&text[2..]).expect("an event").1)
        .collect();
    let whole: String = messages.iter().filter_map(|it| it["chunkBase64"].as_str()).collect();
    assert_eq!(whole, chunk);
    let parts = messages.iter().filter_map(|it| it["chunkBase64"].as_str());
    assert!(parts.clone().count() >= 3 && parts.into_iter().all(|part| part.len() % 4 == 0));
    assert_eq!(messages.last().map(|it| &it["type"]), Some(&json!("stream-end")));
    assert_eq!(brief(&it.events()), ["drained 1"]);
}

#[test]
fn a_stream_that_nobody_wants_is_refused_to_the_handler() {
    let mut it = Scene::ready(&json!({}));
    let work = it.ask("r", "json");
    let open = raw("{\"open\":{}}");
    let error = it
        .daemon
        .command(Command::Work(WorkCommand::Progress { work, report: open }))
        .expect_err("a mistake");
    assert_eq!(error.code(), ErrorCode::ArgumentInvalid);
    it.done(work, "{\"data\":2}").expect("an answer");
    assert_eq!(it.messages()[0]["data"]["data"], 2);
}

#[test]
fn what_is_too_large_or_has_too_many_byte_strings_does_not_leave() {
    let mut it = Scene::ready(&json!({}));
    let large = json!({"type": "x", "text": "x".repeat(20_000)}).to_string();
    assert_eq!(it.emit(&large).expect_err("too large").code(), ErrorCode::TooLarge);
    let many: Vec<String> =
        (0..11).map(|num| format!("{{\"_placeholder\":true,\"num\":{num}}}")).collect();
    let payload = raw(&format!("{{\"type\":\"x\",\"all\":[{}]}}", many.join(",")))
        .with_blobs(vec![bytes::Bytes::from_static(b"x"); 11]);
    let emit = Command::Emit { name: String::new(), payload };
    assert_eq!(it.daemon.command(emit).expect_err("too many").code(), ErrorCode::TooLarge);
    assert!(it.said().is_empty());
    it.call(1, 1_000).expect("the connection lives");
}

#[test]
fn a_cancelled_call_settles_once() {
    let mut it = Scene::ready(&json!({}));
    it.call(1, 1_000).expect("a command");
    let id = it.messages()[0]["requestId"].clone();
    it.daemon
        .command(Command::Call(CallCommand::Cancel { call: moorline_core::CallId(1) }))
        .expect("a cancel");
    assert_eq!(brief(&it.events()), ["call CALL_CANCELLED"]);
    let late = json!({"type": "response", "requestId": id, "ok": true});
    it.say(&format!("42[\"team-cluster-daemon:message\",{late}]"));
    it.pass(5_000);
    assert!(it.events().is_empty());
}

#[test]
fn c11_a_rejection_carries_its_status() {
    let mut it = Scene::ready(&json!({}));
    it.call(1, 1_000).expect("a command");
    let id = it.messages()[0]["requestId"].clone();
    let answer =
        json!({"type": "response", "requestId": id, "ok": false, "status": 401, "message": "no"});
    it.say(&format!("42[\"team-cluster-daemon:message\",{answer}]"));
    match &it.events()[..] {
        [Event::Call(CallEvent::Done { result: Err(error), .. })] => {
            assert_eq!((error.status(), error.message()), (Some(401), "no"));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_handler_that_fails_tells_the_server_nothing() {
    let mut it = Scene::ready(&json!({}));
    for outcome in [Outcome::Failed { message: "secret detail".into() }, Outcome::Cancelled] {
        let work = it.ask("r", "json");
        it.daemon
            .command(Command::Work(WorkCommand::Complete { work, outcome }))
            .expect("an outcome");
        let said = it.said();
        assert!(said[0].contains("threw an unhandled error") && !said[0].contains("secret"));
    }
}
