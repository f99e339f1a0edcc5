//! `moorline replay`: tells a fresh machine what a recording holds, and compares what it says.

use moorline_core::trace;

use crate::args::ReplayArgs;
use crate::exit::{Exit, Failure};
use crate::output;

/// Replays a recording.
pub(crate) fn run(args: &ReplayArgs) -> Result<Exit, Failure> {
    let path = args.recording.display();
    let text = std::fs::read_to_string(&args.recording)
        .map_err(|e| Failure::usage(format!("{path} cannot be read: {e}")))?;
    // A process that was killed has left half a line.
    let whole = text.rfind('\n').map_or("", |end| text.get(..=end).unwrap_or_default());
    let opening = trace::read_opening(whole.lines().next().unwrap_or_default())?;
    let said = trace::replay(whole)?;
    let recorded: Vec<&str> = trace::outputs(whole).collect();
    if args.print {
        output::text(&said.iter().map(|line| format!("{line}\n")).collect::<String>())?;
    }
    let role = format!("{} of {}", opening.role, opening.dialect);
    let differs = said.iter().zip(&recorded).position(|(said, recorded)| said != recorded);
    // The last turn may not have been written down to its end.
    let differs = differs.or((said.len() < recorded.len()).then_some(said.len()));
    let Some(place) = differs else {
        output::note(&format!("{path}: the {role} says the same, {} outputs", recorded.len()));
        return Ok(Exit::Success);
    };
    let shown = |line: Option<&str>| line.unwrap_or("(nothing)").to_owned();
    Err(Failure::other(format!(
        "{path}: the {role} behaves differently from output {} on:\n  recorded {}\n  now      {}",
        place + 1,
        shown(recorded.get(place).copied()),
        shown(said.get(place).map(String::as_str)),
    )))
}
