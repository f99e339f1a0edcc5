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
    if !measured.fast.is_empty() || !measured.official.is_empty() {
        out.push_str("\n## Commands of the daemon\n\n");
        table("against the fast responder", &measured.fast, &IN_FLIGHT, &mut out);
        table("against the official server", &measured.official, &IN_FLIGHT, &mut out);
    }
    if !measured.inbound.is_empty() {
        out.push_str(
            "\n## Commands of the server\n\nThe handler returns a part of its payload.\n\n",
        );
        table("against the fast responder", &measured.inbound, &AT_DAEMON, &mut out);
    }
    boundary(measured, &mut out);
    moments(measured, &mut out);
    if let Some(memory) = &measured.memory {
        let memory = memory.scaled(1e-6);
        let _ =
            write!(out, "\n## Memory of the hub\n\nPer 1,000 registered daemons: {memory} MB.\n");
    }
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

/// One line of a table: a name, and what is shown of a row.
struct Line {
    name: String,
    peer: Peer,
    show: fn(&Row) -> String,
}

impl Line {
    /// A line for each peer.
    fn all(rows: &[Row], show: fn(&Row) -> String) -> Vec<Self> {
        let mut lines: Vec<Self> = Vec::new();
        for Row { peer, .. } in rows {
            if lines.iter().all(|line| line.peer != *peer) {
                lines.push(Self { name: peer.name().to_owned(), peer: *peer, show });
            }
        }
        lines
    }
}

/// Two tables with a column for each number in flight.
fn table(title: &str, rows: &[Row], levels: &[usize], out: &mut String) {
    if !rows.is_empty() {
        let cpu = Line::all(rows, |row| row.cpu.to_string());
        grid(&format!("CPU µs each, {title}"), rows, levels, &cpu, out);
        let rates = Line::all(rows, |row| figure(row.per_second.median()));
        grid(&format!("each second, {title}"), rows, levels, &rates, out);
    }
}

fn grid(title: &str, rows: &[Row], levels: &[usize], lines: &[Line], out: &mut String) {
    let levels: Vec<_> =
        levels.iter().filter(|level| rows.iter().any(|row| row.in_flight == **level)).collect();
    let _ = write!(out, "{title}, so many in flight:\n\n| |");
    for level in &levels {
        let level = figure(**level as f64);
        let _ = write!(out, " {} |", level.trim_end_matches(".00").trim_end_matches(".0"));
    }
    let _ = write!(out, "\n|---|{}\n", "---:|".repeat(levels.len()));
    for line in lines {
        let _ = write!(out, "| {} |", line.name);
        for level in &levels {
            let row = rows.iter().find(|row| row.peer == line.peer && row.in_flight == **level);
            let _ = write!(out, " {} |", row.map_or_else(|| String::from("–"), line.show));
        }
        out.push('\n');
    }
    out.push('\n');
}

/// What our bindings cost beside the usual ones, which have no connection.
fn boundary(measured: &Measured, out: &mut String) {
    let mut part = |title: &str, host: &str, ours: Peer, rows: &[Row]| {
        if rows.is_empty() {
            return;
        }
        let _ = write!(out, "\n## {title}\n\n");
        let mut whole = Line::all(rows, |row| row.cpu.to_string());
        let name = format!("{} without its I/O thread", ours.name());
        whole.push(Line { name, peer: ours, show: |row| row.without_io.to_string() });
        let title = "CPU µs each, ours with socket and protocol";
        grid(title, rows, &AT_DAEMON, &whole, out);
        let alone = Line::all(rows, |row| row.main.to_string());
        grid(&format!("CPU µs each, {host} alone"), rows, &AT_DAEMON, &alone, out);
    };
    let title = "Rust asks, an async function of JavaScript answers";
    part(title, "the thread of JavaScript", Peer::Node, &measured.asking);
    let title = "Python awaits Rust";
    part(title, "the thread of the event loop", Peer::Python, &measured.awaited);
}

fn moments(measured: &Measured, out: &mut String) {
    if !measured.settle.is_empty() {
        let _ = write!(
            out,
            "\n## A cut connection\n\n{PENDING} calls are pending when the server cuts the connection. The original \
             client settles them when they time out, 30,001 ms later.\n\n| daemon | ms to the last settled call |\n|---|---:|\n"
        );
    }
    for (peer, samples) in &measured.settle {
        let _ = writeln!(out, "| {} | {samples} |", peer.name());
    }
    if let Some(events) = &measured.events {
        let _ = write!(
            out,
            "\n## Messages to the application\n\n| CPU µs for each message of 100 characters | |\n|---|---:|\n\
             | Moorline, Node: the thread of JavaScript | {} |\n| Moorline, Node: the whole process, socket included | {} |\n\
             | `JSON.parse` alone | {} |\n| Moorline, Python: the whole process, socket included | {} |\n\
             | `call_soon_threadsafe` and `orjson` alone | {} |\n",
            events.node, events.node_whole, events.parse, events.python, events.threadsafe,
        );
    }
    if !measured.blocked.is_empty() {
        let _ = write!(
            out,
            "\n## A blocked host\n\nThe event loop is busy for 5 s; the server pings each 500 ms.\n\n\
             | daemon | pings of {PINGS} answered within a period, at least | longest gap between answers, ms |\n|---|---:|---:|\n"
        );
    }
    for row in &measured.blocked {
        let _ = writeln!(out, "| {} | {} | {} |", row.peer.name(), row.answered, row.gap);
    }
}
