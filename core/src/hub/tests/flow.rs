//! Work from client to worker and back.

use super::*;
use crate::api::command::CallCommand;
use crate::api::event::CallEvent;
use crate::machine::ServerInput;

#[test]
fn a_dispatch_is_pushed_completed_and_answered() {
    let mut rig = Rig::new("{}");
    let worker = rig.worker("w", 1);
    let http = rig.dispatch();
    let (hash, attempt) = rig.pushed(worker)[0].clone();
    assert_eq!((attempt, rig.status(http)), (1, None));
    rig.complete(worker, &hash, 1);
    assert_eq!(rig.status(http), Some(200));
    assert_eq!(
        std::str::from_utf8(rig.replies[&http].bytes()).unwrap(),
        format!(
            r#"{{"Success":true,"WorkItemHash":"{hash}","Outputs":{{"Result":"1"}},"Log":[]}}"#
        )
    );
    assert_eq!(rig.verdicts(worker), [(hash, true)]);
}

#[test]
fn an_item_of_a_lost_worker_goes_to_another_at_once_with_the_next_attempt() {
    let mut rig = Rig::new("{}");
    let first = rig.worker("a", 1);
    let http = rig.dispatch();
    let second = rig.worker("b", 1);
    let (hash, _) = rig.pushed(first)[0].clone();
    rig.cut(first);
    assert_eq!(rig.pushed(second), [(hash.clone(), 2)]);
    rig.complete(second, &hash, 2);
    assert_eq!(rig.status(http), Some(200));
}

#[test]
fn a_foreign_worker_reports_without_attempts() {
    let mut rig = Rig::new("{}");
    let worker = rig.foreign_worker("f", 1);
    let hash = rig.enqueue("");
    rig.say(worker, &format!(r#"{{"Action":"WorkComplete","WorkItemHash":"{hash}"}}"#));
    assert_eq!(rig.item_status(&hash), "Complete");
    assert_eq!(rig.frames(worker).len(), 2, "it is told nothing that it does not know");
}

#[test]
fn a_call_of_the_process_settles_once() {
    let mut rig = Rig::new("{}");
    let worker = rig.worker("w", 1);
    rig.call(1, "Echo/Say", r#"{"n":1.0}"#, r#"{"timeout_ms":50}"#);
    let (hash, _) = rig.pushed(worker)[0].clone();
    rig.complete(worker, &hash, 1);
    rig.pass(100);
    let done: Vec<_> = rig
        .events
        .iter()
        .filter(|event| matches!(event, Event::Call(CallEvent::Done { .. })))
        .collect();
    let [Event::Call(CallEvent::Done { call: CallId(1), result: Ok(value) })] = done.as_slice()
    else {
        panic!("{done:?}")
    };
    let expected = format!(r#"{{"WorkItemHash":"{hash}","Outputs":{{"Result":"1"}},"Log":[]}}"#);
    assert_eq!(value.as_str(), expected);
}

#[test]
fn a_stream_carries_progress_bytes_and_the_result() {
    let mut rig = Rig::new("{}");
    let worker = rig.worker("w", 1);
    let body = r#"{"Capability":"Echo","Action":"Say"}"#;
    let http = rig.post("/Beacon/Work/DispatchStream", body);
    assert_eq!(rig.status(http), Some(200), "the head goes out at once");
    let (hash, _) = rig.pushed(worker)[0].clone();
    rig.say(
        worker,
        &format!(
            r#"{{"Action":"WorkProgress","WorkItemHash":"{hash}","AttemptNumber":1,
            "ProgressData":{{"Percent":40,"BinaryData":"aGk="}}}}"#
        ),
    );
    rig.complete(worker, &hash, 1);
    let kinds: Vec<u8> = rig.parts[&http].iter().map(|part| part[0]).collect();
    assert_eq!(kinds, [1, 2, 4]);
    assert_eq!(rig.ended, [http]);
}

#[test]
fn a_client_that_reads_slowly_misses_progress_and_is_told_what() {
    let mut rig = Rig::new("{}");
    let worker = rig.worker("w", 2);
    for is_late in [false, true] {
        let body = r#"{"Capability":"Echo","Action":"Say"}"#;
        let http = rig.post("/Beacon/Work/DispatchStream", body);
        let (hash, _) = rig.pushed(worker).last().unwrap().clone();
        let progress = |rig: &mut Rig, percent: u64| {
            rig.say(
                worker,
                &format!(
                    r#"{{"Action":"WorkProgress","WorkItemHash":"{hash}","AttemptNumber":1,
                "ProgressData":{{"Percent":{percent},"BinaryData":"aGk="}}}}"#
                ),
            );
        };
        progress(&mut rig, 10);
        rig.input(Input::Server(ServerInput::Backlog { http, is_full: true }));
        progress(&mut rig, 20);
        progress(&mut rig, 30);
        assert_eq!(rig.parts[&http].len(), 2, "nothing more waits for it");
        if !is_late {
            rig.input(Input::Server(ServerInput::Backlog { http, is_full: false }));
            progress(&mut rig, 40);
        }
        rig.complete(worker, &hash, 1);
        let kinds: Vec<u8> = rig.parts[&http].iter().map(|part| part[0]).collect();
        assert_eq!(kinds, if is_late { vec![1, 2, 1, 4] } else { vec![1, 2, 1, 1, 2, 4] });
        let told = String::from_utf8_lossy(&rig.parts[&http][2]).into_owned();
        assert!(told.ends_with(r#""Moorline":{"LeftOut":2,"LeftOutBytes":4}}"#), "{told}");
        assert_eq!(told.contains(r#""Percent":30"#), !is_late, "{told}");
    }
}

#[test]
fn a_client_that_went_away_is_not_answered_and_its_item_goes_on() {
    let mut rig = Rig::new("{}");
    let worker = rig.worker("w", 1);
    let http = rig.dispatch();
    rig.input(Input::Server(ServerInput::Gone { http }));
    let (hash, _) = rig.pushed(worker)[0].clone();
    rig.complete(worker, &hash, 1);
    assert_eq!(rig.status(http), None);
    assert_eq!(rig.item_status(&hash), "Complete");
}

#[test]
fn a_running_item_is_cancelled_where_its_worker_can_be_told() {
    let mut rig = Rig::new("{}");
    let ours = rig.worker("ours", 1);
    let http = rig.dispatch();
    let (hash, _) = rig.pushed(ours)[0].clone();
    let cancel = rig.post(&format!("/Beacon/Work/{hash}/Cancel"), r#"{"Reason":"enough"}"#);
    assert_eq!(rig.reply(cancel)["Canceled"], true);
    assert_eq!(rig.reply(http)["Error"], "Work item was canceled: enough");
    assert_eq!(rig.frames(ours).last().unwrap()["EventType"], "WorkCancel");
    assert_eq!(rig.item_status(&hash), "Canceled");
}

#[test]
fn a_cancelled_call_settles_and_takes_its_item_with_it() {
    let mut rig = Rig::new("{}");
    let worker = rig.worker("w", 1);
    rig.call(9, "Echo/Say", "{}", "{}");
    let (hash, _) = rig.pushed(worker)[0].clone();
    let now = rig.now();
    rig.hub.handle_command(Command::Call(CallCommand::Cancel { call: CallId(9) }), now).unwrap();
    rig.drain();
    assert_eq!(rig.item_status(&hash), "Canceled");
    let settled = rig
        .events
        .iter()
        .filter(|event| matches!(event, Event::Call(CallEvent::Done { .. })))
        .count();
    assert_eq!(settled, 1);
}

#[test]
fn administrative_calls_answer_as_the_routes_do() {
    let mut rig = Rig::new("{}");
    rig.worker("w", 1);
    rig.call(1, "$status", "{}", "{}");
    rig.call(2, "$enqueue", r#"{"Capability":"Echo","Action":"Say"}"#, "{}");
    rig.call(3, "$result", r#"{"WorkItemHash":"wi-none"}"#, "{}");
    rig.call(4, "$dance", "{}", "{}");
    rig.call(5, "$run_start", "{}", "{}");
    let results: Vec<_> = rig
        .events
        .iter()
        .filter_map(|event| {
            if let Event::Call(CallEvent::Done { result, .. }) = event {
                Some(result.clone())
            } else {
                None
            }
        })
        .collect();
    let text = |index: usize| results[index].as_ref().unwrap().as_str().to_owned();
    assert!(text(0).contains(r#""Workers":[{"BeaconID":"bcn-w-"#), "{}", text(0));
    assert!(text(1).contains(r#""Status":"Running""#));
    assert_eq!(results[2].as_ref().unwrap_err().message(), "Work item [wi-none] not found.");
    assert!(results[3].is_err());
    assert!(text(4).contains(r#""State":"Active""#));
}

#[test]
fn what_the_host_of_a_worker_lags_is_shown() {
    let mut rig = Rig::new("{}");
    let worker = rig.worker("w", 1);
    rig.say(worker, r#"{"Action":"BeaconHeartbeat","HostLagMs":61000,"InFlight":1}"#);
    let http = rig.ask(Method::Get, "/Moorline/Status", "");
    let status = rig.reply(http);
    assert_eq!(status["Workers"][0]["HostLagMs"], 61_000);
    assert_eq!(status["Hub"]["State"], "serving");
}

#[test]
fn a_key_is_the_same_whoever_writes_it() {
    let mut rig = Rig::new("{}");
    let body = r#"{"Capability":"None","Action":"Say"}"#;
    let mut enqueue = |key: &str| {
        let headers = Headers::new().with("x-idempotency-key", key);
        let http = rig.ask_with(Method::Post, "/Beacon/Work/Enqueue", body, headers);
        rig.reply(http)
    };
    let item = enqueue("UTF-8''schl%C3%BCssel%2D7")["WorkItemHash"].clone();
    assert!(item.is_string());
    // As another client sends it: in bytes of UTF-8.
    assert_eq!(enqueue("schlüssel-7")["WorkItemHash"], item);
    assert_ne!(enqueue("schl%C3%BCssel%2D7")["WorkItemHash"], item);
    assert_eq!(enqueue("UTF-8''a%0Ab")["Error"], "X-Idempotency-Key holds a control character.");
    rig.call(3, "None/Say", "{}", r#"{"timeout_ms":900,"idempotency_key":"a\nb"}"#);
    let refused = rig.events.iter().any(|event| {
        matches!(event, Event::Call(CallEvent::Done { result: Err(error), .. })
            if error.code() == crate::ErrorCode::ArgumentInvalid)
    });
    assert!(refused);
}

#[test]
fn whoever_joins_a_known_item_waits_no_longer_than_it_wants() {
    let mut rig = Rig::new("{}");
    let headers = || Headers::new().with("x-idempotency-key", "k");
    let body = r#"{"Capability":"None","Action":"Say"}"#;
    let item = rig.ask_with(Method::Post, "/Beacon/Work/Enqueue", body, headers());
    rig.worker("w", 1);
    let body = r#"{"Capability":"None","Action":"Say","TimeoutMs":700}"#;
    let http = rig.ask_with(Method::Post, "/Beacon/Work/Dispatch", body, headers());
    rig.call(3, "None/Say", "{}", r#"{"timeout_ms":900,"idempotency_key":"k"}"#);
    rig.pass(700);
    assert_eq!(rig.reply(http)["Error"], "Direct dispatch timed out after 700ms.");
    rig.pass(200);
    let settled = rig.events.iter().any(|event| {
        matches!(event, Event::Call(CallEvent::Done { call: CallId(3), result: Err(_) }))
    });
    assert!(settled);
    let hash = rig.reply(item)["WorkItemHash"].as_str().unwrap().to_owned();
    assert_eq!(rig.item_status(&hash), "Pending", "the item goes on");
}

#[test]
fn a_cancellation_by_key_finds_the_item_of_its_caller_and_runs_nothing() {
    let mut rig = Rig::new("{}");
    let worker = rig.worker("w", 1);
    let keyed = |key: &str| Headers::new().with("x-idempotency-key", key);
    let cancel = |rig: &mut Rig, headers: Headers| {
        let http = rig.ask_with(Method::Post, "/Beacon/Work/Cancel", "{}", headers);
        (rig.status(http).unwrap(), rig.reply(http)["Canceled"].as_bool())
    };
    assert_eq!(cancel(&mut rig, keyed("lost")), (404, None));
    assert_eq!(cancel(&mut rig, Headers::new()), (404, None));
    assert!(rig.pushed(worker).is_empty(), "what never came is not run");
    let body = r#"{"Capability":"Echo","Action":"Say"}"#;
    let work = rig.ask_with(Method::Post, "/Beacon/Work/Dispatch", body, keyed("mine"));
    assert_eq!(cancel(&mut rig, keyed("mine")), (200, Some(true)));
    assert_eq!(rig.status(work), Some(500));
    assert_eq!(rig.frames(worker).last().unwrap()["EventType"], "WorkCancel");
    assert_eq!(cancel(&mut rig, keyed("mine")), (200, Some(true)), "it is told again");
}
