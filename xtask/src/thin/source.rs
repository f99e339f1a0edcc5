//! Reads source files line by line, without comments, tests and generated parts.

use std::fs;
use std::path::Path;

/// The languages that are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Language {
    Rust,
    TypeScript,
    Python,
}

/// A source file.
pub(super) struct File {
    /// Its path below the workspace's folder, with slashes.
    pub(super) path: String,
    pub(super) language: Language,
    text: String,
}

impl File {
    /// Returns the lines of code with their numbers: no comments, no blank lines, no tests.
    pub(super) fn code(&self) -> Vec<(usize, String)> {
        strip(self.language, &self.text)
    }

    /// Counts the lines of code.
    pub(super) fn lines(&self) -> usize {
        self.code().len()
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
    Ok(found)
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
        let language = match path.extension().and_then(|extension| extension.to_str()) {
            Some("rs") => Language::Rust,
            Some("ts" | "mts" | "cts" | "js" | "mjs" | "cjs") => Language::TypeScript,
            Some("py") => Language::Python,
            Some(_) | None => continue,
        };
        let text = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        let path = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().replace('\\', "/");
        found.push(File { path, language, text });
    }
    Ok(())
}

fn strip(language: Language, text: &str) -> Vec<(usize, String)> {
    let mut lines = Vec::new();
    let mut inside: Option<&str> = None;
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        // Tests stand last in a file of Rust.
        if language == Language::Rust && line == "#[cfg(test)]" {
            break;
        }
        if let Some(end) = inside {
            if line.contains(end) {
                inside = None;
            }
            continue;
        }
        let (comment, block, end) = match language {
            Language::Rust | Language::TypeScript => ("//", "/*", "*/"),
            Language::Python => ("#", "\"\"\"", "\"\"\""),
        };
        if let Some(rest) = line.strip_prefix(block) {
            if !rest.contains(end) {
                inside = Some(end);
            }
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

/// Returns `line` without what stands in quotes.
pub(super) fn unquoted(line: &str) -> String {
    line.split('"').step_by(2).collect::<Vec<_>>().join("\"")
}

/// Finds compound words in PascalCase inside quotes, such as `"WorkItemHash"`.
pub(super) fn compound_words(line: &str) -> Vec<String> {
    line.split('"')
        .skip(1)
        .step_by(2)
        .filter(|word| {
            let capitals = word.chars().filter(char::is_ascii_uppercase).count();
            capitals >= 2
                && capitals < word.len()
                && word.starts_with(|c: char| c.is_ascii_uppercase())
                && word.chars().all(|c| c.is_ascii_alphanumeric())
        })
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_tests_are_no_code() {
        let text = "//! doc\n\nfn a() {} // why\n/* long\n comment */\nfn b() {}\n#[cfg(test)]\nmod t {}\n";
        let code = strip(Language::Rust, text);
        assert_eq!(code, [(3, "fn a() {}".to_owned()), (6, "fn b() {}".to_owned())]);
        let text = "\"\"\"Doc.\n\nMore.\"\"\"\nx = 1\n# why\n\"\"\"One line.\"\"\"\ny = 2\n";
        let numbers: Vec<_> = strip(Language::Python, text).iter().map(|(n, _)| *n).collect();
        assert_eq!(numbers, [4, 7]);
    }

    #[test]
    fn words_and_numbers_are_found_whole() {
        assert!(has_word("x.WorkItemHash = 1", "WorkItemHash"));
        assert!(!has_word("x.WorkItemHashes", "WorkItemHash"));
        assert!(has_number("wait(30_000)", "30000"));
        assert!(!has_number("wait(130000)", "30000"));
    }

    #[test]
    fn compound_words_are_those_of_a_wire() {
        let line = r#"#[serde(rename = "WorkItemHash", alias = "Name")] const A: &str = "OK";"#;
        assert_eq!(compound_words(line), ["WorkItemHash"]);
    }
}
