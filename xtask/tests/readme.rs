//! The README shows nothing that the guides do not run, and its links lead somewhere.

use std::fs;
use std::path::Path;

const PAGES: [(&str, &str); 3] =
    [("rust", "docs/rust.md"), ("js", "docs/node.md"), ("python", "docs/python.md")];

fn read(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    fs::read_to_string(root.join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

#[test]
fn its_programs_stand_in_the_guides() {
    let readme = read("README.md");
    for (language, page) in PAGES {
        let fence = format!("```{language}\n");
        let block = readme.split(&fence).nth(1).and_then(|rest| rest.split("```").next());
        let block = block.unwrap_or_else(|| panic!("the README shows no {language}"));
        assert!(read(page).contains(block), "{page} does not run the README's {language}");
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
