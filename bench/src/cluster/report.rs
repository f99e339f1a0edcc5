//! Writes the page, and judges.

use std::fmt::Write as _;

use super::echo::{Cell, Consumers, IN_FLIGHT, OF_A_PROCESS, Row, SIZES};
use super::memory::{self, HOLDING, Held};
use super::servers::Server;
use super::starts::{self, AT_ONCE, HELD, Parent};
use super::{Part, Setting, echo};
use crate::process::has_taskset;
use crate::report::machine;
use crate::stats::{Samples, figure};

/// What was measured of network-cluster.
pub(super) struct Measured {
    pub(super) echoes: Vec<Row<Server>>,
    pub(super) consumers: Vec<Row<Consumers>>,
    pub(super) sends: f64,
    pub(super) memory: Vec<memory::Row>,
}

/// What the figures mean; kept beside the program, since no program can know it.
const NOTES: &str = include_str!("../../notes-netcluster.md");

const HEAD: &str = "<!-- Written by `cargo xtask bench netcluster`, `hold` and `wsdaemon`. Do not edit: what the figures \
                    mean is in bench/notes-netcluster.md. -->\n\n# Benchmarks of network-cluster and ws-daemon\n";

/// Begins a part on the page.
const fn mark(part: Part) -> &'static str {
    match part {
        Part::Netcluster => "\n<!-- netcluster -->\n",
        Part::Hold => "\n<!-- hold -->\n",
        Part::Wsdaemon => "\n<!-- wsdaemon -->\n",
    }
}

/// Begins the notes on the page.
const NOTED: &str = "\n<!-- notes -->\n";

/// Puts one part on the page in the place of what was there.
pub(super) fn page(before: &str, part: Part, text: &str) -> String {
    let (before, _) = before.split_once(NOTED).unwrap_or((before, ""));
    let mut out = String::from(HEAD);
    for known in [Part::Netcluster, Part::Hold, Part::Wsdaemon] {
        let old = before.split_once(mark(known)).map_or("", |(_, rest)| rest);
        let old = old.split_once("\n<!-- ").map_or(old, |(old, _)| old);
        let text = if known == part { text } else { old };
        if !text.is_empty() {
            out.push_str(mark(known));
            out.push_str(text);
        }
    }
    out + NOTED + NOTES
}

fn intro(command: &str, setting: &Setting, seconds: f64) -> String {
    format!(
        "\nWritten by `cargo xtask bench {command}` on {}. Contestants alternate, {} rounds of {seconds} s for each \
         figure; figures are medians with the lowest and highest round. {} Compare within a table only: figures \
         belong to the machine.\n",
        machine(),
        setting.rounds,
        if has_taskset() {
            "The contestant has one core, everything else another."
        } else {
            "Processes were not pinned to cores."
        },
    )
}

/// Writes the part on network-cluster.
pub(super) fn netcluster(setting: &Setting, measured: &Measured) -> String {
    let mut out = String::from("\n## network-cluster\n");
    out.push_str(&intro("netcluster", setting, setting.seconds / 4.0));
    out.push_str(
        "\n### Servers\n\nConsumers send a message for each that comes back; the server sends back what comes. \
         CPU time is that of all threads of the server.\n",
    );
    let servers = Server::ALL.map(|server| (server, server.name()));
    tables(&servers, &measured.echoes, &echo::CONSUMERS, &mut out);
    let _ = write!(
        out,
        "\nWrites of our provider for each message of 100 bytes, 16 consumers with 32 on their way, counted: {}.\n",
        figure(measured.sends),
    );
    out.push_str(
        "\n### Consumers\n\nOne process has them all; the provider is ours, in Rust. CPU time is that of all \
         threads of the consumers' process.\n",
    );
    let consumers = Consumers::ALL.map(|consumers| (consumers, consumers.name()));
    tables(&consumers, &measured.consumers, &OF_A_PROCESS, &mut out);
    out.push_str("\n### Memory of an idle consumer\n\nKiB that each adds to the server's resident memory.\n\n| server |");
    for consumers in memory::CONSUMERS {
        let _ = write!(out, " {} |", whole(consumers));
    }
    let _ = writeln!(out, "\n|---|{}", "---:|".repeat(memory::CONSUMERS.len()));
    for row in &measured.memory {
        let _ = write!(out, "| {} |", row.server.name());
        for each in &row.each {
            let _ = write!(out, " {} |", each.scaled(1.0 / 1_024.0));
        }
        out.push('\n');
    }
    goals(&judge(measured), &mut out);
    out
}

/// Two tables for each size of a message: what it costs, and how many there are.
fn tables<Contestant: Copy + PartialEq>(
    contestants: &[(Contestant, &str)],
    rows: &[Row<Contestant>],
    consumers: &[usize],
    out: &mut String,
) {
    for size in SIZES {
        type Show<Contestant> = fn(&Row<Contestant>) -> String;
        let shows: [(&str, Show<Contestant>); 2] = [
            ("CPU µs for each", |row| row.cpu.to_string()),
            ("each second", |row| figure(row.per_second.median())),
        ];
        for (what, show) in shows {
            let _ = write!(
                out,
                "\nMessages of {} bytes, {what}; consumers × on their way:\n\n| |",
                whole(size)
            );
            let columns: Vec<_> = IN_FLIGHT
                .iter()
                .flat_map(|&in_flight| {
                    consumers.iter().map(move |&consumers| Cell { size, in_flight, consumers })
                })
                .collect();
            for Cell { in_flight, consumers, .. } in &columns {
                let _ = write!(out, " {} × {in_flight} |", whole(*consumers));
            }
            let _ = writeln!(out, "\n|---|{}", "---:|".repeat(columns.len()));
            for (contestant, name) in contestants {
                let _ = write!(out, "| {name} |");
                for cell in &columns {
                    let row =
                        rows.iter().find(|row| row.contestant == *contestant && row.cell == *cell);
                    let _ = write!(out, " {} |", row.map(show).unwrap_or_default());
                }
                out.push('\n');
            }
        }
    }
}

/// Writes the part on consumers that are held for long.
pub(super) fn hold(held: &Held) -> String {
    let [_, consumers] = memory::CONSUMERS;
    let mut out = format!(
        "\n## Idle consumers for long\n\nWritten by `cargo xtask bench hold` on {}. {} consumers of each server say \
         nothing but that they live; MB of resident memory.\n\n| seconds |",
        machine(),
        whole(consumers),
    );
    for server in HOLDING {
        let _ = write!(out, " {} |", server.name());
    }
    let _ = writeln!(out, "\n|---:|{}", "---:|".repeat(HOLDING.len()));
    for (seconds, memory) in held {
        let _ = write!(out, "| {seconds:.0} |");
        for bytes in memory {
            let _ = write!(out, " {} |", figure(bytes / 1e6));
        }
        out.push('\n');
    }
    out
}

/// Writes the part on ws-daemon.
pub(super) fn wsdaemon(setting: &Setting, rows: &[starts::Row]) -> String {
    let mut out = String::from("\n## ws-daemon\n");
    out.push_str(&intro("wsdaemon", setting, setting.seconds));
    out.push_str(
        "\nA program that ends at once is started again and again, its output read. CPU µs of the parent for each \
         start, without the child's:\n\n| parent |",
    );
    let columns: Vec<_> =
        HELD.iter().flat_map(|held| AT_ONCE.iter().map(move |at_once| (*held, *at_once))).collect();
    for (held, at_once) in &columns {
        let _ = write!(out, " {at_once} at once, parent of {held} MiB more |");
    }
    let _ = writeln!(out, "\n|---|{}", "---:|".repeat(columns.len()));
    let find = |parent: Parent, (held, at_once): (usize, usize)| {
        rows.iter().find(|row| row.parent == parent && (row.held, row.at_once) == (held, at_once))
    };
    for parent in Parent::ALL {
        let _ = write!(out, "| {} |", parent.name());
        for column in &columns {
            let cpu = find(parent, *column).map(|row| row.cpu.to_string());
            let _ = write!(out, " {} |", cpu.unwrap_or_default());
        }
        let _ = write!(out, "\n| – starts each second |");
        for column in &columns {
            let rate = find(parent, *column).map(|row| figure(row.per_second.median()));
            let _ = write!(out, " {} |", rate.unwrap_or_default());
        }
        out.push('\n');
    }
    let cpu = |parent, column| find(parent, column).map(|row| row.cpu.clone()).unwrap_or_default();
    let [none, much] = HELD;
    let mut judged = Vec::new();
    for at_once in AT_ONCE {
        for (held, aim) in [(none, 6.0), (much, 100.0)] {
            let ratio =
                cpu(Parent::ExecFile, (held, at_once)).over(&cpu(Parent::Daemon, (held, at_once)));
            let what = format!("`execFile` beside the daemon, {at_once} at once, {held} MiB");
            judged.push(Goal::at_least("G16", what, &ratio, aim));
        }
        let ratio =
            cpu(Parent::Daemon, (much, at_once)).over(&cpu(Parent::Daemon, (none, at_once)));
        let what = format!("the daemon with {much} MiB beside itself without, {at_once} at once");
        judged.push(Goal::at_most("G16", what, &ratio, 1.3));
    }
    goals(&judged, &mut out);
    out
}

/// A ratio and what it is to be.
struct Goal {
    name: &'static str,
    what: String,
    measured: String,
    aim: String,
    met: bool,
}

impl Goal {
    fn at_most(name: &'static str, what: String, ratio: &Samples, aim: f64) -> Self {
        let met = ratio.median() <= aim;
        Self { name, what, measured: ratio.to_string(), aim: format!("≤ {}", figure(aim)), met }
    }

    fn at_least(name: &'static str, what: String, ratio: &Samples, aim: f64) -> Self {
        let met = ratio.median() >= aim;
        Self { name, what, measured: ratio.to_string(), aim: format!("≥ {}", figure(aim)), met }
    }
}

fn judge(measured: &Measured) -> Vec<Goal> {
    let cpu = |server: Server, consumers, in_flight| {
        let cell = Cell { size: 100, in_flight, consumers };
        let row = measured.echoes.iter().find(|row| row.contestant == server && row.cell == cell);
        row.map(|row| row.cpu.clone()).unwrap_or_default()
    };
    let mut goals = Vec::new();
    // Consumers and messages on their way, and what is aimed at beside bare TCP, Bun and `ws`.
    for (consumers, in_flight, tcp, ws) in [(100, 1, 1.15, 1.6), (10, 32, 1.5, 12.0)] {
        let of = |server| cpu(server, consumers, in_flight);
        let beside = |what: &str| format!("{what}, {consumers} × {in_flight}, 100 bytes");
        let ours = of(Server::Rust);
        let ratio = ours.over(&of(Server::Tcp));
        goals.push(Goal::at_most("G8", beside("Rust beside bare TCP"), &ratio, tcp));
        let ratio = ours.over(&of(Server::Bun));
        goals.push(Goal::at_most("G8", beside("Rust beside Bun"), &ratio, 1.1));
        let ratio = of(Server::Ws).over(&ours);
        goals.push(Goal::at_least("G8", beside("`ws` beside Rust"), &ratio, ws));
        let ratio = of(Server::Node).over(&ours);
        goals.push(Goal::at_most("–", beside("Node beside Rust"), &ratio, 1.5));
    }
    goals.push(Goal {
        name: "G9",
        what: "writes for each message, 16 × 32".into(),
        measured: figure(measured.sends),
        aim: "≤ 0.10".into(),
        met: measured.sends <= 0.1,
    });
    for row in measured.memory.iter().filter(|row| row.server == Server::Rust) {
        for (consumers, each) in memory::CONSUMERS.iter().zip(&row.each) {
            let what = format!("KiB of each of {} idle consumers, Rust", whole(*consumers));
            goals.push(Goal::at_most("G10", what, &each.scaled(1.0 / 1_024.0), 2.4));
        }
    }
    goals
}

fn goals(goals: &[Goal], out: &mut String) {
    out.push_str("\n| goal | what | measured | aim | met |\n|---|---|---:|---:|---|\n");
    for Goal { name, what, measured, aim, met } in goals {
        let met = if *met { "yes" } else { "no" };
        println!("{name}: {what}: {measured} ({aim}): {met}");
        let _ = writeln!(out, "| {name} | {what} | {measured} | {aim} | {met} |");
    }
}

fn whole(number: usize) -> String {
    let text = figure(number as f64);
    text.trim_end_matches(".00").trim_end_matches(".0").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_takes_the_place_of_its_former_self() {
        let one = page("", Part::Wsdaemon, "daemons\n");
        let two = page(&one, Part::Netcluster, "clusters\n");
        let three = page(&two, Part::Wsdaemon, "others\n");
        assert_eq!(two.matches("daemons").count(), 1);
        assert!(
            three.contains("clusters") && three.contains("others") && !three.contains("daemons")
        );
        assert_eq!(page(&three, Part::Wsdaemon, "others\n"), three);
    }
}
