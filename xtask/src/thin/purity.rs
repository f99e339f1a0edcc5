//! Keeps clocks, threads, randomness and everything that performs out of the core's sources.

use super::paths::paths;
use super::source::{File, Problem};

/// What the core must not name, from the beginning of a path.
const IMPURE: &[&str] = &[
    "async_std",
    "chrono",
    "fastrand",
    "getrandom",
    "log",
    "mio",
    "rand",
    "smol",
    "std::env",
    "std::fs",
    "std::io",
    "std::os",
    "std::process",
    "std::thread",
    "std::time::Instant",
    "std::time::SystemTime",
    "tokio",
    "tracing",
];

/// What it must not call, at the end of a path.
const CALLS: &[&str] =
    &["Instant::now", "SystemTime::now", "Uuid::new_v4", "Uuid::now_v7", "RandomState::new"];

/// Adds every clock, thread and the like in files of the core.
pub(super) fn check(core: &[File], problems: &mut Vec<Problem>) {
    for file in core {
        for path in paths(&file.rust().lexemes) {
            let whole = path.names.join("::");
            let begins = |with: &&&str| {
                whole
                    .strip_prefix(**with)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
            };
            let ends = |with: &&&str| {
                whole
                    .strip_suffix(**with)
                    .is_some_and(|rest| rest.is_empty() || rest.ends_with("::"))
            };
            let impure = IMPURE.iter().find(begins).or_else(|| CALLS.iter().find(ends));
            if let Some(impure) = impure {
                problems.push(Problem::new(file, path.line, format!("the core names {impure}")));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<String> {
        let core = [File::new("core/src/a.rs", text).unwrap()];
        let mut problems = Vec::new();
        check(&core, &mut problems);
        problems.iter().map(|problem| problem.what.clone()).collect()
    }

    #[test]
    fn a_planted_clock_is_caught() {
        assert_eq!(found("fn f() { let at = std::time::Instant::now(); }").len(), 1);
        assert_eq!(found("use std::time as t; fn f() { t::SystemTime::now(); }").len(), 1);
        assert_eq!(found("use std::{fmt, time::{Duration, SystemTime}};").len(), 1);
        assert_eq!(found("use crate::time::Instant; fn f() { Instant::now() }").len(), 1);
    }

    #[test]
    fn threads_runtimes_and_randomness_are_caught() {
        for text in [
            "use std::thread;",
            "fn f() { ::std::thread::spawn(g); }",
            "use tokio::sync::mpsc;",
            "use rand;",
            "fn f() { rand::random() }",
            "fn f() { uuid::Uuid::new_v4() }",
            "fn f() { std::env::var(\"A\") }",
        ] {
            assert_eq!(found(text).len(), 1, "{text}");
        }
    }

    #[test]
    fn what_only_looks_like_it_and_what_tests_do_is_fine() {
        let text = "use std::time::Duration; use rand_chacha::ChaCha12Rng; use crate::rand::x;
            // std::thread::sleep
            const A: &str = \"std::thread\"; #[cfg(test)] mod tests { use std::thread; }";
        assert_eq!(found(text), [""; 0]);
    }
}
