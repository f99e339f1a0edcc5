//! The programs of `docs/rust.md` are the examples of this crate, and they do what the page says.

#![allow(clippy::unwrap_used, reason = "tests may panic")]

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use moorline::Hub;

const EXAMPLES: [(&str, &str); 6] = [
    ("worker", include_str!("../examples/worker.rs")),
    ("dispatch", include_str!("../examples/dispatch.rs")),
    ("handlers", include_str!("../examples/handlers.rs")),
    ("errors", include_str!("../examples/errors.rs")),
    ("drain", include_str!("../examples/drain.rs")),
    ("testing", include_str!("../examples/testing.rs")),
];

/// What is wrong when an example is not there: `--test guide` alone does not build them.
const BUILD: &str = "cargo build --package moorline --examples builds it";

#[test]
fn the_page_shows_the_examples() {
    let page = include_str!("../../docs/rust.md");
    let blocks: Vec<&str> = page
        .split("```rust\n")
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap_or_default())
        .collect();
    let lint = "#![allow(clippy::print_stdout)]\n\n";
    let examples: Vec<String> = EXAMPLES.iter().map(|(_, text)| text.replace(lint, "")).collect();
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

/// An example that runs; ended on drop.
struct Program {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Program {
    fn start(name: &str, url: &str) -> Self {
        let mut child =
            Command::new(example(name)).arg(url).stdout(Stdio::piped()).spawn().expect(BUILD);
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
