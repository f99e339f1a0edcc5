//! The official server in a process of its own; `tests/peers/volt/README.md` says how it is driven.

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use serde_json::{Map, Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::{Notify, oneshot};

/// Returns the folder of the server and its scenarios.
pub(crate) fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("peers/volt")
}

/// Reads one of its files.
pub(crate) fn read(name: &str) -> Value {
    let text = std::fs::read_to_string(folder().join(name)).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// What happened, in its order.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<(Mutex<Vec<Value>>, Notify)>);

impl Log {
    /// Adds what happened.
    pub(crate) fn add(&self, entry: Value) {
        self.0.0.lock().unwrap().push(entry);
        self.0.1.notify_waiters();
    }

    /// Returns everything so far.
    pub(crate) fn all(&self) -> Vec<Value> {
        self.0.0.lock().unwrap().clone()
    }

    /// Waits for the next entry from `place` on that fits and returns the place behind it.
    pub(crate) async fn find(
        &self,
        mut place: usize,
        mut fits: impl FnMut(&Value) -> bool,
    ) -> usize {
        loop {
            let more = self.0.1.notified();
            tokio::pin!(more);
            more.as_mut().enable();
            for entry in self.all().iter().skip(place) {
                place += 1;
                if fits(entry) {
                    return place;
                }
            }
            more.await;
        }
    }
}

type Answers = Arc<Mutex<HashMap<u64, oneshot::Sender<Value>>>>;

/// A running server; killed on drop.
pub(crate) struct Server {
    _process: Child,
    input: ChildStdin,
    answers: Answers,
    asked: u64,
    /// What it has seen.
    pub(crate) records: Log,
    /// Where it is reached.
    pub(crate) url: String,
}

impl Server {
    /// Starts one.
    pub(crate) async fn start(options: &Value) -> Self {
        let mut process = Command::new("node")
            .arg(folder().join("server.mjs"))
            .arg(options.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let input = process.stdin.take().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let first: Value =
            serde_json::from_str(&lines.next_line().await.unwrap().unwrap()).unwrap();
        let (records, answers) = (Log::default(), Answers::default());
        let (log, waiting) = (records.clone(), answers.clone());
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                let line: Value = serde_json::from_str(&line).unwrap();
                if line.get("record").is_some() {
                    log.add(line);
                    continue;
                }
                let id = line["id"].as_u64().unwrap();
                // Whoever asked may have given up.
                let _ = waiting.lock().unwrap().remove(&id).unwrap().send(line);
            }
        });
        let url = format!("http://127.0.0.1:{}", first["port"]);
        Self { _process: process, input, answers, asked: 0, records, url }
    }

    /// Has it do something; everything it saw before is among the records then.
    pub(crate) async fn act(&mut self, action: &str, fields: &Map<String, Value>) -> Value {
        self.asked += 1;
        let mut line = fields.clone();
        line.insert("id".into(), json!(self.asked));
        line.insert("do".into(), json!(action));
        let (sender, receiver) = oneshot::channel();
        self.answers.lock().unwrap().insert(self.asked, sender);
        let line = format!("{}\n", Value::Object(line));
        self.input.write_all(line.as_bytes()).await.unwrap();
        let answer = receiver.await.unwrap();
        assert!(answer.get("error").is_none(), "{action}: {answer}");
        answer
    }
}
