//! Environment variables: `MOORLINE_` and the option's path in capitals, dots as underscores.

use std::collections::BTreeSet;

use moorline_core::options::{Kind, ROLES};

use super::{Layers, Source, each, from_text, secret_file};
use crate::exit::Failure;

/// Variables that are no options of a role.
const OTHERS: &[&str] = &[
    "MOORLINE_CONFIG",
    "MOORLINE_LOG_LEVEL",
    "MOORLINE_LOG_FORMAT",
    "MOORLINE_SETTINGS",
    "MOORLINE_DANGER_ACCEPT_INVALID_CERTS",
];

/// Returns the variable that sets the option at `path`.
pub(super) fn variable(path: &str) -> String {
    format!("MOORLINE_{}", path.replace('.', "_").to_uppercase())
}

impl Layers {
    /// Takes the values of every `MOORLINE_` variable that belongs to the role.
    ///
    /// # Errors
    /// A variable that no role knows, with a suggestion; a secret's file that cannot be read.
    pub(crate) fn environment(
        &mut self,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<(), Failure> {
        let known = every_variable();
        let mut problems = Vec::new();
        let mut own = Vec::new();
        each("", &self.fields, &mut |path, field| own.push((variable(&path), path, field.kind)));
        for (name, text) in variables {
            if !name.starts_with("MOORLINE_") {
                continue;
            }
            if let Some((_, path, kind)) = own.iter().find(|(variable, ..)| *variable == name) {
                self.set(path, from_text(*kind, &text), Source::Environment(name));
            } else if let Some((_, path, _)) = own.iter().find(|(variable, _, kind)| {
                matches!(kind, Kind::Secret) && name.strip_suffix("_FILE") == Some(variable)
            }) {
                match secret_file::read(text.as_ref()) {
                    Ok(secret) => self.set(path, secret.into(), Source::Environment(name)),
                    Err(problem) => problems.push(format!("{name}: {problem}")),
                }
            } else if !known.contains(&name) {
                problems.push(unknown(&name, &known));
            }
        }
        if problems.is_empty() {
            return Ok(());
        }
        Err(Failure::usage(format!("the environment is not valid:\n  {}", problems.join("\n  "))))
    }
}

fn unknown(name: &str, known: &BTreeSet<String>) -> String {
    let nearest = known
        .iter()
        .map(|candidate| (strsim::jaro_winkler(name, candidate), candidate))
        .filter(|(score, _)| *score > 0.9)
        .max_by(|one, two| one.0.total_cmp(&two.0));
    match nearest {
        Some((_, candidate)) => format!("{name} is not an option; did you mean {candidate}?"),
        None => format!("{name} is not an option; `moorline hub --print-config` lists them"),
    }
}

/// Every variable of any role: one environment often serves several of them.
fn every_variable() -> BTreeSet<String> {
    let mut names: BTreeSet<String> = OTHERS.iter().map(|name| (*name).to_owned()).collect();
    for role in ROLES {
        each("", &(role.fields)(), &mut |path, field| {
            let name = variable(&path);
            if matches!(field.kind, Kind::Secret) {
                names.insert(format!("{name}_FILE"));
            }
            names.insert(name);
        });
    }
    names
}

#[cfg(test)]
mod tests {
    use moorline_core::options::{HubOptions, WorkerOptions};

    use super::*;

    fn set(name: &str, value: &str) -> Result<Layers, Failure> {
        let mut layers = Layers::new(WorkerOptions::fields());
        layers.environment([(name.to_owned(), value.to_owned())]).map(|()| layers)
    }

    #[test]
    fn no_two_options_of_a_role_share_a_variable() {
        for role in ROLES {
            let mut names = Vec::new();
            each("", &(role.fields)(), &mut |path, _| names.push(variable(&path)));
            let count = names.len();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), count, "{}", role.role);
        }
    }

    #[test]
    fn nested_options_are_reached() {
        let layers = set("MOORLINE_RECONNECT_BASE_DELAY_MS", "77").unwrap();
        assert_eq!(layers.read::<WorkerOptions>().unwrap().reconnect.base_delay_ms, 77);
    }

    #[test]
    fn text_that_looks_like_a_number_stays_text() {
        let layers = set("MOORLINE_PASSWORD", "1234").unwrap();
        assert_eq!(layers.read::<WorkerOptions>().unwrap().password.expose(), "1234");
    }

    #[test]
    fn a_misspelt_variable_is_an_error_with_a_suggestion() {
        let message = set("MOORLINE_MAX_CONCURENT", "2").err().unwrap().message;
        assert!(message.contains("did you mean MOORLINE_MAX_CONCURRENT?"), "{message}");
    }

    #[test]
    fn variables_of_other_roles_and_programs_are_left_alone() {
        assert!(set("MOORLINE_LEASE_MS", "1000").is_ok());
        assert!(set("LEASE_MS", "1000").is_ok());
        assert!(HubOptions::fields().iter().any(|field| field.name == "lease_ms"));
    }

    #[test]
    fn a_secret_comes_from_a_file() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("join");
        std::fs::write(&path, "open sesame\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        let layers = set("MOORLINE_JOIN_SECRET_FILE", path.to_str().unwrap()).unwrap();
        assert_eq!(layers.read::<WorkerOptions>().unwrap().join_secret.expose(), "open sesame");
    }
}
