//! Messages of every size around every limit, in virtual time: each call is answered once, and only what
//! cannot pass fails, by `TOO_LARGE`. Nothing is sent for ever.

use std::collections::BTreeMap;

use moorline_core::{
    CallCommand, CallEvent, CallId, Command, ErrorCode, Event, Raw, SessionEvent, WorkCommand,
};
use moorline_tests::sim::{Fault, NodeId, Process, Seen, World};
use proptest::prelude::*;

/// How far a frame may be longer than the payload in it, at most.
const ENVELOPE: usize = 2_000;

/// While anything may go wrong, and until everything must have come to rest, in milliseconds.
const STORM: u64 = 60_000;
const REST: u64 = 600_000;

/// The limits and sizes of a run.
#[derive(Clone, Debug)]
struct Plan {
    seed: u64,
    /// Of messages at the hub and at the worker, of bodies at the hub.
    limits: [usize; 3],
    /// Settings and result of each call.
    calls: Vec<(usize, usize)>,
    transport: &'static str,
    /// The hub does not say what it takes, and is not told what the worker takes.
    foreign: bool,
    /// Hub and worker die in between, with their stores.
    dies: bool,
}

fn plans() -> impl Strategy<Value = Plan> {
    let limits = [4_096_usize..12_000, 4_096..12_000, 4_096..12_000];
    let transport = prop_oneof![Just("auto"), Just("websocket"), Just("polling")];
    (any::<u64>(), limits, transport, any::<bool>(), any::<bool>()).prop_flat_map(
        |(seed, mut limits, transport, foreign, dies)| {
            // A worker that polls a hub which does not know its limit cannot tell what it was given, nor
            // after its death what it ran: both end at their time limit.
            let is_blind = foreign && transport != "websocket";
            if is_blind {
                limits[1] = limits[1].max(limits[0]);
            }
            let dies = dies && !is_blind;
            let around = (0..3_usize, 0..1_200_usize)
                .prop_map(move |(which, off)| (limits[which] + 200).saturating_sub(off));
            let size = prop_oneof![1 => 0..100_usize, 3 => around];
            let calls = proptest::collection::vec((size.clone(), size), 1..24);
            calls.prop_map(move |calls| Plan { seed, limits, calls, transport, foreign, dies })
        },
    )
}

fn process(role: &'static str, options: String, keys: &[&str]) -> Process {
    let keys = keys.iter().map(|key| (*key).to_owned()).collect();
    Process { role, host: role.into(), options, keys, durable: true }
}

fn world(plan: &Plan) -> (World, [NodeId; 3]) {
    let [hub, worker, body] = plan.limits;
    let mut world = World::new(plan.seed);
    world.foreign = plan.foreign;
    let hub = format!(
        r#"{{"listen":"127.0.0.1:54321","max_body_bytes":{body},"enqueue_rate":0,"lease_ms":5000,
            "ping_interval_ms":1000,"work_timeout_ms":300000,"allowed_hosts":["hub"],
            "limits":{{"max_message_bytes":{hub}}},"runtime":{{"store_path":"hub.db"}}}}"#
    );
    let worker = format!(
        r#"{{"server_url":"http://hub:1","name":"w","max_concurrent":4,"poll_interval_ms":100,
            "transport":"{}","heartbeat_interval_ms":1000,"ping_interval_ms":1000,
            "http_timeout_ms":3000,"reconnect":{{"base_delay_ms":200,"max_delay_ms":1000}},
            "limits":{{"max_message_bytes":{worker}}},"runtime":{{"store_path":"worker.db"}}}}"#,
        plan.transport
    );
    let caller = r#"{"server_url":"http://hub:1","call_timeout_ms":3600000}"#.to_owned();
    let hub = world.add(process("hub", hub, &[]));
    let worker = world.add(process("worker", worker, &["Echo/Say"]));
    let caller = world.add(process("dispatcher", caller, &[]));
    (world, [hub, worker, caller])
}

fn order(call: u64, (settings, reply): (usize, usize)) -> Command {
    let payload = format!(r#"{{"pad":"{}","reply":{reply}}}"#, "s".repeat(settings));
    Command::Call(CallCommand::Make {
        call: CallId(call),
        name: "Echo/Say".into(),
        payload: Raw::parse(payload).expect("valid"),
        options: Raw::parse(format!(r#"{{"idempotency_key":"call-{call}"}}"#)).expect("valid"),
    })
}

fn run(plan: &Plan) -> Result<(), String> {
    let (mut world, [hub, worker, caller]) = world(plan);
    for (number, sizes) in plan.calls.iter().enumerate() {
        let at = 1_000 + world.below(STORM / 2);
        world.command(caller, at, order(number as u64 + 1, *sizes));
    }
    for node in [hub, worker] {
        if plan.dies {
            let at = 1_000 + world.below(STORM);
            world.fault(at, Fault::Kill(node));
            world.fault(at + 500, Fault::Boot(node));
        }
    }
    let mut answers = BTreeMap::new();
    let mut late = plan.calls.len() as u64;
    let mut again = BTreeMap::new();
    while world.step(STORM + REST) {
        for (_, node, seen) in world.take_seen() {
            match seen {
                Seen::Event(Event::Call(CallEvent::Done { call, result })) if node == caller => {
                    let first = again.get(&call.0).copied().unwrap_or(call.0);
                    let is_alone = matches!(&result, Err(e) if e.code() == ErrorCode::NoWorker);
                    if is_alone {
                        late += 1;
                        again.insert(late, first);
                        let sizes = plan.calls[first as usize - 1];
                        world.command(caller, 500, order(late, sizes));
                    } else if answers.insert(first, result).is_some() {
                        return Err(format!("call {first} was answered twice"));
                    }
                }
                Seen::Event(Event::Session(SessionEvent::Ended { error })) => {
                    return Err(format!("{node:?} ended: {error:?}"));
                }
                Seen::Event(_) | Seen::Refused(_) => {}
            }
        }
        if answers.len() == plan.calls.len() && world.now() > STORM {
            break;
        }
    }
    for (number, sizes) in plan.calls.iter().enumerate() {
        let answer = answers.get(&(number as u64 + 1));
        let largest = sizes.0.max(sizes.1);
        let [hub, worker, body] = plan.limits;
        let smallest = hub.min(worker).min(body);
        match answer {
            None => return Err(format!("call {number} of {sizes:?} was not answered")),
            Some(Ok(_)) if sizes.1 > worker.min(hub.max(body)) => {
                return Err(format!("call {number} of {sizes:?} passed"));
            }
            Some(Ok(_)) => {}
            Some(Err(error)) if error.code() != ErrorCode::TooLarge => {
                return Err(format!("call {number} of {sizes:?}: {error}"));
            }
            Some(Err(error)) if largest + ENVELOPE < smallest => {
                return Err(format!("call {number} of {sizes:?} would have passed: {error}"));
            }
            Some(Err(_)) => {}
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, max_shrink_iters: 128, ..ProptestConfig::default() })]

    #[test]
    fn whatever_its_size_a_message_passes_or_fails_its_own_item(plan in plans()) {
        if let Err(report) = run(&plan) {
            prop_assert!(false, "{report}\n{plan:?}");
        }
    }
}

#[test]
fn a_handler_cannot_report_progress_that_does_not_pass() {
    let plan = Plan {
        seed: 7,
        limits: [8_192, 4_096, 8_192],
        calls: Vec::new(),
        transport: "websocket",
        foreign: false,
        dies: false,
    };
    let (mut world, [_, worker, caller]) = world(&plan);
    world.command(caller, 1_000, order(1, (10, 10)));
    let mut refused = None;
    while world.step(30_000) {
        for (_, node, seen) in world.take_seen() {
            match seen {
                Seen::Event(Event::Work(moorline_core::WorkEvent::Assigned { work, .. })) => {
                    let report = format!(r#"{{"Message":"{}"}}"#, "m".repeat(4_096));
                    let report = Raw::parse(report).expect("valid");
                    let command = Command::Work(WorkCommand::Progress { work, report });
                    world.command(node, 0, command);
                }
                Seen::Refused(error) if node == worker => refused = Some(error),
                Seen::Event(_) | Seen::Refused(_) => {}
            }
        }
    }
    assert_eq!(refused.map(|error| error.code()), Some(ErrorCode::TooLarge));
}
