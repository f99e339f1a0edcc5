//! Heartbeats: one loop, a limit of their own, and what their silence tells.

use moorline_core::Event;
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
fn c9_two_beats_without_an_answer_repeat_the_registration_once() {
    let mut it = beating(&json!({}));
    for is_doubted in [false, true] {
        beat(&mut it);
        it.pass(10_000);
        assert_eq!(brief(&it.events()), ["CALL_TIMEOUT"]);
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

#[test]
fn c9_a_fight_over_the_place_is_told_and_does_not_grow_hot() {
    let mut it = beating(&json!({}));
    let (mut registrations, mut told) = (0, 0);
    for _ in 0..20 {
        it.say("2");
        registrations +=
            it.said().iter().filter(|text| text.contains("team-cluster-daemon:register")).count();
        told += brief(&it.events()).iter().filter(|it| *it == "REGISTRATION_FAILED").count();
        it.pass(20_000);
    }
    assert!(told >= 2, "{told}");
    assert!((2..=10).contains(&registrations), "{registrations}: two beats between them");
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
