//! Registration, loss, delays, farewell.

use moorline_core::{Command, Event, Raw};
use moorline_core::{SessionEvent, WorkCommand};
use serde_json::json;

use crate::server::{Scene, brief, raw};

const REGISTER: &str =
    "42[\"team-cluster-daemon:register\",{\"teamClusterId\":\"c\",\"daemonPassword\":\"pw\"}]";

#[test]
fn c9_a_silent_server_is_asked_three_times_on_one_socket_and_then_left() {
    let mut it = Scene::new(&json!({}));
    it.joins();
    assert_eq!(it.said(), [REGISTER]);
    for delay in [500, 1_000] {
        assert_eq!(it.next_deadline(), 10_000, "the time for the confirmation");
        assert_eq!(brief(&it.events()), ["REGISTRATION_FAILED"]);
        assert!(it.said().is_empty());
        assert_eq!(it.next_deadline(), delay, "the delay of any failure");
        assert_eq!(it.said(), [REGISTER]);
    }
    assert_eq!(it.next_deadline(), 10_000);
    assert_eq!(it.said(), ["41"]);
    assert!(!it.daemon.is_open(it.session));
    let events = brief(&it.events());
    assert_eq!(events[0], "REGISTRATION_FAILED");
    assert_eq!(events[1], "lost: the registration failed three times 500");
    it.pass(500);
    it.registers();
}

#[test]
fn a_registration_that_cannot_be_sent_is_not_put_behind_itself() {
    let mut it = Scene::new(&json!({"transport": "polling"}));
    it.daemon.network.is_slow = true;
    it.joins();
    assert_eq!(it.next_deadline(), 10_000, "the time for the confirmation");
    assert!(it.said().is_empty(), "the packet before it is still under way");
    let lost = "lost: the registration could not be sent 500";
    assert_eq!(brief(&it.events())[..2], ["REGISTRATION_FAILED", lost]);
    it.daemon.network.is_slow = false;
    it.pass(500);
    it.registers();
}

#[test]
fn what_a_server_says_of_a_registration_that_has_not_left_does_not_double_it() {
    let mut it = Scene::new(&json!({"transport": "polling"}));
    it.daemon.network.is_slow = true;
    it.joins();
    it.say("42[\"error\",{\"code\":\"x\"}]");
    let lost = "lost: the registration could not be sent 500";
    assert_eq!(brief(&it.events())[..2], ["REGISTRATION_FAILED", lost]);
    it.daemon.network.is_slow = false;
    it.pass(500);
    it.registers();
}

#[test]
fn c9_a_confirmation_that_comes_late_is_one() {
    let mut it = Scene::new(&json!({}));
    it.joins();
    it.pass(10_000);
    assert_eq!(brief(&it.events()), ["REGISTRATION_FAILED"]);
    it.confirm();
    it.pass(60_000 - 16_000);
    assert_eq!(it.said(), [REGISTER], "it is not sent again");
}

#[test]
fn c9_a_refusing_acknowledgement_is_known_at_once_and_an_agreeing_one_is_not_enough() {
    let mut it = Scene::new(&json!({"register_with_ack": true}));
    it.joins();
    assert!(it.said()[0].starts_with("420[\"team-cluster-daemon:register\","));
    it.say("430[{\"ok\":false,\"error\":\"Team cluster not found\"}]");
    match &it.events()[..] {
        [Event::Session(SessionEvent::Notice { error })] => {
            assert!(error.message().contains("Team cluster not found"))
        }
        other => panic!("{other:?}"),
    }
    it.pass(500);
    assert_eq!(it.said().len(), 1);
    it.say("430[{\"ok\":true}]");
    assert!(it.events().is_empty());
    it.confirm();
}

#[test]
fn each_registration_takes_the_password_as_it_is_then() {
    let mut it = Scene::ready(&json!({}));
    let payload = raw("{\"password\":\"next\"}");
    it.daemon.command(Command::Emit { name: "$password".into(), payload }).expect("a password");
    it.cut();
    it.events();
    it.pass(500);
    it.joins();
    assert!(it.said()[0].contains("\"daemonPassword\":\"next\""));
}

#[test]
fn c8_the_application_is_served_again_without_asking() {
    let mut it = Scene::ready(&json!({}));
    it.emit("{\"type\":\"a\"}").expect("it leaves");
    assert_eq!(it.messages()[0]["type"], "a");
    it.cut();
    assert_eq!(brief(&it.events()), ["lost: transport close 500"]);
    for kind in ["b", "c"] {
        it.emit(&json!({"type": kind}).to_string()).expect("it waits");
    }
    it.pass(500);
    it.joins();
    assert_eq!(it.said(), [REGISTER]);
    it.confirm();
    let kinds: Vec<_> = it.messages().into_iter().map(|message| message["type"].clone()).collect();
    assert_eq!(kinds, ["b", "c"], "in their order, and nothing twice");
    let work = it.ask("r", "json");
    it.done(work, "{\"data\":1}").expect("an answer");
    assert_eq!(it.messages()[0]["requestId"], "r");
}

#[test]
fn delays_double_and_begin_anew_only_behind_a_registration_that_held() {
    let mut it = Scene::ready(&json!({}));
    for delay in [500, 1_000, 2_000] {
        it.pass(9_999);
        it.cut();
        assert_eq!(brief(&it.events()), [format!("lost: transport close {delay}")]);
        it.pass(delay);
        it.registers();
    }
    it.pass(10_000);
    it.cut();
    assert_eq!(brief(&it.events()), ["lost: transport close 500"]);
}

#[test]
fn c9_a_server_that_dismisses_three_times_in_a_row_is_given_the_longest_delay() {
    let mut it = Scene::ready(&json!({"reconnect": {"base_delay_ms": 10, "jitter_percent": 0}}));
    for delay in [10, 20, 30_000, 30_000] {
        it.say("41");
        assert_eq!(brief(&it.events()), [format!("lost: io server disconnect {delay}")]);
        it.pass(delay);
        it.registers();
    }
    it.pass(10_000);
    it.say("41");
    assert_eq!(brief(&it.events()), ["lost: io server disconnect 10"]);
}

#[test]
fn who_does_not_want_to_come_back_does_not() {
    let mut it = Scene::ready(&json!({"reconnect_on_server_disconnect": false}));
    it.cut();
    assert_eq!(brief(&it.events()), ["lost: transport close 500"], "other losses are no farewell");
    it.pass(500);
    it.registers();
    it.say("41");
    let events = brief(&it.events());
    assert_eq!(events[0], "lost: io server disconnect 0");
    assert!(events[1].starts_with("ended: Control socket connection error: "), "{events:?}");

    let mut it = Scene::ready(&json!({"reconnect_enabled": false}));
    it.cut();
    assert!(brief(&it.events())[1].starts_with("ended: "));
    assert!(it.daemon.deadline().is_none());
}

#[test]
fn a_namespace_that_is_refused_later_is_tried_again() {
    let mut it = Scene::ready(&json!({}));
    it.cut();
    it.events();
    it.pass(500);
    it.opens();
    it.say("44{\"message\":\"a passing fault\"}");
    match &it.events()[..] {
        [Event::Session(SessionEvent::Notice { error })] => {
            let words = "Control socket connection error: a passing fault";
            assert_eq!(error.message(), words);
        }
        other => panic!("{other:?}"),
    }
    it.pass(1_000);
    it.registers();
}

#[test]
fn a_server_of_another_version_or_without_a_word_is_no_connection() {
    for answer in ["40", "40{}", "40{\"sid\":null}", ""] {
        let mut it = Scene::new(&json!({}));
        it.opens();
        if answer.is_empty() {
            assert_eq!(it.next_deadline(), 20_000, "opening and joining have one limit");
        } else {
            it.say(answer);
        }
        assert_eq!(brief(&it.events()), ["CONNECT_FAILED"], "{answer}");
        assert!(!it.daemon.is_open(it.session));
        it.pass(500);
        it.registers();
    }
}

#[test]
fn a_suspended_process_does_not_talk_to_a_dead_connection() {
    let mut it = Scene::ready(&json!({}));
    it.call(1, 600_000).expect("a command");
    it.said();
    it.daemon.suspend(3_600_000);
    it.emit("{\"type\":\"kept\"}").expect("an emit");
    assert!(it.said().is_empty());
    let events = brief(&it.events());
    assert_eq!(events, ["call NOT_READY", "lost: ping timeout 500"]);
}

#[test]
fn the_oldest_message_gives_way_with_a_notice() {
    let mut it = Scene::new(&json!({"max_queued": 2}));
    for kind in ["a", "b", "c"] {
        it.emit(&json!({"type": kind}).to_string()).expect("it waits");
    }
    assert_eq!(brief(&it.events()), ["OVERLOADED"]);
    it.registers();
    let kinds: Vec<_> = it.messages().into_iter().map(|message| message["type"].clone()).collect();
    assert_eq!(kinds, ["b", "c"]);
}

#[test]
fn a_drain_lets_handlers_finish_and_refuses_new_commands() {
    let mut it = Scene::ready(&json!({}));
    let work = it.ask("r1", "json");
    it.stop(5_000);
    assert_eq!(brief(&it.events()), ["draining"]);
    it.say("42[\"team-cluster-daemon:message\",{\"type\":\"command\",\"requestId\":\"r2\",\"command\":\"h\"}]");
    assert_eq!(it.messages()[0]["status"], 503);
    it.done(work, "{}").expect("an answer");
    let said = it.said();
    assert!(said[0].contains("\"r1\"") && said[1] == "41", "{said:?}");
    assert_eq!(brief(&it.events()), ["ended"]);

    let mut it = Scene::ready(&json!({}));
    it.ask("r1", "json");
    it.stop(5_000);
    it.pass(5_000);
    assert_eq!(it.said(), ["41"]);
    assert_eq!(brief(&it.events()), ["draining", "withdrawn draining", "ended"]);
}

#[test]
fn a_stop_is_heard_in_every_state() {
    // Before it has connected, while it joins, while it registers, while it waits.
    for state in 0..4 {
        let mut it = Scene::new(&json!({}));
        match state {
            0 => drop(it.daemon.told()),
            1 => it.opens(),
            2 => it.joins(),
            _ => {
                it.registers();
                it.cut();
                it.events();
            }
        }
        it.said();
        it.stop(60_000);
        let farewell: &[&str] = if state == 2 { &["41"] } else { &[] };
        assert_eq!(it.said(), farewell, "{state}");
        assert_eq!(brief(&it.events()), ["draining", "ended"], "{state}");
        assert!(it.daemon.deadline().is_none() && it.daemon.open_transports() == 0);
        assert!(it.call(1, 10).is_err());
        let meta = Raw::empty_object();
        assert!(
            it.daemon
                .command(Command::Work(WorkCommand::Handle { key: "x".into(), meta }))
                .is_err()
        );
    }
}
