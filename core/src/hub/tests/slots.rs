//! K4.5 and K10: what becomes of slots and items when something is taken from a worker of others, which
//! runs it on and drops what is pushed beyond its slots.

use super::*;

fn hashes(rig: &Rig, conn: ConnId) -> Vec<String> {
    rig.pushed(conn).into_iter().map(|(hash, _)| hash).collect()
}

#[test]
fn an_item_that_ended_at_its_limit_holds_its_slot_until_its_worker_reports_it() {
    let mut rig = Rig::new("{}");
    let conn = rig.foreign_worker("w", 1);
    let first = rig.enqueue(r#","TimeoutMs":1000"#);
    let second = rig.enqueue("");
    rig.pass(1_000);
    assert_eq!(rig.item_status(&first), "Timeout");
    rig.pass(999);
    assert_eq!(rig.pushed(conn), [(first.clone(), 1)]);
    rig.complete(conn, &first, 1);
    assert_eq!(rig.pushed(conn), [(first, 1), (second.clone(), 1)]);
    rig.complete(conn, &second, 1);
    let third = rig.enqueue(r#","TimeoutMs":1000"#);
    let fourth = rig.enqueue("");
    rig.pass(2_000);
    assert_eq!(hashes(&rig, conn)[2..], [third, fourth], "it has its limit once more");
}

#[test]
fn what_was_pushed_while_it_can_only_have_been_dropped_is_pushed_again() {
    for is_heard_of in [false, true] {
        let mut rig = Rig::new("{}");
        let conn = rig.foreign_worker("w", 1);
        let slow = rig.enqueue(r#","TimeoutMs":1000"#);
        let next = rig.enqueue("");
        rig.pass(2_000);
        assert_eq!(hashes(&rig, conn), [slow.clone(), next.clone()]);
        if is_heard_of {
            let progress = format!(
                r#"{{"Action":"WorkProgress","WorkItemHash":"{next}","ProgressData":{{"Step":1}}}}"#
            );
            rig.say(conn, &progress);
        }
        rig.say(conn, &format!(r#"{{"Action":"WorkComplete","WorkItemHash":"{slow}"}}"#));
        let again: Vec<_> = rig.pushed(conn).into_iter().skip(2).collect();
        let dropped = if is_heard_of { vec![] } else { vec![(next.clone(), 2)] };
        assert_eq!(again, dropped, "{is_heard_of}");
        rig.say(conn, &format!(r#"{{"Action":"WorkComplete","WorkItemHash":"{next}"}}"#));
        assert_eq!(rig.item_status(&next), "Complete");
    }
}

#[test]
fn a_worker_that_is_back_gets_what_it_lost_and_nothing_beyond_its_slots() {
    let mut rig = Rig::new("{}");
    let conn = rig.foreign_worker("w", 1);
    let running = rig.enqueue("");
    let waiting = rig.enqueue(r#","Priority":9"#);
    rig.cut(conn);
    let back = rig.foreign_worker("w", 1);
    assert_eq!(rig.pushed(back), [(running.clone(), 2)]);
    rig.say(back, &format!(r#"{{"Action":"WorkComplete","WorkItemHash":"{running}"}}"#));
    assert_eq!(rig.item_status(&running), "Complete");
    assert_eq!(hashes(&rig, back), [running, waiting]);
}

#[test]
fn what_another_worker_took_meanwhile_holds_its_slot_still() {
    let mut rig = Rig::new("{}");
    let conn = rig.foreign_worker("w", 1);
    let taken = rig.enqueue(r#","TimeoutMs":60000"#);
    let other = rig.worker("other", 1);
    rig.cut(conn);
    assert_eq!(rig.pushed(other), [(taken.clone(), 2)]);
    for is_reported in [true, false] {
        let back = rig.foreign_worker("w", 1);
        let next = rig.enqueue("");
        assert!(rig.pushed(back).is_empty());
        if is_reported {
            rig.say(back, &format!(r#"{{"Action":"WorkComplete","WorkItemHash":"{taken}"}}"#));
            assert_eq!(hashes(&rig, back), std::slice::from_ref(&next));
            assert_eq!(rig.item_status(&taken), "Running", "the other has it");
            rig.say(back, &format!(r#"{{"Action":"WorkComplete","WorkItemHash":"{next}"}}"#));
            // It is lost again, with what it did not report.
            let lost = rig.enqueue(r#","TimeoutMs":30000"#);
            rig.pass(1_000);
            rig.cut(back);
            rig.complete(other, &taken, 2);
            assert_eq!(hashes(&rig, other)[1..], [lost]);
        } else {
            rig.say(other, r#"{"Action":"BeaconHeartbeat"}"#);
            rig.pass(28_999);
            assert!(rig.pushed(back).is_empty());
            rig.pass(1);
            assert_eq!(hashes(&rig, back), [next], "its limit has passed");
        }
    }
}

#[test]
fn a_restart_of_the_hub_frees_no_slot_that_is_used() {
    let mut rig = Rig::new("{}");
    rig.foreign_worker("w", 1);
    let running = rig.enqueue("");
    let waiting = rig.enqueue(r#","Priority":9"#);
    let mut rig = rig.restart(10_000);
    let back = rig.foreign_worker("w", 1);
    assert_eq!(rig.pushed(back), [(running.clone(), 2)]);
    rig.say(back, &format!(r#"{{"Action":"WorkComplete","WorkItemHash":"{running}"}}"#));
    assert_eq!(hashes(&rig, back), [running, waiting]);
}

#[test]
fn silence_and_cancelled_calls_free_no_slot_that_is_used() {
    let mut rig = Rig::new(r#"{"lease_ms":1000,"ping_interval_ms":3600000}"#);
    let conn = rig.foreign_worker("w", 1);
    rig.call(7, "Echo/Say", "{}", r#"{"timeout_ms":60000}"#);
    let called = hashes(&rig, conn)[0].clone();
    let next = rig.enqueue("");
    let now = rig.now();
    rig.hub.handle_command(Command::Call(CallCommand::Cancel { call: CallId(7) }), now).unwrap();
    rig.drain();
    assert_eq!(hashes(&rig, conn).len(), 1);
    let asked = rig.frames(conn).pop().unwrap();
    assert_eq!(
        (&asked["EventType"], &asked["WorkItemHash"]),
        (&"Cancel".into(), &called.as_str().into())
    );
    rig.say(conn, &format!(r#"{{"Action":"WorkCanceled","WorkItemHash":"{called}"}}"#));
    assert_eq!(hashes(&rig, conn)[1..], *std::slice::from_ref(&next));
    rig.pass(1_000);
    let other = rig.enqueue("");
    rig.say(conn, r#"{"Action":"BeaconHeartbeat"}"#);
    assert_eq!(hashes(&rig, conn).len(), 2, "it runs what was taken from it");
    rig.say(conn, &format!(r#"{{"Action":"WorkComplete","WorkItemHash":"{next}"}}"#));
    assert_eq!(
        (rig.item_status(&next), hashes(&rig, conn)[2..].to_vec()),
        ("Complete".into(), vec![other])
    );
}

/// K10: the words of hub 1.3.27, on a connection.
#[test]
fn a_worker_of_others_is_asked_to_stop_and_ends_the_item_when_it_has() {
    let mut rig = Rig::new("{}");
    let conn = rig.foreign_worker("w", 1);
    let hash = rig.enqueue("");
    let url = format!("/Beacon/Work/{hash}/Cancel");
    let http = rig.post(&url, r#"{"Reason":"enough"}"#);
    let marked = serde_json::json!({
        "Success": true, "WorkItemHash": hash, "Canceled": false, "CancelRequested": true, "Status": "Running",
    });
    assert_eq!(rig.reply(http), marked);
    let asked =
        serde_json::json!({"EventType": "Cancel", "WorkItemHash": hash, "Reason": "enough"});
    assert_eq!(rig.frames(conn).pop(), Some(asked));
    rig.say(
        conn,
        &format!(r#"{{"Action":"WorkCancelAck","WorkItemHash":"{hash}","BeaconID":"b"}}"#),
    );
    assert_eq!(rig.item_status(&hash), "Running");
    rig.say(conn, &format!(r#"{{"Action":"WorkCanceled","WorkItemHash":"{hash}","Reason":"x"}}"#));
    assert_eq!(rig.item_status(&hash), "Canceled");
    let next = rig.enqueue("");
    assert_eq!(hashes(&rig, conn)[1..], [next]);
}

/// K10: the same over HTTP, where nobody can be told at once.
#[test]
fn a_worker_that_polls_is_asked_to_stop_in_the_answers_to_its_requests() {
    for ours in [r#","Moorline":{"Acks":true}"#, ""] {
        let mut rig = Rig::new("{}");
        let body = format!(r#"{{"Name":"p","Capabilities":["Echo"],"MaxConcurrent":2{ours}}}"#);
        let http = rig.post("/Beacon/Register", &body);
        let id = rig.reply(http)["BeaconID"].as_str().unwrap().to_owned();
        let ask = |rig: &mut Rig, url: &str| {
            let http = rig.post(url, &format!(r#"{{"BeaconID":"{id}"}}"#));
            assert_eq!(rig.status(http), Some(200), "{url}");
            rig.reply(http)
        };
        let hash = rig.enqueue("");
        assert!(ask(&mut rig, "/Beacon/Work/Poll").get("Cancels").is_none());
        let work = |what: &str| format!("/Beacon/Work/{hash}/{what}");
        rig.post(&work("Cancel"), r#"{"Reason":"enough"}"#);
        assert_eq!(rig.item_status(&hash), "Running");
        let cancels = |reply: &Value| reply["Cancels"][0]["WorkItemHash"] == hash.as_str();
        assert!(cancels(&ask(&mut rig, "/Beacon/Work/Poll")));
        assert!(cancels(&ask(&mut rig, &format!("/Beacon/{id}/Heartbeat"))));
        assert_eq!(ask(&mut rig, &work("Progress"))["CancelReason"], "enough");
        ask(&mut rig, &work("CancelAck"));
        assert!(!cancels(&ask(&mut rig, "/Beacon/Work/Poll")));
        rig.post(&work("Canceled"), &format!(r#"{{"BeaconID":"{id}"}}"#));
        assert_eq!(rig.item_status(&hash), "Canceled");
    }
}
