//! A child process: started until it says it is ready, ended with this program whatever happens.

use std::fs::File;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

/// A running child process.
#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    child: Child,
}

impl Process {
    /// Starts `command` and waits until `ready` finds what it looks for in a line of its output.
    /// Its errors go to `log`.
    ///
    /// # Errors
    /// Why it did not become ready, with the end of its log.
    pub(crate) async fn start<T>(
        name: &str,
        mut command: Command,
        log: &Path,
        ready: impl Fn(&str) -> Option<T>,
    ) -> Result<(Self, T), String> {
        let errors = File::options()
            .create(true)
            .append(true)
            .open(log)
            .map_err(|e| format!("{} cannot be written: {e}", log.display()))?;
        for (variable, _) in std::env::vars_os() {
            if variable.to_string_lossy().starts_with("MOORLINE_") {
                command.env_remove(variable);
            }
        }
        let program = command.as_std().get_program().to_owned();
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(errors)
            .kill_on_drop(true)
            .spawn()
            .map_err(|e| format!("{name}: {} cannot be started: {e}", program.display()))?;
        let out = child.stdout.take().ok_or_else(|| format!("{name} has no output"))?;
        let mut lines = BufReader::new(out).lines();
        let found = timeout(READY, find(&mut lines, ready)).await;
        let mut process = Self { name: name.to_owned(), child };
        match found {
            Ok(Some(found)) => {
                tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
                Ok((process, found))
            }
            Ok(None) => {
                let status = process.child.wait().await.map_err(|e| e.to_string())?;
                Err(format!("{name} ended before it was ready, {status}{}", end_of(log)))
            }
            Err(_) => {
                process.kill().await;
                Err(format!("{name} was not ready after {} s{}", READY.as_secs(), end_of(log)))
            }
        }
    }

    /// Ends it without any warning.
    pub(crate) async fn kill(&mut self) {
        // The only way to fail is to have ended before.
        let _ = self.child.kill().await;
    }

    /// Asks it to end, and kills it if it does not.
    pub(crate) async fn end(mut self) {
        use nix::sys::signal::{Signal, kill};
        use nix::unistd::Pid;
        let id = self.child.id().and_then(|id| i32::try_from(id).ok());
        if let Some(id) = id {
            let _ = kill(Pid::from_raw(id), Signal::SIGTERM);
        }
        if timeout(PATIENCE, self.child.wait()).await.is_err() {
            crate::progress::line(&format!("{} did not end when asked; killed", self.name));
            self.kill().await;
        }
    }
}

async fn find<T>(
    lines: &mut Lines<BufReader<ChildStdout>>,
    ready: impl Fn(&str) -> Option<T>,
) -> Option<T> {
    while let Ok(Some(line)) = lines.next_line().await {
        if let Some(found) = ready(&line) {
            return Some(found);
        }
    }
    None
}

/// The last lines of a log, for a message.
fn end_of(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let last = lines.get(lines.len().saturating_sub(12)..).unwrap_or_default();
    format!("; the end of {}:\n  {}", log.display(), last.join("\n  "))
}

/// How long a process may take to become ready.
const READY: Duration = Duration::from_secs(30);

/// How long a process may take to end when asked.
const PATIENCE: Duration = Duration::from_secs(5);
