//! Every command of the operator's page is run as it stands there.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::process::{Command, Stdio};

use moorline::volt::DaemonClient;
use moorline::{Failure, Reply, WorkContext};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use support::{Finished, Folder, Running, finish, moorline, start};
use tokio::runtime::Runtime;

const PAGE: &str = include_str!("../../docs/operator.md");

/// Returns the blocks of a language.
fn blocks(language: &str) -> impl Iterator<Item = &'static str> {
    let fence = format!("```{language}\n");
    let blocks: Vec<_> = PAGE.split(&fence).skip(1).collect();
    blocks.into_iter().map(|block| block.split("```").next().unwrap())
}

/// What the page speaks of: a hub, a worker, a daemon, and the files that its commands read.
struct Stage {
    folder: Folder,
    path: String,
    hub: Option<Running>,
    url: String,
    worker: Option<Running>,
    runtime: Runtime,
    daemon: Option<DaemonClient>,
}

impl Stage {
    fn new() -> Self {
        let folder = Folder::new();
        folder.write("settings.json", r#"{"File":"/etc/hosts"}"#);
        folder.write("request.json", "{}");
        let generate = folder.write("generate", "#!/bin/sh\ncat settings.json\n");
        assert!(Command::new("chmod").args(["700", &generate]).status().unwrap().success());
        let program = std::path::Path::new(env!("CARGO_BIN_EXE_moorline")).parent().unwrap();
        let here = folder.path("");
        let inherited = std::env::var("PATH").unwrap();
        let path = format!("{}:{}:{inherited}", program.display(), here.display());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let url = String::new();
        Self { folder, path, hub: None, url, worker: None, runtime, daemon: None }
    }

    /// Has a shell run one line of the page.
    fn shell(&self, line: &str) -> Command {
        // None of the tester's own settings.
        let clean = moorline(&[]);
        let mut command = Command::new("sh");
        for (name, _) in clean.get_envs().filter(|(_, value)| value.is_none()) {
            command.env_remove(name);
        }
        command.args(["-c", line]).current_dir(self.folder.path("")).env("PATH", &self.path);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn begin_hub(&mut self, line: &str) {
        let mut command = self.shell(&format!("exec {line}"));
        let mut hub = start(command.env("MOORLINE_LISTEN", "127.0.0.1:0"));
        let greeting = hub.line_with("moorline hub listening on ");
        self.url = greeting.rsplit(' ').next().unwrap().to_owned();
        self.hub = Some(hub);
    }

    fn end_hub(&mut self) {
        let hub = self.hub.take().unwrap();
        hub.signal(Signal::SIGTERM);
        let (status, seen) = hub.wait();
        assert!(status.success(), "{seen}");
    }

    /// Starts the worker of the page, with the first of its commands.
    fn begin_worker(&mut self) {
        let page = blocks("toml").find(|block| block.contains("[[command]]")).unwrap();
        let mut parts = page.split("[[command]]");
        let config = [parts.next().unwrap(), parts.next().unwrap()].join("[[command]]");
        let file = self.folder.write("worker.toml", &config);
        let mut worker = start(&mut moorline(&["worker", "--config", &file, "--url", &self.url]));
        worker.line_with("registered");
        self.worker = Some(worker);
    }

    /// Runs a line to its end while the daemon goes on.
    fn run(&self, line: &str) -> Finished {
        let mut command = self.shell(line);
        if !line.contains("--store") {
            command.env("MOORLINE_SERVER_URL", &self.url);
        }
        let run = self.runtime.spawn_blocking(move || finish(&mut command));
        self.runtime.block_on(run).unwrap()
    }

    fn begin_daemon(&mut self, token: &str) {
        async fn answer(_: Value, _: WorkContext) -> Result<Reply, Failure> {
            Ok(Reply::new().with_data(&json!({})))
        }
        let builder = DaemonClient::builder(&self.url.replacen("http", "ws", 1), "cluster-abc123")
            .enroll(&self.url, token, "1.0.0")
            .include_credentials(true)
            .handle("jobs.list", answer)
            .handle("jobs.run", answer)
            .handle("files.read", |_: Value, _| async {
                Ok::<_, Failure>(Reply::new().with_body("bytes"))
            })
            .handle("logs.follow", |_: Value, _| async {
                let (parts, reply) = Reply::channel();
                tokio::spawn(async move { parts.send("line").await });
                Ok::<_, Failure>(reply)
            });
        self.daemon = Some(self.runtime.block_on(builder.connect()).unwrap());
    }
}

#[test]
fn every_command_of_the_operators_page_works() {
    let mut stage = Stage::new();
    let lines: Vec<&str> = blocks("sh").flat_map(str::lines).collect();
    assert!(lines.len() >= 12, "{lines:?}");
    let hub = lines.iter().find(|line| line.starts_with("moorline hub")).unwrap();
    for line in &lines {
        if line.starts_with("moorline hub") {
            stage.begin_hub(line);
            stage.begin_worker();
            continue;
        }
        let restores = line.starts_with("moorline restore");
        if restores {
            stage.worker = None;
            stage.end_hub();
        }
        let end = stage.run(line);
        assert_eq!(end.code, Some(0), "{line}: {end:?}");
        if restores {
            stage.begin_hub(hub);
            stage.begin_worker();
        }
        if line.starts_with("moorline enroll") {
            stage.begin_daemon(end.out.trim());
        }
    }
    assert_eq!(std::fs::read_to_string(stage.folder.path("file")).unwrap(), "bytes");
}
