//! Events, doorbells, ends.

use std::sync::{Arc, Mutex};

use moorline_driver::Frequent;
use moorline_driver::core::{
    CallEvent, ConnInput, PeerEvent, SessionEvent, Transport, WorkCommand,
};
use moorline_driver::core::{CallId, Command, ErrorCode, Event, Input, Output, Raw};

use crate::rig::{Rig, connected};

fn ready(n: usize) -> Output {
    Output::Event(Event::Session(SessionEvent::Ready {
        id: n.to_string(),
        transport: Transport::Listener,
        max_message: None,
    }))
}

#[test]
fn a_burst_of_events_rings_once() {
    let rig = Rig::new();
    rig.perform((0..500).map(ready));
    let text = rig.events();
    let events: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
    assert_eq!(events.len(), 500);
    assert_eq!(events[499]["id"], "499");
    assert_eq!(rig.handle.counters().doorbells, 1);
}

#[test]
fn frequent_events_that_come_first_are_told_apart() {
    let rig = Rig::new();
    let done =
        |call, result| Output::Event(Event::Call(CallEvent::Done { call: CallId(call), result }));
    let blobs = Raw::null().with_blobs(vec![vec![1].into()]);
    rig.perform([
        done(1, Ok(Raw::parse(r#"{"a":"}"}"#).unwrap())),
        done(2, Ok(Raw::absent())),
        Output::Event(Event::Peer(PeerEvent::Message {
            peer: None,
            payload: Raw::parse("{}").unwrap(),
        })),
        done(3, Err(ErrorCode::CallTimeout.into())),
        done(4, Ok(Raw::null())),
        done(5, Ok(blobs)),
    ]);
    rig.await_events();
    let (mut frequent, mut events) = (Frequent::default(), String::new());
    assert!(!rig.handle.events().drain_apart(&mut frequent, &mut events).more);
    let frequent: Vec<_> = frequent.iter().collect();
    assert_eq!(frequent, [(1, r#"{"a":"}"}"#), (2, "null"), (0, "{}")]);
    let events: Vec<serde_json::Value> = serde_json::from_str(&events).unwrap();
    let calls: Vec<_> = events.iter().map(|event| event["call"].as_u64()).collect();
    assert_eq!(calls, [Some(3), Some(4), Some(5)], "what comes behind an error stays behind it");
}

#[test]
fn frequent_events_can_be_short() {
    let rig = Rig::new();
    rig.handle.events().write_short();
    let done =
        |call, result| Output::Event(Event::Call(CallEvent::Done { call: CallId(call), result }));
    rig.perform([
        done(7, Ok(Raw::parse(r#"{"a":1.0}"#).unwrap())),
        Output::Event(Event::Peer(PeerEvent::Message { peer: None, payload: Raw::null() })),
        done(8, Ok(Raw::absent())),
        done(9, Ok(Raw::empty_list())),
    ]);
    rig.await_events();
    let (mut answers, mut events) = (Frequent::default(), String::new());
    rig.handle.events().drain_apart(&mut answers, &mut events);
    assert_eq!(answers.iter().len(), 0);
    assert_eq!(events, r#"[7,{"a":1.0},0,null,{"event":"call_done","call":8},9,[]]"#);
}

#[test]
fn after_the_end_commands_are_refused() {
    let rig = Rig::new();
    rig.perform([Output::Event(Event::Session(SessionEvent::Ended { error: None }))]);
    assert_eq!(rig.events(), r#"[{"event":"ended","error":null}]"#);
    rig.handle.close();
    let error = rig.handle.submit(vec![Command::Start]).unwrap_err();
    assert_eq!(error.code(), ErrorCode::Stopped);
}

#[test]
fn a_panic_of_the_machine_is_an_event_and_the_process_lives() {
    let rig = Rig::new();
    rig.handle
        .submit(vec![Command::Work(WorkCommand::Unhandle { key: String::from("on purpose") })])
        .unwrap();
    let text = rig.events();
    assert!(text.contains(r#""event":"ended""#) && text.contains("INTERNAL"), "{text}");
}

#[test]
fn a_snapshot_is_answered_with_its_call() {
    let rig = Rig::new();
    rig.handle.submit_text(r#"[["snapshot",7,null]]"#).unwrap();
    let text = rig.events();
    assert_eq!(text, r#"[{"event":"call_done","call":7,"value":{"puppet":true}}]"#);
}

#[test]
fn dropping_without_stop_closes_the_connection_and_says_so_once() {
    let (hub, _, worker, _) = connected();
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone()).finish();
    tracing::subscriber::with_default(subscriber, || drop(worker));
    assert!(matches!(hub.input(), Input::Conn(ConnInput::Closed { .. })));
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert_eq!(text.matches("dropped without stop").count(), 1, "{text}");
}

#[test]
fn closing_is_quick_and_safe_to_repeat() {
    let rig = Rig::new();
    rig.handle.close();
    rig.handle.close();
    assert!(rig.events().contains("STOPPED"));
}

/// Keeps what is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
