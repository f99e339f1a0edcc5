//! The result: who did what, how fast, and whether anything is missing.

use std::time::Duration;

use comfy_table::presets::UTF8_HORIZONTAL_ONLY;
use comfy_table::{CellAlignment, Table};

use crate::faults::Fault;
use crate::load::{Answer, Settled};
use crate::task::Language;

/// The count of everything.
#[derive(Debug)]
pub(crate) struct Tally {
    items: usize,
    rows: Vec<Row>,
    wrong: Vec<String>,
}

#[derive(Debug)]
struct Row {
    worker: &'static str,
    latencies: Vec<Duration>,
    redelivered: u64,
}

impl Tally {
    /// Counts the settled items of a run with `items`.
    pub(crate) fn new(items: u32, settled: &[Settled]) -> Self {
        let mut tally = Self { items: items as usize, rows: Vec::new(), wrong: Vec::new() };
        for one in settled {
            match &one.result {
                Ok(answer) => tally.add(one.language, one.latency, answer),
                Err(problem) => {
                    tally.wrong.push(format!(
                        "{} item {}: {problem}",
                        one.language.name(),
                        one.number
                    ));
                }
            }
        }
        for row in &mut tally.rows {
            row.latencies.sort_unstable();
        }
        tally.rows.sort_by_key(|row| row.worker);
        tally
    }

    fn add(&mut self, language: Language, latency: Duration, answer: &Answer) {
        let worker = language.name();
        let index = self.rows.iter().position(|row| row.worker == worker).unwrap_or_else(|| {
            self.rows.push(Row { worker, latencies: Vec::new(), redelivered: 0 });
            self.rows.len() - 1
        });
        if let Some(row) = self.rows.get_mut(index) {
            row.latencies.push(latency);
            row.redelivered += answer.attempt.saturating_sub(1);
        }
    }

    /// Returns how many items have no right answer.
    fn lost(&self) -> usize {
        self.items - self.rows.iter().map(|row| row.latencies.len()).sum::<usize>().min(self.items)
    }

    /// Shows the result.
    pub(crate) fn table(&self, faults: &[Fault]) -> String {
        let mut table = Table::new();
        table.load_preset(UTF8_HORIZONTAL_ONLY);
        table.set_header(["worker", "items", "p50", "p99", "redeliveries"]);
        let mut all: Vec<Duration> = Vec::with_capacity(self.items);
        for row in &self.rows {
            all.extend(&row.latencies);
            table.add_row(cells(row.worker, &row.latencies, row.redelivered));
        }
        all.sort_unstable();
        let redelivered = self.rows.iter().map(|row| row.redelivered).sum();
        table.add_row(cells("all", &all, redelivered));
        for index in 1..=4 {
            if let Some(column) = table.column_mut(index) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        let mut text = format!("{table}\n");
        for Fault { what, at, back } in faults {
            let (at, back) = (at.as_secs_f64(), back.as_secs_f64());
            text.push_str(&format!(
                "kill -9 of the {what} at {at:.1} s, ready again at {back:.1} s\n"
            ));
        }
        text.push_str(&format!("lost {}", self.lost()));
        text
    }

    /// Succeeds if nothing is lost.
    pub(crate) fn verdict(&self) -> Result<(), String> {
        if self.lost() == 0 && self.wrong.is_empty() {
            return Ok(());
        }
        let some: Vec<&str> = self.wrong.iter().take(5).map(String::as_str).collect();
        Err(format!(
            "{} item(s) have no right answer, such as:\n  {}",
            self.lost(),
            some.join("\n  ")
        ))
    }
}

fn cells(worker: &str, latencies: &[Duration], redelivered: u64) -> [String; 5] {
    [
        worker.to_owned(),
        latencies.len().to_string(),
        milliseconds(percentile(latencies, 50)),
        milliseconds(percentile(latencies, 99)),
        redelivered.to_string(),
    ]
}

/// The smallest of the sorted values that `percent` of them do not exceed.
fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

fn milliseconds(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1_000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settled(number: u32, result: Result<Answer, String>) -> Settled {
        let time = Duration::from_millis(u64::from(number));
        Settled { language: Language::Rust, number, at: time, latency: time, result }
    }

    #[test]
    fn percentiles_are_of_the_nearest_rank() {
        let times: Vec<_> = (1..=200).map(Duration::from_millis).collect();
        assert_eq!(percentile(&times, 50), Duration::from_millis(100));
        assert_eq!(percentile(&times, 99), Duration::from_millis(198));
        assert_eq!(percentile(&[], 99), Duration::ZERO);
    }

    #[test]
    fn all_answered_is_a_success() {
        let all: Vec<_> = (1..=3).map(|n| settled(n, Ok(Answer { attempt: n.into() }))).collect();
        let tally = Tally::new(3, &all);
        let table = tally.table(&[]);
        assert!(table.ends_with("\nlost 0"), "{table}");
        assert_eq!(tally.rows[0].redelivered, 3);
        assert!(tally.verdict().is_ok());
    }

    #[test]
    fn a_wrong_or_missing_answer_is_a_loss() {
        let tally =
            Tally::new(3, &[settled(1, Ok(Answer { attempt: 1 })), settled(2, Err("no".into()))]);
        assert!(tally.table(&[]).ends_with("\nlost 2"));
        assert!(tally.verdict().unwrap_err().contains("rust item 2: no"));
    }
}
