//! Scripts of a folder that are offered as handlers: their work is run here and never reaches the
//! application.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use moorline_core::options::ScriptOptions;
use moorline_core::{Command, Error, ErrorCode, Outcome, Raw, WorkCommand, WorkId};
use tokio::sync::oneshot;

use crate::inbox::{Inbox, Rejected};
use crate::process::{self, Ended, Program};

/// The most scripts of a folder, and how deep its folders are looked into.
const MAX_SCRIPTS: usize = 4_096;
const MAX_DEPTH: usize = 8;

/// From SIGTERM to SIGKILL.
const GRACE: Duration = Duration::from_secs(5);

/// What a script gets that was asked for without parameters. Peer: the text of JavaScript.
const NO_PARAMETERS: &str = "undefined";

/// The scripts of one endpoint.
pub(crate) struct Scripts {
    /// Where the folder really is.
    folder: PathBuf,
    files: BTreeMap<String, PathBuf>,
    environment: Vec<(OsString, OsString)>,
    output_limit: usize,
    /// Dropping a sender ends the run.
    running: HashMap<WorkId, oneshot::Sender<()>>,
    inbox: Arc<Inbox>,
}

impl Scripts {
    /// Looks what the folder offers now; what comes later is not offered.
    ///
    /// # Errors
    /// `CONFIG_INVALID` for a folder that cannot be read, or with too many scripts.
    pub(crate) fn list(options: &ScriptOptions, inbox: &Arc<Inbox>) -> Result<Self, Error> {
        let mut files = BTreeMap::new();
        let mut folder = PathBuf::new();
        if !options.folder.is_empty() {
            let failed = |e: std::io::Error| {
                let message = format!("scripts.folder: {} cannot be read: {e}", options.folder);
                Error::new(ErrorCode::ConfigInvalid, message)
            };
            folder = fs::canonicalize(&options.folder).map_err(failed)?;
            look(&folder, &folder, "", 0, &mut files).map_err(failed)?;
        }
        if files.len() > MAX_SCRIPTS {
            let message = format!("scripts.folder: holds more than {MAX_SCRIPTS} scripts");
            return Err(Error::new(ErrorCode::ConfigInvalid, message));
        }
        let names = std::iter::once("PATH").chain(options.environment.iter().map(String::as_str));
        let environment =
            names.filter_map(|name| Some((name.into(), std::env::var_os(name)?))).collect();
        let output_limit = usize::try_from(options.output_limit_bytes).unwrap_or(usize::MAX);
        let inbox = Arc::clone(inbox);
        Ok(Self { folder, files, environment, output_limit, running: HashMap::new(), inbox })
    }

    /// Returns the commands that offer the scripts.
    pub(crate) fn offers(&self) -> Vec<Command> {
        let handle = |key: &String| {
            let (key, meta) = (key.clone(), Raw::empty_object());
            Command::Work(WorkCommand::Handle { key, meta })
        };
        self.files.keys().map(handle).collect()
    }

    /// Leaves a name to the application, which handles it itself.
    pub(crate) fn leave(&mut self, key: &str) {
        if self.files.remove(key).is_some() {
            tracing::info!(script = key, "a handler of the application takes the script's place");
        }
    }

    /// Begins the work of a script; tells whether it is one.
    pub(crate) fn begin(&mut self, work: WorkId, key: &str, payload: &Raw) -> bool {
        let Some(file) = self.files.get(key) else { return false };
        let argument = if payload.is_absent() { NO_PARAMETERS } else { payload.as_str() };
        let program = Program {
            file: file.clone(),
            arguments: vec![argument.into()],
            environment: self.environment.clone(),
            folder: None,
            input: None,
            output_limit: self.output_limit,
            grace: GRACE,
        };
        let is_own = is_script(file, &self.folder);
        let (keep, withdrawn) = oneshot::channel::<()>();
        self.running.insert(work, keep);
        let (inbox, name) = (Arc::clone(&self.inbox), key.to_owned());
        tokio::spawn(async move {
            let began = Instant::now();
            let ended = if is_own {
                let withdrawn = async {
                    let _ = withdrawn.await;
                };
                process::run(&program, None, &(), withdrawn).await
            } else {
                Ended::Failed(String::from("it is no executable file of the folder any more"))
            };
            let outcome = outcome(&name, ended, began.elapsed());
            let mut settled = vec![Command::Work(WorkCommand::Complete { work, outcome })];
            // Where there is no room now there will be: the outcome must not be lost.
            while inbox.submit(&mut settled) == Err(Rejected::Full) {
                tokio::task::yield_now().await;
            }
        });
        true
    }

    /// Ends the work of a script; tells whether it is one.
    pub(crate) fn withdraw(&mut self, work: WorkId) -> bool {
        self.running.remove(&work).is_some()
    }

    /// Notes that work was settled.
    pub(crate) fn settled(&mut self, work: WorkId) {
        self.running.remove(&work);
    }
}

fn outcome(name: &str, ended: Ended, took: Duration) -> Outcome {
    let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    let status = match ended {
        Ended::Exited { status, out, err } => {
            let (code, signal) = (status.code(), status.signal());
            tracing::info!(script = name, code, signal, ms, "script ended");
            for (stream, text) in [("stdout", out), ("stderr", err)] {
                if !text.is_empty() {
                    tracing::info!(script = name, stream, "{}", text.trim_end());
                }
            }
            code.map_or_else(|| String::from("null"), |code| code.to_string())
        }
        Ended::Failed(problem) => {
            tracing::warn!(script = name, "script not run: {problem}");
            String::from("-1")
        }
        Ended::TooLong | Ended::Withdrawn => {
            tracing::warn!(script = name, ms, "script ended: its time was over");
            return Outcome::Cancelled;
        }
    };
    match Raw::parse(format!("{{\"status\":{status}}}")) {
        Ok(value) => Outcome::Done { value, log: Raw::empty_list() },
        Err(e) => Outcome::Failed { message: e.to_string() },
    }
}

/// Adds the scripts below `folder`, named by their paths below `root`.
fn look(
    root: &Path,
    folder: &Path,
    prefix: &str,
    depth: usize,
    files: &mut BTreeMap<String, PathBuf>,
) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        let (path, name) = (entry.path(), format!("{prefix}{name}"));
        if entry.file_type()?.is_dir() {
            if depth < MAX_DEPTH && files.len() <= MAX_SCRIPTS {
                look(root, &path, &format!("{name}/"), depth + 1, files)?;
            }
        } else if is_script(&path, root) {
            files.insert(name, path);
        } else {
            tracing::warn!(file = name, "not offered: no executable file of the folder itself");
        }
    }
    Ok(())
}

/// Tells whether a file may be run: a regular one that its owner may execute, and none that a link
/// leads out of the folder to.
fn is_script(path: &Path, root: &Path) -> bool {
    let is_inside = fs::canonicalize(path).is_ok_and(|real| real.starts_with(root));
    is_inside
        && fs::metadata(path)
            .is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}
