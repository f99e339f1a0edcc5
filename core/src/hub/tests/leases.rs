//! Who holds an item, until when, and whose word on it counts.

use super::*;

/// K4.4: workers of others come back by themselves, after a restart and after a long silence.
#[test]
fn a_poll_of_an_unknown_worker_is_told_to_register() {
    let mut rig = Rig::new("{}");
    let body = r#"{"Name":"w","Capabilities":["Echo"]}"#;
    let http = rig.post("/Beacon/Register", body);
    let poll = format!(r#"{{"BeaconID":"{}"}}"#, rig.reply(http)["BeaconID"].as_str().unwrap());
    let ask = |rig: &mut Rig| {
        let http = rig.post("/Beacon/Work/Poll", &poll);
        rig.status(http)
    };
    assert_eq!(ask(&mut rig), Some(200));
    rig.pass(120_000);
    assert_eq!(ask(&mut rig), Some(401), "after a silence of two leases");
    rig.post("/Beacon/Register", body);
    let mut rig = rig.restart(100);
    assert_eq!(ask(&mut rig), Some(401), "after a restart");
}

#[test]
fn a_silent_worker_loses_its_items_after_the_lease() {
    let mut rig = Rig::new(r#"{"lease_ms":5000,"ping_interval_ms":3600000}"#);
    let silent = rig.worker("a", 1);
    let hash = rig.enqueue("");
    let other = rig.worker("b", 1);
    for _ in 0..2 {
        rig.pass(2_400);
        rig.say(other, r#"{"Action":"BeaconHeartbeat"}"#);
    }
    assert!(rig.pushed(other).is_empty());
    rig.pass(300);
    assert_eq!(rig.pushed(other), [(hash.clone(), 2)]);
    rig.complete(silent, &hash, 1);
    assert_eq!(rig.verdicts(silent), [(hash.clone(), false)], "the late outcome is refused");
    rig.complete(other, &hash, 2);
    assert_eq!(rig.verdicts(other), [(hash, true)]);
}

#[test]
fn any_frame_renews_the_lease() {
    let mut rig = Rig::new(r#"{"lease_ms":5000,"ping_interval_ms":3600000}"#);
    let worker = rig.foreign_worker("a", 1);
    rig.enqueue("");
    let other = rig.worker("b", 1);
    for turn in 0..8 {
        rig.pass(2_000);
        let text = if turn % 2 == 0 { r#"{"Action":"BeaconHeartbeat"}"# } else { "garbage" };
        rig.say(worker, text);
        rig.say(other, text);
    }
    assert!(rig.pushed(other).is_empty());
}

#[test]
fn a_connection_that_answers_no_pings_is_closed_and_its_items_move_on() {
    let mut rig = Rig::new(r#"{"ping_interval_ms":1000}"#);
    let silent = rig.worker("a", 1);
    let hash = rig.enqueue("");
    rig.pass(3_000);
    let (code, _) = rig.closed[&silent].clone();
    assert_eq!(code, 1001);
    let other = rig.worker("b", 1);
    assert_eq!(rig.pushed(other), [(hash, 2)]);
}

#[test]
fn only_the_holder_is_believed() {
    let mut rig = Rig::new("{}");
    let holder = rig.worker("a", 1);
    let hash = rig.enqueue("");
    let stranger = rig.worker("b", 1);
    rig.complete(stranger, &hash, 1);
    assert_eq!(rig.verdicts(stranger), [(hash.clone(), false)]);
    let body = r#"{"Outputs":{},"Log":[]}"#;
    let guess = rig.post(&format!("/Beacon/Work/{hash}/Complete"), body);
    assert_eq!(rig.status(guess), Some(400));
    rig.complete(holder, &hash, 7);
    assert_eq!(rig.verdicts(holder), [(hash.clone(), false)], "not its attempt");
    rig.complete(holder, &hash, 1);
    assert_eq!(rig.item_status(&hash), "Complete");
}

#[test]
fn an_outcome_that_is_sent_again_is_taken_again() {
    let mut rig = Rig::new("{}");
    let worker = rig.worker("a", 1);
    let hash = rig.enqueue("");
    rig.complete(worker, &hash, 1);
    rig.cut(worker);
    let running = format!(r#"[{{"WorkItemHash":"{hash}","AttemptNumber":1}}]"#);
    let again = rig.worker_running("a", 1, &running);
    assert_eq!(rig.verdicts(again), [(hash.clone(), true)]);
    rig.complete(again, &hash, 1);
    assert_eq!(rig.verdicts(again), [(hash.clone(), true), (hash, true)]);
}

#[test]
fn a_worker_that_comes_back_in_time_keeps_what_nobody_else_took() {
    let mut rig = Rig::new("{}");
    let worker = rig.worker("a", 1);
    let hash = rig.enqueue("");
    rig.cut(worker);
    let running = format!(r#"[{{"WorkItemHash":"{hash}","AttemptNumber":1}}]"#);
    let back = rig.worker_running("a", 1, &running);
    assert!(rig.pushed(back).is_empty());
    rig.complete(back, &hash, 1);
    assert_eq!(rig.verdicts(back), [(hash, true)]);
}

#[test]
fn a_worker_that_comes_back_late_is_told_to_stop() {
    let mut rig = Rig::new("{}");
    let worker = rig.worker("a", 1);
    let hash = rig.enqueue("");
    rig.cut(worker);
    let other = rig.worker("b", 1);
    assert_eq!(rig.pushed(other), [(hash.clone(), 2)]);
    let running = format!(r#"[{{"WorkItemHash":"{hash}","AttemptNumber":1}}]"#);
    let back = rig.worker_running("a", 1, &running);
    let frames = rig.frames(back);
    assert_eq!(frames[0]["EventType"], "BeaconRegistered");
    assert_eq!(frames[0]["Moorline"]["Acks"], true);
    assert_eq!(frames[1]["EventType"], "WorkCancel");
    assert_eq!(frames[1]["WorkItemHash"], hash.as_str());
}

#[test]
fn a_newer_connection_of_a_name_takes_the_record_and_the_older_ones_end_leaves_it() {
    let mut rig = Rig::new("{}");
    let older = rig.foreign_worker("twin", 1);
    let hash = rig.enqueue("");
    let newer = rig.foreign_worker("twin", 1);
    assert_eq!(rig.pushed(newer), [(hash, 2)]);
    rig.cut(older);
    let http = rig.ask(Method::Get, "/Beacon", "");
    assert_eq!(rig.reply(http).as_array().unwrap().len(), 1);
}

#[test]
fn an_item_whose_workers_keep_vanishing_fails_at_last() {
    let mut rig = Rig::new(r#"{"max_redeliveries":2}"#);
    rig.worker("stays-without-slots", 1);
    rig.enqueue("");
    let doomed = rig.dispatch();
    for _ in 0..3 {
        assert_eq!(rig.status(doomed), None);
        let worker = rig.worker("w", 1);
        assert_eq!(rig.pushed(worker).len(), 1);
        rig.cut(worker);
    }
    assert_eq!(rig.status(doomed), Some(500));
    assert!(rig.reply(doomed)["Error"].as_str().unwrap().contains("lost 3 times"));
}

#[test]
fn a_time_limit_ends_an_item_and_its_worker_is_told() {
    let mut rig = Rig::new("{}");
    let worker = rig.worker("w", 1);
    let hash = rig.enqueue(r#","TimeoutMs":500"#);
    let next = rig.enqueue("");
    rig.pass(500);
    assert_eq!(rig.item_status(&hash), "Timeout");
    let frames = rig.frames(worker);
    assert!(frames.iter().any(|frame| frame["EventType"] == "WorkCancel"));
    assert_eq!(rig.pushed(worker), [(hash.clone(), 1), (next, 1)], "the slot is free");
    rig.complete(worker, &hash, 1);
    assert!(rig.verdicts(worker).contains(&(hash, false)));
}

#[test]
fn a_hub_that_was_held_up_gives_workers_time_to_be_heard() {
    let mut rig = Rig::new(r#"{"lease_ms":5000,"ping_interval_ms":3600000}"#);
    let worker = rig.worker("a", 1);
    rig.enqueue("");
    let other = rig.worker("b", 1);
    rig.now += 60_000;
    let now = rig.now();
    rig.hub.handle_timeout(now);
    rig.drain();
    assert!(rig.pushed(other).is_empty(), "its frames may be waiting to be read");
    rig.say(worker, r#"{"Action":"BeaconHeartbeat"}"#);
    rig.say(other, r#"{"Action":"BeaconHeartbeat"}"#);
    rig.pass(4_999);
    assert!(rig.pushed(other).is_empty());
}

#[test]
fn a_worker_that_was_given_up_gets_work_again_when_it_is_heard() {
    let mut rig = Rig::new(r#"{"lease_ms":1000,"ping_interval_ms":3600000}"#);
    let worker = rig.worker("a", 1);
    rig.pass(1_500);
    let hash = rig.enqueue("");
    assert!(rig.pushed(worker).is_empty());
    rig.say(worker, r#"{"Action":"BeaconHeartbeat"}"#);
    assert_eq!(rig.pushed(worker), [(hash, 1)]);
}

#[test]
fn a_worker_that_fell_back_to_polling_outlives_its_dead_connection() {
    let mut rig = Rig::new(r#"{"ping_interval_ms":1000}"#);
    let dead = rig.foreign_worker("w", 2);
    let pushed = rig.enqueue("");
    let body = r#"{"Name":"w","Capabilities":["Echo"],"MaxConcurrent":2}"#;
    let http = rig.post("/Beacon/Register", body);
    let id = rig.reply(http)["BeaconID"].as_str().unwrap().to_owned();
    rig.post("/Beacon/Work/Poll", &format!(r#"{{"BeaconID":"{id}"}}"#));
    rig.pass(3_000);
    assert!(rig.closed.contains_key(&dead));
    let http = rig.post("/Beacon/Work/Poll", &format!(r#"{{"BeaconID":"{id}"}}"#));
    let item = rig.reply(http)["WorkItem"].clone();
    assert_eq!((&item["WorkItemHash"], &item["AttemptNumber"]), (&pushed.into(), &2.into()));
}

#[test]
fn a_registration_repeated_over_http_leaves_the_connection_in_charge() {
    let mut rig = Rig::new("{}");
    let conn = rig.foreign_worker("w", 1);
    rig.post("/Beacon/Register", r#"{"Name":"w","Capabilities":["Echo","More"]}"#);
    let hash = rig.enqueue("");
    assert_eq!(rig.pushed(conn), [(hash.clone(), 1)]);
    rig.complete(conn, &hash, 1);
    assert_eq!(rig.item_status(&hash), "Complete");
    rig.cut(conn);
    let http = rig.ask(Method::Get, "/Beacon", "");
    assert_eq!(rig.reply(http).as_array().unwrap().len(), 0);
}
