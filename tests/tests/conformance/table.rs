//! Groups of scripts down, executors across.

use std::collections::BTreeMap;
use std::fmt;

use crate::script::Script;

/// How a script went with an executor.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cell {
    Passed,
    /// For the reason with this number.
    Skipped(usize),
    Failed,
}

#[derive(Default)]
struct Counts {
    passed: usize,
    failed: usize,
    skipped: BTreeMap<usize, usize>,
}

pub(crate) struct Table {
    executors: Vec<String>,
    groups: BTreeMap<String, BTreeMap<String, Counts>>,
}

impl Table {
    /// Makes a table in which `first` has passed everything.
    pub(crate) fn new(scripts: &[Script], first: &str) -> Self {
        let mut table = Self { executors: Vec::new(), groups: BTreeMap::new() };
        scripts.iter().for_each(|script| table.add(first, script, Cell::Passed));
        table
    }

    pub(crate) fn add(&mut self, executor: &str, script: &Script, cell: Cell) {
        if !self.executors.iter().any(|known| known == executor) {
            self.executors.push(executor.to_owned());
        }
        let group = self.groups.entry(script.group.clone()).or_default();
        let counts = group.entry(executor.to_owned()).or_default();
        match cell {
            Cell::Passed => counts.passed += 1,
            Cell::Failed => counts.failed += 1,
            Cell::Skipped(reason) => *counts.skipped.entry(reason).or_default() += 1,
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<16}", "scripts")?;
        for executor in &self.executors {
            write!(f, " {executor:>14}")?;
        }
        for (group, row) in &self.groups {
            write!(f, "\n{group:<16}")?;
            for executor in &self.executors {
                write!(f, " {:>14}", row.get(executor).map_or_else(String::new, Counts::show))?;
            }
        }
        Ok(())
    }
}

impl Counts {
    fn show(&self) -> String {
        let mut parts = Vec::new();
        if self.passed > 0 {
            parts.push(self.passed.to_string());
        }
        if self.failed > 0 {
            parts.push(format!("{} FAILED", self.failed));
        }
        parts.extend(self.skipped.iter().map(|(why, count)| format!("{count} skip {}", why + 1)));
        parts.join(", ")
    }
}
