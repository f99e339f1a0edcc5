//! Writes the page.

use std::fmt::Write as _;

use crate::stats::{Samples, figure};
use crate::worker_rate::{Contestant, IN_FLIGHT};
use crate::{Setting, hub_rate, process, start, worker_rate};

/// What the original hub was seen to do on two shared cores, in items per second: the better figure.
const ORIGINAL_HUB: f64 = 366.0;

/// What the figures mean; kept beside the program, since no program can know it.
const NOTES: &str = include_str!("../notes.md");

/// Writes the page.
pub(crate) fn write(
    setting: &Setting,
    workers: &[worker_rate::Row],
    hub: &[hub_rate::Row],
    idle: &Samples,
    packages: &[start::Row],
) -> String {
    let mut out = format!(
        "<!-- Written by `cargo xtask bench`. Do not edit: what the figures mean is in bench/notes.md. -->\n\n\
         # Benchmarks\n\n\
         Written by `cargo xtask bench` on {}. Contestants alternate, {} rounds of {} s each; figures are medians \
         with the lowest and highest round. {} Compare within a table only: figures belong to the machine.\n",
        machine(),
        setting.rounds,
        setting.seconds,
        if process::has_taskset() {
            "The contestant has one core, everything else another."
        } else {
            "Processes were not pinned to cores."
        },
    );
    worker_tables(workers, &mut out);
    hub_table(hub, &mut out);
    let _ = write!(
        out,
        "\n## (c) Memory of the hub per 1,000 idle workers\n\n{} MB, {} KB each.\n",
        scaled(idle, 1e-6),
        figure(idle.median() / 1e3 / 1e3),
    );
    package_table(packages, &mut out);
    aims(workers, hub, &mut out);
    let _ = write!(out, "\n{NOTES}");
    out
}

fn worker_tables(rows: &[worker_rate::Row], out: &mut String) {
    out.push_str(
        "\n## (a) A worker with a trivial handler\n\nA bare control plane hands out items over WebSocket and \
         keeps a fixed number in flight; the handler returns its argument.\n",
    );
    for in_flight in IN_FLIGHT {
        let by_hand = cpu(rows, Contestant::NodeByHand, in_flight);
        let _ = write!(
            out,
            "\n{in_flight} in flight:\n\n| worker | items/s | CPU µs per item | CPU beside `ws` by hand |\n|---|---:|---:|---:|\n"
        );
        for row in rows.iter().filter(|row| row.in_flight == in_flight) {
            let _ = writeln!(
                out,
                "| {} | {} | {} | {}× |",
                row.contestant.name(),
                row.items_per_second,
                row.cpu_per_item,
                figure(row.cpu_per_item.median() / by_hand),
            );
        }
    }
}

fn hub_table(rows: &[hub_rate::Row], out: &mut String) {
    out.push_str(
        "\n## (b) The hub, end to end\n\nEach connection dispatches over HTTP, waits for the result and dispatches \
         again; one Rust worker runs the items. With a disk store an item and its result are synced before they \
         are acknowledged.\n\n| store | connections | items/s | CPU µs per item, hub |\n|---|---:|---:|---:|\n",
    );
    for row in rows {
        let _ = writeln!(
            out,
            "| {} | {} | {} | {} |",
            if row.disk { "disk" } else { "memory" },
            row.connections,
            row.items_per_second,
            row.cpu_per_item,
        );
    }
}

fn package_table(rows: &[start::Row], out: &mut String) {
    out.push_str(
        "\n## (d) Loading a package\n\nFrom start to end of a program that loads the package and stops.\n\n\
         | program | ms | MB resident |\n|---|---:|---:|\n",
    );
    for row in rows {
        let _ = writeln!(out, "| {} | {} | {} |", row.name, row.time, row.memory);
    }
}

fn aims(workers: &[worker_rate::Row], hub: &[hub_rate::Row], out: &mut String) {
    let cpu = |contestant| cpu(workers, contestant, 16);
    let disk = hub
        .iter()
        .filter(|row| row.disk)
        .map(|row| row.items_per_second.median())
        .fold(f64::NAN, f64::max);
    let rows = [
        (
            "CPU per item, Rust beside `ws` by hand, 16 in flight",
            cpu(Contestant::Rust) / cpu(Contestant::NodeByHand),
            0.2,
            true,
        ),
        (
            "CPU per item, Node beside `ws` by hand, 16 in flight",
            cpu(Contestant::Node) / cpu(Contestant::NodeByHand),
            1.0,
            true,
        ),
        (
            "CPU per item, Python beside `websockets` by hand, 16 in flight",
            cpu(Contestant::Python) / cpu(Contestant::PythonByHand),
            1.0 / 3.0,
            true,
        ),
        (
            "items/s of the hub with a disk store beside the original hub (366/s)",
            disk / ORIGINAL_HUB,
            20.0,
            false,
        ),
    ];
    out.push_str("\n## Aims\n\n| ratio | measured | aim | met |\n|---|---:|---:|---|\n");
    for (what, ratio, aim, lower) in rows {
        let met = if lower { ratio <= aim } else { ratio >= aim };
        let _ = writeln!(
            out,
            "| {what} | {} | {} {} | {} |",
            figure(ratio),
            if lower { "≤" } else { "≥" },
            figure(aim),
            if met { "yes" } else { "no" },
        );
    }
}

fn cpu(rows: &[worker_rate::Row], contestant: Contestant, in_flight: usize) -> f64 {
    rows.iter()
        .find(|row| row.contestant == contestant && row.in_flight == in_flight)
        .map_or(f64::NAN, |row| row.cpu_per_item.median())
}

fn scaled(samples: &Samples, factor: f64) -> String {
    samples.scaled(factor).to_string()
}

/// Says what the figures belong to.
pub(crate) fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map_or("a machine", |line| line.trim_start_matches([' ', '\t', ':']));
    format!("{cores} cores of {model}")
}
