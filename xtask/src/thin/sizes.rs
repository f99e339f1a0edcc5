//! Counts lines of code: neither blank nor comment, without tests and generated files.

use std::collections::BTreeMap;
use std::path::Path;

use super::BINDINGS;
use super::source::{File, files};

/// The most lines that the core may have, without the dialects below.
const CORE: usize = 24_840;

/// The most lines of dialects that were added since, each on parts that were there.
const DIALECTS: [(&str, usize); 2] = [("dialect/netcluster", 1_200), ("dialect/wsdaemon", 1_391)];

/// How much of core's size each binding's native part, and each one's host part, may have. Whatever a host may
/// throw, return or be asked too late is looked at there, and the names of the originals are declared.
const BINDING: f64 = 0.139;

/// Prints the table, and adds what is too large.
pub(super) fn check(root: &Path, core: &[File], problems: &mut Vec<String>) -> Result<(), String> {
    let folders = by_folder(core);
    let total: usize = folders.values().sum();
    let mut budgeted = 0;
    for (folder, lines) in &folders {
        let budget = DIALECTS.iter().find(|(dialect, _)| dialect == folder);
        let most = budget.map(|(_, most)| format!(" of at most {most}")).unwrap_or_default();
        println!("core/{folder:<20} {lines:>6}{most}");
        if let Some((_, most)) = budget {
            budgeted += lines;
            problems.extend(beyond(folder, *lines, *most));
        }
    }
    println!("{:<25} {:>6} of at most {CORE}", "core without those", total - budgeted);
    problems.extend(beyond("core", total - budgeted, CORE));
    for binding in BINDINGS {
        let mut lines = 0;
        for folder in binding.folders {
            lines += files(root, folder)?.iter().map(File::lines).sum::<usize>();
        }
        let ratio = lines as f64 / total.max(1) as f64;
        println!("{:<25} {lines:>6} {ratio:>8.3} of core", binding.name);
        problems.extend(beyond(binding.name, lines, (total as f64 * BINDING) as usize));
    }
    Ok(())
}

fn beyond(name: &str, lines: usize, most: usize) -> Option<String> {
    (lines > most).then(|| format!("{name} has {lines} lines of code; it may have {most}"))
}

/// Sums up the files of a folder of the core, or of a dialect.
fn by_folder(core: &[File]) -> BTreeMap<String, usize> {
    let mut folders = BTreeMap::new();
    for file in core {
        let module = file.module();
        let folder = match module.as_slice() {
            [] => "lib".to_owned(),
            ["dialect", name, ..] => format!("dialect/{name}"),
            [first, ..] => (*first).to_owned(),
        };
        *folders.entry(folder).or_default() += file.lines();
    }
    folders
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_summed_up_by_folder_and_dialect() {
        let file = |path: &str, text: &str| File::new(format!("core/src/{path}"), text).unwrap();
        let core = [
            file("lib.rs", "mod a;\n// no\n\nmod dialect;\n"),
            file("a.rs", "fn a() {}\n"),
            file("a/b.rs", "fn b() {\n}\n"),
            file("dialect/mod.rs", "mod volt;\n"),
            file("dialect/volt/mod.rs", "fn c() {}\n#[cfg(test)]\nmod tests {\n}\n"),
        ];
        let folders: Vec<_> = by_folder(&core).into_iter().collect();
        let expected = [("a", 3), ("dialect", 1), ("dialect/volt", 1), ("lib", 2)];
        assert_eq!(folders, expected.map(|(name, lines)| (name.to_owned(), lines)));
    }

    #[test]
    fn a_line_too_many_is_told() {
        assert_eq!(beyond("core", 7, 7), None);
        assert!(beyond("core", 8, 7).is_some());
    }
}
