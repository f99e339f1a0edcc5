//! What survives a restart, and what is promised when.

use super::*;
use crate::machine::ServerInput;

#[test]
fn nothing_is_promised_before_it_is_stored() {
    let mut rig = Rig::new("{}");
    let worker = rig.worker("w", 1);
    rig.synced = false;
    let enqueue = rig.post("/Beacon/Work/Enqueue", r#"{"Capability":"Echo","Action":"Say"}"#);
    assert_eq!(rig.status(enqueue), None, "acknowledged before it is stored");
    assert!(rig.pushed(worker).is_empty(), "sent before its attempt is stored");
    rig.sync();
    assert_eq!(rig.status(enqueue), Some(200));
    let (hash, attempt) = rig.pushed(worker)[0].clone();
    rig.complete(worker, &hash, attempt);
    assert!(rig.verdicts(worker).is_empty(), "taken before it is stored");
    rig.sync();
    assert_eq!(rig.verdicts(worker), [(hash, true)]);
}

/// K4.9: a hub that ends during a commit tells nobody of a success that was not written.
#[test]
fn what_was_not_written_at_the_end_is_told_as_such() {
    for name in ["Echo/Say", "$enqueue"] {
        let mut rig = Rig::new("{}");
        let worker = rig.worker("w", 1);
        let payload = r#"{"Capability":"Echo","Action":"Say"}"#;
        rig.synced = name != "$enqueue";
        rig.call(7, name, payload, "{}");
        if rig.synced {
            rig.synced = false;
            let (hash, attempt) = rig.pushed(worker)[0].clone();
            rig.complete(worker, &hash, attempt);
        }
        let now = rig.now();
        rig.hub.handle_command(Command::Stop { drain_ms: 0 }, now).unwrap();
        rig.drain();
        let code = rig.events.iter().find_map(|event| match event {
            Event::Call(CallEvent::Done { call: CallId(7), result }) => {
                Some(result.as_ref().err().map(crate::base::error::Error::code))
            }
            Event::Call(_) | Event::Session(_) | Event::Work(_) | Event::Peer(_) => None,
        });
        assert_eq!(code, Some(Some(crate::base::error::ErrorCode::Stopped)), "{name}");
    }
}

#[test]
fn writes_during_a_commit_share_the_next_one() {
    let mut rig = Rig::new("{}");
    rig.synced = false;
    for _ in 0..10 {
        rig.post("/Beacon/Work/Enqueue", r#"{"Capability":"Echo","Action":"Say"}"#);
    }
    assert_eq!(rig.commits.len(), 1, "one in flight");
    rig.sync();
    assert_eq!(rig.commits.len(), 1, "the other nine together");
    rig.sync();
    assert!(rig.commits.is_empty());
    assert_eq!(rig.disk.len(), 10);
}

#[test]
fn verdicts_of_one_turn_share_a_frame() {
    let mut rig = Rig::new("{}");
    let worker = rig.worker("w", 2);
    rig.enqueue("");
    rig.enqueue("");
    rig.synced = false;
    for (hash, attempt) in rig.pushed(worker) {
        rig.complete(worker, &hash, attempt);
    }
    rig.sync();
    rig.sync();
    let frames = rig.frames(worker);
    let taken = frames.iter().filter(|frame| frame["EventType"] == "WorkTaken").count();
    assert_eq!((taken, rig.verdicts(worker).len()), (2, 2));
}

#[test]
fn an_enqueued_item_survives_a_restart() {
    let mut rig = Rig::new("{}");
    let hash = rig.enqueue(r#","Priority":3,"Settings":{"n":1.0},"TimeoutMs":7000"#);
    let mut rig = rig.restart(1_000);
    let worker = rig.worker("w", 1);
    assert_eq!(rig.pushed(worker), [(hash, 1)]);
    let item = rig.frames(worker).pop().unwrap()["WorkItem"].clone();
    assert_eq!((&item["TimeoutMs"], &item["Settings"]["n"]), (&7_000.into(), &1.0.into()));
}

#[test]
fn a_running_item_is_held_for_its_worker_and_kept_by_it() {
    let mut rig = Rig::new("{}");
    let hash = rig.enqueue("");
    let first = rig.worker("w", 1);
    assert_eq!(rig.pushed(first).len(), 1);
    let mut rig = rig.restart(1_000);
    let other = rig.worker("other", 1);
    assert!(rig.pushed(other).is_empty(), "held for its worker");
    let running = format!(r#"[{{"WorkItemHash":"{hash}","AttemptNumber":1}}]"#);
    let back = rig.worker_running("w", 1, &running);
    assert!(rig.pushed(back).is_empty(), "it runs there already");
    rig.complete(back, &hash, 1);
    assert_eq!(rig.verdicts(back), [(hash.clone(), true)]);
    assert_eq!(rig.item_status(&hash), "Complete");
}

#[test]
fn a_held_item_goes_to_another_when_its_worker_does_not_come_back() {
    let mut rig = Rig::new(r#"{"lease_ms":5000}"#);
    let hash = rig.enqueue("");
    rig.worker("w", 1);
    let mut rig = rig.restart(1_000);
    let other = rig.worker("other", 1);
    rig.pass(4_999);
    rig.say(other, r#"{"Action":"BeaconHeartbeat"}"#);
    assert!(rig.pushed(other).is_empty());
    rig.pass(1);
    assert_eq!(rig.pushed(other), [(hash, 2)]);
}

#[test]
fn a_held_item_goes_to_another_when_its_worker_comes_back_without_it() {
    let mut rig = Rig::new("{}");
    let hash = rig.enqueue("");
    rig.worker("w", 1);
    let mut rig = rig.restart(1_000);
    let back = rig.worker("w", 1);
    assert_eq!(rig.pushed(back), [(hash, 2)]);
}

#[test]
fn a_polling_worker_may_report_what_it_ran_before_a_restart() {
    let mut rig = Rig::new("{}");
    let http = rig.post("/Beacon/Register", r#"{"Name":"p","Capabilities":["Echo"]}"#);
    let id = rig.reply(http)["BeaconID"].as_str().unwrap().to_owned();
    let hash = rig.enqueue("");
    rig.post("/Beacon/Work/Poll", &format!(r#"{{"BeaconID":"{id}"}}"#));
    let mut rig = rig.restart(10);
    let body = format!(r#"{{"BeaconID":"{id}","AttemptNumber":1,"Outputs":{{}},"Log":[]}}"#);
    let http = rig.post(&format!("/Beacon/Work/{hash}/Complete"), &body);
    assert_eq!(rig.status(http), Some(200));
}

#[test]
fn a_keyed_dispatch_runs_once_across_a_restart() {
    let mut rig = Rig::new("{}");
    let worker = rig.worker("w", 1);
    let headers = || Headers::new().with("x-idempotency-key", "k");
    let body = r#"{"Capability":"Echo","Action":"Say"}"#;
    rig.ask_with(Method::Post, "/Beacon/Work/Dispatch", body, headers());
    let (hash, _) = rig.pushed(worker)[0].clone();
    let mut rig = rig.restart(500);
    let running = format!(r#"[{{"WorkItemHash":"{hash}","AttemptNumber":1}}]"#);
    let worker = rig.worker_running("w", 1, &running);
    let again = rig.ask_with(Method::Post, "/Beacon/Work/Dispatch", body, headers());
    rig.complete(worker, &hash, 1);
    assert_eq!(rig.reply(again)["WorkItemHash"], hash.as_str());
    let mut rig = rig.restart(500);
    let late = rig.ask_with(Method::Post, "/Beacon/Work/Dispatch", body, headers());
    assert_eq!(rig.reply(late)["Outputs"]["Result"], "1");
    let other = r#"{"Capability":"Echo","Action":"Other"}"#;
    let misused = rig.ask_with(Method::Post, "/Beacon/Work/Dispatch", other, headers());
    assert_eq!(rig.status(misused), Some(409));
}

#[test]
fn the_time_limit_of_a_dispatch_spans_a_restart() {
    let mut rig = Rig::new("{}");
    rig.worker("w", 1);
    let body = r#"{"Capability":"None","Action":"Say","TimeoutMs":10000}"#;
    let headers = || Headers::new().with("x-idempotency-key", "k");
    rig.ask_with(Method::Post, "/Beacon/Work/Dispatch", body, headers());
    let mut rig = rig.restart(6_000);
    rig.worker("w", 1);
    let again = rig.ask_with(Method::Post, "/Beacon/Work/Dispatch", body, headers());
    rig.pass(3_999);
    assert_eq!(rig.status(again), None);
    rig.pass(1);
    assert_eq!(rig.reply(again)["Error"], "Direct dispatch timed out after 10000ms.");
}

#[test]
fn results_and_runs_survive_and_results_expire() {
    let mut rig = Rig::new(r#"{"result_ttl_ms":60000,"max_results":2}"#);
    let worker = rig.foreign_worker("w", 1);
    let mut hashes = Vec::new();
    for _ in 0..3 {
        let hash = rig.enqueue("");
        rig.complete(worker, &hash, 1);
        hashes.push(hash);
    }
    let run = rig.post("/Beacon/Run/Start", r#"{"IdempotencyKey":"r"}"#);
    let run = rig.reply(run)["RunID"].clone();
    let mut rig = rig.restart(1_000);
    assert_eq!(rig.item_status(&hashes[0]), "unknown", "only two are kept");
    assert_eq!(rig.item_status(&hashes[2]), "Complete");
    let again = rig.post("/Beacon/Run/Start", r#"{"IdempotencyKey":"r"}"#);
    assert_eq!(rig.reply(again)["RunID"], run);
    rig.pass(70_000);
    assert_eq!(rig.item_status(&hashes[2]), "unknown");
    assert_eq!(rig.disk.len(), 1, "{:?}", rig.disk.keys());
}

/// K13.1: what the clock said when an item failed does not put its retry off.
#[test]
fn a_retry_waits_no_longer_than_its_pause_whatever_the_clock_said() {
    let mut rig = Rig::new("{}");
    rig.epoch += 400 * 86_400_000;
    let worker = rig.worker("w", 1);
    let hash = rig.enqueue(r#","Settings":{"maxRetries":3,"retryBackoffMs":5000}"#);
    let failed = r#""ErrorMessage":"no","Log":[],"AttemptNumber":1"#;
    rig.say(worker, &format!(r#"{{"Action":"WorkError","WorkItemHash":"{hash}",{failed}}}"#));
    rig.epoch = EPOCH;
    let mut rig = rig.restart(0);
    let worker = rig.worker("w", 1);
    rig.pass(4_999);
    assert!(rig.pushed(worker).is_empty());
    rig.pass(1);
    assert_eq!(rig.pushed(worker), [(hash, 2)]);
}

/// K13.2: by the time that passes while the process lives, by the shorter of both clocks after.
#[test]
fn results_live_as_long_as_they_should_whatever_the_clock_says() {
    let mut rig = Rig::new(r#"{"result_ttl_ms":60000}"#);
    let finish = |rig: &mut Rig| {
        let hash = rig.enqueue("");
        let worker = rig.foreign_worker("w", 1);
        rig.complete(worker, &hash, 1);
        rig.cut(worker);
        hash
    };
    let first = finish(&mut rig);
    rig.epoch += 86_400_000;
    rig.pass(50_000);
    assert_eq!(rig.item_status(&first), "Complete", "the clock was corrected");
    rig.pass(20_000);
    assert_eq!(rig.item_status(&first), "unknown");
    let (second, back) = (finish(&mut rig), 86_400_000);
    rig.epoch -= back;
    let mut rig = rig.restart(0);
    rig.pass(50_000);
    assert_eq!(rig.item_status(&second), "Complete");
    rig.pass(20_000);
    assert_eq!(rig.item_status(&second), "unknown", "no longer than without a restart");
    let third = finish(&mut rig);
    rig.epoch += back;
    let mut rig = rig.restart(0);
    rig.pass(10_000);
    assert_eq!(rig.item_status(&third), "unknown");
}

/// K6.2: neither a restart nor the clock changes the order.
#[test]
fn the_order_of_the_queue_survives_a_restart() {
    let mut rig = Rig::new("{}");
    let (one, two, three) = (rig.enqueue(""), rig.enqueue(""), rig.enqueue(""));
    rig.post(&format!("/Beacon/Work/{three}/Reorder"), r#"{"Direction":"up"}"#);
    rig.epoch -= 3_600_000;
    let four = rig.enqueue("");
    let mut rig = rig.restart(0).restart(0);
    let five = rig.enqueue("");
    let mut rig = rig.restart(0);
    let worker = rig.worker("w", 5);
    let order: Vec<_> = rig.pushed(worker).into_iter().map(|(hash, _)| hash).collect();
    assert_eq!(order, [three, one, two, four, five]);
}

/// K6.3: what an outcome said is read when somebody asks for it, and not before.
#[test]
fn outcomes_stay_on_disk_until_they_are_asked_for() {
    let mut rig = Rig::new(r#"{"runtime":{"store_path":"hub.db"}}"#);
    let worker = rig.worker("w", 1);
    let headers = || Headers::new().with("x-idempotency-key", "k");
    let body = r#"{"Capability":"Echo","Action":"Say"}"#;
    let order = |rig: &mut Rig, route: &str, body: &str| {
        let url = format!("/Beacon/Work/{route}");
        rig.ask_with(Method::Post, &url, body, headers())
    };
    order(&mut rig, "Dispatch", body);
    let (hash, _) = rig.pushed(worker)[0].clone();
    rig.complete(worker, &hash, 1);
    let mut rig = rig.restart(500);
    let worker = rig.worker("w", 1);
    rig.complete(worker, &hash, 1);
    assert_eq!(rig.verdicts(worker), [(hash.clone(), true)], "whose it is is known");
    assert!(rig.looked.is_empty());
    let again = order(&mut rig, "Dispatch", body);
    assert_eq!(rig.reply(again)["Outputs"]["Result"], "1");
    let again = order(&mut rig, "Enqueue", body);
    assert_eq!(
        (&rig.reply(again)["WorkItemHash"], &rig.reply(again)["Status"]),
        (&hash.as_str().into(), &"Complete".into())
    );
    let other = order(&mut rig, "Enqueue", &body.replace("Say", "Other"));
    assert_eq!(rig.status(other), Some(409));
    assert_eq!(rig.item_status(&hash), "Complete");
    rig.call(7, "$result", &format!(r#"{{"WorkItemHash":"{hash}"}}"#), "{}");
    assert_eq!(rig.looked.len(), 5);
    let failed = Err(crate::base::error::Error::from(crate::base::error::ErrorCode::StoreFailed));
    rig.unread = Some(failed);
    let http = order(&mut rig, "Dispatch", body);
    assert_eq!(rig.status(http), Some(503));
}

/// The newest are kept, whichever part of the store they stood in.
#[test]
fn more_results_than_are_read_at_once_are_known_and_the_oldest_go() {
    let mut rig = Rig::new(r#"{"max_results":5000}"#);
    for number in 0..9_000_u64 {
        let record = format!(
            r#"{{"key":null,"capability":"Echo","action":"Say","run_id":"","priority":0,"enqueued":1,
            "finished":{},"ending":"Complete","reported":true,"attempt":1,"outputs":{{}},"log":[]}}"#,
            EPOCH + number
        );
        rig.disk.insert(("hub.result", format!("wi-{number}")), record.into());
    }
    let mut rig = rig.restart(10_000);
    let kept = rig.disk.keys().filter(|(space, _)| *space == "hub.result").count();
    assert_eq!(kept, 5_000);
    assert_eq!(
        (rig.item_status("wi-3999"), rig.item_status("wi-4000")),
        ("unknown".into(), "Complete".into())
    );
}

#[test]
fn a_failing_store_delays_promises_and_refuses_new_work() {
    let mut rig = Rig::new("{}");
    rig.synced = false;
    let body = r#"{"Capability":"Echo","Action":"Say"}"#;
    let first = rig.post("/Beacon/Work/Enqueue", body);
    let (store, _) = rig.commits.remove(0);
    let error =
        crate::base::error::Error::new(crate::base::error::ErrorCode::StoreFailed, "disk full");
    rig.input(Input::Stored { store, result: Err(error) });
    let second = rig.post("/Beacon/Work/Enqueue", body);
    assert_eq!((rig.status(first), rig.status(second)), (None, Some(503)));
    rig.pass(1_000);
    rig.sync();
    assert_eq!(rig.status(first), Some(200));
}

#[test]
fn a_hub_that_loads_asks_to_come_back_later() {
    let options: HubOptions = options::read("{}").unwrap();
    let mut hub = Hub::open(options, [0; 32]).unwrap();
    let now = Now::default();
    hub.handle_command(Command::Start, now).unwrap();
    let request = HttpRequest {
        method: Method::Get,
        url: "/Beacon".into(),
        headers: Headers::new(),
        body: Bytes::new(),
    };
    let remote = "127.0.0.1:1".to_owned();
    hub.handle_input(Input::Server(ServerInput::Asked { http: HttpId(1), request, remote }), now);
    let reply = std::iter::from_fn(|| hub.poll_output()).find_map(|output| {
        if let Output::HttpReply { response, .. } = output { Some(response) } else { None }
    });
    let reply = reply.unwrap();
    assert_eq!((reply.status, reply.headers.first("retry-after")), (503, Some("1")));
}

/// A hub whose store fails, with a worker that runs one streamed item: the worker, the item, who waits.
fn failing(rig: &mut Rig) -> (ConnId, String, HttpId) {
    let worker = rig.worker("w", 1);
    let body = r#"{"Capability":"Echo","Action":"Say"}"#;
    let stream = rig.post("/Beacon/Work/DispatchStream", body);
    let (hash, _) = rig.pushed(worker)[0].clone();
    rig.synced = false;
    rig.post("/Beacon/Work/Enqueue", r#"{"Capability":"Echo","Action":"Say"}"#);
    (worker, hash, stream)
}

#[test]
fn progress_does_not_wait_for_a_store() {
    let mut rig = Rig::new("{}");
    let (worker, hash, stream) = failing(&mut rig);
    for percent in 1..=3 {
        rig.say(worker, &format!(
            r#"{{"Action":"WorkProgress","WorkItemHash":"{hash}","ProgressData":{{"Percent":{percent}}}}}"#
        ));
        assert_eq!(rig.parts[&stream].len(), percent);
    }
}

#[test]
fn a_store_that_fails_is_told_once_and_nothing_is_taken_until_it_works() {
    let mut rig = Rig::new("{}");
    let (worker, ..) = failing(&mut rig);
    let work = ("/Beacon/Work/Enqueue", r#"{"Capability":"Echo","Action":"Say"}"#);
    for _ in 0..3 {
        rig.fail_commit();
        for (url, body) in [work, ("/Beacon/Run/Start", "{}")] {
            let http = rig.post(url, body);
            assert_eq!(rig.status(http), Some(503), "{url}");
        }
        rig.pass(1_000);
        let http = rig.post(work.0, work.1);
        assert_eq!(rig.status(http), Some(503), "while it is tried again, too");
    }
    let failed = crate::base::error::ErrorCode::StoreFailed.meaning();
    let told = |rig: &Rig| rig.notices().iter().filter(|text| **text == failed).count();
    assert_eq!(told(&rig), 1);
    let beat = r#"{"Action":"BeaconHeartbeat"}"#;
    rig.say(worker, beat);
    rig.sync();
    rig.synced = true;
    let http = rig.post(work.0, work.1);
    assert_eq!(rig.status(http), Some(200));
}

#[test]
fn a_store_that_hangs_is_noticed_and_nothing_is_taken_until_it_works() {
    let mut rig = Rig::new("{}");
    failing(&mut rig);
    rig.pass(20_000);
    let told = rig.notices().iter().filter(|text| text.contains("end a commit")).count();
    assert_eq!(told, 1, "{:?}", rig.notices());
    let http = rig.post("/Beacon/Work/Enqueue", r#"{"Capability":"Echo","Action":"Say"}"#);
    assert_eq!(rig.status(http), Some(503));
    rig.sync();
    rig.synced = true;
    let http = rig.post("/Beacon/Work/Enqueue", r#"{"Capability":"Echo","Action":"Say"}"#);
    assert_eq!(rig.status(http), Some(200));
}

#[test]
fn who_has_gone_waits_for_no_store() {
    let mut rig = Rig::new("{}");
    failing(&mut rig);
    let gone = rig.post("/Beacon/Run/Start", "{}");
    let here = rig.post("/Beacon/Run/Start", "{}");
    rig.input(Input::Server(ServerInput::Gone { http: gone }));
    while !rig.commits.is_empty() {
        rig.sync();
    }
    assert_eq!((rig.status(gone), rig.status(here)), (None, Some(200)));
}
