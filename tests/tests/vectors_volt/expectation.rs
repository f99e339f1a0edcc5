//! How a recording is replayed, and where our daemon differs on purpose, and why.

use std::collections::BTreeMap;

use moorline_tests::transcript::vectors;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

/// What stands beside a recording.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Expectation {
    /// The transports with which it is replayed.
    pub(crate) modes: Vec<String>,
    /// Whether WebSockets pass.
    pub(crate) web_sockets: bool,
    /// What follows the host in the control socket's URL.
    pub(crate) path: String,
    /// The daemon's options beside the common ones.
    pub(crate) options: Value,
    /// The time for answers to commands.
    pub(crate) timeout_ms: u64,
    /// Payloads that the application makes for heartbeats, or `{"failed":"why"}`.
    pub(crate) beats: Vec<Box<RawValue>>,
    /// Results of handlers in place of the common ones.
    pub(crate) answers: BTreeMap<String, Box<RawValue>>,
    /// Lines between which nothing reaches the server; both included.
    pub(crate) down: Vec<(usize, usize)>,
    /// What the application does beside what the recorded packets show.
    pub(crate) actions: Vec<Action>,
    /// Where our daemon differs.
    pub(crate) differences: Vec<Difference>,
}

impl Default for Expectation {
    fn default() -> Self {
        Self {
            modes: ["upgrade", "websocket", "auto"].map(String::from).to_vec(),
            web_sockets: true,
            path: String::new(),
            options: Value::Object(Default::default()),
            timeout_ms: 30_000,
            beats: Vec::new(),
            answers: BTreeMap::new(),
            down: Vec::new(),
            actions: Vec::new(),
            differences: Vec::new(),
        }
    }
}

/// Commands of the application before a line.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Action {
    pub(crate) line: usize,
    /// A batch; empty for none.
    #[serde(default, rename = "do")]
    pub(crate) batch: Vec<Box<RawValue>>,
    /// The time for the answer to the command of this line.
    pub(crate) timeout_ms: Option<u64>,
}

/// One deliberate difference.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Difference {
    /// The recorded line, counted from 1.
    pub(crate) line: usize,
    /// The last of several lines.
    pub(crate) to: Option<usize>,
    /// Why.
    pub(crate) why: String,
    /// The line does not happen with our daemon: neither said nor told, and nobody says it to us.
    #[serde(default)]
    pub(crate) absent: bool,
    /// The application does what caused the packet, and ours does not say it.
    #[serde(default)]
    pub(crate) unsaid: bool,
    /// What is said or told instead.
    pub(crate) instead: Option<Value>,
    /// What our daemon says after the line and the original did not.
    #[serde(default)]
    pub(crate) extra: Vec<Extra>,
    /// What our application learns after the line and the recorded one did not.
    #[serde(default)]
    pub(crate) tells: Vec<Value>,
}

/// Something that only our daemon says.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Extra {
    pub(crate) conn: u64,
    /// A packet, or one of the words `@connect`, `@register` and `@beat`.
    pub(crate) says: String,
    /// What the server answers; left out for the words' own answers.
    pub(crate) answer: Option<Vec<String>>,
}

const REGISTER: &str = "42[\"team-cluster-daemon:register\",{\"teamClusterId\":\"cluster-abc123\",\
                        \"daemonPassword\":\"rotated-pw-xyz\"}]";
const REGISTERED: &str =
    "42[\"team-cluster-daemon:registered\",{\"teamClusterId\":\"cluster-abc123\"}]";

impl Extra {
    /// Returns the packet and its answers; `fresh` is an id that nobody else has.
    pub(crate) fn expanded(&self, fresh: &str) -> (String, Vec<String>) {
        let (says, answer) = match self.says.as_str() {
            "@connect" => (String::from("40"), String::from("40{\"sid\":\"further\"}")),
            "@register" => (String::from(REGISTER), String::from(REGISTERED)),
            "@beat" => (
                format!(
                    "42[\"team-cluster-daemon:message\",{{\"type\":\"command\",\
                     \"requestId\":\"{fresh}\",\"command\":\"runtime.heartbeat\",\
                     \"responseType\":\"json\",\"payload\":{{}}}}]"
                ),
                format!(
                    "42[\"team-cluster-daemon:message\",{{\"type\":\"response\",\
                     \"requestId\":\"{fresh}\",\"ok\":true,\"status\":200}}]"
                ),
            ),
            other => (other.to_owned(), String::new()),
        };
        let answer = self
            .answer
            .clone()
            .unwrap_or_else(|| if answer.is_empty() { Vec::new() } else { vec![answer] });
        (says, answer)
    }
}

/// Reads what stands beside a recording; nothing does if it is replayed as it is.
pub(crate) fn read(number: &str) -> Expectation {
    let path = vectors().join(format!("volt/expect/{number}.json"));
    let Ok(text) = std::fs::read_to_string(&path) else { return Expectation::default() };
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

impl Expectation {
    pub(crate) fn of(&self, line: usize) -> impl Iterator<Item = &Difference> {
        self.differences.iter().filter(move |difference| {
            (difference.line..=difference.to.unwrap_or(difference.line)).contains(&line)
        })
    }

    /// Returns the differences that come after a line.
    pub(crate) fn after(&self, line: usize) -> impl Iterator<Item = &Difference> {
        self.differences.iter().filter(move |it| it.to.unwrap_or(it.line) == line)
    }

    pub(crate) fn is_absent(&self, line: usize) -> bool {
        self.of(line).any(|difference| difference.absent)
    }

    pub(crate) fn instead(&self, line: usize) -> Option<&Value> {
        self.of(line).find_map(|difference| difference.instead.as_ref())
    }

    pub(crate) fn is_up(&self, line: usize) -> bool {
        !self.down.iter().any(|(from, to)| (*from..=*to).contains(&line))
    }

    pub(crate) fn timeout(&self, line: usize) -> u64 {
        let given = self.actions.iter().find(|action| action.line == line);
        given.and_then(|action| action.timeout_ms).unwrap_or(self.timeout_ms)
    }
}
