//! Whatever happens in whatever order: no panic, no spin, no growth beyond limits, and one end.

// The world outside looks at few kinds of output.
#![allow(clippy::wildcard_enum_match_arm)]

use proptest::prelude::*;

use crate::api::command::WorkCommand;
use crate::api::command::{Command, Outcome};
use crate::api::event::Event;
use crate::api::event::{SessionEvent, WorkEvent};
use crate::base::error::{Error, ErrorCode};
use crate::base::ids::{ConnId, HttpId, WorkId};
use crate::base::json::Raw;
use crate::dialect::beacon::bench::{Bench, work};
use crate::machine::{CloseCause, Input, Output};
use crate::machine::{ConnInput, HttpInput};
use crate::net::{Frame, HttpResponse};

const SLOTS: u64 = 3;
const OUTBOX: u64 = 4;

#[derive(Clone, Debug)]
enum Step {
    Pass(u64),
    Suspend(u64),
    Open(usize),
    Close(usize, u16),
    Cut(usize),
    Say(usize, String),
    Pong(usize),
    Reply(usize, u16, String),
    NoReply(usize),
    Settle(usize, bool),
    Progress(usize),
    HostLag(u64),
    Handle(bool),
    Stop(u64),
}

/// What the world around the machine knows.
#[derive(Default)]
struct World {
    conns: Vec<ConnId>,
    pings: Vec<(ConnId, bytes::Bytes)>,
    calls: Vec<HttpId>,
    works: Vec<WorkId>,
    ends: usize,
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn a_session_survives_any_order_of_events(steps in proptest::collection::vec(step(), 1..120)) {
        let mut bench = Bench::worker(&format!(
            r#"{{"max_concurrent":{SLOTS},"max_waiting":5,"outbox":{{"max_items":{OUTBOX}}},"heartbeat_interval_ms":700,"ping_interval_ms":900,"upgrade_interval_ms":1500}}"#
        ));
        let mut world = World::default();
        bench.handle("Echo/Say");
        bench.command(Command::Start).unwrap();
        for step in steps {
            world.watch(&mut bench);
            world.take(&mut bench, step);
            world.watch(&mut bench);
            let state = bench.state();
            let count = |name: &str| state[name].as_u64().unwrap();
            prop_assert!(count("in_flight") <= SLOTS);
            prop_assert!(count("waiting") <= 5);
            prop_assert!(count("outbox") <= OUTBOX + SLOTS + 5 + count_refused(&state));
            prop_assert!(world.ends <= 1);
        }
        let _ = bench.command(Command::Stop { drain_ms: 1_000 });
        for _ in 0..20 {
            world.watch(&mut bench);
            bench.pass(1_000);
        }
        world.watch(&mut bench);
        prop_assert_eq!(world.ends, 1, "{}", bench.state());
        prop_assert!(bench.machine.poll_timeout().is_none());
    }
}

/// Refusals are answered through the outbox, too; the peer that pushes pays for them.
fn count_refused(state: &serde_json::Value) -> u64 {
    state["counters"]["refused"].as_u64().unwrap() + state["counters"]["expired"].as_u64().unwrap()
}

impl World {
    fn watch(&mut self, bench: &mut Bench) {
        for output in bench.rest() {
            match output {
                Output::Dial { conn, .. } => self.conns.push(conn),
                Output::Close { conn, .. } => {
                    bench.input(Input::Conn(ConnInput::Closed { conn, cause: CloseCause::Local }));
                }
                Output::Send { conn, frame: Frame::Ping(payload) } => {
                    self.pings.push((conn, payload));
                }
                Output::HttpCall { http, .. } => self.calls.push(http),
                Output::Event(Event::Work(WorkEvent::Assigned { work, .. })) => {
                    self.works.push(work)
                }
                Output::Event(Event::Session(SessionEvent::Ended { .. })) => self.ends += 1,
                _ => {}
            }
        }
    }

    fn take(&mut self, bench: &mut Bench, step: Step) {
        match step {
            Step::Pass(millis) => bench.pass(millis),
            Step::Suspend(millis) => bench.skip(millis),
            Step::Open(index) => {
                self.on_conn(bench, index, |conn| Input::Conn(ConnInput::Opened { conn }))
            }
            Step::Close(index, code) => self.on_conn(bench, index, |conn| {
                let cause = CloseCause::Remote { code, reason: String::from("bye") };
                Input::Conn(ConnInput::Closed { conn, cause })
            }),
            Step::Cut(index) => self.on_conn(bench, index, |conn| {
                let error = Error::from(ErrorCode::ConnectionLost);
                Input::Conn(ConnInput::Closed { conn, cause: CloseCause::Failed(error) })
            }),
            Step::Say(index, text) => self.on_conn(bench, index, |conn| {
                let frame = Frame::Text(text.as_str().into());
                Input::Conn(ConnInput::Received { conn, frame })
            }),
            Step::Pong(index) => {
                if let Some((conn, payload)) = pick(&self.pings, index) {
                    bench.pong(conn, payload);
                }
            }
            Step::Reply(index, status, body) => {
                if let Some(http) = pick(&self.calls, index) {
                    let result = Ok(HttpResponse::json(status, body));
                    bench.input(Input::Http(HttpInput::Replied { http, result }));
                }
            }
            Step::NoReply(index) => {
                if let Some(http) = pick(&self.calls, index) {
                    bench.fail(http);
                }
            }
            Step::Settle(index, is_done) => {
                if let Some(work) = pick(&self.works, index) {
                    let outcome = if is_done {
                        Outcome::Done { value: Raw::null(), log: Raw::empty_list() }
                    } else {
                        Outcome::Cancelled
                    };
                    let _ = bench.command(Command::Work(WorkCommand::Complete { work, outcome }));
                }
            }
            Step::Progress(index) => {
                if let Some(work) = pick(&self.works, index) {
                    let report = Raw::empty_object();
                    let _ = bench.command(Command::Work(WorkCommand::Progress { work, report }));
                }
            }
            Step::HostLag(millis) => bench.input(Input::HostLag { millis }),
            Step::Handle(is_new) => {
                let key = if is_new { "Math/Add" } else { "Echo/Say" };
                let meta = Raw::empty_object();
                let _ = bench.command(Command::Work(WorkCommand::Handle { key: key.into(), meta }));
            }
            Step::Stop(drain_ms) => {
                let _ = bench.command(Command::Stop { drain_ms });
            }
        }
    }

    fn on_conn(&self, bench: &mut Bench, index: usize, make: impl Fn(ConnId) -> Input) {
        if let Some(conn) = pick(&self.conns, index) {
            bench.input(make(conn));
        }
    }
}

/// Picks from the end, where what is current stands.
fn pick<T: Clone>(list: &[T], index: usize) -> Option<T> {
    list.iter().rev().nth(index).cloned()
}

fn step() -> impl Strategy<Value = Step> {
    let near = prop_oneof![4 => Just(0usize), 1 => 0..4usize];
    prop_oneof![
        6 => (0..3_000u64).prop_map(Step::Pass),
        1 => (0..100_000u64).prop_map(Step::Suspend),
        4 => near.clone().prop_map(Step::Open),
        1 => (near.clone(), prop_oneof![Just(1000u16), Just(1006), Just(4403)])
            .prop_map(|(index, code)| Step::Close(index, code)),
        1 => near.clone().prop_map(Step::Cut),
        14 => (near.clone(), frame()).prop_map(|(index, text)| Step::Say(index, text)),
        3 => near.clone().prop_map(Step::Pong),
        10 => (near.clone(), status(), body()).prop_map(|(i, status, body)| Step::Reply(i, status, body)),
        2 => near.prop_map(Step::NoReply),
        6 => (0..4usize, any::<bool>()).prop_map(|(index, done)| Step::Settle(index, done)),
        1 => (0..4usize).prop_map(Step::Progress),
        1 => (0..5_000u64).prop_map(Step::HostLag),
        1 => any::<bool>().prop_map(Step::Handle),
        1 => prop_oneof![Just(0u64), 0..5_000u64].prop_map(Step::Stop),
    ]
}

fn status() -> impl Strategy<Value = u16> {
    prop_oneof![8 => Just(200u16), 1 => Just(401), 1 => Just(404), 1 => Just(400), 1 => Just(503)]
}

fn frame() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => (0..12u32, 1..4u32, prop_oneof![Just(0u64), 1..2_000u64])
            .prop_map(|(n, attempt, limit)| work(&format!("wi-{n}"), attempt, limit)),
        5 => any::<bool>().prop_map(|acks| format!(
            r#"{{"EventType":"BeaconRegistered","BeaconID":"bcn-1","Moorline":{{"Acks":{acks}}}}}"#
        )),
        3 => (0..12u32, any::<bool>()).prop_map(|(n, taken)| format!(
            r#"{{"EventType":"WorkTaken","Items":[{{"WorkItemHash":"wi-{n}","Taken":{taken}}}]}}"#
        )),
        1 => (0..12u32).prop_map(|n| format!(r#"{{"EventType":"WorkCancel","WorkItemHash":"wi-{n}"}}"#)),
        1 => Just(String::from(r#"{"EventType":"Deregistered"}"#)),
        1 => Just(String::from(r#"{"EventType":"BeaconRejected","Reason":"no"}"#)),
        1 => ".{0,40}",
    ]
}

fn body() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::from(r#"{"LoggedIn":false}"#)),
        Just(String::from(r#"{"BeaconID":"bcn-1","WorkItem":null}"#)),
        (0..12u32).prop_map(|n| {
            let item = work(&format!("wi-{n}"), 1, 0);
            item.replace(r#""EventType":"WorkItem","#, r#""BeaconID":"bcn-1","#)
        }),
        Just(String::new()),
        Just(String::from("<html>")),
    ]
}
