//! The faces of dialects: what each host language has for a dialect alone, beside what it has for all.

use std::path::Path;

use super::source::{File, files};

/// What a language has for a dialect: folders, and files by the beginning of their paths.
struct Face {
    dialect: &'static str,
    language: &'static str,
    paths: &'static [&'static str],
}

const FACES: &[Face] = &[
    Face { dialect: "netcluster", language: "Rust", paths: &["moorline/src/netcluster/"] },
    Face { dialect: "netcluster", language: "Node", paths: &["bindings-node/ts/network-cluster/"] },
    Face {
        dialect: "netcluster",
        language: "Python",
        paths: &["bindings-python/python/moorline/netcluster/"],
    },
    Face { dialect: "netcluster", language: "browser", paths: &["wasm/ts/network_cluster"] },
    Face { dialect: "wsdaemon", language: "Rust", paths: &["moorline/src/wsdaemon"] },
    Face { dialect: "wsdaemon", language: "Node", paths: &["bindings-node/ts/wsdaemon/"] },
    Face {
        dialect: "wsdaemon",
        language: "Python",
        paths: &["bindings-python/python/moorline/wsdaemon"],
    },
    Face { dialect: "volt", language: "Rust", paths: &["moorline/src/volt/"] },
    Face { dialect: "volt", language: "Node", paths: &["bindings-node/ts/volt/"] },
    Face { dialect: "volt", language: "Python", paths: &["bindings-python/python/moorline/volt/"] },
    Face { dialect: "volt", language: "browser", paths: &["wasm/ts/volt"] },
];

/// The most lines of code of one face, and of all that a dialect has.
const FACE: usize = 400;
const DIALECT: usize = 1_200;

/// Dialects that were there before the bound.
const UNBOUND: &[&str] = &["volt"];

/// Where faces are.
const FOLDERS: &[&str] = &["moorline/src", "bindings-node/ts", "bindings-python/python", "wasm/ts"];

/// Prints the faces, and adds what is too large.
pub(super) fn check(root: &Path, problems: &mut Vec<String>) -> Result<(), String> {
    let mut all = Vec::new();
    for folder in FOLDERS {
        all.extend(files(root, folder)?);
    }
    let sizes = sizes(FACES, &all);
    for (face, lines) in FACES.iter().zip(&sizes) {
        println!("{:<25} {lines:>6}", format!("{} in {}", face.dialect, face.language));
    }
    against(FACES, &sizes, problems);
    Ok(())
}

fn sizes(faces: &[Face], all: &[File]) -> Vec<usize> {
    let size = |face: &Face| {
        let is_of = |file: &&File| face.paths.iter().any(|path| file.path.starts_with(path));
        all.iter().filter(is_of).map(File::lines).sum()
    };
    faces.iter().map(size).collect()
}

fn against(faces: &[Face], sizes: &[usize], problems: &mut Vec<String>) {
    let mut dialects: Vec<(&str, usize)> = Vec::new();
    for (face, lines) in faces.iter().zip(sizes) {
        let name = format!("the face of {} in {}", face.dialect, face.language);
        if *lines == 0 {
            problems.push(format!("{name} is not where it is looked for; see faces.rs in xtask"));
        }
        if UNBOUND.contains(&face.dialect) {
            continue;
        }
        if *lines > FACE {
            problems.push(format!("{name} has {lines} lines of code; it may have {FACE}"));
        }
        match dialects.iter_mut().find(|(dialect, _)| *dialect == face.dialect) {
            Some((_, sum)) => *sum += lines,
            None => dialects.push((face.dialect, *lines)),
        }
    }
    for (dialect, sum) in dialects.into_iter().filter(|(_, sum)| *sum > DIALECT) {
        problems.push(format!(
            "the faces of {dialect} have {sum} lines of code; they may have {DIALECT}"
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROWS: &[Face] = &[
        Face { dialect: "a", language: "Rust", paths: &["r/a/"] },
        Face { dialect: "a", language: "Node", paths: &["n/a/"] },
        Face { dialect: "a", language: "Python", paths: &["p/a."] },
        Face { dialect: "a", language: "browser", paths: &["w/a"] },
    ];

    fn found(rows: &[Face], sizes: &[usize]) -> Vec<String> {
        let mut problems = Vec::new();
        against(rows, sizes, &mut problems);
        problems
    }

    #[test]
    fn lines_are_counted_by_face() {
        let file = |path: &str, text: &str| File::new(path, text).unwrap();
        let all = [
            file("r/a/mod.rs", "mod b;\n// no\n\n#[cfg(test)]\nmod tests {\n}\n"),
            file("r/a/b.rs", "fn b() {}\n"),
            file("r/ab.rs", "fn c() {}\n"),
            file("n/a/index.ts", "f();\n/** no */\n"),
            file("p/a.py", "x = 1\n"),
            file("p/ab.py", "x = 1\n"),
            file("w/a_node.ts", "f();\n"),
        ];
        assert_eq!(sizes(ROWS, &all), [2, 1, 1, 1]);
    }

    #[test]
    fn a_face_that_is_too_large_is_told() {
        assert_eq!(found(ROWS, &[FACE, FACE, FACE - 1, 1]), [""; 0]);
        assert_eq!(
            found(ROWS, &[FACE + 1, 1, 1, 1]),
            ["the face of a in Rust has 401 lines of code; it may have 400"]
        );
    }

    #[test]
    fn faces_that_are_too_large_together_are_told() {
        assert_eq!(
            found(ROWS, &[FACE, FACE, FACE, 1]),
            ["the faces of a have 1201 lines of code; they may have 1200"]
        );
    }

    #[test]
    fn a_face_that_is_not_there_is_told() {
        assert_eq!(found(ROWS, &[1, 0, 1, 1]).len(), 1);
    }

    #[test]
    fn dialects_of_before_are_not_bound() {
        let row = [Face { dialect: "volt", language: "Rust", paths: &["r/volt/"] }];
        assert_eq!(found(&row, &[DIALECT + 1]), [""; 0]);
    }
}
