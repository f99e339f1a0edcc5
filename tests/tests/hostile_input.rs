//! Arbitrary inputs, in any order: no panic, no spin, no growth beyond the limits.

#![allow(clippy::wildcard_enum_match_arm, reason = "a few outputs of many are answered")]

use bytes::Bytes;
use moorline_core::event;
use moorline_core::options::find;
use moorline_core::store::StoreReply;
use moorline_core::{CallCommand, ConnInput, HttpInput, ServerInput, SessionEvent, WorkCommand};
use moorline_core::{
    CallId, CloseCause, Command, ConnId, Content, Endpoint, Error, ErrorCode, Event, Frame,
    Headers, HttpBody, HttpId, HttpRequest, HttpResponse, Input, ListenId, Method, Now, Outcome,
    Output, PeerCommand, PeerId, Raw, Recipients, StoreId, WorkId,
};
use proptest::prelude::*;

/// Texts that look like the dialect's own, and texts that do not.
const TEXTS: &[&str] = &[
    "",
    "{}",
    "[]",
    "null",
    "{\"EventType\":\"BeaconRegistered\",\"BeaconID\":\"bcn-a-1\"}",
    "{\"EventType\":\"BeaconRegistered\"}",
    "{\"EventType\":\"BeaconRegistered\",\"BeaconID\":{\"a\":1},\"Moorline\":{\"Acks\":\"yes\"}}",
    "{\"EventType\":\"BeaconRejected\",\"Reason\":\"no\"}",
    "{\"EventType\":\"Deregistered\"}",
    "{\"EventType\":\"WorkItem\"}",
    "{\"EventType\":\"WorkItem\",\"WorkItem\":null}",
    "{\"EventType\":\"WorkItem\",\"WorkItem\":{\"WorkItemHash\":\"wi-1\",\"Capability\":\"Echo\",\"Action\":\"Say\",\"Settings\":{},\"TimeoutMs\":50,\"AttemptNumber\":1}}",
    "{\"EventType\":\"WorkItem\",\"WorkItem\":{\"WorkItemHash\":\"wi-1\",\"Capability\":\"Echo\",\"Action\":\"Say\",\"Settings\":[1],\"TimeoutMs\":-5,\"AttemptNumber\":1e99}}",
    "{\"EventType\":\"WorkItem\",\"WorkItem\":{\"WorkItemHash\":\"../../x\",\"TimeoutMs\":18446744073709551615}}",
    "{\"EventType\":\"WorkTaken\",\"Items\":[{\"WorkItemHash\":\"wi-1\",\"Taken\":true}]}",
    "{\"EventType\":\"WorkTaken\",\"Items\":7}",
    "{\"EventType\":\"WorkCancel\",\"WorkItemHash\":\"wi-1\"}",
    "{\"Action\":\"BeaconRegister\",\"Name\":\"a\",\"Capabilities\":[\"Echo\"],\"MaxConcurrent\":2}",
    "{\"Action\":\"BeaconRegister\",\"Name\":7,\"Capabilities\":\"Echo\",\"MaxConcurrent\":-1}",
    "{\"Action\":\"BeaconRegister\"}",
    "{\"Action\":\"BeaconHeartbeat\",\"BeaconID\":\"bcn-a-1\"}",
    "{\"Action\":\"WorkProgress\",\"WorkItemHash\":\"wi-1\",\"ProgressData\":{\"Percent\":1}}",
    "{\"Action\":\"WorkComplete\",\"WorkItemHash\":\"wi-1\",\"Outputs\":{},\"Log\":[]}",
    "{\"Action\":\"WorkComplete\",\"WorkItemHash\":\"wi-1\",\"Outputs\":3,\"Log\":\"x\",\"AttemptNumber\":-1}",
    "{\"Action\":\"WorkError\",\"WorkItemHash\":\"wi-1\",\"ErrorMessage\":\"x\"}",
    "{\"Action\":\"Deregister\",\"BeaconID\":\"bcn-a-1\"}",
    "{\"LoggedIn\":true,\"SessionID\":\"s\"}",
    "{\"WorkItem\":null}",
    "{\"WorkItem\":{\"WorkItemHash\":\"wi-2\",\"Capability\":\"Echo\",\"Action\":\"Say\"}}",
    "{\"BeaconID\":\"bcn-a-1\",\"Name\":\"a\"}",
    "{\"Capability\":\"Echo\",\"Action\":\"Say\",\"Settings\":{\"maxRetries\":3},\"TimeoutMs\":10}",
    "{\"Capability\":\"Echo\",\"AffinityKey\":\"a\",\"RequireAffinityMatch\":true}",
    "{\"Items\":[{\"WorkItemHash\":\"wi-1\"},{},7,null]}",
    "{\"UserName\":\"a\",\"Password\":\"b\"}",
    "{\"Success\":true,\"WorkItemHash\":\"wi-1\",\"Outputs\":{\"n\":1},\"Log\":[]}",
    "\u{0}\u{7f}\u{202e}",
    "{\"__proto__\":{\"x\":1},\"Action\":\"BeaconRegister\"}",
    "0{\"sid\":\"s\",\"upgrades\":[\"websocket\"],\"pingInterval\":25000,\"pingTimeout\":20000,\"maxPayload\":1000}",
    "0{\"sid\":\"s\",\"upgrades\":[],\"pingInterval\":0,\"pingTimeout\":0}\u{1e}40{\"sid\":\"x\"}\u{1e}2\u{1e}1",
    "40{\"sid\":\"x\"}",
    "40{\"sid\":\"x\"}\u{1e}42[\"team-cluster-daemon:registered\",{}]\u{1e}b!\u{1e}6",
    "42[\"team-cluster-daemon:registered\",{}]",
    "42[\"team-cluster-daemon:message\",{\"type\":\"command\",\"requestId\":\"r\",\"command\":\"Echo/Say\",\"responseType\":\"stream\"}]",
    "451-[\"team-cluster-daemon:message\",{\"type\":\"command\",\"requestId\":{},\"command\":\"Echo/Say\",\"payload\":{\"_placeholder\":true,\"num\":0}}]",
    "42[\"team-cluster-daemon:message\",{\"type\":\"response\",\"requestId\":\"00000001-0000-4000-8000-000000000000\",\"ok\":1e999}]",
    "42[\"error\",{\"code\":\"x\"}]",
    "430[{\"ok\":false}]",
    "44{\"message\":\"no\"}",
    "41",
    "2",
    "3probe",
    "6",
    "ok",
    "PING",
    "PONG",
    "PROVIDER_HEARTBEAT|5000",
    "PROVIDER_HEARTBEAT|-1e999|",
    "{\"data\":{\"daemonPassword\":\"pw\",\"teamCluster\":{}}}",
    "{\"name\":\"Echo/Say\",\"id\":1e999,\"params\":[]}",
    "{\"name\":{},\"id\":{\"a\":[]}}",
    "{\"name\":\"&cmd\",\"params\":{\"code\":\"STATUS\",\"data\":{\"status\":\"x\",\"id\":1}}}",
    "{\"name\":\"+cmd\",\"params\":{\"code\":\"pause\",\"data\":1e308}}",
    "{\"name\":\"&cmd\",\"params\":{\"code\":\"PAUSE\",\"data\":50}}",
];

const PATHS: &[&str] = &[
    "/",
    "/status",
    "/1.0/Authenticate",
    "/Beacon",
    "/Beacon/Register",
    "/Beacon/Work",
    "/Beacon/Work/Poll",
    "/Beacon/Work/Enqueue",
    "/Beacon/Work/Dispatch",
    "/Beacon/Work/DispatchStream",
    "/Beacon/Work/Complete/Batch",
    "/Beacon/Work/Progress/Batch",
    "/Beacon/Work/wi-1/Complete",
    "/Beacon/Work/wi-1/Error",
    "/Beacon/Work/wi-1/Progress",
    "/Beacon/Work/wi-1/Cancel",
    "/Beacon/Work/wi-1/Result",
    "/Beacon/Work/%ff%00/Complete",
    "/Beacon/Run/Start",
    "/Beacon/Run/x/End",
    "/Beacon/bcn-a-1",
    "/Beacon/bcn-a-1/Heartbeat",
    "/Beacon/bcn-a-1/Drain",
    "/Beacon/Queue",
    "/Beacon/Capabilities",
    "/Beacon/Actions?Capability=x",
    "/Beacon/Affinity",
    "/Moorline/Status",
    "/connect",
    "/connect?key=a&key=a&%zz=%ff&&=",
    "/alive",
    "/nowhere/../..",
    "%%%",
    "",
];

#[derive(Clone, Debug)]
enum Move {
    Text(u64, usize),
    Binary(u64, Vec<u8>),
    Control(u64, bool),
    Open(u64),
    Offer(u64, usize),
    Accept(u64),
    Close(u64),
    Ask(u64, u8, usize, usize),
    Gone(u64),
    Reply(u64, u16, usize),
    ReplyFailed(u64),
    Stored(u64, bool),
    StoreFailed(u64),
    Lag(u64),
    Wait(u64),
    Complete(u64, u8),
    Call(u64, u8),
    Emit(u8),
    Report(u64, u8),
    Peer(u64, u8),
    Sent(u64),
    Stop(u64),
}

fn moves() -> impl Strategy<Value = Move> {
    let id = 0_u64..8;
    let text = 0..TEXTS.len();
    let path = 0..PATHS.len();
    prop_oneof![
        6 => (id.clone(), text.clone()).prop_map(|(c, t)| Move::Text(c, t)),
        1 => (id.clone(), any::<Vec<u8>>()).prop_map(|(c, b)| Move::Binary(c, b)),
        1 => (id.clone(), any::<bool>()).prop_map(|(c, ping)| Move::Control(c, ping)),
        2 => id.clone().prop_map(Move::Open),
        2 => (id.clone(), path.clone()).prop_map(|(c, p)| Move::Offer(c, p)),
        1 => id.clone().prop_map(Move::Accept),
        1 => id.clone().prop_map(Move::Close),
        5 => (id.clone(), any::<u8>(), path, text.clone())
            .prop_map(|(h, m, p, t)| Move::Ask(h, m, p, t)),
        1 => id.clone().prop_map(Move::Gone),
        3 => (id.clone(), prop_oneof![Just(200), Just(400), Just(401), Just(404), Just(503)], text)
            .prop_map(|(h, s, t)| Move::Reply(h, s, t)),
        1 => id.clone().prop_map(Move::ReplyFailed),
        3 => (id.clone(), any::<bool>()).prop_map(|(s, loaded)| Move::Stored(s, loaded)),
        1 => id.clone().prop_map(Move::StoreFailed),
        1 => any::<u64>().prop_map(Move::Lag),
        3 => (0_u64..120_000).prop_map(Move::Wait),
        2 => (id.clone(), any::<u8>()).prop_map(|(w, k)| Move::Complete(w, k)),
        2 => (id.clone(), any::<u8>()).prop_map(|(c, k)| Move::Call(c, k)),
        1 => any::<u8>().prop_map(Move::Emit),
        1 => (id.clone(), any::<u8>()).prop_map(|(w, k)| Move::Report(w, k)),
        2 => (id.clone(), any::<u8>()).prop_map(|(p, k)| Move::Peer(p, k)),
        1 => id.prop_map(Move::Sent),
        1 => (0_u64..60_000).prop_map(Move::Stop),
    ]
}

fn text(index: usize) -> &'static str {
    TEXTS.get(index).copied().unwrap_or_default()
}

fn response(status: u16, text: &'static str) -> HttpResponse {
    HttpResponse { status, headers: Headers::new(), body: HttpBody::Full(Bytes::from(text)) }
}

/// Ends of connections are numbered by who began them: even ours, odd theirs.
fn act(machine: &mut dyn Endpoint, doing: Move, server: bool, at: &mut u64) {
    let conn = |id: u64| ConnId(id * 2 + u64::from(server));
    let http = |id: u64| HttpId(id * 2 + u64::from(server));
    // An enrollment's exchange is odd.
    let asked = |id: u64| HttpId(if id == 7 { 3 } else { http(id).0 });
    let input = match doing {
        Move::Text(id, index) => Input::Conn(ConnInput::Received {
            conn: conn(id),
            frame: Frame::Text(text(index).into()),
        }),
        Move::Binary(id, bytes) => {
            Input::Conn(ConnInput::Received { conn: conn(id), frame: Frame::Binary(bytes.into()) })
        }
        Move::Control(id, ping) => Input::Conn(ConnInput::Received {
            conn: conn(id),
            frame: if ping { Frame::Ping(Bytes::new()) } else { Frame::Pong(Bytes::new()) },
        }),
        Move::Open(id) => Input::Conn(ConnInput::Opened { conn: conn(id) }),
        Move::Offer(id, path) => Input::Server(ServerInput::Offered {
            conn: conn(id),
            request: HttpRequest {
                method: Method::Get,
                url: PATHS.get(path).copied().unwrap_or_default().into(),
                headers: Headers::new().with("cookie", "SessionID=x"),
                body: Bytes::new(),
            },
            remote: "127.0.0.1:1".into(),
        }),
        Move::Accept(id) => Input::Server(ServerInput::Accepted {
            conn: conn(id),
            listen: ListenId(1),
            remote: "unix:/x.sock".into(),
            credentials: None,
        }),
        Move::Close(id) => {
            Input::Conn(ConnInput::Closed { conn: conn(id), cause: CloseCause::Local })
        }
        Move::Ask(id, method, path, body) => Input::Server(ServerInput::Asked {
            http: http(id),
            request: HttpRequest {
                method: [Method::Get, Method::Post, Method::Delete, Method::Other]
                    [usize::from(method % 4)],
                url: PATHS.get(path).copied().unwrap_or_default().into(),
                headers: Headers::new().with("x-idempotency-key", "k"),
                body: text(body).into(),
            },
            remote: "127.0.0.1:1".into(),
        }),
        Move::Gone(id) => Input::Server(ServerInput::Gone { http: http(id) }),
        Move::Reply(id, status, index) => Input::Http(HttpInput::Replied {
            http: asked(id),
            result: Ok(response(status, text(index))),
        }),
        Move::ReplyFailed(id) => Input::Http(HttpInput::Replied {
            http: http(id),
            result: Err(Error::from(ErrorCode::ConnectFailed)),
        }),
        Move::Stored(id, loaded) => Input::Stored {
            store: StoreId(id),
            result: Ok(if loaded {
                StoreReply::Loaded(vec![("k".into(), "{not a record".into())])
            } else {
                StoreReply::Committed
            }),
        },
        Move::StoreFailed(id) => {
            Input::Stored { store: StoreId(id), result: Err(ErrorCode::StoreFailed.into()) }
        }
        Move::Lag(millis) => Input::HostLag { millis },
        Move::Wait(millis) => {
            *at += millis;
            return machine.handle_timeout(clock(*at));
        }
        Move::Complete(id, kind) => {
            let outcome = match kind % 3 {
                0 => Outcome::Done { value: Raw::null(), log: Raw::empty_list() },
                1 => Outcome::Failed { message: "x".repeat(2_000) },
                _ => Outcome::Cancelled,
            };
            let _ = machine.handle_command(
                Command::Work(WorkCommand::Complete { work: WorkId(id), outcome }),
                clock(*at),
            );
            return;
        }
        Move::Call(id, kind) => {
            let name = ["Echo/Say", "$status", "$nothing", "", "//"][usize::from(kind % 5)];
            let call = Command::Call(CallCommand::Make {
                call: CallId(id),
                name: name.into(),
                payload: Raw::empty_object(),
                options: Raw::empty_object(),
            });
            let _ = machine.handle_command(call, clock(*at));
            return;
        }
        Move::Emit(kind) => {
            let (name, payload) = [
                ("", "{\"type\":\"x\"}"),
                ("", "7"),
                ("$password", "{\"password\":\"next\"}"),
                ("$password", "[]"),
                ("$nothing", "null"),
            ][usize::from(kind % 5)];
            let payload = Raw::parse(payload).expect("JSON");
            let _ =
                machine.handle_command(Command::Emit { name: name.into(), payload }, clock(*at));
            return;
        }
        Move::Report(id, kind) => {
            let report = ["{\"open\":{}}", "{\"chunk\":\"AAAA\"}", "{\"chunk\":\"*\"}", "{}", "7"];
            let report = Raw::parse(report[usize::from(kind % 5)]).expect("JSON");
            let command = Command::Work(WorkCommand::Progress { work: WorkId(id), report });
            let _ = machine.handle_command(command, clock(*at));
            return;
        }
        Move::Peer(id, kind) => {
            let peer = PeerId(id * 2 + 1);
            let content = Content::from("x".repeat(usize::from(kind)));
            let to = if server { Recipients::Peers(vec![peer; 3]) } else { Recipients::Link };
            let command = match kind % 8 {
                0 => PeerCommand::Admit { peer },
                1 => PeerCommand::Refuse { peer },
                2 => PeerCommand::Greet { peer },
                3 => {
                    PeerCommand::End { peer, code: Some(u16::from(kind) * 20), reason: "x".into() }
                }
                4 => PeerCommand::Close { peer },
                5 => PeerCommand::Ping { peer, payload: vec![0; usize::from(kind)].into() },
                _ => PeerCommand::Send { call: Some(CallId(id)), to, content, compress: true },
            };
            let _ = machine.handle_command(Command::Peer(command), clock(*at));
            return;
        }
        Move::Sent(id) => Input::Conn(ConnInput::Sent { conn: conn(id) }),
        Move::Stop(drain_ms) => {
            let _ = machine.handle_command(Command::Stop { drain_ms }, clock(*at));
            return;
        }
    };
    machine.handle_input(input, clock(*at));
}

fn clock(at: u64) -> Now {
    Now::new(at, 1_795_000_000_000 + at)
}

/// Drains, answers listeners so that a hub serves, and checks what must always hold.
fn drain(machine: &mut dyn Endpoint, kinds: &[&str], at: u64) -> Result<(), TestCaseError> {
    let mut outputs = 0;
    while let Some(output) = machine.poll_output() {
        outputs += 1;
        prop_assert!(outputs < 100_000, "the machine spins");
        match output {
            Output::Listen { .. } => machine.handle_input(
                Input::Server(ServerInput::Listening {
                    listen: ListenId(0),
                    address: "127.0.0.1:1".into(),
                }),
                clock(at),
            ),
            Output::Event(event) => {
                let kind = event::kind(&event);
                prop_assert!(kinds.contains(&kind), "{kind} is not in the role's row");
                if let Event::Session(SessionEvent::Notice { error }) = event {
                    prop_assert!(error.code() != ErrorCode::Internal, "{error}");
                }
            }
            _ => {}
        }
    }
    if let Some(deadline) = machine.poll_timeout() {
        prop_assert!(deadline.at.as_millis() < u64::MAX);
    }
    let state = machine.snapshot(clock(at));
    prop_assert!(serde_json::from_str::<serde_json::Value>(&state).is_ok(), "{state}");
    prop_assert!(state.len() < 1_000_000);
    Ok(())
}

fn play(role: &str, options: &str, doings: Vec<Move>) -> Result<(), TestCaseError> {
    let (dialect, is_daemon) = match role {
        "daemon" => ("volt", true),
        "client" | "server" => ("wsdaemon", false),
        "consumer" | "provider" => ("netcluster", false),
        _ => ("beacon", false),
    };
    let name = if dialect == "wsdaemon" { "daemon" } else { role };
    let kinds = find(dialect, name).map_or_else(Vec::new, |row| row.events.concat());
    let opened = moorline_core::open(dialect, name, options, "host", [3; 32])
        .map_err(|error| TestCaseError::fail(error.to_string()))?;
    let mut machine = opened.endpoint;
    let mut at = 1_000;
    if ["worker", "daemon", "client", "server"].contains(&role) {
        let handle = Command::Work(WorkCommand::Handle {
            key: "Echo/Say".into(),
            meta: Raw::empty_object(),
        });
        let _ = machine.handle_command(handle, clock(at));
    }
    if is_daemon {
        let meta = Raw::parse("{\"messages\":true}").expect("JSON");
        let _ = machine.handle_command(
            Command::Work(WorkCommand::Handle { key: "*".into(), meta }),
            clock(at),
        );
    }
    let _ = machine.handle_command(Command::Start, clock(at));
    drain(&mut *machine, &kinds, at)?;
    for doing in doings {
        act(&mut *machine, doing, ["hub", "server", "provider"].contains(&role), &mut at);
        drain(&mut *machine, &kinds, at)?;
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_worker_survives_any_input(doings in prop::collection::vec(moves(), 0..80)) {
        play("worker", "{}", doings)?;
    }

    #[test]
    fn a_polling_worker_survives_any_input(doings in prop::collection::vec(moves(), 0..80)) {
        play("worker", r#"{"transport":"polling"}"#, doings)?;
    }

    #[test]
    fn a_daemon_survives_any_input(
        transport in prop_oneof![
            Just("auto"), Just("upgrade"), Just("websocket"), Just("polling"),
        ],
        asks in any::<bool>(),
        stores in any::<bool>(),
        doings in prop::collection::vec(moves(), 0..80),
    ) {
        let store = if stores { "daemon.db" } else { "" };
        let token = if stores { "one-time" } else { "" };
        let options = format!(
            r#"{{"control_socket_url":"ws://volt.test","server_url":"http://volt.test",
            "team_cluster_id":"c","daemon_password":"pw","transport":"{transport}",
            "enrollment_token":"{token}","heartbeat":{{"asks":{asks}}},
            "runtime":{{"store_path":"{store}"}}}}"#
        );
        play("daemon", &options, doings)?;
    }

    #[test]
    fn a_dispatcher_survives_any_input(doings in prop::collection::vec(moves(), 0..80)) {
        play("dispatcher", "{}", doings)?;
    }

    #[test]
    fn a_hub_survives_any_input(doings in prop::collection::vec(moves(), 0..80)) {
        play("hub", "{}", doings)?;
    }

    #[test]
    fn a_ws_daemon_survives_any_input(
        role in prop_oneof![Just("client"), Just("server")],
        doings in prop::collection::vec(moves(), 0..80),
    ) {
        let options = format!(r#"{{"mode":"{role}","local":{{"socket_path":"/x.sock"}}}}"#);
        play(role, &options, doings)?;
    }

    #[test]
    fn a_provider_survives_any_input(
        asks in any::<bool>(),
        on_backlog in prop_oneof![Just("drop"), Just("close"), Just("block")],
        doings in prop::collection::vec(moves(), 0..80),
    ) {
        let options = format!(
            r#"{{"auth":{{"asks":{asks},"max_pending":2}},"heartbeat":{{"tells":true}},
            "max_connections":3,"ws":{{"max_backpressure":100,"on_backlog":"{on_backlog}"}}}}"#
        );
        play("provider", &options, doings)?;
    }

    #[test]
    fn a_consumer_survives_any_input(
        on_backlog in prop_oneof![Just("drop"), Just("close"), Just("block")],
        doings in prop::collection::vec(moves(), 0..80),
    ) {
        let options = format!(
            r#"{{"host":"h","max_backpressure":100,"on_backlog":"{on_backlog}",
            "tells_heartbeats":true,"reconnect":{{"max_attempts":3}}}}"#
        );
        play("consumer", &options, doings)?;
    }

    #[test]
    fn a_secured_hub_survives_any_input(doings in prop::collection::vec(moves(), 0..80)) {
        let options = r#"{"access":"secured","join_secret":"j",
            "users":[{"name":"a","password":"b"}]}"#;
        play("hub", options, doings)?;
    }
}
