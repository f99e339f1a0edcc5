//! Every executor is told the same and must say the same, byte for byte.
//!
//! Scripts are those of `tests/conformance/scenarios`, and those that other tests have left in the
//! folder that [`FOLDER`] names. The core and the tokio driver run here; programs of other languages
//! are named by the file in [`EXECUTORS`]. The protocol is described in `tests/conformance/README.md`.

#![allow(clippy::print_stdout, reason = "the table is what this test is for")]

mod compare;
mod core;
mod driver;
mod programs;
mod script;
mod table;

use moorline_tests::scripts::FOLDER;

use compare::Trace;
use script::Script;
use table::{Cell, Table};

/// The environment's variable that names a file with one program for each language, see
/// [`programs::read`].
const EXECUTORS: &str = "MOORLINE_EXECUTORS";

/// An executor, a dialect, a role that it cannot play, and why.
const SKIPS: &[(&str, &str, &str, &str)] = &[
    ("wasm", "beacon", "hub", "a page cannot listen"),
    ("wasm", "netcluster", "provider", "a page cannot listen"),
    ("wasm", "wsdaemon", "daemon", "a page cannot listen"),
];

/// Plays scripts, one after the other.
type Play = Box<dyn Fn(&[&Script]) -> Vec<Trace>>;

#[test]
fn every_executor_says_what_the_core_says() {
    let mut scripts = script::read(&script::scenarios());
    // Without programs, other tests may be about to write there.
    if let (Some(folder), Some(_)) = (std::env::var_os(FOLDER), std::env::var_os(EXECUTORS)) {
        scripts.extend(script::read(folder.as_ref()));
    }
    let expected: Vec<Trace> = scripts.iter().map(core::run).collect();
    let mut table = Table::new(&scripts, "core");
    let mut report = Vec::new();
    let mut executors: Vec<(String, Play)> = vec![(
        String::from("tokio"),
        Box::new(|scripts| scripts.iter().map(|it| driver::run(it)).collect()),
    )];
    for program in programs::read(EXECUTORS) {
        executors.push((program.name().to_owned(), Box::new(move |scripts| program.run(scripts))));
    }
    for (name, play) in executors {
        let reason = |script: &Script| {
            SKIPS.iter().position(|(executor, dialect, role, _)| {
                *executor == name && *dialect == script.dialect && *role == script.role
            })
        };
        let played: Vec<&Script> =
            scripts.iter().filter(|script| reason(script).is_none()).collect();
        let mut traces = play(&played).into_iter();
        for (script, expected) in scripts.iter().zip(&expected) {
            let cell = match reason(script) {
                Some(reason) => Cell::Skipped(reason),
                None => match compare::difference(expected, &traces.next().unwrap_or_default()) {
                    None => Cell::Passed,
                    Some(difference) => {
                        report.push(format!("{name}, {}: {difference}", script.name));
                        Cell::Failed
                    }
                },
            };
            table.add(&name, script, cell);
        }
    }
    println!("{table}");
    for (number, (executor, dialect, role, why)) in SKIPS.iter().enumerate() {
        println!("skip {}: {executor}, {dialect} {role}: {why}", number + 1);
    }
    assert!(SKIPS.len() <= 5, "more than five skips");
    let all = report.len();
    report.truncate(20);
    assert!(all == 0, "{all} differences, such as\n{}", report.join("\n"));
}

#[test]
fn a_command_of_a_session_that_came_back_times_out_on_the_millisecond() {
    let scripts = script::read(&script::scenarios());
    let name = "volt-command-times-out-after-a-reconnect";
    let script = scripts.iter().find(|script| script.name == name).expect("the scenario");
    let turns = core::run(script);
    let turn = |at: &str| {
        let line =
            script.lines.iter().position(|line| line.starts_with(&format!("{{\"at\":[{at},")));
        turns.of(line.expect("a line of that time"))
    };
    assert!(
        turn("200")
            .contains("\"event\":\"call_done\",\"call\":1,\"error\":{\"code\":\"NOT_READY\"")
    );
    assert!(turn("700").contains("\"kind\":\"dial\",\"conn\":4"));
    assert_eq!(turn("30999"), "{\"turn\":{\"next\":31000}}\n");
    assert!(
        turn("31000")
            .contains("\"event\":\"call_done\",\"call\":2,\"error\":{\"code\":\"CALL_TIMEOUT\"")
    );
}
