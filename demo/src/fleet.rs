//! The processes: a hub and one worker per language.

use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tokio::process::Command;

use crate::process::Process;
use crate::task::Language;

/// What is started, and where logs go.
#[derive(Debug)]
pub(crate) struct Programs {
    /// The `moorline` command.
    pub(crate) moorline: PathBuf,
    /// `worker.mjs`.
    pub(crate) node_worker: Option<PathBuf>,
    /// The Python interpreter.
    pub(crate) python: Option<PathBuf>,
    /// `worker.py`.
    pub(crate) python_worker: Option<PathBuf>,
    /// The folder for logs.
    pub(crate) logs: PathBuf,
}

/// The running processes.
#[derive(Debug)]
pub(crate) struct Fleet {
    programs: Programs,
    hub: Process,
    url: String,
    workers: Vec<(Language, Process)>,
    store: TempDir,
}

impl Fleet {
    /// Starts the hub and a worker for each of `languages`.
    pub(crate) async fn start(programs: Programs, languages: &[Language]) -> Result<Self, String> {
        let store = TempDir::new().map_err(|e| format!("no temporary folder: {e}"))?;
        for name in ["hub"].into_iter().chain(languages.iter().map(|one| one.name())) {
            // Logs of an earlier run would be mistaken for those of this one.
            let _ = std::fs::remove_file(programs.log(name));
        }
        let (hub, url) = programs.start_hub(store.path(), "127.0.0.1:0").await?;
        let mut workers = Vec::with_capacity(languages.len());
        for language in languages {
            workers.push((*language, programs.start_worker(*language, &url).await?));
        }
        Ok(Self { programs, hub, url, workers, store })
    }

    /// Returns where the hub listens.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Returns the workers' names.
    pub(crate) fn names(&self) -> Vec<&'static str> {
        self.workers.iter().map(|(language, _)| language.name()).collect()
    }

    /// Kills the last worker without warning and returns its name.
    pub(crate) async fn kill_worker(&mut self) -> Option<&'static str> {
        let (language, process) = self.workers.last_mut()?;
        process.kill().await;
        Some(language.name())
    }

    /// Starts the killed worker again.
    pub(crate) async fn restart_worker(&mut self) -> Result<(), String> {
        if let Some((language, process)) = self.workers.last_mut() {
            *process = self.programs.start_worker(*language, &self.url).await?;
        }
        Ok(())
    }

    /// Kills the hub without warning.
    pub(crate) async fn kill_hub(&mut self) {
        self.hub.kill().await;
    }

    /// Starts the hub again, at the same address and on the same store.
    pub(crate) async fn restart_hub(&mut self) -> Result<(), String> {
        let address = self.url.trim_start_matches("http://");
        (self.hub, _) = self.programs.start_hub(self.store.path(), address).await?;
        Ok(())
    }

    /// Ends everything in order.
    pub(crate) async fn end(self) {
        for (_, process) in self.workers {
            process.end().await;
        }
        self.hub.end().await;
    }
}

impl Programs {
    fn log(&self, name: &str) -> PathBuf {
        self.logs.join(format!("{name}.log"))
    }

    async fn start_hub(&self, store: &Path, listen: &str) -> Result<(Process, String), String> {
        let mut command = Command::new(&self.moorline);
        command.args(["hub", "--listen", listen, "--store"]).arg(store.join("hub.db"));
        Process::start("hub", command, &self.log("hub"), |line| {
            line.strip_prefix("moorline hub listening on ").map(str::to_owned)
        })
        .await
    }

    async fn start_worker(&self, language: Language, url: &str) -> Result<Process, String> {
        let mut command = self.worker_command(language)?;
        command.args([url, language.name()]);
        let name = format!("the {} worker", language.name());
        let log = self.log(language.name());
        let ready = |line: &str| (line == "ready").then_some(());
        Process::start(&name, command, &log, ready).await.map(|(process, ())| process)
    }

    fn worker_command(&self, language: Language) -> Result<Command, String> {
        let needed = |path: &Option<PathBuf>, flag: &str| {
            let why =
                format!("the {} worker needs {flag}; or leave it out with --only", language.name());
            path.clone().ok_or(why)
        };
        Ok(match language {
            Language::Rust => {
                let program = std::env::current_exe().map_err(|e| e.to_string())?;
                let mut command = Command::new(program);
                command.arg("rust-worker");
                command
            }
            Language::Node => {
                let mut command = Command::new("node");
                command.arg(needed(&self.node_worker, "--node")?);
                command
            }
            Language::Python => {
                let mut command = Command::new(needed(&self.python, "--python")?);
                command.arg(needed(&self.python_worker, "--python-worker")?);
                command
            }
        })
    }
}
