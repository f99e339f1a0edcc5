//! The core by itself: what every other executor is compared with.

use std::fmt::Write as _;

use moorline_core::trace::{Told, read_opening, read_told, write_output};
use moorline_core::{CallEvent, SessionEvent};
use moorline_core::{Command, Endpoint, Error, Event, Now, Opened, Output, Raw};

use crate::compare::Trace;
use crate::script::Script;

/// Plays a script.
pub(crate) fn run(script: &Script) -> Trace {
    let mut lines = script.lines.iter();
    let first = read_opening(lines.next().expect("a script has an opening")).expect("an opening");
    let Opened { endpoint: mut machine, .. } =
        moorline_core::open(&first.dialect, &first.role, &first.options, &first.host, first.seed)
            .unwrap_or_else(|e| panic!("{}: {e}", script.name));
    let mut trace = Trace::default();
    trace.turn(answer(machine.as_mut(), Vec::new()));
    for line in lines {
        let (now, told) = read_told(line).unwrap_or_else(|e| panic!("{}: {e}", script.name));
        let refused = tell(machine.as_mut(), told, now);
        trace.turn(answer(machine.as_mut(), refused));
    }
    trace
}

/// Tells a machine a line; returns what a driver says to the application about it.
fn tell(machine: &mut dyn Endpoint, told: Told, now: Now) -> Vec<Event> {
    match told {
        Told::Input(input) => machine.handle_input(input, now),
        Told::Timeout => machine.handle_timeout(now),
        Told::Command(Command::Snapshot { call }) => {
            let result = Raw::parse(machine.snapshot(now));
            let result =
                result.map_err(|e| Error::new(moorline_core::ErrorCode::Internal, e.to_string()));
            return vec![Event::Call(CallEvent::Done { call, result })];
        }
        Told::Command(command) => {
            let call = command.call();
            if let Err(error) = machine.handle_command(command, now) {
                return vec![match call {
                    Some(call) => Event::Call(CallEvent::Done { call, result: Err(error) }),
                    None => Event::Session(SessionEvent::Notice { error }),
                }];
            }
        }
    }
    Vec::new()
}

/// A turn's answer: what is to be done in its order, what the application learns in its order, and
/// when the machine wants to be woken.
fn answer(machine: &mut dyn Endpoint, refused: Vec<Event>) -> String {
    let (mut actions, mut events) = (String::new(), String::new());
    let refused = refused.into_iter().map(Output::Event);
    let outputs = refused.chain(std::iter::from_fn(|| machine.poll_output()));
    for output in outputs.collect::<Vec<_>>() {
        let part = if matches!(output, Output::Event(_)) { &mut events } else { &mut actions };
        let _ = writeln!(part, "{}", write_output(&output));
    }
    let next = machine.poll_timeout().map(|deadline| deadline.at.as_millis());
    let next = next.map_or_else(|| String::from("null"), |at| at.to_string());
    format!("{actions}{events}{{\"turn\":{{\"next\":{next}}}}}\n")
}
