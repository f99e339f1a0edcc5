//! How large the packages are and how long they take to load, beside what they should and may have.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use super::{Place, command, crates, entries, find, node, read, write};
use crate::shell::Shell;
use crate::steps::processor_time;

const PAGE: &str = "docs/packages.md";
const BEGIN: &str = "<!-- Written by `cargo xtask package`: do not edit. -->\n";
const END: &str = "<!-- Up to here. -->\n";
/// How often a program is started for a time; the quickest counts.
const STARTS: usize = 15;

const MB: f64 = 1_000_000.0;

/// One line: what was measured, in megabytes or milliseconds.
struct Row {
    what: String,
    unit: &'static str,
    value: f64,
    /// What it should have.
    aim: Option<f64>,
    /// What it may have: beyond, the command fails.
    most: Option<f64>,
}

impl Row {
    fn new(what: impl Into<String>, unit: &'static str, value: f64) -> Self {
        Self { what: what.into(), unit, value, aim: None, most: None }
    }

    fn aim(mut self, aim: f64, most: f64) -> Self {
        self.aim = Some(aim);
        self.most = Some(most);
        self
    }

    fn is_beyond(&self) -> bool {
        self.most.is_some_and(|most| self.value > most)
    }
}

/// Measures, writes the page, and fails if something is beyond what it may have.
pub(super) fn write_page(shell: &Shell, place: &Place) -> Result<(), String> {
    let rows = measure(shell, place)?;
    let page = shell.root().join(PAGE);
    let table = table(&rows);
    shell.say(&table)?;
    let text = read(&page)?;
    let (before, rest) =
        text.split_once(BEGIN).ok_or(format!("{PAGE} has no place for the table"))?;
    let (_, after) =
        rest.split_once(END).ok_or(format!("{PAGE} does not say where the table ends"))?;
    write(&page, &format!("{before}{BEGIN}\n{table}\n{END}{after}"))?;
    let beyond: Vec<_> = rows.iter().filter(|row| row.is_beyond()).map(|row| &*row.what).collect();
    if beyond.is_empty() {
        Ok(())
    } else {
        Err(format!("beyond what it may have: {}", beyond.join(", ")))
    }
}

fn measure(shell: &Shell, place: &Place) -> Result<Vec<Row>, String> {
    let mut rows = Vec::new();
    let node = place.trials.join("node");
    let add_on = find(&node.join("node_modules/@moorline"), ".node")?;
    rows.push(Row::new("npm: main package, packed", "MB", size(&node::main(place))?));
    let platform = place.find("moorline-node-", ".tgz")?;
    rows.push(Row::new("npm: add-on, packed", "MB", size(&platform)?));
    rows.push(Row::new("npm: add-on", "MB", size(&add_on)?).aim(5.0, 9.0));
    rows.push(Row::new("npm: whole tree", "MB", tree(&node.join("node_modules"))?).aim(8.0, 10.0));
    let start = |program: &str| {
        let mut command = shell.command("node");
        command.args(["--input-type=module", "--eval", program]).current_dir(&node);
        quickest(shell, command)
    };
    let empty = start("")?;
    for (module, aim) in [("moorline", 25.0), ("moorline/volt", 30.0)] {
        let took = start(&format!("import '{module}'; process.exit()"))? - empty;
        rows.push(Row::new(format!("npm: import '{module}'"), "ms", took).aim(aim, 2.0 * aim));
    }
    rows.push(Row::new(
        "npm: web package, packed",
        "MB",
        size(&place.find("moorline-web-", ".tgz")?)?,
    ));
    rows.push(Row::new("wheel", "MB", size(&place.find("moorline-", ".whl")?)?).aim(4.0, 4.4));
    let sources = place.find("moorline-", &format!("{}.tar.gz", place.version))?;
    rows.push(Row::new("source distribution", "MB", size(&sources)?));
    let took = python(shell, place)?;
    rows.push(Row::new("own part of Python's import", "ms", took).aim(15.0, 30.0));
    let program = place.trials.join("command/bin/moorline");
    rows.push(Row::new("command", "MB", size(&program)?).aim(7.0, 11.0));
    let archive = place.out.join(format!("{}.tar.gz", command::archive(place)));
    rows.push(Row::new("command with pages, packed", "MB", size(&archive)?));
    rows.push(Row::new("Debian package", "MB", size(&place.find("moorline_", ".deb")?)?));
    rows.push(Row::new(
        "C library, shared",
        "MB",
        size(&find(&place.trials.join("c/lib"), ".so")?)?,
    ));
    rows.push(Row::new("C archive", "MB", size(&place.find("moorline-c-", ".tar.gz")?)?));
    for name in crates::CRATES {
        let file = place.out.join(format!("{name}-{}.crate", place.version));
        rows.push(Row::new(format!("crate `{name}`"), "MB", size(&file)?));
    }
    Ok(rows)
}

fn table(rows: &[Row]) -> String {
    let mut text = String::from("| what | measured | aim | met |\n|---|---:|---:|---|\n");
    for Row { what, unit, value, aim, .. } in rows {
        let met = aim.map_or("", |aim| if *value <= aim { "yes" } else { "no" });
        let aim = aim.map_or_else(String::new, |aim| format!("≤ {aim} {unit}"));
        let _ = writeln!(text, "| {what} | {value:.2} {unit} | {aim} | {met} |");
    }
    text
}

/// The least time of the processor that a program takes from start to end, in milliseconds: what else runs
/// on the machine counts little.
fn quickest(shell: &Shell, mut command: Command) -> Result<f64, String> {
    let mut least = f64::INFINITY;
    for _ in 0..STARTS {
        let before = processor_time()?;
        shell.read(&mut command)?;
        least = least.min((processor_time()? - before).as_secs_f64() * 1_000.0);
    }
    Ok(least)
}

/// What the import takes where asyncio and its like are there already, in milliseconds.
fn python(shell: &Shell, place: &Place) -> Result<f64, String> {
    const PROGRAM: &str = "import asyncio, contextvars, dataclasses, inspect, json, logging, typing, weakref, time\n\
                           began = time.process_time()\nimport moorline\nprint(1000 * (time.process_time() - began))";
    let python = place.trials.join("wheel/bin/python");
    let mut least = f64::INFINITY;
    for _ in 0..STARTS {
        let said =
            shell.read(shell.command(&python).args(["-c", PROGRAM]).current_dir(&place.trials))?;
        let took: f64 = said.trim().parse().map_err(|e| format!("{said:?} is no time: {e}"))?;
        least = least.min(took);
    }
    Ok(least)
}

/// The size of a file in megabytes.
fn size(file: &Path) -> Result<f64, String> {
    fs::metadata(file)
        .map(|it| it.len() as f64 / MB)
        .map_err(|e| format!("{}: {e}", file.display()))
}

/// The size of all files below a folder in megabytes.
fn tree(folder: &Path) -> Result<f64, String> {
    let mut sum = 0.0;
    for entry in entries(folder)? {
        sum += if entry.is_dir() { tree(&entry)? } else { size(&entry)? };
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_beyond_what_it_may_have_is_noticed() {
        let row = |value| Row::new("wheel", "MB", value).aim(4.0, 4.4);
        assert!(!row(4.3).is_beyond());
        assert!(row(4.5).is_beyond());
        let text = table(&[row(4.3), Row::new("crate", "MB", 0.5)]);
        assert!(
            text.ends_with("| wheel | 4.30 MB | ≤ 4 MB | no |\n| crate | 0.50 MB |  |  |\n"),
            "{text}"
        );
    }
}
