//! A binding converts and forwards: no timer, no default of an option.

use moorline_core::options::{Field, Kind, ROLES};

use super::source::{File, Language, Problem, has_number};

/// Files that may set timers and spell defaults, and why.
const EXCEPTIONS: &[(&str, &str)] = &[
    ("wasm/ts/driver.ts", "it is the browser's driver: it performs the machine's deadlines"),
    (
        "bindings-node/ts/volt/heartbeat.ts",
        "the original exports this loop; clients beat from core",
    ),
];

/// What sets a timer, by language.
const TIMERS: &[(Language, &[&str])] = &[
    (
        Language::Rust,
        &["thread::sleep", "tokio::time", "Instant::now", "SystemTime::now", "recv_timeout"],
    ),
    (Language::TypeScript, &["setTimeout", "setInterval"]),
    (
        Language::Python,
        &["call_later", "call_at", "asyncio.sleep", "time.sleep", "threading.Timer"],
    ),
];

/// Adds timers and defaults in bindings, and exceptions that nothing needs.
pub(super) fn check(bindings: &[File], problems: &mut Vec<Problem>) {
    against(EXCEPTIONS, bindings, problems);
}

fn against(exceptions: &[(&str, &str)], bindings: &[File], problems: &mut Vec<Problem>) {
    let defaults = defaults();
    let mut found = Vec::new();
    for file in bindings {
        let timers = TIMERS
            .iter()
            .filter(|(language, _)| *language == file.language)
            .flat_map(|(_, calls)| *calls);
        for (number, line) in file.code() {
            for call in timers.clone().filter(|call| line.contains(**call)) {
                found.push(Problem::new(file, number, format!("sets a timer: {call}")));
            }
            for default in defaults.iter().filter(|default| has_number(&line, default)) {
                found.push(Problem::new(file, number, format!("spells a default: {default}")));
            }
        }
    }
    for (path, why) in exceptions {
        let before = found.len();
        found.retain(|problem| problem.path != *path);
        if found.len() == before {
            let what = format!("is an exception for nothing: {why}");
            problems.push(Problem { path: (*path).to_owned(), line: 1, what });
        }
    }
    problems.append(&mut found);
}

/// Numbers of five digits and more that are the default of an option.
fn defaults() -> Vec<String> {
    fn collect(fields: &[Field], into: &mut Vec<String>) {
        for field in fields {
            if let Kind::Table(rows) | Kind::TableList(rows) = field.kind {
                collect(&rows(), into);
            }
            if matches!(field.kind, Kind::Integer) && field.default.len() > 4 {
                into.push(field.default.clone());
            }
        }
    }
    let mut all = Vec::new();
    for role in ROLES {
        collect(&(role.fields)(), &mut all);
        role.command_options.iter().for_each(|(_, fields)| collect(&fields(), &mut all));
    }
    all.sort();
    all.dedup();
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(exceptions: &[(&str, &str)], path: &str, text: &str) -> Vec<String> {
        let mut problems = Vec::new();
        against(exceptions, &[File::new(path, text).unwrap()], &mut problems);
        problems.iter().map(|problem| problem.what.clone()).collect()
    }

    #[test]
    fn a_planted_timer_is_caught_in_each_language() {
        for (path, text) in [
            ("a.rs", "fn f() { std::thread::sleep(d); }"),
            ("a.ts", "setTimeout(f, 5);"),
            ("a.py", "await asyncio.sleep(5)"),
        ] {
            assert_eq!(found(&[], path, text).len(), 1, "{path}");
            assert_eq!(found(&[(path, "why")], path, text).len(), 0, "{path}");
        }
        assert_eq!(found(&[("a.ts", "why")], "a.ts", "f();"), ["is an exception for nothing: why"]);
    }

    #[test]
    fn a_planted_default_is_caught() {
        let default = defaults().first().cloned().unwrap();
        let what = format!("spells a default: {default}");
        assert_eq!(found(&[], "a.ts", &format!("wait({default});")), [what]);
    }
}
