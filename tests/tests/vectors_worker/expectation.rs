//! Which parts of a recording are replayed, with which options, and where our worker differs on
//! purpose, and why.

use moorline_tests::transcript::vectors;
use serde::Deserialize;
use serde_json::Value;

/// One worker of a recording.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Run {
    /// Who is replayed.
    pub(crate) peer: String,
    /// The first and the last line; both included.
    pub(crate) lines: (usize, usize),
    /// Options beside those that the recorded registration tells.
    pub(crate) options: Value,
    /// Where our worker differs on purpose.
    #[serde(default)]
    pub(crate) differences: Vec<Difference>,
    /// What must hold at the end, by paths of the snapshot.
    #[serde(default)]
    pub(crate) end: serde_json::Map<String, Value>,
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
    /// Our worker does not say the recorded line; its answer is not fed either.
    #[serde(default)]
    pub(crate) unsaid: bool,
    /// The handler does what the recorded line reports all the same.
    #[serde(default)]
    pub(crate) handled: bool,
    /// What our worker says from here on and the original did not.
    #[serde(default)]
    pub(crate) extra: Vec<Extra>,
}

/// Something that only our worker says.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Extra {
    /// What the frame or body holds, at least.
    pub(crate) says: Value,
    /// The frame, or the body with status 200, with which the control plane answers.
    pub(crate) answer: Option<Value>,
    /// It is the outcome of an item that the recorded worker dropped: its handler settles it at once.
    #[serde(default)]
    pub(crate) settled: bool,
}

/// Reads the runs of a recording.
pub(crate) fn read(name: &str) -> Vec<Run> {
    let path = vectors().join(format!("beacon/expect/worker/{name}.json"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

impl Run {
    /// Returns the differences of a line.
    pub(crate) fn of(&self, line: usize) -> impl Iterator<Item = &Difference> {
        self.differences.iter().filter(move |difference| {
            (difference.line..=difference.to.unwrap_or(difference.line)).contains(&line)
        })
    }

    pub(crate) fn is_unsaid(&self, line: usize) -> bool {
        self.of(line).any(|difference| difference.unsaid)
    }

    pub(crate) fn is_handled(&self, line: usize) -> bool {
        !self.is_unsaid(line) || self.of(line).any(|difference| difference.handled)
    }
}
