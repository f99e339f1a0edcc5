//! The tokio driver: commands cross as text, events come out of its queue.

use std::fmt::Write as _;

use moorline_core::Raw;
use moorline_core::trace::read_opening;
use moorline_driver::{Handle, ScriptedIo};
use serde::Deserialize;

use crate::compare::Trace;
use crate::script::Script;

#[derive(Deserialize)]
struct Line {
    command: Raw,
}

/// Plays a script.
pub(crate) fn run(script: &Script) -> Trace {
    let (first, rest) = script.lines.split_first().expect("a script has an opening");
    let opening = read_opening(first).expect("an opening");
    let (handle, io) =
        ScriptedIo::open(&opening).unwrap_or_else(|e| panic!("{}: {e}", script.name));
    let mut trace = Trace::default();
    trace.turn(answer(&handle, &io));
    for line in rest {
        if io.begin(line).unwrap_or_else(|e| panic!("{}: {e}", script.name)) {
            let Line { command } = serde_json::from_str(line).expect("a command");
            let submitted = handle.submit_text(&format!("[{}]", command.as_str()));
            submitted.unwrap_or_else(|e| panic!("{}: {e}: {line}", script.name));
        }
        trace.turn(answer(&handle, &io));
    }
    trace
}

/// A turn's answer, with the events that the application takes out of the queue.
fn answer(handle: &Handle, io: &ScriptedIo) -> String {
    let said = io.end();
    let mut lines: Vec<&str> = said.lines().collect();
    let turn = lines.pop().unwrap_or_default();
    let mut answer = String::new();
    for action in lines.iter().filter(|line| !line.starts_with("{\"out\":{\"kind\":\"event\"")) {
        let _ = writeln!(answer, "{action}");
    }
    loop {
        let mut batch = String::new();
        let drained = handle.events().drain(&mut batch);
        let events: Vec<Raw> = serde_json::from_str(&batch).expect("a list");
        for event in events {
            let event = event.as_str();
            let _ = writeln!(answer, "{{\"out\":{{\"kind\":\"event\",\"event\":{event}}}}}");
        }
        if !drained.more {
            return format!("{answer}{turn}\n");
        }
    }
}
