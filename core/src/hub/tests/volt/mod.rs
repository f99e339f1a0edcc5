//! VOLT daemons at the hub, in virtual time.

#![allow(clippy::wildcard_enum_match_arm, reason = "tests look at a few events of many")]

mod calls;
mod daemons;
mod enroll;
mod generations;
mod pace;
mod sessions;
mod work;

use serde_json::Value;

use super::Rig;
use crate::api::event::CallEvent;
use crate::api::event::Event;
use crate::base::error::ErrorCode;
use crate::base::ids::{ConnId, HttpId};
use crate::machine::Input;
use crate::machine::ServerInput;
use crate::net::{Headers, HttpRequest, Method};

const OPTIONS: &str = r#"{"volt":{"daemons":[{"team_cluster_id":"lab","password":"pw"},{"team_cluster_id":"two","password":"pw2"}]}}"#;

const REGISTER: &str =
    r#"42["team-cluster-daemon:register",{"teamClusterId":"lab","daemonPassword":"pw"}]"#;

const REGISTERED: &str = r#"42["team-cluster-daemon:registered",{"teamClusterId":"lab"}]"#;

/// How a call failed: code, status, message.
type Failure = (ErrorCode, Option<u16>, String);

impl Rig {
    fn upgrade_to(&mut self, url: &str) -> ConnId {
        let conn = ConnId(self.next);
        self.next += 2;
        let request = HttpRequest {
            method: Method::Get,
            url: url.into(),
            headers: Headers::new(),
            body: bytes::Bytes::new(),
        };
        self.input(Input::Server(ServerInput::Offered {
            conn,
            request,
            remote: "127.0.0.1:5000".to_owned(),
        }));
        conn
    }

    /// Opens a session over WebSocket and joins the namespace.
    fn socket(&mut self) -> ConnId {
        let conn = self.upgrade_to("/socket.io/?EIO=4&transport=websocket");
        let open = self.said(conn);
        assert!(open[0].starts_with(r#"0{"sid":""#), "{open:?}");
        self.say(conn, "40");
        let joined = self.said(conn);
        assert!(joined[0].starts_with(r#"40{"sid":""#), "{joined:?}");
        conn
    }

    /// Connects a daemon and registers it.
    fn daemon(&mut self) -> ConnId {
        let conn = self.socket();
        self.say(conn, REGISTER);
        assert_eq!(self.said(conn), [REGISTERED]);
        conn
    }

    /// What was sent to a connection since the last time.
    fn said(&mut self, conn: ConnId) -> Vec<String> {
        self.sent.remove(&conn).unwrap_or_default()
    }

    /// The messages sent to a daemon since the last time.
    fn messages(&mut self, conn: ConnId) -> Vec<Value> {
        self.said(conn)
            .iter()
            .map(|text| {
                let json = text.strip_prefix("42").unwrap_or_else(|| panic!("{text}"));
                let mut event: Vec<Value> = serde_json::from_str(json).unwrap();
                assert_eq!(event[0], "team-cluster-daemon:message");
                event.remove(1)
            })
            .collect()
    }

    fn message(&mut self, conn: ConnId, message: &Value) {
        self.say(conn, &format!(r#"42["team-cluster-daemon:message",{message}]"#));
    }

    fn call_lab(&mut self, call: u64, command: &str, more: &str) {
        let options = format!(r#"{{"team_cluster_id":"lab"{more}}}"#);
        self.call(call, command, r#"{"n":1.0}"#, &options);
    }

    /// The outcome of a call.
    fn outcome(&self, id: u64) -> Option<Result<String, Failure>> {
        self.events.iter().find_map(|event| match event {
            Event::Call(CallEvent::Done { call, result }) if call.0 == id => Some(match result {
                Ok(value) => Ok(value.as_str().to_owned()),
                Err(e) => Err((e.code(), e.status(), e.message().to_owned())),
            }),
            _ => None,
        })
    }

    fn code(&self, id: u64) -> Option<ErrorCode> {
        self.outcome(id)?.err().map(|(code, ..)| code)
    }

    /// The body of an answer to a poll.
    fn polled(&self, http: HttpId) -> Option<String> {
        let reply = self.replies.get(&http)?;
        Some(String::from_utf8(reply.bytes().to_vec()).unwrap())
    }

    fn enroll(&mut self, cluster: &str, body: &str) -> HttpId {
        self.post(&format!("/api/team-clusters/{cluster}/healthcheck"), body)
    }

    fn token_without_answer(&mut self, body: &str) {
        self.post("/Moorline/Volt/Tokens", body);
    }

    fn token(&mut self, body: &str) -> Value {
        let http = self.post("/Moorline/Volt/Tokens", body);
        assert_eq!(self.status(http), Some(200), "{}", self.reply(http));
        self.reply(http)
    }
}

fn poll_url(sid: &str) -> String {
    format!("/socket.io/?EIO=4&transport=polling&t=abc&sid={sid}")
}

fn sid_of(open: &str) -> String {
    let handshake: Value = serde_json::from_str(&open[1..]).unwrap();
    handshake["sid"].as_str().unwrap().to_owned()
}

/// Opens a polling session; returns its id.
fn polling(rig: &mut Rig) -> String {
    let http = rig.ask(Method::Get, "/socket.io/?EIO=4&transport=polling", "");
    let open = rig.polled(http).unwrap();
    assert!(open.contains(r#""upgrades":["websocket"],"pingInterval":25000,"pingTimeout":60000,"maxPayload":10000000"#), "{open}");
    sid_of(&open)
}
