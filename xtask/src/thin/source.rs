//! Reads source files without comments, tests and generated parts.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::Path;

use super::rust::Code;

/// The languages that are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Language {
    Rust,
    TypeScript,
    Python,
}

/// A source file.
#[derive(Debug)]
pub(super) struct File {
    /// Its path below the workspace's folder, with slashes.
    pub(super) path: String,
    pub(super) language: Language,
    text: String,
}

/// Something that must not be.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) path: String,
    pub(super) line: usize,
    pub(super) what: String,
}

impl Problem {
    pub(super) fn new(file: &File, line: usize, what: impl Into<String>) -> Self {
        Self { path: file.path.clone(), line, what: what.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.what)
    }
}

impl File {
    /// Takes a text for a file; `None` if its language is none that is read here.
    pub(super) fn new(path: impl Into<String>, text: impl Into<String>) -> Option<Self> {
        let path = path.into();
        let language = match path.rsplit_once('.')?.1 {
            "rs" => Language::Rust,
            "ts" | "mts" | "cts" | "js" | "mjs" | "cjs" => Language::TypeScript,
            "py" => Language::Python,
            _ => return None,
        };
        Some(Self { path, language, text: text.into() })
    }

    /// Returns the whole text.
    #[cfg(test)]
    pub(super) fn source(&self) -> &str {
        &self.text
    }

    /// Returns the lines of code with their numbers: no comments, no blank lines, no tests.
    pub(super) fn code(&self) -> Vec<(usize, String)> {
        match self.language {
            Language::Rust => numbered(&self.rust().plain(&self.text)),
            Language::TypeScript => without_comments("//", "/*", "*/", &self.text),
            Language::Python => without_comments("#", "\"\"\"", "\"\"\"", &self.text),
        }
    }

    /// Counts the lines of code.
    pub(super) fn lines(&self) -> usize {
        self.code().len()
    }

    /// Splits a file of Rust.
    pub(super) fn rust(&self) -> Code<'_> {
        Code::read(&self.text)
    }

    /// Returns the names of the modules from the crate's root to this file, for a file below `src`.
    pub(super) fn module(&self) -> Vec<&str> {
        let inside = self.path.split_once("src/").map_or(&*self.path, |(_, inside)| inside);
        let mut names: Vec<&str> = inside.trim_end_matches(".rs").split('/').collect();
        if matches!(names.last(), Some(&("mod" | "lib" | "main"))) {
            names.pop();
        }
        names
    }
}

/// Reads the source files below `folder`; none if there is no such folder.
pub(super) fn files(root: &Path, folder: &str) -> Result<Vec<File>, String> {
    let mut found = Vec::new();
    let path = root.join(folder);
    if path.is_dir() {
        walk(root, &path, &mut found)?;
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(without_test_modules(found))
}

fn walk(root: &Path, folder: &Path, found: &mut Vec<File>) -> Result<(), String> {
    let wrong = |e: std::io::Error| format!("{}: {e}", folder.display());
    for entry in fs::read_dir(folder).map_err(wrong)? {
        let path = entry.map_err(wrong)?.path();
        let name = path.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned());
        if path.is_dir() {
            const SKIPPED: &[&str] =
                &["node_modules", "target", "dist", "pkg", "__pycache__", ".venv"];
            if !SKIPPED.contains(&name.as_str()) {
                walk(root, &path, found)?;
            }
            continue;
        }
        if name.contains("generated") || name.ends_with(".d.ts") || name.contains(".test.") {
            continue;
        }
        let inside = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().replace('\\', "/");
        if let Some(mut file) = File::new(inside, String::new()) {
            file.text =
                fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
            found.push(file);
        }
    }
    Ok(())
}

/// Leaves out the files of modules whose declaration stands under `#[cfg(test)]`, and those below.
pub(super) fn without_test_modules(files: Vec<File>) -> Vec<File> {
    let mut left_out = BTreeSet::new();
    for file in files.iter().filter(|file| file.language == Language::Rust) {
        let folder = file.path.trim_end_matches(".rs");
        let folder = ["/mod", "/lib", "/main"]
            .iter()
            .find_map(|root| folder.strip_suffix(root))
            .unwrap_or(folder);
        left_out.extend(file.rust().test_modules.iter().map(|name| format!("{folder}/{name}")));
    }
    let is_for_tests = |path: &str| {
        let path = path.trim_end_matches(".rs");
        let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
        ends.into_iter().any(|at| left_out.contains(&path[..at]))
    };
    files.into_iter().filter(|file| !is_for_tests(&file.path)).collect()
}

fn numbered(text: &str) -> Vec<(usize, String)> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines.map(|(index, line)| (index + 1, line.trim().to_owned())).collect()
}

/// Comments are taken for such where they begin a line, or end one behind a space.
fn without_comments(comment: &str, block: &str, end: &str, text: &str) -> Vec<(usize, String)> {
    let mut lines = Vec::new();
    let mut is_inside = false;
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if is_inside {
            is_inside = !line.contains(end);
            continue;
        }
        if let Some(rest) = line.strip_prefix(block) {
            is_inside = !rest.contains(end);
            continue;
        }
        if line.is_empty() || line.starts_with(comment) {
            continue;
        }
        let code = line.split(&format!(" {comment} ")).next().unwrap_or(line);
        lines.push((index + 1, code.trim_end().to_owned()));
    }
    lines
}

/// Tells whether `line` holds `word` with nothing of a word beside it.
pub(super) fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let part = |c: char| c.is_alphanumeric() || c == '_';
        !line[..at].chars().next_back().is_some_and(part)
            && !line[at + word.len()..].chars().next().is_some_and(part)
    })
}

/// Tells whether `line` holds the number, with or without separators.
pub(super) fn has_number(line: &str, digits: &str) -> bool {
    has_word(&line.replace('_', ""), digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> File {
        File::new(path, text).unwrap()
    }

    #[test]
    fn comments_and_tests_are_no_code() {
        let text = "//! doc\n\nfn a() {} // why\n/* long\n comment */\nfn b() {}\n#[cfg(test)]\nmod t {}\n";
        let code = file("a.rs", text).code();
        assert_eq!(code, [(3, "fn a() {}".to_owned()), (6, "fn b() {}".to_owned())]);
        let text = "\"\"\"Doc.\n\nMore.\"\"\"\nx = 1\n# why\n\"\"\"One line.\"\"\"\ny = 2\n";
        let numbers: Vec<_> = file("a.py", text).code().iter().map(|(n, _)| *n).collect();
        assert_eq!(numbers, [4, 7]);
        let text = "/** Doc. */\nlet url = 'http://x'; // why\n/*\n more\n*/\nlet y;\n";
        let code = file("a.ts", text).code();
        assert_eq!(code, [(2, "let url = 'http://x';".to_owned()), (6, "let y;".to_owned())]);
    }

    #[test]
    fn files_of_test_modules_are_no_code() {
        let files = vec![
            file("core/src/a/mod.rs", "#[cfg(test)] mod bench; mod tests_of_others;"),
            file("core/src/a/bench.rs", "fn a() {}"),
            file("core/src/a/bench/more.rs", "fn a() {}"),
            file("core/src/a/tests_of_others.rs", "#[cfg(test)] mod tests;"),
            file("core/src/a/tests_of_others/tests.rs", "fn a() {}"),
            file("core/src/a/tests.rs", "fn its_declaration_is_no_test() {}"),
        ];
        let left = without_test_modules(files);
        let left: Vec<_> = left.iter().map(|file| &*file.path).collect();
        let expected =
            ["core/src/a/mod.rs", "core/src/a/tests_of_others.rs", "core/src/a/tests.rs"];
        assert_eq!(left, expected);
    }

    #[test]
    fn a_file_is_a_module() {
        assert_eq!(file("core/src/a/b.rs", "").module(), ["a", "b"]);
        assert_eq!(file("core/src/a/mod.rs", "").module(), ["a"]);
        assert!(file("core/src/lib.rs", "").module().is_empty());
    }

    #[test]
    fn words_and_numbers_are_found_whole() {
        assert!(has_word("x.WorkItemHash = 1", "WorkItemHash"));
        assert!(!has_word("x.WorkItemHashes", "WorkItemHash"));
        assert!(has_number("wait(30_000)", "30000"));
        assert!(!has_number("wait(130000)", "30000"));
    }
}
