//! Runs one work item: starts the command, collects its output, ends its process group.

use std::future::Future;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use moorline_core::json::Raw;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, ChildStdin};
use tokio::time::{sleep, timeout};

use super::arguments::fill;
use super::capture::Capture;
use super::command::Command;
use super::group::Group;
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
    let mut child = match start(command, settings) {
        Ok(child) => child,
        Err(problem) => return Ended::Failed(problem),
    };
    let Some(group) = Group::led_by(&child) else {
        return Ended::Failed(String::from("the command has no process id"));
    };
    keeper.began(group.id());
    let mut output = Output::default();
    let input = feed(child.stdin.take(), settings);
    let exit = async { tokio::join!(input, output.collect(&mut child, command)).1 };
    let end = tokio::select! {
        status = exit => End::Exit(status),
        () = sleep(command.timeout) => End::TooLong,
        () = withdrawn => End::Withdrawn,
    };
    group.end(&mut child, command.grace).await;
    keeper.ended(group.id());
    match end {
        End::Exit(Ok(status)) => Ended::Exited(output.into_outputs(status)),
        End::Exit(Err(e)) => Ended::Failed(format!("the command's end was not seen: {e}")),
        End::TooLong => {
            let limit = command.timeout.as_secs_f64();
            Ended::Failed(format!("the command ran longer than its limit of {limit} s"))
        }
        End::Withdrawn => Ended::Withdrawn,
    }
}

fn start(command: &Command, settings: &Raw) -> Result<Child, String> {
    let arguments = fill(&command.arguments, settings)?;
    let wants_stdin = command.input == SettingsInput::Stdin;
    let mut process = tokio::process::Command::new(&command.program);
    // Nothing here needs code between fork and exec, so that the standard library can use
    // posix_spawn: a fork of a process with threads and much memory is slow and fragile.
    process
        .args(arguments)
        .env_clear()
        .envs(command.environment.iter().map(|(name, value)| (name, value)))
        .process_group(0)
        .stdin(if wants_stdin { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    if command.input == SettingsInput::Environment {
        process.env("MOORLINE_SETTINGS", settings.as_str());
    }
    if let Some(folder) = &command.working_dir {
        process.current_dir(folder);
    }
    process.spawn().map_err(|e| format!("{} could not be started: {e}", command.program.display()))
}

/// Writes the settings and closes the pipe. A command that does not read them is its own affair.
async fn feed(stdin: Option<ChildStdin>, settings: &Raw) {
    if let Some(mut stdin) = stdin {
        let _ = stdin.write_all(settings.as_str().as_bytes()).await;
    }
}

#[derive(Default)]
struct Output {
    out: Capture,
    err: Capture,
}

impl Output {
    /// Reads both streams until the command has exited and they are at their end.
    async fn collect(
        &mut self,
        child: &mut Child,
        command: &Command,
    ) -> std::io::Result<ExitStatus> {
        let (mut out, mut err) = (child.stdout.take(), child.stderr.take());
        let limit = command.output_limit;
        let read_out = async {
            if let Some(out) = &mut out {
                self.out.read(out, limit).await;
            }
        };
        let read_err = async {
            if let Some(err) = &mut err {
                self.err.read(err, limit).await;
            }
        };
        let reading = async { tokio::join!(read_out, read_err) };
        tokio::pin!(reading);
        tokio::select! {
            _ = &mut reading => child.wait().await,
            status = child.wait() => {
                // A process that was left behind may hold the pipes open: what it still writes is
                // not waited for.
                let _ = timeout(LEFTOVER, reading).await;
                status
            }
        }
    }

    fn into_outputs(self, status: ExitStatus) -> Value {
        let out = self.out.into_text();
        let result = if status.success() { out.as_str() } else { "" };
        json!({
            "Result": result,
            "StdOut": out,
            "StdErr": self.err.into_text(),
            "ExitCode": exit_code(status),
        })
    }
}

/// The exit code, or 128 and the signal's number, as shells have it.
fn exit_code(status: ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(-1)
}

enum End {
    Exit(std::io::Result<ExitStatus>),
    TooLong,
    Withdrawn,
}

/// How long output is awaited after the command itself has exited.
const LEFTOVER: Duration = Duration::from_millis(500);
