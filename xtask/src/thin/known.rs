//! What stands in the tree against the rules and is known. The table shrinks: an entry for something
//! that is no longer there is a mistake too.

use super::source::Problem;

/// A known problem: where (a file, or a folder with its slash), and how its text begins.
const KNOWN: &[(&str, &str)] = &[];

/// Leaves out what is known, and adds entries without a problem.
pub(super) fn without(problems: Vec<Problem>) -> Vec<String> {
    settle(KNOWN, &problems)
}

fn settle(known: &[(&str, &str)], problems: &[Problem]) -> Vec<String> {
    let is_of = |(path, text): &(&str, &str), problem: &Problem| {
        let is_there =
            problem.path == *path || (path.ends_with('/') && problem.path.starts_with(path));
        is_there && problem.what.starts_with(text)
    };
    let others = problems.iter().filter(|problem| !known.iter().any(|row| is_of(row, problem)));
    let mended = known.iter().filter(|row| !problems.iter().any(|problem| is_of(row, problem)));
    let told = mended.map(|(path, text)| {
        format!("{path}: {text:?} is listed as known in xtask, but is not found any more")
    });
    others.map(ToString::to_string).chain(told).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_problems_are_left_out_and_mended_ones_are_told() {
        let problem = |path: &str, what: &str| Problem {
            path: path.to_owned(),
            line: 7,
            what: what.to_owned(),
        };
        let problems = [problem("a/b.rs", "is bad"), problem("a/c.rs", "is worse")];
        assert_eq!(settle(&[("a/", "is bad")], &problems), ["a/c.rs:7: is worse"]);
        assert_eq!(settle(&[("a/", "is")], &problems), [""; 0]);
        assert_eq!(settle(&[("a/b.rs", "is"), ("a/c.rs", "is")], &problems), [""; 0]);
        assert_eq!(settle(&[("a/", "is"), ("d.rs", "is")], &problems).len(), 1);
        assert_eq!(settle(&[("a/b", "is bad")], &problems).len(), 3);
    }
}
