//! Each part of a machine is defined once.
//!
//! A second definition is told by its name or by its file's: a `VoltBackoff` beside `Backoff`, a
//! `backoff.rs` beside the part's.

use super::rust::Lexeme;
use super::source::{File, Problem};
use super::wire;

/// A part: the word for it, which its type's name is or ends with, and the file that defines it.
const PARTS: &[(&str, &str)] = &[
    ("Admission", "core/src/parts/admission.rs"),
    ("Backoff", "core/src/parts/backoff.rs"),
    ("Calls", "core/src/parts/calls.rs"),
    ("Credentials", "core/src/parts/credentials.rs"),
    ("Drain", "core/src/parts/drain.rs"),
    ("Handlers", "core/src/parts/handlers.rs"),
    ("Heartbeat", "core/src/parts/heartbeat.rs"),
    ("Inbound", "core/src/parts/work.rs"),
    ("Journal", "core/src/parts/journal.rs"),
    ("Lifetime", "core/src/parts/lifetime.rs"),
    ("Link", "core/src/parts/link.rs"),
    ("Listener", "core/src/parts/listener.rs"),
    ("Liveness", "core/src/parts/liveness.rs"),
    ("Outbox", "core/src/parts/outbox.rs"),
    ("Outlet", "core/src/parts/pacer/outlet.rs"),
    ("Pacer", "core/src/parts/pacer/mod.rs"),
    ("Queue", "core/src/parts/queue.rs"),
    ("Readmission", "core/src/parts/readmission.rs"),
    ("Reconnection", "core/src/parts/reconnection.rs"),
    ("Timers", "core/src/parts/timers.rs"),
    ("Window", "core/src/parts/window.rs"),
];

/// Where parts stand; each file and folder here has a row.
const FOLDER: &str = "core/src/parts/";

/// Files that a role may have too: what it does with the part.
const SHARED: &[&str] = &["calls", "listener", "work"];

/// Adds parts that nothing defines, and those that something defines again.
pub(super) fn check(core: &[File], problems: &mut Vec<Problem>) {
    against(PARTS, core, problems);
}

fn against(parts: &[(&str, &str)], core: &[File], problems: &mut Vec<Problem>) {
    for file in core {
        let module = file.module();
        let ["parts", part, ..] = module.as_slice() else { continue };
        let inside = format!("{FOLDER}{part}");
        let is_in = |home: &str| {
            home.strip_prefix(&*inside).is_some_and(|rest| rest.starts_with(['.', '/']))
        };
        if !parts.iter().any(|(_, home)| is_in(home)) {
            let what = "has no row in the table of parts; see parts.rs in xtask";
            problems.push(Problem::new(file, 1, what));
        }
    }
    let mut is_defined = vec![false; parts.len()];
    for file in core.iter().filter(|file| !wire::is_wire(file)) {
        for (part, (word, home)) in parts.iter().enumerate() {
            let name = stem(&file.path);
            if *home != file.path && stem(home) == name && !SHARED.contains(&name) {
                let what = format!("is named like the part {word}, which is in {home}");
                problems.push(Problem::new(file, 1, what));
            }
            for (name, line) in types(&file.rust().lexemes) {
                if !is_of(name, word) {
                    continue;
                }
                if *home == file.path {
                    is_defined[part] = true;
                } else {
                    let what = format!("{name} defines the part {word} again, which is in {home}");
                    problems.push(Problem::new(file, line, what));
                }
            }
        }
    }
    for ((word, home), _) in parts.iter().zip(is_defined).filter(|(_, is_defined)| !is_defined) {
        let what = format!("the part {word} is not defined here; see parts.rs in xtask");
        problems.push(Problem { path: (*home).to_owned(), line: 1, what });
    }
}

/// Returns the name of a file without its folder; of `mod.rs`, the folder's.
fn stem(path: &str) -> &str {
    let path = path.trim_end_matches(".rs").trim_end_matches("/mod");
    path.rsplit_once('/').map_or(path, |(_, stem)| stem)
}

/// Returns the names of the types that are defined, with their lines.
fn types<'a>(lexemes: &[Lexeme<'a>]) -> Vec<(&'a str, usize)> {
    let defined = lexemes.windows(2).filter_map(|pair| match pair[0].word()? {
        "struct" | "enum" | "union" | "type" => Some((pair[1].word()?, pair[0].line)),
        _ => None,
    });
    defined.collect()
}

/// Tells whether a name is the word, or ends with it as a word of its own.
fn is_of(name: &str, word: &str) -> bool {
    name.strip_suffix(word)
        .is_some_and(|before| !before.ends_with(|c: char| c.is_ascii_uppercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(files: &[(&str, &str)]) -> Vec<String> {
        let core: Vec<File> =
            files.iter().map(|(path, text)| File::new(*path, *text).unwrap()).collect();
        let mut problems = Vec::new();
        against(&[("Backoff", "core/src/parts/backoff.rs")], &core, &mut problems);
        problems.iter().map(|problem| problem.path.clone()).collect()
    }

    const PART: (&str, &str) = ("core/src/parts/backoff.rs", "pub(crate) struct Backoff {}");

    #[test]
    fn a_part_that_is_defined_once_is_fine() {
        let user = ("core/src/hub/a.rs", "struct BackoffOptions; fn f(b: Backoff) {}");
        assert!(found(&[PART, user]).is_empty());
    }

    #[test]
    fn a_second_definition_is_caught_by_its_name_and_by_its_file() {
        let named = ("core/src/dialect/volt/ladder.rs", "enum VoltBackoff {}");
        assert_eq!(found(&[PART, named]), [named.0]);
        let filed = ("core/src/dialect/volt/backoff/mod.rs", "fn delay() {}");
        assert_eq!(found(&[PART, filed]), [filed.0]);
    }

    #[test]
    fn a_role_may_have_a_file_for_what_it_does_with_a_part() {
        let file = |path: &str, text: &str| File::new(path, text).unwrap();
        let core = [
            file("core/src/parts/calls.rs", "struct Calls;"),
            file("core/src/dialect/volt/daemon/calls.rs", "fn call(calls: &Calls) {}"),
        ];
        let mut problems = Vec::new();
        against(&[("Calls", "core/src/parts/calls.rs")], &core, &mut problems);
        assert!(problems.is_empty());
    }

    #[test]
    fn a_part_without_a_row_is_caught() {
        let ladder = ("core/src/parts/ladder/mod.rs", "struct Ladder;");
        let near = ("core/src/parts/backoffs.rs", "");
        assert_eq!(found(&[PART, ladder, near]), [ladder.0, near.0]);
        assert!(found(&[PART, ("core/src/parts/mod.rs", "")]).is_empty());
        assert!(found(&[PART, ("core/src/parts/backoff/jitter.rs", "")]).is_empty());
    }

    #[test]
    fn a_part_that_nothing_defines_is_caught() {
        assert_eq!(found(&[(PART.0, "struct Ladder;")]), [PART.0]);
        assert_eq!(found(&[("core/src/a.rs", "")]), [PART.0]);
    }
}
