//! The goals, and whether they are met: medians of the ratios of each round.

use super::Measured;
use super::moments::{PERIOD_MS, PINGS};
use super::peers::{Peer, Row};
use crate::stats::{Samples, figure};

/// One goal.
pub(super) struct Goal {
    pub(super) name: &'static str,
    pub(super) what: String,
    pub(super) measured: Samples,
    pub(super) aim: String,
    pub(super) met: bool,
}

fn cpu(rows: &[Row], peer: Peer, in_flight: usize) -> Samples {
    find(rows, peer, in_flight).map(|row| row.cpu.clone()).unwrap_or_default()
}

fn find(rows: &[Row], peer: Peer, in_flight: usize) -> Option<&Row> {
    rows.iter().find(|row| row.peer == peer && row.in_flight == in_flight)
}

fn at_most(name: &'static str, what: String, ratio: &Samples, aim: f64) -> Goal {
    let met = ratio.median() <= aim;
    Goal { name, what, measured: ratio.clone(), aim: format!("≤ {}", figure(aim)), met }
}

fn at_least(name: &'static str, what: String, ratio: &Samples, aim: f64) -> Goal {
    let met = ratio.median() >= aim;
    Goal { name, what, measured: ratio.clone(), aim: format!("≥ {}", figure(aim)), met }
}

/// Compares what was measured with the goals of the design.
pub(super) fn judge(measured: &Measured) -> Vec<Goal> {
    let mut goals = Vec::new();
    calls(measured, &mut goals);
    boundary(measured, &mut goals);
    moments(measured, &mut goals);
    goals.retain(|goal| !goal.measured.is_empty());
    goals
}

fn calls(measured: &Measured, goals: &mut Vec<Goal>) {
    let fast = |peer, level| cpu(&measured.fast, peer, level);
    let official = |peer, level| cpu(&measured.official, peer, level);
    for (name, level, aim) in
        [("G1", 1, 1.15), ("G2", 64, 1.3), ("G2", 1_000, 1.5), ("G2", 5_000, 1.5)]
    {
        let ratio = fast(Peer::Rust, level).over(&fast(Peer::Lines, level));
        goals.push(at_most(name, format!("Rust beside lines, {level} in flight"), &ratio, aim));
    }
    for (level, aim) in [(64, 10.0), (1_000, 30.0), (5_000, 90.0)] {
        let ratio = fast(Peer::Listeners, level).over(&fast(Peer::Rust, level));
        let what = format!("a listener for each call beside Rust, {level} in flight");
        goals.push(at_least("G3", what, &ratio, aim));
    }
    let one = fast(Peer::Node, 1).over(&fast(Peer::Listeners, 1));
    goals.push(at_most(
        "G4",
        "Node beside a listener for each call, 1 in flight".into(),
        &one,
        1.1,
    ));
    for (level, aim) in [(64, 4.0), (1_000, 10.0), (5_000, 35.0)] {
        let ratio = fast(Peer::Listeners, level).over(&fast(Peer::Node, level));
        let what = format!("a listener for each call beside Node, {level} in flight");
        goals.push(at_least("G4", what, &ratio, aim));
    }
    for (level, aim) in [(1_000, 3.0), (5_000, 12.0)] {
        let ratio = official(Peer::Listeners, level).over(&official(Peer::Node, level));
        let what = format!("the same against the official server, {level} in flight");
        goals.push(at_least("G4", what, &ratio, aim));
    }
    for (level, aim) in [(64, 4.0), (1_000, 6.0)] {
        let ratio = fast(Peer::Map, level).over(&fast(Peer::Node, level));
        let what = format!("one listener and a Map beside Node, {level} in flight");
        goals.push(at_least("G5", what, &ratio, aim));
    }
    if let Some(row) = find(&measured.fast, Peer::Node, 1_000) {
        let what = String::from("calls/s of Node, 1000 in flight");
        goals.push(at_least("G5", what, &row.per_second, 200_000.0));
    }
    for (peer, aim) in [(Peer::Websockets, 7.0), (Peer::Aiohttp, 5.0)] {
        for level in [64, 1_000] {
            let ratio = fast(peer, level).over(&fast(Peer::Python, level));
            let what = format!("{} beside Python, {level} in flight", peer.name());
            goals.push(at_least("G6", what, &ratio, aim));
        }
    }
    for (peer, aim) in [(Peer::Rust, 1.4), (Peer::Node, 1.4), (Peer::Python, 2.0)] {
        let ratio = fast(peer, 10_000).over(&fast(peer, 1_000));
        let what = format!("{}, 10000 in flight beside 1000", peer.name());
        goals.push(at_most("G7", what, &ratio, aim));
    }
}

/// Ours includes the socket and the protocol, since the I/O thread does both and its share of the crossing. Without
/// that thread this share is missing too: the truth lies between the two.
fn boundary(measured: &Measured, goals: &mut Vec<Goal>) {
    for (rows, other, ours, aim) in [
        (&measured.asking, Peer::Promised, Peer::Node, 4.0),
        (&measured.awaited, Peer::IntoPy, Peer::Python, 8.0),
    ] {
        for level in [64, 1_000] {
            let what = format!("{} beside {}, {level} in flight", other.name(), ours.name());
            let ratio = cpu(rows, other, level).over(&cpu(rows, ours, level));
            goals.push(at_least("G12", what.clone(), &ratio, aim));
            let alone = find(rows, ours, level).map(|row| row.without_io.clone());
            let ratio = cpu(rows, other, level).over(&alone.unwrap_or_default());
            let what = format!("{what}, ours without its I/O thread");
            goals.push(at_least("G12", what, &ratio, aim));
        }
    }
}

fn moments(measured: &Measured, goals: &mut Vec<Goal>) {
    if let Some(events) = &measured.events {
        let what = "messages to JavaScript, its thread beside `JSON.parse` alone";
        goals.push(at_most("G11", what.into(), &events.node.over(&events.parse), 1.35));
        let what = "`call_soon_threadsafe` alone beside messages to asyncio, whole process";
        goals.push(at_least("G11", what.into(), &events.threadsafe.over(&events.python), 8.0));
    }
    for row in measured.blocked.iter().filter(|row| matches!(row.peer, Peer::Node | Peer::Python)) {
        let ratio = row.gap.scaled(1.0 / PERIOD_MS);
        let what = format!("{}, blocked: longest gap of pongs beside the period", row.peer.name());
        let mut goal = at_most("G17", what, &ratio, 1.05);
        goal.met &= row.answered == PINGS;
        goals.push(goal);
    }
    for (peer, samples) in &measured.settle {
        let what = format!("{}, ms from a cut connection to the last settled call", peer.name());
        goals.push(at_most("–", what, samples, 10.0));
    }
}
