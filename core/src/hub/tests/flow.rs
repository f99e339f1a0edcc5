//! Work from client to worker and back.

use super::*;

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
    let done: Vec<_> =
        rig.events.iter().filter(|event| matches!(event, Event::CallDone { .. })).collect();
    let [Event::CallDone { call: CallId(1), result: Ok(value) }] = done.as_slice() else {
        panic!("{done:?}")
    };
    let expected = format!(r#"{{"WorkItemHash":"{hash}","Outputs":{{"Result":"1"}},"Log":[]}}"#);
    assert_eq!(value.as_str(), expected);
}
