//! Which worker gets which item, and when.

use super::*;

fn register(rig: &mut Rig, name: &str, slots: u64) -> String {
    let body = format!(r#"{{"Name":"{name}","Capabilities":["Echo"],"MaxConcurrent":{slots}}}"#);
    let http = rig.post("/Beacon/Register", &body);
    rig.reply(http)["BeaconID"].as_str().unwrap().to_owned()
}

fn poll(rig: &mut Rig, beacon_id: &str) -> Option<String> {
    let http = rig.post("/Beacon/Work/Poll", &format!(r#"{{"BeaconID":"{beacon_id}"}}"#));
    rig.reply(http)["WorkItem"]["WorkItemHash"].as_str().map(str::to_owned)
}

#[test]
fn no_worker_gets_more_than_its_slots() {
    let mut rig = Rig::new("{}");
    let worker = rig.worker("w", 3);
    let hashes: Vec<_> = (0..10).map(|_| rig.enqueue("")).collect();
    assert_eq!(rig.pushed(worker).len(), 3);
    for hash in &hashes {
        rig.complete(worker, hash, 1);
        let open = rig.pushed(worker).len() - rig.verdicts(worker).len();
        assert!(open <= 3, "{open} at once");
    }
    let order: Vec<_> = rig.pushed(worker).into_iter().map(|(hash, _)| hash).collect();
    assert_eq!(order, hashes, "in order of arrival");
}

#[test]
fn higher_priority_goes_first_and_equal_ones_in_order() {
    let mut rig = Rig::new("{}");
    let low = rig.enqueue(r#","Priority":-1"#);
    let first = rig.enqueue("");
    let second = rig.enqueue("");
    let high = rig.enqueue(r#","Settings":{"priority":9}"#);
    let worker = rig.worker("w", 4);
    let order: Vec<_> = rig.pushed(worker).into_iter().map(|(hash, _)| hash).collect();
    assert_eq!(order, [high, first, second, low]);
}

#[test]
fn waiting_items_can_change_places() {
    let mut rig = Rig::new("{}");
    let one = rig.enqueue("");
    let two = rig.enqueue("");
    let up = rig.post(&format!("/Beacon/Work/{two}/Reorder"), r#"{"Direction":"up"}"#);
    let again = rig.post(&format!("/Beacon/Work/{two}/Reorder"), r#"{"Direction":"up"}"#);
    assert_eq!((rig.status(up), rig.status(again)), (Some(200), Some(409)));
    let worker = rig.worker("w", 2);
    let order: Vec<_> = rig.pushed(worker).into_iter().map(|(hash, _)| hash).collect();
    assert_eq!(order, [two, one]);
}

#[test]
fn work_is_spread_over_workers() {
    let mut rig = Rig::new("{}");
    let (a, b) = (rig.worker("a", 4), rig.worker("b", 4));
    for _ in 0..6 {
        rig.enqueue("");
    }
    assert_eq!((rig.pushed(a).len(), rig.pushed(b).len()), (3, 3));
}

#[test]
fn a_capability_that_nobody_offers_waits() {
    let mut rig = Rig::new("{}");
    let worker = rig.worker("w", 1);
    let body = r#"{"Capability":"Other","Action":"Do","TimeoutMs":2500}"#;
    let http = rig.post("/Beacon/Work/Dispatch", body);
    assert!(rig.pushed(worker).is_empty());
    rig.pass(2_500);
    assert_eq!(rig.reply(http)["Error"], "Direct dispatch timed out after 2500ms.");
}

#[test]
fn a_strict_item_waits_for_the_worker_of_that_name() {
    let mut rig = Rig::new("{}");
    let other = rig.worker("other", 1);
    let hash = rig.enqueue(r#","AffinityKey":"target","RequireAffinityMatch":true"#);
    assert!(rig.pushed(other).is_empty());
    assert_eq!(rig.item_status(&hash), "Pending");
    let target = rig.worker("target", 1);
    assert_eq!(rig.pushed(target), [(hash.clone(), 1)]);
    rig.cut(target);
    assert!(rig.pushed(other).is_empty(), "not even when its worker is lost");
    let back = rig.worker("target", 1);
    assert_eq!(rig.pushed(back), [(hash, 2)]);
}

#[test]
fn a_named_item_is_reserved_while_its_worker_is_here_and_free_when_it_is_not() {
    let mut rig = Rig::new("{}");
    let named = rig.worker("named", 1);
    rig.enqueue("");
    let other = rig.worker("other", 1);
    let hash = rig.enqueue(r#","AffinityKey":"named""#);
    assert_eq!(rig.item_status(&hash), "Assigned");
    assert!(rig.pushed(other).is_empty());
    rig.cut(named);
    let got: Vec<_> = rig.pushed(other);
    assert_eq!(got.len(), 1, "one slot: {got:?}");
    rig.complete(other, &got[0].0, got[0].1);
    assert_eq!(rig.pushed(other).len(), 2);
}

#[test]
fn a_key_sticks_to_the_worker_that_took_it_first() {
    let mut rig = Rig::new(r#"{"affinity_ttl_ms":10000}"#);
    let a = rig.foreign_worker("a", 8);
    let b = rig.foreign_worker("b", 8);
    for _ in 0..4 {
        rig.enqueue(r#","AffinityKey":"video-7""#);
    }
    assert_eq!((rig.pushed(a).len(), rig.pushed(b).len()), (4, 0));
    let http = rig.ask(Method::Get, "/Beacon/Affinity", "");
    assert_eq!(rig.reply(http)[0]["AffinityKey"], "video-7");
    rig.cut(a);
    assert_eq!(rig.pushed(b).len(), 4, "a key does not outlive its worker");
}

#[test]
fn a_polling_worker_gets_one_item_a_poll_up_to_its_slots() {
    let mut rig = Rig::new("{}");
    let id = register(&mut rig, "p", 2);
    let hashes: Vec<_> = (0..3).map(|_| rig.enqueue("")).collect();
    assert_eq!(poll(&mut rig, &id).as_ref(), Some(&hashes[0]));
    assert_eq!(poll(&mut rig, &id).as_ref(), Some(&hashes[1]));
    assert_eq!(poll(&mut rig, &id), None, "its slots are full");
    let url = format!("/Beacon/Work/{}/Complete", hashes[0]);
    let done = rig.post(&url, r#"{"Outputs":{"a":1},"Log":[]}"#);
    assert_eq!(rig.status(done), Some(200));
    assert_eq!(poll(&mut rig, &id).as_ref(), Some(&hashes[2]));
    let twice = rig.post(&url, r#"{"Outputs":{"a":1},"Log":[]}"#);
    assert_eq!(rig.status(twice), Some(400));
}

#[test]
fn a_reserved_item_does_not_block_the_poll_of_its_worker() {
    let mut rig = Rig::new("{}");
    let id = register(&mut rig, "p", 1);
    let hash = rig.enqueue(r#","AffinityKey":"p""#);
    assert_eq!(rig.item_status(&hash), "Assigned");
    assert_eq!(poll(&mut rig, &id), Some(hash));
}

#[test]
fn an_item_that_failed_runs_again_after_its_pause_and_frees_its_slot() {
    let mut rig = Rig::new("{}");
    let worker = rig.worker("w", 1);
    let hash = rig.enqueue(r#","Settings":{"maxRetries":3,"retryBackoffMs":200}"#);
    let fail = |rig: &mut Rig, attempt: u64| {
        rig.say(
            worker,
            &format!(
                r#"{{"Action":"WorkError","WorkItemHash":"{hash}","ErrorMessage":"no","Log":[],"AttemptNumber":{attempt}}}"#
            ),
        );
    };
    fail(&mut rig, 1);
    assert_eq!(rig.item_status(&hash), "RetryScheduled");
    let other = rig.enqueue("");
    rig.complete(worker, &other, 1);
    rig.pass(199);
    assert_eq!(rig.item_status(&hash), "RetryScheduled");
    fail(&mut rig, 1);
    assert_eq!(rig.verdicts(worker).last(), Some(&(hash.clone(), true)), "taken before");
    rig.pass(1);
    fail(&mut rig, 2);
    rig.pass(400);
    fail(&mut rig, 3);
    assert_eq!(rig.item_status(&hash), "Error");
    let attempts: Vec<_> =
        rig.pushed(worker).into_iter().filter(|(of, _)| *of == hash).map(|(_, n)| n).collect();
    assert_eq!(attempts, [1, 2, 3]);
}

#[test]
fn a_drained_worker_gets_no_new_work_even_after_a_reconnection() {
    let mut rig = Rig::new("{}");
    let worker = rig.worker("w", 2);
    rig.enqueue("");
    let id = rig.frames(worker)[0]["BeaconID"].as_str().unwrap().to_owned();
    rig.post(&format!("/Beacon/{id}/Drain"), "");
    let waiting = rig.enqueue("");
    assert_eq!(rig.pushed(worker).len(), 1);
    rig.cut(worker);
    let back = rig.worker("w", 2);
    assert!(rig.pushed(back).is_empty());
    let id = rig.frames(back)[0]["BeaconID"].as_str().unwrap().to_owned();
    rig.post(&format!("/Beacon/{id}/Drain"), r#"{"Draining":false}"#);
    assert!(rig.pushed(back).iter().any(|(hash, _)| *hash == waiting));
}

#[test]
fn a_worker_that_drains_by_itself_gets_no_new_work_and_may_come_back_for_more() {
    let mut rig = Rig::new("{}");
    let worker = rig.worker("w", 2);
    let id = rig.frames(worker)[0]["BeaconID"].as_str().unwrap().to_owned();
    rig.say(
        worker,
        &format!(r#"{{"Action":"BeaconHeartbeat","BeaconID":"{id}","Draining":true}}"#),
    );
    let waiting = rig.enqueue("");
    assert!(rig.pushed(worker).is_empty());
    rig.cut(worker);
    let back = rig.worker("w", 2);
    assert!(rig.pushed(back).iter().any(|(hash, _)| *hash == waiting));
}
