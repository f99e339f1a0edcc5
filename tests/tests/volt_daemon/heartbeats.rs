//! Heartbeats: one loop, a limit of their own, and what their silence tells.

use moorline_core::{ErrorCode, Event};
use moorline_core::{SessionEvent, WorkEvent};
use serde_json::{Value, json};

use crate::server::{Scene, brief};

fn answer(it: &mut Scene, beat: &Value) {
    let response = json!({"type": "response", "requestId": beat["requestId"], "ok": true});
    it.say(&format!("42[\"team-cluster-daemon:message\",{response}]"));
}

fn beat(it: &mut Scene) -> Value {
    let mut messages = it.messages();
    assert_eq!(messages.len(), 1, "{messages:?}");
    let beat = messages.remove(0);
    assert_eq!(beat["command"], "runtime.heartbeat");
    beat
}

fn beating(more: &Value) -> Scene {
    let mut heartbeat = json!({"interval_ms": 10_000});
    for (key, value) in more.as_object().expect("options") {
        heartbeat[key.as_str()] = value.clone();
    }
    let mut it = Scene::new(&json!({"heartbeat": heartbeat}));
    it.joins();
    assert_eq!(it.said().len(), 1);
    it.confirm();
    it
}

#[test]
fn the_next_beat_is_an_interval_behind_the_end_of_the_last() {
    let mut it = beating(&json!({}));
    let first = beat(&mut it);
    it.pass(400);
    answer(&mut it, &first);
    it.pass(9_999);
    assert!(it.said().is_empty());
    it.pass(1);
    beat(&mut it);
}

#[test]
fn c9_a_beat_waits_no_longer_than_its_interval() {
    for (interval, limit) in [(10_000, 10_000), (100, 1_000), (300_000, 30_000)] {
        let mut it = beating(&json!({"interval_ms": interval}));
        beat(&mut it);
        assert_eq!(it.next_deadline(), limit, "{interval}");
        let events = it.events();
        assert_eq!(brief(&events), ["CALL_TIMEOUT"]);
        let Event::Session(SessionEvent::Notice { error }) = &events[0] else { panic!() };
        assert!(error.message().contains("runtime.heartbeat"), "programs look for the word");
    }
}

#[test]
fn c9_the_loop_rests_while_offline_and_begins_with_the_registration() {
    let mut it = beating(&json!({"interval_ms": 100}));
    let first = beat(&mut it);
    answer(&mut it, &first);
    it.daemon.network.is_up = false;
    it.cut();
    it.pass(60_000);
    let events = brief(&it.events());
    let complaints =
        events.iter().filter(|it| it.contains("HEARTBEAT") || it.contains("NOT_READY"));
    assert_eq!(complaints.count(), 0, "{events:?}");
    it.daemon.network.is_up = true;
    it.next_deadline();
    it.joins();
    it.said();
    it.confirm();
    beat(&mut it);
}

/// A second daemon took our place: the server says nothing, it only ignores us.
#[test]
fn c9_two_beats_without_an_answer_are_told_and_repeat_the_registration_once() {
    let mut it = beating(&json!({}));
    for is_doubted in [false, true] {
        beat(&mut it);
        it.pass(10_000);
        let told = brief(&it.events());
        assert_eq!(told.contains(&"REGISTRATION_FAILED".to_owned()), is_doubted, "{told:?}");
        let said = it.said();
        assert_eq!(said.len(), usize::from(is_doubted), "{said:?}");
        assert!(said.iter().all(|text| text.contains("team-cluster-daemon:register")));
        it.pass(10_000);
    }
    // It is ours again: no complaint, no second registration.
    let mine = beat(&mut it);
    answer(&mut it, &mine);
    it.pass(10_000);
    beat(&mut it);
    assert!(it.events().is_empty());
}

/// How often the registration was repeated, and what was told of it, within so many times ten seconds;
/// `is_answered` chooses those in which beats are answered.
fn fight(
    it: &mut Scene,
    rounds: usize,
    is_answered: impl Fn(usize) -> bool,
) -> (usize, Vec<String>) {
    let (mut registrations, mut told) = (0, Vec::new());
    for round in 0..rounds {
        it.say("2");
        for text in it.said() {
            registrations += usize::from(text.contains("team-cluster-daemon:register\""));
            let json = text.strip_prefix("42").unwrap_or("null");
            let event: Value = serde_json::from_str(json).unwrap_or_default();
            if is_answered(round) && event[1]["command"] == "runtime.heartbeat" {
                answer(it, &event[1]);
            }
        }
        for event in it.events() {
            if let Event::Session(SessionEvent::Notice { error }) = event
                && error.code() == ErrorCode::RegistrationFailed
            {
                told.push(error.message().to_owned());
            }
        }
        it.pass(10_000);
    }
    (registrations, told)
}

#[test]
fn c9_the_second_time_the_place_is_left_to_the_other_daemon() {
    let mut it = beating(&json!({}));
    let (registrations, told) = fight(&mut it, 30, |_| false);
    assert_eq!((registrations, told.len()), (1, 2), "{told:?}");
    assert!(told[0].contains("another daemon may be registered as \"c\""), "{told:?}");
    assert!(told[1].contains("another daemon is registered as \"c\""), "{told:?}");
    assert!(told[1].contains("yields"), "{told:?}");
    // A place that is left to nobody is taken again after a long while.
    let (registrations, told) = fight(&mut it, 20, |_| false);
    assert_eq!((registrations, told.len()), (1, 1), "{told:?}");
}

#[test]
fn c9_a_displacement_is_remembered_through_beats_that_are_answered() {
    let mut it = beating(&json!({}));
    // It wins the place back, and loses it again.
    let (registrations, told) = fight(&mut it, 20, |round| (4..10).contains(&round));
    assert_eq!((registrations, told.len()), (1, 2), "{told:?}");
    // The other one has left.
    let (registrations, told) = fight(&mut it, 40, |_| true);
    assert_eq!((registrations, told.len()), (0, 0), "{told:?}");
}

#[test]
fn a_hub_that_names_the_other_daemon_is_believed_at_once() {
    let mut it = beating(&json!({}));
    for _ in 0..3 {
        let mine = beat(&mut it);
        let response = json!({"type": "response", "requestId": mine["requestId"], "ok": false,
            "status": 409, "message": "Another daemon has registered as c."});
        it.say(&format!("42[\"team-cluster-daemon:message\",{response}]"));
        it.pass(10_000);
    }
    let told = brief(&it.events());
    assert_eq!(told, ["REGISTRATION_FAILED"], "once");
    let mine = beat(&mut it);
    answer(&mut it, &mine);
    it.pass(10_000);
    beat(&mut it);
    assert!(it.events().is_empty());
}

#[test]
fn credentials_stand_before_the_applications_members() {
    let options = json!({"heartbeat": {"asks": true, "include_credentials": true}});
    let mut it = Scene::new(&options);
    it.joins();
    it.said();
    let [Event::Work(WorkEvent::BeatAsked { beat })] = it.confirm()[..] else {
        panic!("no beat is asked for")
    };
    it.done(beat, "{\"seq\":1}").expect("a payload");
    let text = it.said().remove(0);
    assert!(
        text.contains("\"payload\":{\"teamClusterId\":\"c\",\"daemonPassword\":\"pw\",\"seq\":1}")
    );
}

#[test]
fn a_beat_may_be_a_message_that_nobody_answers() {
    let mut it = beating(&json!({"mode": "message"}));
    for _ in 0..3 {
        assert_eq!(it.messages(), [json!({"type": "runtime-heartbeat"})]);
        it.pass(10_000);
    }
    assert!(it.events().is_empty());
}
