//! The attack bench: what is known to have broken hubs and workers, against real processes on loopback.
//!
//! Each attack gets fresh processes, is bounded in time, and says what came of it; the most memory that one
//! process held and the time that it took stand beside their bounds. An attack is met when the outcome is
//! the right one and neither bound is exceeded.

pub mod displacement;
pub mod floods;
pub mod growth;
pub mod own_worker;
pub mod poison;
pub mod process;
pub mod trust;
pub mod wire;

use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use comfy_table::{CellAlignment, Table, presets};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::process::{Arena, Programs};
use crate::wire::{Answer, ask};

/// What was wanted, or why it did not come about.
pub type Told<T> = Result<T, String>;

/// One attack.
#[derive(Clone, Copy)]
pub struct Attack {
    /// The entries of the list of faults that it belongs to.
    pub entry: &'static str,
    /// What is done.
    pub what: &'static str,
    /// The most resident memory of one process, in MiB.
    pub memory_mib: u64,
    /// The most time that all of it may take, starts of processes included, in seconds.
    pub seconds: u64,
    /// Whether it belongs to the short form.
    pub is_short: bool,
    /// Does it, and says what came of it.
    pub run: fn(&Arena) -> Told<String>,
}

/// What came of an attack.
pub struct Row {
    /// The attack.
    pub attack: Attack,
    /// The most resident memory that one process had, in KiB.
    pub peak_kib: u64,
    /// How long it took.
    pub time: Duration,
    /// What came of it.
    pub outcome: Told<String>,
    /// Which processes crashed.
    pub crashed: Vec<String>,
}

impl Row {
    /// Tells what was missed; empty if nothing was.
    #[must_use]
    pub fn missed(&self) -> Vec<&'static str> {
        let missed = [
            (self.outcome.is_err(), "outcome"),
            (!self.crashed.is_empty(), "life"),
            (self.peak_kib > self.attack.memory_mib * 1_024, "memory"),
            (self.time > Duration::from_secs(self.attack.seconds), "time"),
        ];
        missed.into_iter().filter_map(|(is_missed, name)| is_missed.then_some(name)).collect()
    }
}

/// Every attack, in the order of the list.
#[must_use]
pub fn attacks() -> Vec<Attack> {
    [poison::ATTACKS, growth::ATTACKS, trust::ATTACKS, displacement::ATTACKS, floods::ATTACKS]
        .concat()
}

/// Specimens that no process can be made to show from outside: the package and the test that show them.
pub const TESTS: &[(&str, &str, &str)] = &[
    ("K2.4", "moorline-core", "what_is_remembered_of_a_sending_goes_with_it"),
    ("K4.3", "moorline-core", "handlers_added_before_the_confirmation_are_announced_after_it"),
    ("K4.9", "moorline-core", "what_was_not_written_at_the_end_is_told_as_such"),
];

/// Runs an attack against fresh processes, which do not outlive it.
#[must_use]
pub fn run(attack: Attack, programs: &Programs) -> Row {
    let arena = match Arena::new(programs.clone()) {
        Ok(arena) => Arc::new(arena),
        Err(problem) => {
            let outcome = Err(problem);
            return Row { attack, peak_kib: 0, time: Duration::ZERO, outcome, crashed: Vec::new() };
        }
    };
    let began = Instant::now();
    let (tell, told) = channel();
    let place = Arc::clone(&arena);
    std::thread::spawn(move || {
        // Nobody listens any more if it took too long.
        let _ = tell.send((attack.run)(&place));
    });
    let limit = Duration::from_secs(attack.seconds) + SLACK;
    let outcome = told.recv_timeout(limit).unwrap_or_else(|e| Err(format!("no outcome: {e}")));
    let time = began.elapsed();
    arena.clear();
    Row { attack, peak_kib: arena.peak_kib(), time, outcome, crashed: arena.crashed() }
}

/// How much longer than its bound an attack is waited for, so that the figure is a figure.
const SLACK: Duration = Duration::from_secs(20);

/// Shows what came of attacks.
#[must_use]
pub fn table(rows: &[Row]) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_width(WIDTH);
    table.set_content_arrangement(comfy_table::ContentArrangement::Dynamic);
    table.set_header(["Entry", "Attack", "MiB", "≤", "s", "≤", "Outcome", ""]);
    for row in rows {
        let missed = row.missed();
        let (Ok(outcome) | Err(outcome)) = &row.outcome;
        table.add_row([
            row.attack.entry.to_owned(),
            row.attack.what.to_owned(),
            format!("{:.0}", row.peak_kib as f64 / 1_024.0),
            row.attack.memory_mib.to_string(),
            format!("{:.1}", row.time.as_secs_f64()),
            row.attack.seconds.to_string(),
            outcome.clone(),
            if missed.is_empty() { "met".to_owned() } else { format!("MISSED {missed:?}") },
        ]);
    }
    for column in 2..6 {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.to_string()
}

const WIDTH: u16 = 150;

/// Has an item run and waits for what becomes of it.
///
/// # Errors
/// When the hub says nothing at all.
pub(crate) fn dispatch(address: &str, name: &str, settings: &str, timeout_ms: u64) -> Told<Answer> {
    let (capability, action) = name.split_once('/').unwrap_or((name, ""));
    let body = format!(
        r#"{{"Capability":"{capability}","Action":"{action}","Settings":{settings},"TimeoutMs":{timeout_ms}}}"#
    );
    ask(address, "POST", "/Beacon/Work/Dispatch", &body)
}

/// Puts an item into the queue and returns its hash.
///
/// # Errors
/// When it is not taken.
pub(crate) fn enqueue(address: &str, capability: &str, more: &str) -> Told<String> {
    let body = format!(r#"{{"Capability":"{capability}"{more}}}"#);
    let answer = ask(address, "POST", "/Beacon/Work/Enqueue", &body)?.expect(200)?;
    Ok(answer.json()["WorkItemHash"].as_str().unwrap_or_default().to_owned())
}

/// Waits until something is so.
///
/// # Errors
/// What it was, if it is not so in time.
pub(crate) fn until(what: &str, within: Duration, mut is_so: impl FnMut() -> bool) -> Told<()> {
    let deadline = Instant::now() + within;
    while !is_so() {
        if Instant::now() >= deadline {
            return Err(format!("not within {within:?}: {what}"));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// Expects that something is so.
///
/// # Errors
/// What it was.
pub(crate) fn expect(is_so: bool, what: impl Into<String>) -> Told<()> {
    if is_so { Ok(()) } else { Err(what.into()) }
}

/// Returns the value of a field of text that stands in JSON.
pub(crate) fn field<'a>(text: &'a str, name: &str) -> &'a str {
    let start = text.split_once(&format!("\"{name}\":\"")).map_or("", |(_, rest)| rest);
    start.split('"').next().unwrap_or_default()
}

/// Answers the key of an upgrade.
pub(crate) fn accept_key(key: &str) -> String {
    derive_accept_key(key.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUIET: Attack = Attack {
        entry: "K0",
        what: "nothing",
        memory_mib: 10,
        seconds: 1,
        is_short: true,
        run: |_| Ok("nothing".to_owned()),
    };

    fn row(peak_kib: u64, millis: u64, outcome: Told<String>) -> Row {
        let time = Duration::from_millis(millis);
        Row { attack: QUIET, peak_kib, time, outcome, crashed: Vec::new() }
    }

    #[test]
    fn a_row_misses_what_exceeds_its_bound() {
        assert!(row(10_240, 1_000, Ok(String::new())).missed().is_empty());
        assert_eq!(row(10_241, 1_001, Ok(String::new())).missed(), ["memory", "time"]);
        assert_eq!(row(0, 0, Err("lost".to_owned())).missed(), ["outcome"]);
        let shown = table(&[row(20_480, 0, Ok("stands".to_owned()))]);
        assert!(shown.contains("MISSED [\"memory\"]") && shown.contains("stands"), "{shown}");
    }

    #[test]
    fn every_entry_has_an_attack() {
        let attacks = attacks();
        for entry in [
            "K1.1", "K1.2", "K1.3", "K1.4", "K1.5", "K1.6", "K2.1", "K2.2", "K2.3", "K2.4", "K2.5",
            "K2.6", "K3.1", "K3.2", "K3.3", "K3.4", "K3.5", "K4.1", "K4.2", "K4.3", "K4.4", "K4.5",
            "K4.6", "K4.7", "K4.8", "K4.9", "K5.1", "K5.2", "K5.3",
        ] {
            let is_run = attacks.iter().any(|it| it.entry.split(' ').any(|its| its == entry));
            assert!(is_run || TESTS.iter().any(|(its, ..)| *its == entry), "{entry}");
        }
        assert!(attacks.iter().any(|attack| attack.is_short));
    }
}
