//! Configuration: file < environment < flag, each value with where it came from.
//!
//! The tables in `moorline-core` say which options exist and what they take; this module only lays
//! the three sources over each other and hands one JSON text on. Nothing here has a default.

mod environment;
mod file;
mod print;
mod secret_file;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use moorline_core::options::{ConfigError, Field, Kind, OptionValue};
use serde_json::{Map, Value};

use crate::args::HealthArgs;
use crate::exit::Failure;

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// The subcommand itself, which has a better default than the table.
    Command(&'static str),
    /// A configuration file.
    File(PathBuf),
    /// An environment variable.
    Environment(String),
    /// A flag of the command line.
    Flag(String),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Command(name) => write!(f, "moorline {name}"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Environment(name) => f.write_str(name),
            Self::Flag(name) => f.write_str(name),
        }
    }
}

/// The values of one role, collected from the weakest source to the strongest.
///
/// Has no `Debug`: it holds secrets as they were given.
pub(crate) struct Layers {
    fields: Vec<Field>,
    values: Map<String, Value>,
    sources: BTreeMap<String, Source>,
}

impl Layers {
    /// Starts with no values for the options that `fields` describes.
    pub(crate) fn new(fields: Vec<Field>) -> Self {
        Self { fields, values: Map::new(), sources: BTreeMap::new() }
    }

    /// Sets a value that is better for `command` than the table's default. Comes before all others.
    pub(crate) fn preset(&mut self, command: &'static str, path: &str, value: impl Into<Value>) {
        self.set(path, value.into(), Source::Command(command));
    }

    /// Sets a value that a file of another form gave.
    pub(crate) fn given(&mut self, file: &std::path::Path, path: &str, value: impl Into<Value>) {
        self.set(path, value.into(), Source::File(file.to_owned()));
    }

    /// Sets a value that a flag of its own gave.
    pub(crate) fn flag(&mut self, flag: &str, path: &str, value: impl Into<Value>) {
        self.set(path, value.into(), Source::Flag(flag.to_owned()));
    }

    /// Sets where a role that runs on says how it is.
    pub(crate) fn health(&mut self, args: &HealthArgs) {
        if let Some(listen) = &args.health_listen {
            self.flag("--health", "runtime.health_listen", listen.as_str());
        }
    }

    /// Sets a secret from the file that a flag names.
    pub(crate) fn secret_flag(
        &mut self,
        flag: &str,
        path: &str,
        file: &std::path::Path,
    ) -> Result<(), Failure> {
        let secret = secret_file::read(file)
            .map_err(|problem| Failure::usage(format!("{flag}: {problem}")))?;
        self.set(path, Value::String(secret), Source::Flag(flag.to_owned()));
        Ok(())
    }

    /// Sets the values given with `--set`.
    pub(crate) fn assignments(&mut self, texts: &[String]) -> Result<(), Failure> {
        texts.iter().try_for_each(|text| self.assignment(text))
    }

    /// Sets a value given as `--set path=value`.
    fn assignment(&mut self, text: &str) -> Result<(), Failure> {
        let Some((path, value)) = text.split_once('=') else {
            return Err(Failure::usage(format!("--set takes option=value, not {text:?}")));
        };
        let Some(kind) = find(&self.fields, path).map(|field| field.kind) else {
            let mut problems = ConfigError::default();
            let known: Vec<&'static str> = self.fields.iter().map(|field| field.name).collect();
            moorline_core::options::unknown("", path, &known, &mut problems);
            return Err(Failure::usage(format!("--set {problems}")));
        };
        if matches!(kind, Kind::Secret) {
            return Err(Failure::usage(format!(
                "--set {path}: a secret is never an argument, every user of the machine can read \
                 those; set {} or {path}_file",
                environment::variable(path),
            )));
        }
        let value = from_text(kind, value);
        self.set(path, value, Source::Flag(format!("--set {path}")));
        Ok(())
    }

    /// Reads the collected values as `T`.
    ///
    /// # Errors
    /// Every problem on a line of its own, with the source of the value.
    pub(crate) fn read<T: OptionValue>(&self) -> Result<T, Failure> {
        moorline_core::options::read(&self.to_json()).map_err(|error| self.explain(&error))
    }

    /// Returns the collected values as JSON text, secrets included.
    pub(crate) fn to_json(&self) -> String {
        Value::Object(self.values.clone()).to_string()
    }

    fn explain(&self, error: &ConfigError) -> Failure {
        let mut message = String::from("the configuration is not valid:");
        for problem in &error.problems {
            let source = self.source(&problem.path);
            let from = source.map_or_else(String::new, |source| format!(" (from {source})"));
            message.push_str(&format!("\n  {}: {}{from}", problem.path, problem.message));
        }
        Failure::usage(message)
    }

    /// Finds the source of a path, or of what encloses it.
    fn source(&self, path: &str) -> Option<&Source> {
        let path = path.split('[').next().unwrap_or(path);
        self.sources.get(path).or_else(|| {
            let (parent, _) = path.rsplit_once('.')?;
            self.source(parent)
        })
    }

    /// Lays a whole object over the values, table by table.
    fn lay(&mut self, path: &str, object: Map<String, Value>, source: &Source) {
        for (key, value) in object {
            let path = moorline_core::options::join(path, &key);
            let is_table =
                find(&self.fields, &path).is_some_and(|f| matches!(f.kind, Kind::Table(_)));
            if let (true, Value::Object(inner)) = (is_table, &value) {
                self.lay(&path, inner.clone(), source);
            } else {
                self.set(&path, value, source.clone());
            }
        }
    }

    fn set(&mut self, path: &str, value: Value, source: Source) {
        let mut table = &mut self.values;
        let (parents, key) = path.rsplit_once('.').map_or(("", path), |(p, k)| (p, k));
        for parent in parents.split('.').filter(|parent| !parent.is_empty()) {
            let inner = table.entry(parent).or_insert_with(|| Value::Object(Map::new()));
            if !inner.is_object() {
                *inner = Value::Object(Map::new());
            }
            let Value::Object(inner) = inner else { return };
            table = inner;
        }
        table.insert(key.to_owned(), value);
        self.sources.insert(path.to_owned(), source);
    }
}

/// Finds the field at a dotted path.
fn find(fields: &[Field], path: &str) -> Option<Field> {
    let (head, rest) = path.split_once('.').map_or((path, None), |(h, r)| (h, Some(r)));
    let field = fields.iter().find(|field| field.name == head)?;
    match (rest, field.kind) {
        (None, _) => Some(field.clone()),
        (Some(rest), Kind::Table(inner)) => find(&inner(), rest),
        (Some(_), _) => None,
    }
}

/// Calls `visit` with every option that is not a table itself, and its dotted path.
fn each(path: &str, fields: &[Field], visit: &mut impl FnMut(String, &Field)) {
    for field in fields {
        let path = moorline_core::options::join(path, field.name);
        match field.kind {
            Kind::Table(inner) => {
                // The outer table may give a nested one defaults of its own.
                let defaults: Value = serde_json::from_str(&field.default).unwrap_or_default();
                let mut inner = inner();
                for field in &mut inner {
                    if let Some(default) = defaults.get(field.name) {
                        field.default = default.to_string();
                    }
                }
                each(&path, &inner, visit);
            }
            Kind::Integer
            | Kind::Boolean
            | Kind::Text
            | Kind::Secret
            | Kind::Word(_)
            | Kind::Json
            | Kind::TextList
            | Kind::TableList(_) => visit(path, field),
        }
    }
}

/// Turns the text of a variable or flag into what the option takes; text that does not fit stays
/// text, and the core's reader says what would have been right.
fn from_text(kind: Kind, text: &str) -> Value {
    match kind {
        Kind::Text | Kind::Secret | Kind::Word(_) => Value::String(text.to_owned()),
        Kind::Integer
        | Kind::Boolean
        | Kind::Json
        | Kind::TextList
        | Kind::Table(_)
        | Kind::TableList(_) => {
            serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()))
        }
    }
}

#[cfg(test)]
mod tests {
    use moorline_core::options::WorkerOptions;

    use super::*;

    fn layers() -> Layers {
        Layers::new(WorkerOptions::fields())
    }

    #[test]
    fn a_flag_beats_the_environment_and_that_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("worker.toml");
        std::fs::write(
            &path,
            "name = \"file\"\nmax_concurrent = 2\n[reconnect]\nmax_delay_ms = 7\n",
        )
        .unwrap();
        let mut layers = layers();
        layers.file(&path).unwrap();
        let variables = [("MOORLINE_NAME", "env"), ("MOORLINE_MAX_CONCURRENT", "3")];
        layers.environment(variables.map(|(k, v)| (k.to_owned(), v.to_owned()))).unwrap();
        layers.flag("--name", "name", "flag");

        let options: WorkerOptions = layers.read().unwrap();
        assert_eq!(options.name, "flag");
        assert_eq!(options.max_concurrent, 3);
        assert_eq!(options.reconnect.max_delay_ms, 7);
        assert_eq!(options.reconnect.base_delay_ms, 250);
    }

    #[test]
    fn a_problem_names_its_source() {
        let mut layers = layers();
        layers.environment([("MOORLINE_MAX_CONCURRENT".to_owned(), "many".to_owned())]).unwrap();
        layers.assignment("reconnect.jitter_percent=101").unwrap();
        let message = layers.read::<WorkerOptions>().unwrap_err().message;
        assert!(message.contains("max_concurrent: must be a whole number"), "{message}");
        assert!(message.contains("(from MOORLINE_MAX_CONCURRENT)"), "{message}");
        assert!(message.contains("(from --set reconnect.jitter_percent)"), "{message}");
    }

    #[test]
    fn a_secret_is_not_taken_as_an_argument() {
        let message = layers().assignment("password=hunter2").unwrap_err().message;
        assert!(message.contains("MOORLINE_PASSWORD"), "{message}");
        assert!(!message.contains("hunter2"), "{message}");
    }

    #[test]
    fn an_unknown_assignment_is_refused_with_a_suggestion() {
        let message = layers().assignment("max_concurent=2").unwrap_err().message;
        assert!(message.contains("did you mean max_concurrent?"), "{message}");
        assert!(layers().assignment("name").is_err());
    }
}
