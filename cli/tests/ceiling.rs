//! A hub stays alive and below 1.2 times its memory ceiling, with 512 MiB of address space, under
//! everything that makes something grow.
#![allow(clippy::unwrap_used, reason = "tests")]
#![cfg(target_os = "linux")]

mod support;

use std::path::PathBuf;

use moorline_attack::process::{Arena, Programs};
use moorline_attack::{Attack, Told, growth, run, trust};
use support::{finish, moorline};

type Run = fn(&Arena) -> Told<String>;

const MIB: u64 = 1_048_576;
/// All that a process may address, libraries and reserves of the allocator included.
const ADDRESS_SPACE_KIB: u64 = 512 * 1_024;

/// A hub for a small machine.
const OPTIONS: &[&str] = &[
    "max_queued_bytes=33554432",
    "max_result_bytes=33554432",
    "limits.max_send_queue_bytes=16777216",
    "max_connection_bytes=67108864",
    "max_connections=1000",
    "runtime.max_event_bytes=8388608",
    "volt.max_tokens=1000",
    "volt.max_daemons=1000",
];

/// The ceiling that the hub itself says, in bytes.
fn ceiling() -> u64 {
    let options = OPTIONS.iter().flat_map(|option| ["--set", option]);
    let arguments: Vec<&str> = ["hub", "--print-config"].into_iter().chain(options).collect();
    let end = finish(&mut moorline(&arguments));
    let line = end.out.lines().find(|line| line.starts_with("# Memory ceiling: ")).unwrap();
    line.split(' ').nth(3).unwrap().parse::<u64>().unwrap() * MIB
}

#[test]
fn a_hub_stays_below_its_ceiling_whatever_grows() {
    let ceiling = ceiling();
    assert!(ceiling * 12 / 10 < ADDRESS_SPACE_KIB * 1_024, "{} MiB", ceiling / MIB);
    let programs = Programs {
        moorline: PathBuf::from(env!("CARGO_BIN_EXE_moorline")),
        own: PathBuf::new(),
        planted: OPTIONS.iter().map(|&option| option.to_owned()).collect(),
        address_space_kib: Some(ADDRESS_SPACE_KIB),
    };
    // Those of a hub; what a worker of ours comes to is no matter of a hub's options.
    let growing = growth::ATTACKS.iter().filter(|attack| attack.entry != "K2.5").copied();
    let more: [(&str, Run); 4] = [
        ("slow readers of results and of work", growth::slow_readers),
        ("half messages of workers", growth::half_messages),
        ("half requests of strangers", trust::half_said),
        ("a queue that is filled", trust::full_queue),
    ];
    let more = more.map(|(what, run)| Attack {
        entry: "ceiling",
        what,
        memory_mib: 0,
        seconds: 60,
        is_short: false,
        run,
    });
    for attack in growing.chain(more) {
        let row = run(Attack { memory_mib: ceiling * 12 / 10 / MIB, ..attack }, &programs);
        println!("{:>4} MiB of {}  {}", row.peak_kib / 1_024, ceiling / MIB, attack.what);
        assert!(row.missed().is_empty(), "{}: {:?} {:?}", attack.what, row.outcome, row.crashed);
    }
}
