//! Registration, displacement, presence, messages.

use serde_json::{Value, json};

use super::super::Rig;
use super::{OPTIONS, REGISTER, REGISTERED};
use crate::api::command::Command;
use crate::api::command::WorkCommand;
use crate::api::event::Event;
use crate::api::event::{PeerEvent, SessionEvent};
use crate::base::error::ErrorCode;
use crate::base::json::Raw;
use crate::machine::Endpoint as _;
use crate::net::Method;

#[test]
fn a_daemon_registers_and_is_shown() {
    let mut rig = Rig::new(OPTIONS);
    rig.daemon();
    let http = rig.ask(Method::Get, "/Moorline/Volt/Daemons", "");
    let list = rig.reply(http);
    assert_eq!(list[0]["TeamClusterID"], "lab");
    assert_eq!(list[0]["Status"], "connected");
    assert_eq!(list[0]["Transport"], "websocket");
    assert_eq!(list[1]["Registered"], false);
    assert!(
        rig.events
            .iter()
            .any(|e| matches!(e, Event::Peer(PeerEvent::Joined { name, .. }) if name == "lab"))
    );
}

#[test]
fn a_wrong_password_is_silent_unless_an_acknowledgement_is_asked() {
    let mut rig = Rig::new(OPTIONS);
    let conn = rig.socket();
    let wrong = r#"["team-cluster-daemon:register",{"teamClusterId":"lab","daemonPassword":"no"}]"#;
    rig.say(conn, &format!("42{wrong}"));
    assert!(rig.said(conn).is_empty());
    rig.say(conn, &format!("420{wrong}"));
    assert_eq!(rig.said(conn), [r#"430[{"ok":false,"error":"Invalid daemon credentials"}]"#]);
    rig.say(conn, &format!("421{}", wrong.replace("lab", "nobody")));
    assert_eq!(rig.said(conn), [r#"431[{"ok":false,"error":"Team cluster not found"}]"#]);
    rig.say(conn, &REGISTER.replacen("42", "422", 1));
    assert_eq!(rig.said(conn), [REGISTERED, r#"432[{"ok":true}]"#]);
}

#[test]
fn an_invalid_registration_is_complained_of() {
    let mut rig = Rig::new(OPTIONS);
    let conn = rig.socket();
    rig.say(conn, r#"427["team-cluster-daemon:register",{"teamClusterId":"lab","daemonPassword":"","plane":"c"}]"#);
    assert_eq!(
        rig.said(conn),
        [
            r#"42["error",{"code":"Validation::InvalidInput","message":"Validation::InvalidInput","details":"daemonPassword: Too small: expected string to have >=1 characters, Unrecognized key: \"plane\""}]"#,
            r#"437[{"ok":true}]"#
        ]
    );
}

#[test]
fn a_message_before_the_registration_is_dropped() {
    let mut rig = Rig::new(OPTIONS);
    let conn = rig.socket();
    rig.message(conn, &json!({"type":"command","requestId":"r","command":"runtime.heartbeat"}));
    assert!(rig.said(conn).is_empty());
}

#[test]
fn heartbeats_are_believed_by_their_payload_and_keep_a_daemon_present() {
    let mut rig = Rig::new(OPTIONS);
    let conn = rig.daemon();
    let beat = |payload: Value| json!({"type":"command","requestId":"r","command":"runtime.heartbeat","responseType":"json","payload":payload});
    rig.message(conn, &beat(json!({})));
    assert_eq!(
        rig.said(conn),
        [
            r#"42["team-cluster-daemon:message",{"type":"response","requestId":"r","ok":false,"status":401,"message":"Invalid daemon credentials"}]"#
        ]
    );
    rig.message(conn, &beat(json!({"teamClusterId":"lab","daemonPassword":"pw","seq":1})));
    assert_eq!(
        rig.said(conn),
        [
            r#"42["team-cluster-daemon:message",{"type":"response","requestId":"r","ok":true,"status":200,"data":{"status":"success","data":{"teamCluster":{"_id":"lab","status":"connected"}}}}]"#
        ]
    );
    let status = |rig: &mut Rig| {
        let http = rig.ask(Method::Get, "/Moorline/Volt/Daemons", "");
        rig.reply(http)[0]["Status"].as_str().unwrap().to_owned()
    };
    rig.pass(25_000);
    rig.say(conn, "3");
    rig.pass(34_999);
    assert_eq!(status(&mut rig), "connected");
    rig.say(conn, "3");
    rig.pass(15_001);
    assert_eq!(status(&mut rig), "disconnected");
    rig.said(conn);
    rig.message(conn, &beat(json!({"teamClusterId":"lab","daemonPassword":"pw"})));
    assert_eq!(status(&mut rig), "connected");
}

#[test]
fn unknown_commands_are_answered_404() {
    let mut rig = Rig::new(OPTIONS);
    let conn = rig.daemon();
    rig.message(conn, &json!({"type":"command","requestId":"r","command":"nope"}));
    let answer = &rig.messages(conn)[0];
    assert_eq!(answer["status"], 404);
    assert_eq!(answer["message"], "Unknown daemon server command: nope");
    rig.message(conn, &json!({"type":"command","command":"nope"}));
    rig.say(conn, r#"42["team-cluster-daemon:message",null]"#);
    rig.say(conn, r#"42["team-cluster-daemon:message"]"#);
    rig.say(conn, r#"42["something:else",{}]"#);
    assert!(rig.said(conn).is_empty());
}

#[test]
fn the_newest_daemon_displaces_the_older_one_which_stays_connected() {
    let mut rig = Rig::new(OPTIONS);
    let first = rig.daemon();
    rig.call_lab(1, "a", "");
    rig.said(first);
    let second = rig.daemon();
    assert_eq!(rig.code(1), Some(ErrorCode::NotReady));
    assert!(!rig.closed.contains_key(&first));
    rig.message(first, &json!({"type":"command","requestId":"r","command":"runtime.heartbeat"}));
    assert_eq!(rig.messages(first)[0]["status"], 409, "the first one is told why");
    rig.message(first, &json!({"type":"command","requestId":"r","command":"runtime.config.get"}));
    assert!(rig.said(first).is_empty(), "the first one is ignored");
    rig.call_lab(2, "b", "");
    assert_eq!(rig.messages(second).len(), 1);
    let noticed = rig.events.iter().any(|event| {
        matches!(event, Event::Session(SessionEvent::Notice { error: e }) if e.message().contains("a second daemon registered as lab"))
    });
    assert!(noticed);
    rig.cut(first);
    rig.call_lab(3, "c", "");
    assert_eq!(rig.messages(second).len(), 1, "the loss of the first changes nothing");
    rig.say(first, REGISTER);
}

#[test]
fn a_secured_hub_shows_daemons_to_those_who_logged_in_alone() {
    let mut rig = Rig::new(r#"{"access":"secured","join_secret":"s"}"#);
    for url in ["/Moorline/Volt/Daemons", "/Moorline/Volt/Tokens"] {
        let http = rig.ask(Method::Get, url, "");
        assert_eq!(rig.status(http), Some(401));
    }
    let http = rig.post("/Moorline/Volt/Daemons/lab/Call", r#"{"Command":"a"}"#);
    assert_eq!(rig.status(http), Some(401));
    let http = rig.enroll("c1", "{}");
    assert_eq!(rig.status(http), Some(400), "enrolling needs no login");
}

#[test]
fn messages_reach_the_application_that_asks_for_them() {
    let mut rig = Rig::new(OPTIONS);
    let conn = rig.daemon();
    let message = json!({"type":"exposure-snapshot","exposures":[]});
    rig.message(conn, &message);
    rig.hub
        .handle_command(
            Command::Work(WorkCommand::Handle { key: "*".into(), meta: Raw::empty_object() }),
            rig.now(),
        )
        .unwrap();
    rig.message(conn, &message);
    let got: Vec<String> = rig
        .events
        .iter()
        .filter_map(|event| match event {
            Event::Peer(PeerEvent::Message { peer: Some(_), payload }) => {
                Some(payload.as_str().to_owned())
            }
            _ => None,
        })
        .collect();
    assert_eq!(got, [message.to_string()]);
    let http = rig.post(
        "/Moorline/Volt/Daemons/lab/Message",
        r#"{"Message":{"type":"tunnel-close","n":1.0}}"#,
    );
    assert_eq!(rig.status(http), Some(200));
    assert_eq!(
        rig.said(conn),
        [r#"42["team-cluster-daemon:message",{"type":"tunnel-close","n":1.0}]"#]
    );
    let http = rig.post("/Moorline/Volt/Daemons/two/Message", r#"{"Message":{}}"#);
    assert_eq!(rig.status(http), Some(503));
}

#[test]
fn credentials_without_a_password_are_refused_at_the_start() {
    for options in [
        r#"{"volt":{"daemons":[{"team_cluster_id":"a"}]}}"#,
        r#"{"volt":{"daemons":[{"team_cluster_id":" ","password":"p"}]}}"#,
        r#"{"volt":{"path":"/"}}"#,
        r#"{"volt":{"path":"socket.io"}}"#,
    ] {
        let read = crate::api::options::read(options).unwrap();
        let error = crate::hub::Hub::open(read, [0; 32]).unwrap_err();
        assert_eq!(error.code(), ErrorCode::ConfigInvalid, "{options}");
    }
}

#[test]
fn a_displaced_daemon_gets_its_place_back_when_that_is_free() {
    let mut rig = Rig::new(OPTIONS);
    let beat = |payload: Value| json!({"type":"command","requestId":"r","command":"runtime.heartbeat","payload":payload});
    let good = beat(json!({"teamClusterId":"lab","daemonPassword":"pw"}));
    let first = rig.daemon();
    let second = rig.daemon();
    rig.message(first, &good);
    let told = rig.messages(first);
    assert_eq!((&told[0]["ok"], &told[0]["status"]), (&json!(false), &json!(409)));
    rig.cut(second);
    rig.message(first, &beat(json!({"teamClusterId":"lab","daemonPassword":"no"})));
    assert_eq!(rig.messages(first)[0]["status"], 409, "only to whoever knows the password");
    rig.message(first, &good);
    assert_eq!(rig.messages(first)[0]["ok"], true);
    rig.call_lab(1, "a", "");
    assert_eq!(rig.messages(first).len(), 1);
}

#[test]
fn a_heartbeat_may_be_a_message_that_nobody_else_sees() {
    let mut rig =
        Rig::new(&OPTIONS.replacen(r#"{"volt":{"#, r#"{"volt":{"heartbeat_timeout_ms":20000,"#, 1));
    let handle = WorkCommand::Handle { key: "*".into(), meta: Raw::empty_object() };
    rig.hub.handle_command(Command::Work(handle), rig.now()).unwrap();
    let conn = rig.daemon();
    for password in ["pw", "no"] {
        rig.pass(15_000);
        rig.said(conn);
        let beat =
            json!({"type":"runtime-heartbeat","teamClusterId":"lab","daemonPassword":password});
        rig.message(conn, &beat);
        rig.say(conn, "3");
    }
    assert!(rig.said(conn).is_empty(), "it wants no answer");
    assert!(
        !rig.events.iter().any(|event| matches!(event, Event::Peer(PeerEvent::Message { .. })))
    );
    let silent = |rig: &Rig| {
        rig.events.iter().any(|event| {
            matches!(event, Event::Session(SessionEvent::Notice { error }) if error.code() == ErrorCode::PeerSilent)
        })
    };
    assert!(!silent(&rig));
    rig.pass(15_000);
    assert!(silent(&rig), "one with a wrong password is none");
}
