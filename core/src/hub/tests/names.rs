//! A name has one owner: what becomes of the others, of drains and of farewells.

use super::*;
use crate::api::event::{PeerEvent, SessionEvent};
use crate::base::error::ErrorCode;

/// Connects a worker of ours that had the id `former` before; empty for a process that is new.
fn ours(rig: &mut Rig, name: &str, former: &str) -> ConnId {
    let conn = rig.connect(Headers::new());
    rig.say(
        conn,
        &format!(
            r#"{{"Action":"BeaconRegister","Name":"{name}","Capabilities":["Echo"],
            "Moorline":{{"Acks":true,"BeaconID":"{former}","Running":[]}}}}"#
        ),
    );
    conn
}

fn id(rig: &Rig, conn: ConnId) -> String {
    let frames = rig.frames(conn);
    let registered = frames.iter().rfind(|frame| frame["EventType"] == "BeaconRegistered");
    registered.unwrap()["BeaconID"].as_str().unwrap().to_owned()
}

fn close(rig: &Rig, conn: ConnId) -> Option<u16> {
    rig.closed.get(&conn).map(|(code, _)| *code)
}

fn notices(rig: &Rig, code: ErrorCode) -> usize {
    let is_such = |event: &&Event| matches!(event, Event::Session(SessionEvent::Notice { error }) if error.code() == code);
    rig.events.iter().filter(is_such).count()
}

/// K4.1, both workers ours.
#[test]
fn the_older_of_two_is_told_and_comes_back_when_the_name_is_free() {
    let mut rig = Rig::new("{}");
    let older = ours(&mut rig, "twin", "");
    let former = id(&rig, older);
    rig.pass(1);
    let newer = ours(&mut rig, "twin", "");
    assert_eq!(close(&rig, older), Some(4409));
    assert_eq!(notices(&rig, ErrorCode::NameTaken), 1);
    assert_ne!(id(&rig, newer), former, "an id is one process's");
    let again = ours(&mut rig, "twin", &former);
    assert_eq!(close(&rig, again), Some(4409), "it waits");
    assert_eq!(close(&rig, newer), None);
    let body = format!(
        r#"{{"Name":"twin","Capabilities":["Echo"],"Moorline":{{"Acks":true,"BeaconID":"{former}"}}}}"#
    );
    let http = rig.post("/Beacon/Register", &body);
    assert_eq!(rig.status(http), Some(409), "over HTTP too");
    rig.cut(newer);
    let again = ours(&mut rig, "twin", &former);
    assert_eq!(close(&rig, again), None);
    rig.enqueue("");
    assert_eq!(rig.pushed(again).len(), 1);
}

#[test]
fn one_process_on_a_new_connection_keeps_its_id() {
    let mut rig = Rig::new("{}");
    let older = ours(&mut rig, "w", "");
    let former = id(&rig, older);
    let newer = ours(&mut rig, "w", &former);
    assert_eq!((id(&rig, newer), close(&rig, older)), (former, Some(1001)));
    assert_eq!(notices(&rig, ErrorCode::NameTaken), 0);
    rig.cut(older);
    rig.enqueue("");
    assert_eq!(rig.pushed(newer).len(), 1);
}

/// K4.1, workers of others: they would come back at once for the name, so they are left alone until it
/// is free.
#[test]
fn an_older_worker_of_others_is_sent_for_when_the_name_is_free() {
    let mut rig = Rig::new("{}");
    let first = rig.foreign_worker("twin", 1);
    let second = rig.foreign_worker("twin", 1);
    let third = ours(&mut rig, "twin", "");
    let other = rig.foreign_worker("other", 1);
    assert_eq!(notices(&rig, ErrorCode::NameTaken), 2);
    rig.cut(other);
    rig.cut(first);
    assert_eq!((close(&rig, first), close(&rig, second), close(&rig, third)), (None, None, None));
    rig.cut(third);
    assert_eq!((close(&rig, first), close(&rig, second)), (None, Some(1012)));
}

/// K4.6: the farewell of the older over HTTP is not the newer's.
#[test]
fn the_olders_farewell_leaves_the_newer_alone() {
    let mut rig = Rig::new("{}");
    let older = rig.foreign_worker("twin", 1);
    let former = id(&rig, older);
    rig.pass(1);
    let newer = rig.foreign_worker("twin", 1);
    rig.say(older, &format!(r#"{{"Action":"Deregister","BeaconID":"{former}"}}"#));
    rig.cut(older);
    let http = rig.ask(Method::Delete, &format!("/Beacon/{former}"), "");
    assert_eq!(rig.status(http), Some(404));
    rig.enqueue("");
    assert_eq!(rig.pushed(newer).len(), 1);
}

/// K4.6: whoever is removed is told at once, and registers again.
#[test]
fn a_worker_that_is_removed_is_told_at_once() {
    let mut rig = Rig::new("{}");
    let (own, foreign) = (ours(&mut rig, "own", ""), rig.foreign_worker("foreign", 1));
    for conn in [own, foreign] {
        let http = rig.ask(Method::Delete, &format!("/Beacon/{}", id(&rig, conn)), "");
        assert_eq!(rig.status(http), Some(200));
        assert_eq!(rig.frames(conn).last().unwrap()["EventType"], "Deregistered");
    }
    assert_eq!((close(&rig, own), close(&rig, foreign)), (None, Some(1001)));
}

/// K8.6: whoever is turned away stands in the log with name and address, five times a minute at most.
#[test]
fn refusals_are_told_with_name_and_address_and_not_too_often() {
    let mut rig = Rig::new(r#"{"access":"secured","join_secret":"right"}"#);
    let refuse = |rig: &mut Rig| {
        let conn = rig.connect(Headers::new());
        rig.say(
            conn,
            r#"{"Action":"BeaconRegister","Name":"w","Capabilities":["Echo"],"JoinSecret":"no"}"#,
        );
        assert_eq!(close(rig, conn), Some(4403));
        rig.cut(conn);
    };
    let told = |rig: &Rig| {
        let said = "127.0.0.1: the worker \"w\" was turned away: join secret mismatch";
        rig.notices().iter().filter(|told| **told == said).count()
    };
    for _ in 0..9 {
        refuse(&mut rig);
    }
    assert_eq!(told(&rig), 5);
    rig.pass(60_000);
    refuse(&mut rig);
    assert_eq!(told(&rig), 6);
    let mut rig = Rig::new("{}");
    rig.connect(Headers::new());
    rig.pass(10_000);
    assert_eq!(rig.notices(), ["127.0.0.1: it did not register in time"]);
    rig.post("/Beacon/Register", r#"{"Name":"p"}"#);
    let said = "127.0.0.1: the worker \"p\" was turned away: Name and Capabilities are required.";
    assert_eq!(rig.notices()[1], said);
}

/// K4.2: a drain outlives connections, not the farewell.
#[test]
fn a_drain_ends_with_the_farewell_or_when_it_is_taken_back() {
    let mut rig = Rig::new("{}");
    let drain = |rig: &mut Rig, conn: ConnId, body: &str| {
        let http = rig.post(&format!("/Beacon/{}/Drain", id(rig, conn)), body);
        assert_eq!(rig.status(http), Some(200));
    };
    let conn = ours(&mut rig, "w", "");
    drain(&mut rig, conn, "");
    assert_eq!(notices(&rig, ErrorCode::WorkerDrained), 1);
    rig.cut(conn);
    let conn = ours(&mut rig, "w", "");
    rig.enqueue("");
    assert!(rig.pushed(conn).is_empty(), "a lost link does not end it");
    drain(&mut rig, conn, r#"{"Draining":false}"#);
    assert_eq!((rig.pushed(conn).len(), notices(&rig, ErrorCode::WorkerDrained)), (1, 2));
    drain(&mut rig, conn, "");
    rig.say(conn, r#"{"Action":"Deregister"}"#);
    rig.cut(conn);
    let conn = ours(&mut rig, "w", "");
    assert_eq!(rig.pushed(conn).len(), 1, "the next one is a new worker");
    let left = |event: &&Event| matches!(event, Event::Peer(PeerEvent::Left { .. }));
    assert_eq!(rig.events.iter().filter(left).count(), 2);
}
