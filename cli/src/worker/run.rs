//! Runs one work item as a command.

use std::future::Future;
use std::process::ExitStatus;

use moorline_core::json::Raw;
use moorline_driver::process::{self, Program};
use serde_json::{Value, json};

use super::arguments::fill;
use super::command::Command;
use super::keeper::Keeper;
use super::table::SettingsInput;

/// How the run of a command ended.
#[derive(Debug, PartialEq)]
pub(crate) enum Ended {
    /// By itself; the outputs of the work item.
    Exited(Value),
    /// It was withdrawn: there is nobody to tell.
    Withdrawn,
    /// It could not run, or ran too long; the message for the control plane.
    Failed(String),
}

/// Runs `command` with the settings of a work item until it exits, its time is over, or `withdrawn`
/// resolves. When this returns, no process of its group is left.
pub(crate) async fn run(
    command: &Command,
    settings: &Raw,
    keeper: &Keeper,
    withdrawn: impl Future<Output = ()>,
) -> Ended {
    let program = match program(command, settings) {
        Ok(program) => program,
        Err(problem) => return Ended::Failed(problem),
    };
    match process::run(&program, Some(command.timeout), keeper, withdrawn).await {
        process::Ended::Exited { status, out, err } => {
            let result = if status.success() { out.as_str() } else { "" };
            Ended::Exited(json!({
                "Result": result,
                "StdOut": out,
                "StdErr": err,
                "ExitCode": exit_code(status),
            }))
        }
        process::Ended::TooLong => {
            let limit = command.timeout.as_secs_f64();
            Ended::Failed(format!("the command ran longer than its limit of {limit} s"))
        }
        process::Ended::Withdrawn => Ended::Withdrawn,
        process::Ended::Failed(problem) => Ended::Failed(problem),
    }
}

fn program(command: &Command, settings: &Raw) -> Result<Program, String> {
    let mut environment = command.environment.clone();
    if command.input == SettingsInput::Environment {
        environment.push(("MOORLINE_SETTINGS".into(), settings.as_str().into()));
    }
    let input =
        (command.input == SettingsInput::Stdin).then(|| settings.as_str().as_bytes().to_vec());
    Ok(Program {
        file: command.program.clone(),
        arguments: fill(&command.arguments, settings)?.into_iter().map(Into::into).collect(),
        environment,
        folder: command.working_dir.clone(),
        input,
        output_limit: command.output_limit,
        grace: command.grace,
    })
}

/// The exit code, or 128 and the signal's number, as shells have it.
fn exit_code(status: ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(-1)
}
