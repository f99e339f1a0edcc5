//! A command that a worker offers: checked once at the start, so that nothing is left to be found
//! wrong when work arrives.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use moorline_core::json::Raw;
use moorline_core::options::{self, ConfigError};
use serde_json::{Value, json};

use super::arguments::Argument;
use super::table::{CommandRow, SettingRow, SettingsInput};

/// A command, ready to run.
#[derive(Debug)]
pub(crate) struct Command {
    /// `Capability/Action`.
    pub(crate) key: String,
    /// One sentence for those who dispatch work.
    pub(crate) description: String,
    /// The program's file.
    pub(crate) program: PathBuf,
    /// Its arguments, without the program.
    pub(crate) arguments: Vec<Argument>,
    /// The declared settings.
    pub(crate) settings: Vec<SettingRow>,
    /// How it gets all settings.
    pub(crate) input: SettingsInput,
    /// How long it may run.
    pub(crate) timeout: Duration,
    /// How long its processes may take to end when asked; then they are killed.
    pub(crate) grace: Duration,
    /// The most bytes kept of each output stream.
    pub(crate) output_limit: usize,
    /// The folder it runs in.
    pub(crate) working_dir: Option<PathBuf>,
    /// Its whole environment.
    pub(crate) environment: Vec<(OsString, OsString)>,
}

impl Command {
    /// Describes the command to the control plane.
    pub(crate) fn meta(&self) -> Value {
        let settings: Vec<Value> = self
            .settings
            .iter()
            .map(|row| {
                json!({
                    "Name": row.name,
                    "DataType": row.data_type,
                    "Required": row.required,
                    "Description": row.description,
                })
            })
            .collect();
        json!({"description": self.description, "settings_schema": settings})
    }
}

/// Reads the list under `command` of a configuration file.
///
/// # Errors
/// Every problem of every command, with its path.
pub(crate) fn read_all(list: &Value) -> Result<Vec<Command>, ConfigError> {
    let mut problems = ConfigError::default();
    let rows: Vec<CommandRow> = options::read(&list.to_string()).map_err(below_command)?;
    let mut commands: Vec<Command> = Vec::with_capacity(rows.len());
    for (index, row) in rows.into_iter().enumerate() {
        let path = format!("command[{index}]");
        let Some(command) = check(row, &path, &mut problems) else { continue };
        if commands.iter().any(|other| other.key == command.key) {
            problems.add(&path, format!("{} is offered twice", command.key));
        }
        commands.push(command);
    }
    if commands.is_empty() && problems.problems.is_empty() {
        problems.add(
            "command",
            "a worker needs at least one [[command]] table in the file given with --config",
        );
    }
    problems.check(commands)
}

fn below_command(error: ConfigError) -> ConfigError {
    let mut problems = ConfigError::default();
    for problem in error.problems {
        problems.add(&format!("command{}", problem.path), problem.message);
    }
    problems
}

fn check(row: CommandRow, path: &str, problems: &mut ConfigError) -> Option<Command> {
    let before = problems.problems.len();
    for (name, value) in [("capability", &row.capability), ("action", &row.action)] {
        if value.is_empty() || value.contains('/') {
            problems.add(&format!("{path}.{name}"), "must be text without a slash");
        }
    }
    let program = match row.argv.first() {
        Some(name) => find_program(name).map_err(|e| problems.add(&format!("{path}.argv"), e)),
        None => {
            problems.add(&format!("{path}.argv"), "must name a program and its arguments");
            Err(())
        }
    };
    let mut arguments = Vec::with_capacity(row.argv.len());
    for text in row.argv.iter().skip(1) {
        match Argument::parse(text, &row.settings) {
            Ok(argument) => arguments.push(argument),
            Err(problem) => problems.add(&format!("{path}.argv"), problem),
        }
    }
    for (index, setting) in row.settings.iter().enumerate() {
        if !Argument::is_name(&setting.name) {
            problems.add(
                &format!("{path}.settings[{index}].name"),
                "must be letters, digits and underscores",
            );
        }
    }
    let working_dir = (!row.working_dir.is_empty()).then(|| PathBuf::from(&row.working_dir));
    if working_dir.as_deref().is_some_and(|folder| !folder.is_dir()) {
        problems.add(&format!("{path}.working_dir"), "is not a folder");
    }
    let environment = environment(&row.env, &row.set_env)
        .map_err(|problem| problems.add(&format!("{path}.set_env"), problem));
    if problems.problems.len() > before {
        return None;
    }
    Some(Command {
        key: format!("{}/{}", row.capability, row.action),
        description: row.description,
        program: program.ok()?,
        arguments,
        settings: row.settings,
        input: row.input,
        timeout: Duration::from_millis(row.timeout_ms),
        grace: GRACE,
        output_limit: usize::try_from(row.output_limit_bytes).unwrap_or(usize::MAX),
        working_dir,
        environment: environment.ok()?,
    })
}

/// Finds the file of a program: an absolute path, or a bare name on the worker's own PATH.
fn find_program(name: &str) -> Result<PathBuf, String> {
    let path = Path::new(name);
    if path.is_absolute() {
        return if is_program(path) {
            Ok(path.to_owned())
        } else {
            Err(format!("{name} is not a program file"))
        };
    }
    if name.is_empty() || name.contains('/') {
        return Err(format!("{name:?} must be an absolute path, or a bare name to find on PATH"));
    }
    search_path()
        .iter()
        .map(|folder| folder.join(name))
        .find(|candidate| candidate.is_absolute() && is_program(candidate))
        .ok_or_else(|| format!("no program named {name} is on PATH"))
}

fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

fn search_path() -> Vec<PathBuf> {
    std::env::split_paths(&own_path()).collect()
}

fn own_path() -> OsString {
    std::env::var_os("PATH").unwrap_or_else(|| OsString::from("/usr/local/bin:/usr/bin:/bin"))
}

fn environment(names: &[String], set: &Raw) -> Result<Vec<(OsString, OsString)>, String> {
    let set: BTreeMap<String, String> =
        set.read().map_err(|_| String::from("must be a table of text"))?;
    if let Some(name) = set.keys().find(|name| name.is_empty() || name.contains(['=', '\0'])) {
        return Err(format!("{name:?} is not the name of a variable"));
    }
    let mut all = BTreeMap::from([(OsString::from("PATH"), own_path())]);
    all.extend(names.iter().filter_map(|name| Some((name.into(), std::env::var_os(name)?))));
    all.extend(set.into_iter().map(|(name, value)| (name.into(), value.into())));
    Ok(all.into_iter().collect())
}

/// From SIGTERM to SIGKILL.
const GRACE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(list: &Value) -> String {
        read_all(list).unwrap_err().to_string()
    }

    #[test]
    fn a_whole_command_is_read() {
        let commands = read_all(&json!([{
            "capability": "Text", "action": "Count", "description": "Counts.",
            "argv": ["wc", "-c", "{File}"], "settings": [{"name": "File"}],
            "timeout_ms": 1000, "output_limit_bytes": 10, "set_env": {"LANG": "C"},
        }]))
        .unwrap();
        assert_eq!(commands[0].key, "Text/Count");
        assert!(commands[0].program.is_absolute());
        assert_eq!(commands[0].meta()["settings_schema"][0]["Name"], "File");
        assert!(commands[0].environment.contains(&("LANG".into(), "C".into())));
    }

    #[test]
    fn every_problem_is_named_with_its_path() {
        let text = problems(&json!([
            {"capability": "A", "action": "b", "argv": ["no-such-program-here"]},
            {"capability": "", "action": "x/y", "argv": [], "working_dir": "/nowhere"},
        ]));
        assert!(text.contains("command[0].argv: no program named no-such-program-here"), "{text}");
        for path in ["capability", "action", "argv", "working_dir"] {
            assert!(text.contains(&format!("command[1].{path}:")), "{text}");
        }
    }

    #[test]
    fn an_unknown_key_gets_a_suggestion() {
        let text = problems(&json!([{"capability": "A", "action": "b", "argz": ["true"]}]));
        assert!(text.contains("command[0].argz: is not an option; did you mean argv?"), "{text}");
    }

    #[test]
    fn a_relative_program_is_refused() {
        let text = problems(&json!([{"capability": "A", "action": "b", "argv": ["./run.sh"]}]));
        assert!(text.contains("absolute path"), "{text}");
    }

    #[test]
    fn one_key_is_offered_once() {
        let command = json!({"capability": "A", "action": "b", "argv": ["true"]});
        assert!(problems(&json!([command, command])).contains("A/b is offered twice"));
    }

    #[test]
    fn a_worker_without_commands_is_refused() {
        assert!(problems(&json!([])).contains("at least one [[command]]"));
    }

    #[test]
    fn only_listed_variables_are_inherited() {
        let variables = environment(&[], &Raw::empty_object()).unwrap();
        let names: Vec<_> = variables.iter().map(|(name, _)| name.clone()).collect();
        assert_eq!(names, ["PATH"]);
    }
}
