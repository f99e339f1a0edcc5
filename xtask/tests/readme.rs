//! The README shows nothing that the guides do not run, and its links lead somewhere.

use std::fs;
use std::path::Path;

/// Pages whose blocks are run by tests.
const PAGES: [&str; 5] =
    ["docs/quickstart.md", "docs/rust.md", "docs/node.md", "docs/python.md", "docs/volt-node.md"];

fn read(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    fs::read_to_string(root.join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

#[test]
fn what_it_shows_stands_where_it_is_run() {
    let pages: Vec<String> = PAGES.iter().map(|page| read(page)).collect();
    let readme = read("README.md");
    let mut shown = Vec::new();
    for block in readme.split("\n```").skip(1).step_by(2) {
        let (language, text) = block.split_once('\n').expect("a language");
        let own = format!("```{language}\n{text}\n```");
        // The gate itself runs these.
        let is_the_gate = text.contains("cargo xtask demo");
        assert!(is_the_gate || pages.iter().any(|page| page.contains(&own)), "nobody runs {own}");
        shown.push(language);
    }
    for language in ["sh", "toml", "text", "rust", "js", "python"] {
        assert!(shown.contains(&language), "the README shows no {language}");
    }
}

#[test]
fn its_links_lead_to_files() {
    let readme = read("README.md");
    let targets = readme.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let mut count = 0;
    for target in targets.filter(|target| !target.contains("://")) {
        let (path, place) = target.split_once('#').unwrap_or((target, ""));
        let page = read(path);
        let is_heading = |line: &str| line.starts_with('#') && slug(line) == place;
        assert!(!page.is_empty(), "{path} is empty");
        assert!(place.is_empty() || page.lines().any(is_heading), "{path} has no heading {place}");
        count += 1;
    }
    assert!(count > 10);
}

/// What a heading is called in links.
fn slug(heading: &str) -> String {
    let words = heading.trim_start_matches('#').trim().to_lowercase();
    words.replace(' ', "-").replace(|c: char| !c.is_alphanumeric() && c != '-', "")
}
