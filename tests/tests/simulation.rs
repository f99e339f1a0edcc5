//! Workers, dispatchers and a hub in virtual time, with links cut, half-opened and delayed and
//! processes killed. The seed of a failing run is printed; add it to `PERMANENT`.

use std::collections::BTreeMap;

use moorline_core::{CallCommand, CallEvent, SessionEvent};
use moorline_core::{CallId, Command, ErrorCode, Event, Raw};
use moorline_tests::sim::{Fault, NodeId, Process, Seen, World};
use proptest::prelude::*;

/// Seeds that once failed.
const PERMANENT: &[u64] = &[];

/// How a run is made up.
#[derive(Clone, Copy, Debug)]
struct Plan {
    seed: u64,
    workers: usize,
    slots: u64,
    calls: u64,
    faults: u64,
    /// What may go wrong: kill the hub, kill a worker, cut links, half-open links.
    kinds: [bool; 4],
    transport: &'static str,
}

impl Plan {
    const CALM: Self = Self {
        seed: 0,
        workers: 3,
        slots: 4,
        calls: 200,
        faults: 0,
        kinds: [false; 4],
        transport: "auto",
    };
}

/// While faults happen, and while everything must come to rest afterwards, in milliseconds.
const STORM: u64 = 120_000;
const REST: u64 = 900_000;

fn hub() -> Process {
    Process {
        role: "hub",
        host: "hub".into(),
        options: r#"{"lease_ms":5000,"ping_interval_ms":1000,"enqueue_rate":0,"max_queued":100000,
            "max_redeliveries":1000,"max_results":100000,"work_timeout_ms":600000,
            "runtime":{"store_path":"hub.db"}}"#
            .into(),
        keys: Vec::new(),
        durable: true,
    }
}

fn worker(index: usize, plan: Plan) -> Process {
    let durable = index.is_multiple_of(2);
    let store = if durable { "outbox.db" } else { "" };
    Process {
        role: "worker",
        host: format!("host-{index}"),
        options: format!(
            r#"{{"server_url":"http://hub:1","name":"worker-{index}","max_concurrent":{},
                "transport":"{}","poll_interval_ms":200,"heartbeat_interval_ms":1000,
                "ping_interval_ms":1000,"upgrade_interval_ms":5000,"http_timeout_ms":3000,
                "reconnect":{{"base_delay_ms":200,"max_delay_ms":2000}},
                "runtime":{{"store_path":"{store}"}}}}"#,
            plan.slots, plan.transport
        ),
        keys: vec!["Echo/Say".into()],
        durable,
    }
}

fn dispatcher() -> Process {
    Process {
        role: "dispatcher",
        host: "caller".into(),
        options: r#"{"server_url":"http://hub:1","call_timeout_ms":3600000}"#.into(),
        keys: Vec::new(),
        durable: false,
    }
}

/// Runs a plan: every call is answered once, with its own number. Where no worker is there for so long
/// that a call is refused, its caller makes another.
fn run(plan: Plan) -> Result<(), String> {
    let mut world = World::new(plan.seed);
    let hub = world.add(hub());
    let workers: Vec<_> = (0..plan.workers).map(|index| world.add(worker(index, plan))).collect();
    let caller = world.add(dispatcher());
    for call in 1..=plan.calls {
        let at = 100 + world.below(STORM / 2);
        world.command(caller, at, order(CallId(call), CallId(call)));
    }
    plan_faults(&mut world, plan, hub, &workers);
    let outcome = observe(&mut world, plan, &workers, caller);
    if outcome.is_err() {
        world.print_trace();
    }
    outcome
}

/// Calls the echo with a number of its own.
fn order(call: CallId, number: CallId) -> Command {
    Command::Call(CallCommand::Make {
        call,
        name: "Echo/Say".into(),
        payload: Raw::parse(format!(r#"{{"n":{}}}"#, number.0)).expect("valid"),
        options: Raw::empty_object(),
    })
}

fn plan_faults(world: &mut World, plan: Plan, hub: NodeId, workers: &[NodeId]) {
    let kinds: Vec<_> = (0..4).filter(|kind| plan.kinds[*kind]).collect();
    if kinds.is_empty() {
        return;
    }
    for _ in 0..plan.faults {
        let at = 1_000 + world.below(STORM);
        let victim = workers[world.below(workers.len() as u64) as usize];
        let pause = 100 + world.below(10_000);
        match kinds[world.below(kinds.len() as u64) as usize] {
            0 => {
                world.fault(at, Fault::Kill(hub));
                world.fault(at + pause, Fault::Boot(hub));
            }
            1 => {
                world.fault(at, Fault::Kill(victim));
                world.fault(at + pause, Fault::Boot(victim));
            }
            2 => world.fault(at, Fault::Cut(victim)),
            _ => world.fault(at, Fault::HalfOpen(victim)),
        }
    }
    // Whatever was down comes back in the end.
    for node in workers.iter().copied().chain([hub]) {
        world.fault(STORM + 20_000, Fault::Boot(node));
    }
}

fn observe(
    world: &mut World,
    plan: Plan,
    workers: &[NodeId],
    caller: NodeId,
) -> Result<(), String> {
    let mut answers: BTreeMap<CallId, u32> = BTreeMap::new();
    let mut last = plan.calls;
    // Calls that were made again, and the number of the first of them.
    let mut again: BTreeMap<CallId, CallId> = BTreeMap::new();
    let mut wrong = Vec::new();
    loop {
        let more = world.step(STORM + REST);
        for worker in workers {
            let running = world.running(*worker) as u64;
            if running > plan.slots {
                wrong.push(format!("{worker:?} runs {running} of {} slots", plan.slots));
            }
        }
        for (at, node, seen) in world.take_seen() {
            match seen {
                Seen::Event(Event::Call(CallEvent::Done { call, result: Err(error) }))
                    if node == caller && error.code() == ErrorCode::NoWorker =>
                {
                    last += 1;
                    let first = again.get(&call).copied().unwrap_or(call);
                    again.insert(CallId(last), first);
                    world.command(caller, 1_000, order(CallId(last), first));
                }
                Seen::Event(Event::Call(CallEvent::Done { call, result })) if node == caller => {
                    let call = again.get(&call).copied().unwrap_or(call);
                    *answers.entry(call).or_default() += 1;
                    match result {
                        Ok(value) if is_answer_to(call, value.as_str()) => {}
                        Ok(value) => wrong.push(format!("{at}: {call:?} got {}", value.as_str())),
                        Err(error) => wrong.push(format!("{at}: {call:?} failed: {error}")),
                    }
                }
                Seen::Event(Event::Session(SessionEvent::Ended { error })) => {
                    wrong.push(format!("{at}: {node:?} ended: {error:?}"));
                }
                Seen::Event(_) | Seen::Refused(_) => {}
            }
        }
        if !wrong.is_empty() {
            return Err(format!("{plan:?}\n{}", wrong.join("\n")));
        }
        if answers.len() as u64 == plan.calls && world.now() > STORM + 30_000 {
            break;
        }
        if !more {
            break;
        }
    }
    let unanswered: Vec<_> =
        (1..=plan.calls).map(CallId).filter(|call| !answers.contains_key(call)).collect();
    let twice: Vec<_> = answers.iter().filter(|(_, times)| **times != 1).collect();
    if unanswered.is_empty() && twice.is_empty() {
        return Ok(());
    }
    let hub = world.snapshot(NodeId(0)).unwrap_or_default();
    Err(format!("{plan:?}\nunanswered {unanswered:?}\nanswered twice {twice:?}\nhub {hub}"))
}

/// The handler returned the settings: its own number.
fn is_answer_to(call: CallId, text: &str) -> bool {
    text.contains(&format!("\"Outputs\":{{\"n\":{}}}", call.0))
}

fn must(plan: Plan) {
    if let Err(report) = run(plan) {
        panic!("seed {}: {report}", plan.seed);
    }
}

#[test]
fn without_faults_every_call_is_answered() {
    must(Plan::CALM);
    must(Plan { transport: "polling", ..Plan::CALM });
    must(Plan { workers: 1, slots: 1, calls: 100, ..Plan::CALM });
}

#[test]
fn workers_that_die_lose_nothing() {
    for seed in 0..20 {
        must(Plan { seed, faults: 12, kinds: [false, true, false, false], ..Plan::CALM });
    }
}

#[test]
fn a_hub_that_dies_loses_nothing() {
    for seed in 0..20 {
        must(Plan { seed, faults: 8, kinds: [true, false, false, false], ..Plan::CALM });
    }
}

#[test]
fn links_that_are_cut_lose_nothing() {
    for seed in 0..20 {
        must(Plan { seed, faults: 30, kinds: [false, false, true, true], ..Plan::CALM });
    }
}

#[test]
fn polling_workers_survive_everything() {
    for seed in 0..20 {
        must(Plan { seed, faults: 20, kinds: [true; 4], transport: "polling", ..Plan::CALM });
    }
}

#[test]
fn ten_thousand_items_are_answered_exactly_once_under_random_kills() {
    for seed in PERMANENT.iter().copied().chain([1]) {
        must(Plan {
            seed,
            workers: 5,
            slots: 32,
            calls: 10_000,
            faults: 60,
            kinds: [true; 4],
            ..Plan::CALM
        });
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_mixture_of_faults_is_survived(
        seed in any::<u64>(),
        workers in 1_usize..5,
        slots in 1_u64..6,
        faults in 0_u64..40,
        kinds in any::<[bool; 4]>(),
        polling in any::<bool>(),
    ) {
        moorline_tests::scripts::leave_none();
        let transport = if polling { "polling" } else { "auto" };
        let plan = Plan { seed, workers, slots, calls: 150, faults, kinds, transport };
        prop_assert_eq!(run(plan), Ok(()));
    }
}
