//! Finds names of the wire in bindings.
//!
//! A dialect's files of the wire alone spell its names: fields, values, event names. What is taken for
//! a name is unmistakable: compound words (`WorkItemHash`, `teamClusterId`) and words with a
//! separator (`runtime.heartbeat`). `Name` and `status` are everybody's.

use std::collections::{BTreeMap, BTreeSet};

use moorline_core::words::WORDS;

use super::rust::{Lexeme, Token, group};
use super::source::{File, Problem, has_word};

/// Folders and files of a dialect that are its wire.
const WIRE: &[&str] = &["wire", "rest", "words"];

/// Where dialects stand.
const DIALECTS: &str = "core/src/dialect/";

/// Names that files of bindings may spell, and why.
struct Exception {
    /// A file, or a folder with its slash.
    path: &'static str,
    names: &'static [&'static str],
    why: &'static str,
}

const EXCEPTIONS: &[Exception] = &[
    Exception {
        path: "bindings-node/ts/volt/",
        names: &[
            "daemonPassword",
            "enrollmentToken",
            "installedVersion",
            "requestId",
            "responseType",
            "teamClusterId",
        ],
        why: "options, and members of the context of a command, in the original's API",
    },
    Exception {
        path: "bindings-node/ts/volt/types.ts",
        names: &["bodyBase64", "chunkBase64", "sessionId", "stream-end", "streamId"],
        why: "the original's types of the messages that its callbacks are given",
    },
    Exception {
        path: "bindings-node/ts/volt/contracts.ts",
        names: &["bodyBase64", "chunkBase64", "sessionId", "stream-end", "streamId", "teamCluster"],
        why: "the original's names of messages, for programs that are written with them",
    },
    Exception {
        path: "bindings-node/ts/volt/socket_answer.ts",
        names: &["bodyBase64", "chunkBase64", "stream-end", "streamId"],
        why: "answers on a socket of the application's own, where there is no machine",
    },
    Exception {
        path: "bindings-node/ts/volt/enrollment.ts",
        names: &["teamCluster"],
        why: "the original's EnrollmentClient, which enrolls by the global fetch without a machine",
    },
    Exception {
        path: "bindings-python/python/moorline/volt/enrollment.py",
        names: &["daemonPassword", "enrollmentToken", "installedVersion", "teamCluster"],
        why: "the same EnrollmentClient, by the standard library's HTTP",
    },
    Exception {
        path: "moorline/src/hub.rs",
        names: &["TeamClusterID", "TokenID"],
        why: "objects of a hub's administration (docs/wire-extensions.md); serde takes literals only",
    },
];

/// Names of HTTP, which every wire uses.
const HTTP: &[&str] = &["content-type", "set-cookie"];

/// Tells whether a file is a dialect's wire.
pub(super) fn is_wire(file: &File) -> bool {
    match file.module().as_slice() {
        ["dialect", _, inside @ ..] => inside.iter().any(|part| WIRE.contains(part)),
        _ => false,
    }
}

/// Reads the names of the wire of each dialect.
///
/// # Errors
/// A dialect without any: its wire is not where it is looked for, and nothing would be checked.
pub(super) fn names(core: &[File]) -> Result<BTreeSet<String>, String> {
    let mut dialects: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for file in core {
        let Some((dialect, _)) =
            file.path.strip_prefix(DIALECTS).and_then(|path| path.split_once('/'))
        else {
            continue;
        };
        let names = dialects.entry(dialect).or_default();
        if is_wire(file) {
            read(&file.rust().lexemes, names);
        }
    }
    if dialects.is_empty() {
        return Err(format!("no dialect stands below {DIALECTS}"));
    }
    let silent: Vec<&str> =
        dialects.iter().filter(|(_, names)| names.is_empty()).map(|(name, _)| *name).collect();
    if silent.is_empty() {
        // What generated constants are called, such as `ResponseType.Json`, is everybody's.
        let is_generated = |name: &String| {
            let mut tables = WORDS.iter().copied().flatten();
            tables.any(|table| {
                table.name == name || table.members.iter().any(|(member, _)| member == name)
            })
        };
        Ok(dialects.into_values().flatten().filter(|name| !is_generated(name)).collect())
    } else {
        Err(format!("no name of the wire is found in the dialects {}", silent.join(", ")))
    }
}

/// Adds the names that a file spells: in its strings, and as fields that serde renames.
fn read(lexemes: &[Lexeme<'_>], names: &mut BTreeSet<String>) {
    for (at, lexeme) in lexemes.iter().enumerate() {
        let Token::Text(text) = lexeme.token else { continue };
        let case = at.checked_sub(2).and_then(|at| lexemes[at].word());
        if case.is_some_and(|word| word.starts_with("rename_all")) {
            if let Some(case) = Case::of(text) {
                fields(&lexemes[at..], case, names);
            }
            continue;
        }
        let text = text.replace("\\\"", "\"");
        names.extend(text.split('"').filter(|word| is_name(word)).map(str::to_owned));
    }
}

/// How serde renames fields.
#[derive(Clone, Copy)]
enum Case {
    Pascal,
    Camel,
}

impl Case {
    fn of(word: &str) -> Option<Self> {
        match word {
            "PascalCase" => Some(Self::Pascal),
            "camelCase" => Some(Self::Camel),
            _ => None,
        }
    }

    fn of_field(self, field: &str) -> String {
        let mut name = String::with_capacity(field.len());
        for (index, word) in field.split('_').enumerate() {
            let mut letters = word.chars();
            match (self, index, letters.next()) {
                (Self::Camel, 0, Some(first)) => name.push(first),
                (_, _, Some(first)) => name.extend(first.to_uppercase()),
                (_, _, None) => {}
            }
            name.push_str(letters.as_str());
        }
        name
    }
}

/// Adds the fields of the next struct, unless they are renamed one by one.
fn fields(rest: &[Lexeme<'_>], case: Case, names: &mut BTreeSet<String>) {
    let Some(head) = rest.iter().position(|lexeme| lexeme.word() == Some("struct")) else { return };
    let Some(open) = rest[head..].iter().position(|lexeme| lexeme.is('{')) else { return };
    let body = &rest[head + open..];
    let body = &body[1..group(body).saturating_sub(1)];
    let mut is_renamed = false;
    let mut at = 0;
    while at < body.len() {
        match body[at].token {
            Token::Mark('#') => {
                let end = at + 1 + group(&body[at + 1..]);
                is_renamed |= body[at..end].iter().any(|lexeme| lexeme.word() == Some("rename"));
                at = end;
                continue;
            }
            Token::Mark('(') => {
                at += group(&body[at..]);
                continue;
            }
            Token::Word(field) if body.get(at + 1).is_some_and(|lexeme| lexeme.is(':')) => {
                let name = case.of_field(field);
                if !is_renamed && is_name(&name) {
                    names.insert(name);
                }
                is_renamed = false;
                at = end_of_field(body, at);
            }
            Token::Word(_) | Token::Text(_) | Token::Mark(_) | Token::Other => at += 1,
        }
    }
}

/// Returns where the type of a field ends: at the next comma outside of `<…>` and brackets.
fn end_of_field(body: &[Lexeme<'_>], mut at: usize) -> usize {
    let mut angles = 0_usize;
    while let Some(lexeme) = body.get(at) {
        match lexeme.token {
            Token::Mark('<') => angles += 1,
            Token::Mark('>') => angles = angles.saturating_sub(1),
            Token::Mark(',') if angles == 0 => return at + 1,
            Token::Mark('(' | '[' | '{') => at += group(&body[at..]) - 1,
            Token::Word(_) | Token::Text(_) | Token::Mark(_) | Token::Other => {}
        }
        at += 1;
    }
    at
}

/// Tells whether a word can be nothing but a name of a wire.
fn is_name(word: &str) -> bool {
    !HTTP.contains(&word) && (is_compound(word) || is_separated(word) || is_signed(word))
}

/// `&cmd`: a word behind a sign that no word of ours begins with.
fn is_signed(word: &str) -> bool {
    let word = word.strip_prefix(['&', '+']).unwrap_or_default();
    word.len() > 2 && word.chars().all(|c| c.is_ascii_lowercase())
}

/// `WorkItemHash`, `teamClusterId`: letters of both cases, more than one word.
fn is_compound(word: &str) -> bool {
    let inner = word.char_indices().skip(1);
    word.starts_with(|c: char| c.is_ascii_alphabetic())
        && word.chars().all(|c| c.is_ascii_alphanumeric())
        && word.contains(|c: char| c.is_ascii_lowercase())
        && inner.into_iter().any(|(_, c)| c.is_ascii_uppercase())
}

/// `runtime.heartbeat`, `Validation::InvalidInput`: words with a separator that none of ours has.
fn is_separated(word: &str) -> bool {
    let is_word = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphabetic())
            && part.chars().all(|c| c.is_ascii_alphanumeric())
    };
    let parts = word.replace("::", ":");
    let parts: Vec<&str> = parts.split(['.', ':', '-']).collect();
    parts.len() > 1 && parts.iter().all(|part| is_word(part))
}

/// Adds where bindings spell a name, and exceptions that nothing needs.
pub(super) fn check<'a>(
    names: &BTreeSet<String>,
    bindings: impl IntoIterator<Item = &'a File>,
    problems: &mut Vec<Problem>,
) {
    against(EXCEPTIONS, names, bindings, problems);
}

fn against<'a>(
    exceptions: &[Exception],
    names: &BTreeSet<String>,
    bindings: impl IntoIterator<Item = &'a File>,
    problems: &mut Vec<Problem>,
) {
    let allowed: Vec<(&Exception, &str)> =
        exceptions.iter().flat_map(|row| row.names.iter().map(move |name| (row, *name))).collect();
    let mut needed = BTreeSet::new();
    for file in bindings {
        for (number, line) in file.code() {
            for name in names.iter().filter(|name| has_word(&line, name)) {
                let rows = allowed.iter().enumerate().filter(|(_, (row, allowed))| {
                    name == allowed
                        && (file.path == row.path
                            || row.path.ends_with('/') && file.path.starts_with(row.path))
                });
                let rows: Vec<usize> = rows.map(|(index, _)| index).collect();
                if rows.is_empty() {
                    problems.push(Problem::new(file, number, format!("names the wire: {name}")));
                }
                needed.extend(rows);
            }
        }
    }
    for (index, (row, name)) in allowed.iter().enumerate() {
        if !needed.contains(&index) {
            let what = format!("{name} is an exception for nothing: {}", row.why);
            problems.push(Problem { path: row.path.to_owned(), line: 1, what });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> File {
        File::new(path, text).unwrap()
    }

    fn core() -> Vec<File> {
        let volt = r##"
            const BEAT: &str = "runtime.heartbeat";
            fn f() -> String { format!(r#"{{"streamId":"{}","ok":true}}"#, g("content-type")) }
            fn prose() { "Invalid daemon credentials of JavaScript" }
            #[cfg(test)] mod tests { const A: &str = "onlyInTests"; }
        "##;
        let beacon = r#"
            #[derive(Deserialize)]
            #[serde(rename_all = "PascalCase")]
            pub(crate) struct Frame<'a> {
                #[serde(borrow, default)]
                pub(crate) work_item_hash: Map<K, Option<&'a str>>,
                #[serde(rename = "RunID")] run_id: u8,
                log: (A, B),
                pub(crate) queue_wait_ms: u64,
            }
        "#;
        vec![
            file("core/src/dialect/mod.rs", r#"const A: &str = "NoDialect";"#),
            file("core/src/dialect/volt/mod.rs", r#"const A: &str = "NoWire";"#),
            file("core/src/dialect/volt/server/wire.rs", volt),
            file("core/src/dialect/beacon/wire/frames.rs", beacon),
        ]
    }

    fn names_of(core: &[File]) -> Vec<String> {
        names(core).unwrap().into_iter().collect()
    }

    #[test]
    fn names_are_read_from_files_and_folders_of_every_wire() {
        let expected = ["QueueWaitMs", "RunID", "WorkItemHash", "runtime.heartbeat", "streamId"];
        assert_eq!(names_of(&core()), expected);
    }

    #[test]
    fn what_constants_are_called_is_no_name_of_a_wire_but_what_they_say_is() {
        let member = WORDS[0][0].members[0].0;
        let words = format!(
            r#"const A: &str = "{}"; const B: &[&str] = &["{member}", "a-b"];"#,
            WORDS[0][0].name
        );
        assert_eq!(names_of(&[file("core/src/dialect/volt/words.rs", &words)]), ["a-b"]);
    }

    #[test]
    fn a_dialect_without_names_is_an_error() {
        let mut core = core();
        core.push(file("core/src/dialect/effect/wires.rs", r#"const A: &str = "EnvelopeId";"#));
        assert!(names(&core).unwrap_err().ends_with("in the dialects effect"));
        core.push(file("core/src/dialect/effect/wire.rs", "struct Nothing;"));
        assert!(names(&core).is_err());
        core.push(file("core/src/dialect/effect/wire/ids.rs", r#"const A: &str = "EnvelopeId";"#));
        assert!(names(&core).is_ok());
        assert!(names(&[]).is_err());
    }

    fn planted(exceptions: &[Exception], path: &str, text: &str) -> Vec<String> {
        let mut problems = Vec::new();
        against(exceptions, &names(&core()).unwrap(), &[file(path, text)], &mut problems);
        problems.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_planted_name_is_caught_in_each_language() {
        let hash = "names the wire: WorkItemHash";
        assert_eq!(
            planted(&[], "a.rs", "fn f() {\n g(\"WorkItemHash\") }"),
            [format!("a.rs:2: {hash}")]
        );
        assert_eq!(planted(&[], "a.ts", "item.WorkItemHash = 1;"), [format!("a.ts:1: {hash}")]);
        assert_eq!(planted(&[], "a.py", "item['WorkItemHash']"), [format!("a.py:1: {hash}")]);
        assert_eq!(planted(&[], "a.ts", "on('runtime.heartbeat', { streamId })").len(), 2);
        assert_eq!(
            planted(&[], "a.ts", "// WorkItemHash\nf(workItemHash, WorkItemHashes);"),
            [""; 0]
        );
    }

    #[test]
    fn exceptions_hold_for_their_names_and_files_and_must_be_needed() {
        let row = |path| [Exception { path, names: &["streamId"], why: "it is the original's" }];
        assert_eq!(planted(&row("a/"), "a/b.ts", "f({ streamId })"), [""; 0]);
        assert_eq!(planted(&row("a/b.ts"), "a/b.ts", "f({ streamId })"), [""; 0]);
        assert_eq!(planted(&row("a/b.ts"), "a/b.ts", "f({ streamId, RunID })").len(), 1);
        assert_eq!(planted(&row("a/c.ts"), "a/b.ts", "f({ streamId })").len(), 2);
        let unneeded = "a/:1: streamId is an exception for nothing: it is the original's";
        assert_eq!(planted(&row("a/"), "a/b.ts", "f()"), [unneeded]);
    }
}
