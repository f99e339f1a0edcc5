//! No package has the feature that puts a script in the place of the network.

use std::path::Path;

use crate::metadata::Package;

const FEATURE: &str = "scripted";

/// What makes packages, and what stands on the lines where the feature has a right to be.
const MAKERS: [(&str, &[&str]); 6] = [
    ("bindings-node/package.json", &[]),
    ("bindings-node/scripts/build-native.mjs", &[]),
    ("bindings-node/scripts/package.mjs", &[]),
    ("bindings-python/pyproject.toml", &[]),
    ("bindings-c/install.sh", &[]),
    ("wasm/build.sh", &["--scripted", "--features \"$features,scripted\""]),
];

/// Adds what is wrong with the files that make packages.
pub(super) fn makers(root: &Path, problems: &mut Vec<String>) -> Result<(), String> {
    for (file, allowed) in MAKERS {
        let path = root.join(file);
        let text =
            std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        maker(file, &text, allowed, problems);
    }
    Ok(())
}

fn maker(file: &str, text: &str, allowed: &[&str], problems: &mut Vec<String>) {
    for (number, line) in text.lines().enumerate() {
        if line.contains(FEATURE) && !allowed.iter().any(|allowed| line.contains(allowed)) {
            problems.push(format!("{file}:{}: a package with the feature {FEATURE}", number + 1));
        }
    }
}

/// Adds what is wrong with a manifest: by default, or for another package, the feature is off.
pub(super) fn manifest(name: &str, package: &Package, problems: &mut Vec<String>) {
    let default = package.features.get("default").into_iter().flatten();
    if default.clone().any(|feature| feature.contains(FEATURE)) {
        problems.push(format!("{name} has the feature {FEATURE} by default"));
    }
    for dependency in &package.dependencies {
        let is_on = dependency.features.iter().any(|feature| feature.contains(FEATURE));
        if is_on && dependency.kind.as_deref() != Some("dev") {
            problems.push(format!("{name} has {} with the feature {FEATURE}", dependency.name));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(text: &str) -> Package {
        let rest = r#""id":"i","name":"n","version":"1","license":null,"source":null"#;
        serde_json::from_str(&format!("{{{rest},{text}}}")).unwrap()
    }

    #[test]
    fn a_package_that_turns_the_feature_on_is_caught() {
        for (planted, count) in [
            (r#""features":{"default":["scripted"]},"dependencies":[]"#, 1),
            (r#""features":{"default":["moorline-driver/scripted"]},"dependencies":[]"#, 1),
            (r#""features":{"scripted":["moorline-driver/scripted"]},"dependencies":[]"#, 0),
            (
                r#""features":{},"dependencies":[{"name":"d","kind":null,"features":["scripted"]}]"#,
                1,
            ),
            (
                r#""features":{},"dependencies":[{"name":"d","kind":"dev","features":["scripted"]}]"#,
                0,
            ),
        ] {
            let mut problems = Vec::new();
            manifest("n", &package(planted), &mut problems);
            assert_eq!(problems.len(), count, "{planted}");
        }
    }

    #[test]
    fn a_build_of_a_package_with_the_feature_is_caught() {
        let mut problems = Vec::new();
        maker("a", "cargo build --features scripted\n", &[], &mut problems);
        maker("b", "cargo build\n", &[], &mut problems);
        maker("c", "x\nmodule wasm pkg --features scripted\n", &["elsewhere"], &mut problems);
        maker("d", "module debug elsewhere --features scripted\n", &["elsewhere"], &mut problems);
        assert_eq!(problems.len(), 2, "{problems:?}");
        assert!(problems[1].starts_with("c:2:"));
    }
}
