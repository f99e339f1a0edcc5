//! Whatever happens in whatever order: each call settles exactly once, by its deadline.

use std::collections::BTreeMap;

use proptest::prelude::*;

use crate::api::command::CallCommand;
use crate::api::command::Command;
use crate::api::event::CallEvent;
use crate::api::event::Event;
use crate::base::ids::{CallId, HttpId};
use crate::base::json::Raw;
use crate::dialect::beacon::bench::Bench;
use crate::machine::HttpInput;
use crate::machine::{Input, Output};
use crate::net::HttpResponse;

#[derive(Clone, Debug)]
enum Step {
    Call { stream: bool, timeout_ms: u64 },
    Cancel(u64),
    Pass(u64),
    Reply(usize, u16, &'static str),
    NoReply(usize),
    Stop(u64),
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn every_call_settles_exactly_once_and_in_time(
        steps in proptest::collection::vec(step(), 1..80),
        logs_in in any::<bool>(),
    ) {
        let user = if logs_in { r#""user_name":"ada","# } else { "" };
        let mut bench = Bench::open(
            "dispatcher",
            &format!(r#"{{{user}"limits":{{"max_pending_calls":8}}}}"#),
        );
        let mut world = World::default();
        bench.command(Command::Start).unwrap();
        for step in steps {
            world.take(&mut bench, &step);
            world.watch(&mut bench);
            prop_assert!(world.settled.values().all(|count| *count == 1));
            prop_assert!(world.asked.len() <= 10_000);
        }
        for _ in 0..5 {
            bench.pass(10_000);
            world.watch(&mut bench);
        }
        for call in 1..=world.accepted {
            prop_assert_eq!(world.settled.get(&call), Some(&1), "call {}", call);
        }
        prop_assert!(world.late.is_empty(), "{:?}", world.late);
    }
}

#[derive(Default)]
struct World {
    /// Calls are numbered from 1; refused ones give their number back.
    accepted: u64,
    deadlines: BTreeMap<u64, u64>,
    settled: BTreeMap<u64, u32>,
    late: Vec<u64>,
    asked: Vec<HttpId>,
}

impl World {
    fn take(&mut self, bench: &mut Bench, step: &Step) {
        match step {
            Step::Call { stream, timeout_ms } => {
                let options = format!(r#"{{"timeout_ms":{timeout_ms},"stream":{stream}}}"#);
                let call = Command::Call(CallCommand::Make {
                    call: CallId(self.accepted + 1),
                    name: String::from("Echo/Say"),
                    payload: Raw::empty_object(),
                    options: Raw::parse(options).unwrap(),
                });
                if bench.command(call).is_ok() {
                    self.accepted += 1;
                    self.deadlines.insert(self.accepted, bench.millis + timeout_ms);
                }
            }
            Step::Cancel(back) => {
                let call = CallId(self.accepted.saturating_sub(*back));
                let _ = bench.command(Command::Call(CallCommand::Cancel { call }));
            }
            Step::Pass(millis) => bench.pass(*millis),
            Step::Reply(index, status, body) => {
                if let Some(http) = self.asked.iter().rev().nth(*index).copied() {
                    let result = Ok(HttpResponse::json(*status, *body));
                    bench.input(Input::Http(HttpInput::Replied { http, result }));
                }
            }
            Step::NoReply(index) => {
                if let Some(http) = self.asked.iter().rev().nth(*index).copied() {
                    bench.fail(http);
                }
            }
            Step::Stop(drain_ms) => {
                let _ = bench.command(Command::Stop { drain_ms: *drain_ms });
            }
        }
    }

    fn watch(&mut self, bench: &mut Bench) {
        for output in bench.rest() {
            if let Output::HttpCall { http, .. } = output {
                self.asked.push(http);
            } else if let Output::Event(Event::Call(CallEvent::Done { call, .. })) = output {
                *self.settled.entry(call.0).or_default() += 1;
            }
        }
        let now = bench.millis;
        let open = |call: &u64| !self.settled.contains_key(call);
        let late = self.deadlines.iter().filter(|(call, at)| open(call) && **at < now);
        self.late.extend(late.map(|(call, _)| *call));
    }
}

fn step() -> impl Strategy<Value = Step> {
    let near = prop_oneof![3 => Just(0usize), 1 => 0..5usize];
    let body = prop_oneof![
        Just(r#"{"Success":true,"WorkItemHash":"wi-1","Outputs":{},"Log":[],"LoggedIn":true}"#),
        Just(r#"{"Success":false,"Error":"no"}"#),
        Just("<html>"),
        Just(""),
    ];
    let status = prop_oneof![
        5 => Just(200u16),
        1 => Just(400u16),
        1 => Just(401u16),
        1 => Just(429u16),
        1 => Just(500u16),
        1 => Just(503u16),
    ];
    prop_oneof![
        5 => (any::<bool>(), 1..5_000u64)
            .prop_map(|(stream, timeout_ms)| Step::Call { stream, timeout_ms }),
        1 => (0..4u64).prop_map(Step::Cancel),
        4 => (0..1_500u64).prop_map(Step::Pass),
        8 => (near.clone(), status, body)
            .prop_map(|(index, status, body)| Step::Reply(index, status, body)),
        2 => near.prop_map(Step::NoReply),
        1 => (0..3_000u64).prop_map(Step::Stop),
    ]
}
