//! Executors beside the core: programs that read scripts from their standard input and write traces to
//! their standard output.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use crate::compare::Trace;
use crate::script::Script;

/// The languages that the file of programs must have.
const LANGUAGES: [&str; 4] = ["node", "python", "c", "wasm"];
/// A program that has not ended by then hangs.
const PATIENCE: Duration = Duration::from_secs(300);

/// An executor.
pub(crate) struct Program {
    name: String,
    words: Vec<String>,
}

/// Reads which programs to run from the file that the environment's `variable` names: a JSON object with
/// a list of words for each language. None without it.
pub(crate) fn read(variable: &str) -> Vec<Program> {
    let Some(path) = std::env::var_os(variable) else { return Vec::new() };
    let text = std::fs::read_to_string(&path).expect("the file of programs");
    let mut programs: BTreeMap<String, Vec<String>> =
        serde_json::from_str(&text).expect("a list of words for each language");
    let known = LANGUAGES.iter().map(|name| {
        let words = programs.remove(*name).unwrap_or_else(|| panic!("no program for {name}"));
        Program { name: (*name).to_owned(), words }
    });
    known.collect()
}

impl Program {
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Plays scripts, one after the other, in one process.
    pub(crate) fn run(&self, scripts: &[&Script]) -> Vec<Trace> {
        let (program, arguments) = self.words.split_first().expect("a program");
        let mut child = Command::new(program)
            .args(arguments)
            .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("{program}: {e}"));
        let mut told = String::new();
        for line in scripts.iter().flat_map(|script| &script.lines) {
            told.push_str(line);
            told.push('\n');
        }
        let mut input = child.stdin.take().expect("a pipe");
        // A program that ends early says so by its trace.
        let writer = std::thread::spawn(move || drop(input.write_all(told.as_bytes())));
        let mut output = child.stdout.take().expect("a pipe");
        let (sender, receiver) = mpsc::channel();
        let reader = std::thread::spawn(move || {
            let mut said = Vec::new();
            let read = output.read_to_end(&mut said);
            // Nobody waits any longer for a program that hung.
            let _ = sender.send(read.map(|_| ()));
            said
        });
        if receiver.recv_timeout(PATIENCE).is_err() {
            child.kill().expect("our own child");
        }
        let status = child.wait().expect("our own child");
        writer.join().expect("it does not panic");
        let said = String::from_utf8(reader.join().expect("it does not panic")).expect("UTF-8");
        // What it had said until then is compared, and falls short.
        if !status.success() {
            println!("{}: {program} ended with {status}", self.name);
        }
        Trace::split(&said, scripts.iter().map(|script| script.lines.len()))
    }
}
