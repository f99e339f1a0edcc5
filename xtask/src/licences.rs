//! Checks that every dependency comes under a licence that the project accepts, from a registry.

use std::collections::BTreeMap;

use crate::metadata::Metadata;
use crate::shell::Shell;

/// The same list stands in `deny.toml`; a test compares them.
const ALLOWED: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "MPL-2.0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Checks licences and sources; prints crates that stand in the tree in several versions.
pub(crate) fn run(shell: &Shell) -> Result<(), String> {
    let metadata = Metadata::read(shell)?;
    let mut problems = Vec::new();
    let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for package in &metadata.packages {
        let name = format!("{} {}", package.name, package.version);
        versions.entry(&package.name).or_default().push(&package.version);
        match &package.license {
            None => problems.push(format!("{name} states no licence")),
            Some(text) if accepts(text) => {}
            Some(text) => problems.push(format!("{name} comes under {text}")),
        }
        if package.source.as_deref().is_some_and(|source| !source.starts_with("registry+")) {
            problems.push(format!("{name} does not come from a registry"));
        }
    }
    let several: Vec<_> = versions
        .iter()
        .filter(|(_, versions)| versions.len() > 1)
        .map(|(name, versions)| format!("{name} ({})", versions.join(", ")))
        .collect();
    if !several.is_empty() {
        println!("in several versions: {}", several.join("; "));
    }
    if problems.is_empty() {
        println!("licences: {} packages are acceptable", metadata.packages.len());
        return Ok(());
    }
    Err(format!("{}\nallowed are: {}", problems.join("\n"), ALLOWED.join(", ")))
}

/// Tells whether an SPDX expression can be met: one side of each OR, both sides of each AND.
fn accepts(text: &str) -> bool {
    let text = text.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = text.split_whitespace().collect();
    let mut reader = Reader { words: &words, place: 0 };
    let accepted = reader.any();
    accepted && reader.place == words.len()
}

struct Reader<'a> {
    words: &'a [&'a str],
    place: usize,
}

impl<'a> Reader<'a> {
    fn next_is(&mut self, word: &str) -> bool {
        let found = self.words.get(self.place) == Some(&word);
        self.place += usize::from(found);
        found
    }

    fn next(&mut self) -> &'a str {
        let word = self.words.get(self.place).copied().unwrap_or_default();
        self.place += 1;
        word
    }

    fn any(&mut self) -> bool {
        let mut accepted = self.all();
        while self.next_is("OR") {
            accepted |= self.all();
        }
        accepted
    }

    fn all(&mut self) -> bool {
        let mut accepted = self.one();
        while self.next_is("AND") {
            accepted &= self.one();
        }
        accepted
    }

    fn one(&mut self) -> bool {
        if self.next_is("(") {
            let accepted = self.any();
            return self.next_is(")") && accepted;
        }
        let mut licence = self.next().to_owned();
        if self.next_is("WITH") {
            licence = format!("{licence} WITH {}", self.next());
        }
        ALLOWED.contains(&licence.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_met_by_one_side_of_or_and_both_of_and() {
        assert!(accepts("MIT OR Apache-2.0"));
        assert!(accepts("MIT/Apache-2.0"));
        assert!(accepts("GPL-3.0 OR MIT"));
        assert!(accepts("(MIT OR Apache-2.0) AND Unicode-3.0"));
        assert!(accepts("Apache-2.0 WITH LLVM-exception OR MIT"));
        assert!(!accepts("GPL-3.0"));
        assert!(!accepts("MIT AND GPL-3.0"));
        assert!(!accepts("(MIT AND GPL-3.0) OR AGPL-3.0"));
        assert!(!accepts("MIT )"));
        assert!(!accepts(""));
    }

    #[test]
    fn deny_toml_states_the_same_list() {
        let text = include_str!("../../deny.toml");
        let deny: toml::Table = text.parse().unwrap();
        let allow: Vec<_> = deny["licenses"]["allow"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(toml::Value::as_str)
            .collect();
        let plain: Vec<_> = ALLOWED.iter().filter(|name| !name.contains(" WITH ")).collect();
        for name in plain {
            assert!(allow.contains(name), "deny.toml lacks {name}");
        }
        assert_eq!(allow.len(), ALLOWED.len());
    }
}
