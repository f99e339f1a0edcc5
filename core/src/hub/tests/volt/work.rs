//! Commands of daemons that the application answers.

use bytes::Bytes;
use serde_json::{Value, json};

use super::super::Rig;
use super::{OPTIONS, REGISTER};
use crate::api::command::WorkCommand;
use crate::api::command::{Command, Outcome};
use crate::api::event::{Event, Withdrawal};
use crate::api::event::{PeerEvent, SessionEvent, WorkEvent};
use crate::base::error::{Error, ErrorCode};
use crate::base::ids::{ConnId, WorkId};
use crate::base::json::Raw;
use crate::machine::ConnInput;
use crate::machine::{Endpoint as _, Input};
use crate::net::Frame;

fn rig() -> Rig {
    limited("")
}

/// A hub with a handler and further options.
fn limited(more: &str) -> Rig {
    let mut rig = Rig::new(&OPTIONS.replace(r#"{"volt":{"#, &format!(r#"{{"volt":{{{more}"#)));
    rig.handle("jobs.list").unwrap();
    rig
}

fn failed() -> Outcome {
    Outcome::Failed { message: "no such table".to_owned() }
}

impl Rig {
    fn command(&mut self, command: Command) -> Result<(), Error> {
        let result = self.hub.handle_command(command, self.now());
        self.drain();
        result
    }

    fn handle(&mut self, key: &str) -> Result<(), Error> {
        self.command(Command::Work(WorkCommand::Handle {
            key: key.to_owned(),
            meta: Raw::empty_object(),
        }))
    }

    fn ask_hub(&mut self, conn: ConnId, id: &str) {
        self.message(conn, &json!({"type":"command","requestId":id,"command":"jobs.list"}));
    }

    fn settle(&mut self, work: u64, outcome: Outcome) -> Result<(), Error> {
        self.command(Command::Work(WorkCommand::Complete { work: WorkId(work), outcome }))
    }

    fn done(&mut self, work: u64, envelope: &str) -> Result<(), Error> {
        let (value, log) = (Raw::parse(envelope.to_owned()).unwrap(), Raw::empty_list());
        self.settle(work, Outcome::Done { value, log })
    }

    /// The numbers of the commands that were handed over.
    fn works(&self) -> Vec<u64> {
        let work = |event: &Event| match event {
            Event::Work(WorkEvent::Assigned { work, .. }) => Some(work.0),
            _ => None,
        };
        self.events.iter().filter_map(work).collect()
    }

    fn withdrawn(&self) -> Vec<(u64, Withdrawal)> {
        let withdrawn = |event: &Event| match event {
            Event::Work(WorkEvent::Withdrawn { work, why }) => Some((work.0, *why)),
            _ => None,
        };
        self.events.iter().filter_map(withdrawn).collect()
    }

    /// The status and the message of the only refusal since the last time.
    fn refusal(&mut self, conn: ConnId) -> (u64, String) {
        let messages = self.messages(conn);
        assert_eq!(messages.len(), 1, "{messages:?}");
        assert_eq!(messages[0]["ok"], false);
        let text = messages[0]["message"].as_str().unwrap().to_owned();
        (messages[0]["status"].as_u64().unwrap(), text)
    }
}

#[test]
fn the_application_answers_a_command() {
    let mut rig = rig();
    let conn = rig.daemon();
    let text = r#"42["team-cluster-daemon:message",{"type":"command","requestId":"a\u0062","command":"jobs.list","responseType":"json","payload":{"n":1.0}}]"#;
    rig.say(conn, text);
    let joined = rig.events.iter().find_map(|event| match event {
        Event::Peer(PeerEvent::Joined { peer, .. }) => Some(peer.0),
        _ => None,
    });
    let Some(Event::Work(WorkEvent::Assigned { key, payload, timeout_ms, meta, .. })) =
        rig.events.iter().find(|event| matches!(event, Event::Work(WorkEvent::Assigned { .. })))
    else {
        panic!("{:?}", rig.events)
    };
    assert_eq!((key.as_str(), payload.as_str()), ("jobs.list", r#"{"n":1.0}"#));
    assert_eq!(*timeout_ms, Some(30_000));
    let meta: Value = meta.read().unwrap();
    let wanted = json!({"peer": joined, "team_cluster_id": "lab", "request_id": "ab",
        "response_type": "json"});
    assert_eq!(meta, wanted);
    assert!(rig.said(conn).is_empty());
    rig.done(1, r#"{"status":201,"headers":{"a":"b"},"data":{"x":1.0}}"#).unwrap();
    assert_eq!(
        rig.said(conn),
        [
            r#"42["team-cluster-daemon:message",{"type":"response","requestId":"a\u0062","ok":true,"status":201,"headers":{"a":"b"},"data":{"status":"success","data":{"x":1.0}}}]"#
        ]
    );
    rig.ask_hub(conn, "2");
    rig.done(2, "null").unwrap();
    assert_eq!(
        rig.said(conn),
        [
            r#"42["team-cluster-daemon:message",{"type":"response","requestId":"2","ok":true,"status":200,"data":{"status":"success"}}]"#
        ]
    );
}

#[test]
fn bytes_pass_in_both_directions() {
    let mut rig = rig();
    let conn = rig.daemon();
    let place = r#"{"_placeholder":true,"num":0}"#;
    rig.say(
        conn,
        &format!(
            r#"451-["team-cluster-daemon:message",{{"type":"command","requestId":"r","command":"jobs.list","payload":{place}}}]"#
        ),
    );
    let frame = Frame::Binary(Bytes::from_static(b"\x00\xff"));
    rig.input(Input::Conn(ConnInput::Received { conn, frame }));
    let blobs = rig.events.iter().find_map(|event| match event {
        Event::Work(WorkEvent::Assigned { payload, .. }) => Some(payload.blobs().to_vec()),
        _ => None,
    });
    let blobs = blobs.unwrap();
    assert_eq!(blobs, [Bytes::from_static(b"\x00\xff")]);
    let value = Raw::parse(format!(r#"{{"data":{place}}}"#)).unwrap().with_blobs(blobs);
    rig.settle(1, Outcome::Done { value, log: Raw::empty_list() }).unwrap();
    let said = rig.said(conn);
    assert!(said[0].starts_with("451-[") && said[0].contains(place), "{said:?}");

    rig.message(
        conn,
        &json!({"type":"command","requestId":"r","command":"jobs.list","responseType":"buffer"}),
    );
    rig.done(2, r#"{"data":1,"body":"AP8="}"#).unwrap();
    assert_eq!(rig.messages(conn)[0]["bodyBase64"], "AP8=");
}

#[test]
fn a_handler_can_refuse_and_fail() {
    let mut rig = rig();
    let conn = rig.daemon();
    for id in 1..=5 {
        rig.ask_hub(conn, &id.to_string());
    }
    rig.done(1, r#"{"reject":{"status":409,"message":"busy"}}"#).unwrap();
    assert_eq!(rig.refusal(conn), (409, "busy".into()));
    rig.settle(2, failed()).unwrap();
    assert_eq!(rig.refusal(conn), (500, "no such table".into()));
    let unhandled = (500, r#"Handler for command "jobs.list" threw an unhandled error"#.into());
    rig.settle(3, Outcome::Cancelled).unwrap();
    assert_eq!(rig.refusal(conn), unhandled);
    let error = rig.done(4, r#"{"dta":1}"#).unwrap_err();
    assert_eq!(error.code(), ErrorCode::ArgumentInvalid);
    assert_eq!(rig.refusal(conn), unhandled);
    let value =
        Raw::null().with_blobs(vec![Bytes::new(); crate::net::socketio::MAX_ATTACHMENTS + 1]);
    let error = rig.settle(5, Outcome::Done { value, log: Raw::empty_list() }).unwrap_err();
    assert_eq!(error.code(), ErrorCode::TooLarge);
    assert_eq!(rig.refusal(conn), unhandled);
}

#[test]
fn a_command_without_a_handler_is_unknown() {
    let mut rig = rig();
    let conn = rig.daemon();
    let unknown = |name: &str| (404, format!("Unknown daemon server command: {name}"));
    rig.handle("*").unwrap();
    for name in ["jobs.run", "*", "toString", ""] {
        rig.message(conn, &json!({"type":"command","requestId":"r","command":name}));
        assert_eq!(rig.refusal(conn), unknown(name));
    }
    rig.ask_hub(conn, "r");
    rig.command(Command::Work(WorkCommand::Unhandle { key: "jobs.list".to_owned() })).unwrap();
    rig.ask_hub(conn, "s");
    assert_eq!(rig.refusal(conn), unknown("jobs.list"));
    rig.done(1, "{}").unwrap();
    assert_eq!(rig.messages(conn)[0]["ok"], true, "what ran goes on");
    assert!(
        !rig.events.iter().any(|event| matches!(event, Event::Peer(PeerEvent::Message { .. })))
    );
}

#[test]
fn what_cannot_be_a_handler_is_refused() {
    let mut rig = Rig::new(OPTIONS);
    for name in ["runtime.heartbeat", "", &"x".repeat(257)] {
        assert_eq!(rig.handle(name).unwrap_err().code(), ErrorCode::ArgumentInvalid, "{name}");
    }
    for number in 0..4_096 {
        rig.handle(&format!("{number:0256}")).unwrap();
    }
    assert_eq!(rig.handle("more").unwrap_err().code(), ErrorCode::Overloaded);
    rig.handle(&format!("{:0256}", 7)).unwrap();
    rig.command(Command::Work(WorkCommand::Unhandle { key: format!("{:0256}", 7) })).unwrap();
    rig.handle("more").unwrap();
}

#[test]
fn hostile_commands_are_refused_or_ignored() {
    let mut rig = rig();
    let conn = rig.daemon();
    for id in [json!({}), json!(7), json!(null)] {
        rig.message(conn, &json!({"type":"command","requestId":id,"command":"jobs.list"}));
    }
    rig.say(conn, r#"42["team-cluster-daemon:message",{"type":"command","requestId":"\ud800","command":"jobs.list"}]"#);
    assert!(rig.said(conn).is_empty());
    rig.ask_hub(conn, &"x".repeat(1_023));
    assert_eq!(rig.refusal(conn), (400, "A requestId has at most 1024 bytes".into()));
    rig.message(
        conn,
        &json!({"type":"command","requestId":"r","command":"jobs.list","responseType":"stream"}),
    );
    assert_eq!(rig.refusal(conn).0, 406);
    assert!(rig.works().is_empty());
    // The same id twice, and an id that would break out of its text.
    for id in ["r", "r", "\",\"ok\":true,\"x\":\""] {
        rig.ask_hub(conn, id);
    }
    for work in 1..=3 {
        rig.done(work, "{}").unwrap();
    }
    let ids: Vec<Value> = rig.messages(conn).iter().map(|it| it["requestId"].clone()).collect();
    assert_eq!(ids, ["r", "r", "\",\"ok\":true,\"x\":\""]);
}

#[test]
fn commands_under_way_are_limited() {
    let mut rig = limited(r#""max_commands":2,"#);
    let conn = rig.daemon();
    for id in ["1", "2", "3"] {
        rig.ask_hub(conn, id);
    }
    let text = "The hub works on 2 commands already: volt.max_commands";
    assert_eq!(rig.refusal(conn), (503, text.into()));
    rig.done(1, "{}").unwrap();
    rig.said(conn);
    rig.ask_hub(conn, "4");
    assert_eq!(rig.works(), [1, 2, 3]);
}

#[test]
fn a_handler_has_limited_time() {
    let mut rig = limited(r#""handler_timeout_ms":1000,"#);
    let conn = rig.daemon();
    rig.ask_hub(conn, "1");
    rig.pass(999);
    assert!(rig.said(conn).is_empty());
    rig.pass(1);
    let text = "The command \"jobs.list\" was not answered within 1000 ms.";
    assert_eq!(rig.refusal(conn), (504, text.into()));
    assert_eq!(rig.withdrawn(), [(1, Withdrawal::Expired)]);
    rig.done(1, "{}").unwrap();
    assert!(rig.said(conn).is_empty(), "an outcome that comes late is ignored");
    assert_eq!(rig.done(2, "{}").unwrap_err().code(), ErrorCode::WorkUnknown);
    assert_eq!(rig.done(0, "{}").unwrap_err().code(), ErrorCode::WorkUnknown);
}

#[test]
fn a_lost_session_withdraws_what_it_asked() {
    let mut rig = rig();
    let conn = rig.daemon();
    rig.ask_hub(conn, "cut");
    rig.cut(conn);
    assert_eq!(rig.withdrawn(), [(1, Withdrawal::LinkLost)]);
    let conn = rig.daemon();
    rig.ask_hub(conn, "farewell");
    rig.say(conn, "41");
    assert_eq!(rig.withdrawn().len(), 2);
    let conn = rig.daemon();
    rig.ask_hub(conn, "another daemon");
    rig.say(conn, &REGISTER.replace("lab", "two").replace("pw", "pw2"));
    assert_eq!(rig.withdrawn().len(), 3);
    let first = rig.daemon();
    rig.ask_hub(first, "displaced");
    rig.say(first, REGISTER);
    assert_eq!(rig.withdrawn().len(), 3, "the same session registered again");
    let second = rig.daemon();
    assert_eq!(rig.withdrawn().len(), 4);
    rig.said(first);
    rig.ask_hub(first, "ignored");
    for work in 1..=4 {
        rig.done(work, "{}").unwrap();
    }
    assert!(rig.said(first).is_empty() && rig.said(second).is_empty());
    assert!(rig.withdrawn().iter().all(|(_, why)| *why == Withdrawal::LinkLost));
    assert_eq!(rig.works(), [1, 2, 3, 4]);
}

#[test]
fn a_drain_waits_for_handlers() {
    let mut rig = rig();
    let conn = rig.daemon();
    rig.ask_hub(conn, "1");
    rig.command(Command::Stop { drain_ms: 1_000 }).unwrap();
    assert!(
        rig.events.iter().any(|event| matches!(
            event,
            Event::Session(SessionEvent::Draining { in_flight: 1, .. })
        ))
    );
    rig.ask_hub(conn, "2");
    assert_eq!(rig.refusal(conn), (503, "The hub is going away.".into()));
    rig.done(1, r#"{"data":1}"#).unwrap();
    let said = rig.said(conn);
    assert!(said[0].contains(r#""requestId":"1","ok":true"#), "{said:?}");
    assert_eq!(said[1], "41");
    assert!(matches!(rig.events.last(), Some(Event::Session(SessionEvent::Ended { error: None }))));
    assert!(rig.withdrawn().is_empty());
    rig.done(1, "{}").unwrap();
}

#[test]
fn the_end_withdraws_handlers() {
    let mut rig = rig();
    let conn = rig.daemon();
    rig.ask_hub(conn, "1");
    rig.command(Command::Stop { drain_ms: 1_000 }).unwrap();
    rig.pass(1_000);
    assert_eq!(rig.withdrawn(), [(1, Withdrawal::Draining)]);
    let said = rig.said(conn);
    assert!(said[0].contains(r#""requestId":"1","ok":false,"status":503"#), "{said:?}");
    assert_eq!(said[1], "41");
    let Some(Event::Session(SessionEvent::Ended { error: Some(error) })) = rig.events.last() else {
        panic!("{:?}", rig.events)
    };
    assert_eq!(error.code(), ErrorCode::DrainTimeout);
    rig.done(1, "{}").unwrap();
}
