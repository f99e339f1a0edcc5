//! Writes the section.

use std::fmt::Write as _;

use super::calls::{AT_DAEMON, IN_FLIGHT};
use super::moments::{PENDING, PINGS};
use super::peers::{Peer, Row};
use super::{Measured, goals};
use crate::Setting;
use crate::stats::figure;

/// What the figures mean; kept beside the program, since no program can know it.
const NOTES: &str = include_str!("../../notes-volt.md");

/// Writes the section and prints the goals.
pub(super) fn write(setting: &Setting, measured: &Measured) -> String {
    let mut out = format!(
        "# VOLT\n\nWritten by `cargo xtask bench volt`: {} rounds of {} s each. The programs beside ours are in \
         `bench/peers/volt`. The fast responder answers what it has read in one write; the official server is \
         `socket.io` 4.8.4. CPU time is that of all threads of the daemon.\n",
        setting.rounds, setting.seconds,
    );
    out.push_str("\n## Commands of the daemon\n\n");
    table("against the fast responder", &measured.fast, &IN_FLIGHT, &mut out);
    table("against the official server", &measured.official, &IN_FLIGHT, &mut out);
    out.push_str("\n## Commands of the server\n\nThe handler returns a part of its payload.\n\n");
    table("against the fast responder", &measured.inbound, &AT_DAEMON, &mut out);
    moments(measured, &mut out);
    let _ = write!(
        out,
        "\n## Memory of the hub\n\nPer 1,000 registered daemons: {} MB.\n",
        measured.memory.scaled(1e-6)
    );
    out.push_str("\n## Goals\n\n| goal | what | measured | aim | met |\n|---|---|---:|---:|---|\n");
    for goal in goals::judge(measured) {
        let met = if goal.met { "yes" } else { "no" };
        println!("{}: {}: {} ({}): {met}", goal.name, goal.what, goal.measured, goal.aim);
        let _ = writeln!(
            out,
            "| {} | {} | {} | {} | {met} |",
            goal.name, goal.what, goal.measured, goal.aim
        );
    }
    let _ = write!(out, "\n{NOTES}");
    out
}

/// One table with a column for each number in flight.
fn table(title: &str, rows: &[Row], levels: &[usize], out: &mut String) {
    let levels: Vec<_> =
        levels.iter().filter(|level| rows.iter().any(|row| row.in_flight == **level)).collect();
    let mut peers: Vec<Peer> = Vec::new();
    for row in rows {
        if !peers.contains(&row.peer) {
            peers.push(row.peer);
        }
    }
    for (what, show) in [("CPU µs each", true), ("each second", false)] {
        let _ = write!(out, "{what}, {title}, so many in flight:\n\n| |");
        for level in &levels {
            let _ = write!(
                out,
                " {} |",
                figure(**level as f64).trim_end_matches(".00").trim_end_matches(".0")
            );
        }
        let _ = write!(out, "\n|---|{}\n", "---:|".repeat(levels.len()));
        for peer in &peers {
            let _ = write!(out, "| {} |", peer.name());
            for level in &levels {
                let row = rows.iter().find(|row| row.peer == *peer && row.in_flight == **level);
                let _ = match row {
                    Some(row) if show => write!(out, " {} |", row.cpu),
                    Some(row) => write!(out, " {} |", figure(row.per_second.median())),
                    None => write!(out, " – |"),
                };
            }
            out.push('\n');
        }
        out.push('\n');
    }
}

fn moments(measured: &Measured, out: &mut String) {
    let _ = write!(
        out,
        "\n## A cut connection\n\n{PENDING} calls are pending when the server cuts the connection. The original \
         client settles them when they time out, 30,001 ms later.\n\n| daemon | ms to the last settled call |\n|---|---:|\n"
    );
    for (peer, samples) in &measured.settle {
        let _ = writeln!(out, "| {} | {samples} |", peer.name());
    }
    let events = &measured.events;
    let _ = write!(
        out,
        "\n## Messages to the application\n\n| CPU µs for each message of 100 characters | |\n|---|---:|\n\
         | Moorline, Node: the thread of JavaScript | {} |\n| Moorline, Node: the whole process, socket included | {} |\n\
         | `JSON.parse` alone | {} |\n| Moorline, Python: the whole process, socket included | {} |\n\
         | `call_soon_threadsafe` and `orjson` alone | {} |\n",
        events.node, events.node_whole, events.parse, events.python, events.threadsafe,
    );
    let _ = write!(
        out,
        "\n## A blocked host\n\nThe event loop is busy for 5 s; the server pings each 500 ms.\n\n\
         | daemon | pings of {PINGS} answered within a period, at least | longest gap between answers, ms |\n|---|---:|---:|\n"
    );
    for row in &measured.blocked {
        let _ = writeln!(out, "| {} | {} | {} |", row.peer.name(), row.answered, row.gap);
    }
}
