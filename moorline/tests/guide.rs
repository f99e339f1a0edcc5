//! The programs of the guides to Rust are the examples of this crate, and they do what the pages say.

#![allow(clippy::unwrap_used, reason = "tests may panic")]

use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use moorline::Hub;
use serde_json::{Value, json};

const EXAMPLES: [(&str, &str); 6] = [
    ("worker", include_str!("../examples/worker.rs")),
    ("dispatch", include_str!("../examples/dispatch.rs")),
    ("handlers", include_str!("../examples/handlers.rs")),
    ("errors", include_str!("../examples/errors.rs")),
    ("drain", include_str!("../examples/drain.rs")),
    ("testing", include_str!("../examples/testing.rs")),
];

const VOLT: [(&str, &str); 6] = [
    ("volt_daemon", include_str!("../examples/volt_daemon.rs")),
    ("volt_commands", include_str!("../examples/volt_commands.rs")),
    ("volt_enroll", include_str!("../examples/volt_enroll.rs")),
    ("volt_handlers", include_str!("../examples/volt_handlers.rs")),
    ("volt_errors", include_str!("../examples/volt_errors.rs")),
    ("volt_testing", include_str!("../examples/volt_testing.rs")),
];

const NETCLUSTER: [(&str, &str); 1] = [("netcluster", include_str!("../examples/netcluster.rs"))];

const WSDAEMON: [(&str, &str); 1] = [("wsdaemon", include_str!("../examples/wsdaemon.rs"))];

/// What is wrong when an example is not there: `--test guide` alone does not build them.
const BUILD: &str = "cargo build --package moorline --examples builds it";

#[test]
fn the_pages_show_the_examples() {
    shows(include_str!("../../docs/rust.md"), &EXAMPLES);
    shows(include_str!("../../docs/volt-rust.md"), &VOLT);
    shows(include_str!("../../docs/netcluster-rust.md"), &NETCLUSTER);
    shows(include_str!("../../docs/wsdaemon-libraries.md"), &WSDAEMON);
}

fn shows(page: &str, examples: &[(&str, &str)]) {
    let blocks: Vec<&str> = page
        .split("```rust\n")
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap_or_default())
        .collect();
    let lint = "#![allow(clippy::print_stdout)]\n\n";
    let examples: Vec<String> = examples.iter().map(|(_, text)| text.replace(lint, "")).collect();
    assert_eq!(blocks, examples);
}

#[tokio::test]
async fn the_examples_do_what_the_page_says() {
    let hub = Hub::builder().listen("127.0.0.1:0").start().await.unwrap();
    let url = hub.url();
    let programs = tokio::task::spawn_blocking(move || {
        let worker = Program::start("worker", &url);
        assert_eq!(Program::start("dispatch", &url).end(), "\"hello\"\n");
        drop(worker);
        let text = Program::start("handlers", &url).end();
        assert!(text.contains("2 resized; [\"resizing 2 files\"]"), "{text}");
        let text = Program::start("errors", &url).end();
        assert!(text.starts_with("403 no such picture\nretryable: false; "), "{text}");
        assert_eq!(Program::start("testing", &url).end(), "passed\n");
        let mut polite = Program::start("drain", &url);
        assert_eq!(polite.line(), "ready\n");
        polite.interrupt();
        assert_eq!(polite.end(), "drained\n");
    });
    programs.await.unwrap();
}

#[test]
fn providers_and_consumers_do_what_the_page_says() {
    let said = Program::run("netcluster", &[]).end();
    let (talk, end) = said.split_at(said.find("close ").unwrap());
    assert_eq!(talk, "refused: true\nopen 127.0.0.1\nSent\nyou said hello\n");
    // Whoever closes first.
    assert!(matches!(end, "close 1005 \n" | "close 0 \n"), "{end}");
}

#[test]
fn ws_daemons_do_what_the_page_says() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("scripts/backup");
    std::fs::create_dir(folder.path().join("scripts")).unwrap();
    std::fs::write(&script, "#!/bin/sh\nexit 7\n").unwrap();
    std::fs::set_permissions(&script, PermissionsExt::from_mode(0o755)).unwrap();
    let said = Program::run_in(folder.path(), "wsdaemon", &[]).end();
    let statuses = "greet: Some(0)\nbackup: Some(7)\nunknown: Some(-1)\n";
    assert_eq!(said, format!("told {{\"load\":0.5}}\nhello Ada\n{statuses}"));
}

#[tokio::test]
async fn daemons_do_what_the_page_says() {
    let cluster = "cluster-abc123";
    let hub = Hub::builder()
        .listen("127.0.0.1:0")
        .daemon(cluster, "rotated-pw-xyz")
        .start()
        .await
        .unwrap();
    let start = |name: &'static str| Program::start(name, &hub.url());
    let call = |command: &str, payload: Value| hub.call_daemon(cluster, command, &payload);

    let mut daemon = start("volt_daemon");
    let reply = call("jobs.run", json!({"id": 7})).await.unwrap();
    assert_eq!(reply.data::<Value>().unwrap(), json!({"started": 7}));
    assert_eq!(daemon.line(), "registered\n");
    daemon.interrupt();
    assert_eq!(aside(daemon).await, "");

    assert_eq!(aside(start("volt_commands")).await, "true\n");
    let folder = tempfile::tempdir().unwrap();
    let token = hub.create_token("cluster-new", "", Duration::ZERO).await.unwrap().token;
    let file = folder.path().join("daemon.db");
    let enrolled = Program::run("volt_enroll", &[&hub.url(), &token, file.to_str().unwrap()]);
    assert_eq!(aside(enrolled).await, "enrolled: true\n");
    assert_eq!(
        aside(start("volt_errors")).await,
        "COMMAND_REJECTED Some(404)\nUnknown daemon server command: no.such.command\n"
    );
    assert_eq!(aside(start("volt_testing")).await, "passed\n");

    let handlers = start("volt_handlers");
    let reply = call("container.list", json!({})).await.unwrap();
    assert_eq!(reply.data::<Value>().unwrap(), json!(["a", "b"]));
    let reply = call("container.remove", json!({"id": "a"})).await.unwrap();
    assert_eq!(reply.status(), 202);
    assert!(reply.headers().contains_key("x-trace"));
    let refused = call("container.stop", json!({"id": "a"})).await.unwrap_err();
    assert_eq!((refused.status(), refused.message()), (Some(409), "it is being removed"));
    let reply = call("file.read", json!({})).buffer().await.unwrap();
    assert_eq!(reply.body().unwrap().as_ref(), [0, 1, 2]);
    let (sender, parts) = std::sync::mpsc::channel();
    let take = move |part| sender.send(part).unwrap();
    call("logs.follow", json!({})).stream(take).await.unwrap();
    let text: Vec<u8> = parts.iter().flat_map(|part| part.to_vec()).collect();
    assert_eq!(text, b"line 0\nline 1\nline 2\n");
    handlers.interrupt();
    assert_eq!(aside(handlers).await, "ready\n");
}

/// Waits for a good end without holding up the hub.
async fn aside(program: Program) -> String {
    tokio::task::spawn_blocking(|| program.end()).await.unwrap()
}

/// An example that runs; ended on drop.
struct Program {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Program {
    fn start(name: &str, url: &str) -> Self {
        Self::run(name, &[url])
    }

    fn run(name: &str, arguments: &[&str]) -> Self {
        Self::run_in(Path::new("."), name, arguments)
    }

    fn run_in(folder: &Path, name: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new(example(name));
        command.current_dir(folder);
        let mut child = command.args(arguments).stdout(Stdio::piped()).spawn().expect(BUILD);
        let output = BufReader::new(child.stdout.take().unwrap());
        Self { child, output }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line
    }

    fn interrupt(&self) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    }

    /// Waits for a good end and returns what was still written.
    fn end(mut self) -> String {
        let mut text = String::new();
        self.output.read_to_string(&mut text).unwrap();
        assert!(self.child.wait().unwrap().success());
        text
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Cargo puts examples beside the folder of the tests.
fn example(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let folder = test.parent().and_then(Path::parent).unwrap();
    folder.join("examples").join(name)
}
