//! Scripts for the conformance test: what a test tells a machine, so that every executor can be told
//! the same.
//!
//! Tests open their machines here. With [`FOLDER`] in the environment each machine is recorded, and
//! what it was told is left in a file when it is dropped.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::PathBuf;

use moorline_core::entropy::Seed;
use moorline_core::trace::{Header, Recorder};
use moorline_core::{Error, Opened};

/// The environment's variable that names the folder for scripts.
pub const FOLDER: &str = "MOORLINE_SCRIPTS";

/// The most scripts that one test leaves: simulations open thousands of machines.
const MAX_SCRIPTS: u32 = 8;
/// The most lines of a script; what is behind is left out.
const MAX_LINES: usize = 300;

thread_local! {
    static OPENED: Cell<u32> = const { Cell::new(0) };
}

/// Lets this test leave no scripts: a random run is another one each time, and misuses machines as no host
/// can.
pub fn leave_none() {
    OPENED.set(MAX_SCRIPTS);
}

/// Opens a role as [`moorline_core::open()`] does; what it is told becomes a script of `group`, named
/// after the test.
///
/// # Errors
/// Those of [`moorline_core::open()`].
pub fn open(
    group: &str,
    dialect: &str,
    role: &str,
    options: &str,
    host: &str,
    seed: Seed,
) -> Result<Opened, Error> {
    let mut opened = moorline_core::open(dialect, role, options, host, seed)?;
    let Some(folder) = std::env::var_os(FOLDER) else { return Ok(opened) };
    let count = OPENED.replace(OPENED.get() + 1);
    if count < MAX_SCRIPTS {
        let test = std::thread::current().name().unwrap_or("main").replace("::", "-");
        let mut script = Script::new(PathBuf::from(folder).join(group), test);
        let header = Header { dialect, role, options, host, seed };
        let sink = Box::new(move |line: &str| script.take(line));
        opened.endpoint = Box::new(Recorder::revealing(opened.endpoint, &header, sink));
    }
    Ok(opened)
}

/// What one machine is told.
struct Script {
    folder: PathBuf,
    name: String,
    text: String,
    lines: usize,
    /// Applications number their calls from 1 on, one by one.
    calls: BTreeMap<String, usize>,
    has_ended: bool,
}

impl Script {
    fn new(folder: PathBuf, name: String) -> Self {
        let (text, calls) = (String::new(), BTreeMap::new());
        Self { folder, name, text, lines: 0, calls, has_ended: false }
    }

    fn take(&mut self, line: &str) {
        if self.has_ended || self.lines == MAX_LINES {
            return;
        }
        if line.starts_with("{\"out\":") {
            // Nothing reaches a machine behind its end.
            self.has_ended = line.contains("\"kind\":\"event\",\"event\":{\"event\":\"ended\"");
            return;
        }
        self.lines += 1;
        let line = self.renumbered(line);
        self.text.push_str(&line);
    }

    /// Gives a call the number that an application of a binding would have given it.
    fn renumbered(&mut self, line: &str) -> String {
        for name in ["call", "snapshot", "cancel"] {
            let start = format!("\"command\":[\"{name}\",");
            let Some((before, after)) = line.split_once(&start) else { continue };
            let Some((number, body)) = after.split_once(',') else { continue };
            let next = self.calls.len() + 1;
            let number = *self.calls.entry(number.to_owned()).or_insert(next);
            return format!("{before}{start}{number},{body}");
        }
        line.to_owned()
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        // A header alone tells nothing.
        if self.lines < 2 {
            return;
        }
        // Tests play the same more than once; equal scripts are one.
        let mut hasher = DefaultHasher::new();
        self.text.hash(&mut hasher);
        let file = format!("{}-{:08x}.jsonl", self.name, hasher.finish() >> 32);
        let written = fs::create_dir_all(&self.folder)
            .and_then(|()| fs::write(self.folder.join(&file), &self.text));
        if let Err(error) = written {
            eprintln!("the script {file} cannot be written: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_holds_what_was_told_up_to_the_end_with_calls_in_order() {
        let mut script = Script::new(PathBuf::from("/nowhere"), String::from("x"));
        for line in [
            "{\"trace\":1}\n",
            "{\"at\":[1,2],\"command\":[\"call\",1001,{\"name\":\"a\"}]}\n",
            "{\"out\":{\"kind\":\"dial\"}}\n",
            "{\"at\":[1,2],\"command\":[\"call\",900,{\"name\":\"b\"}]}\n",
            "{\"at\":[1,2],\"command\":[\"cancel\",1001,null]}\n",
            "{\"at\":[1,2],\"command\":[\"done\",1001,{}]}\n",
            "{\"out\":{\"kind\":\"event\",\"event\":{\"event\":\"ended\",\"error\":null}}}\n",
            "{\"at\":[1,2],\"timeout\":true}\n",
        ] {
            script.take(line);
        }
        let wanted = [
            "{\"trace\":1}",
            "{\"at\":[1,2],\"command\":[\"call\",1,{\"name\":\"a\"}]}",
            "{\"at\":[1,2],\"command\":[\"call\",2,{\"name\":\"b\"}]}",
            "{\"at\":[1,2],\"command\":[\"cancel\",1,null]}",
            "{\"at\":[1,2],\"command\":[\"done\",1001,{}]}",
        ];
        assert_eq!(script.text.lines().collect::<Vec<_>>(), wanted);
        // Dropped without its folder.
        script.lines = 0;
    }
}
