//! Where our hub differs from a recording on purpose, and why.

use moorline_tests::transcript::vectors;
use serde::Deserialize;
use serde_json::Value;

/// One deliberate difference.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Difference {
    /// The recorded line, by its time; 0 for every line.
    pub(crate) at: u64,
    /// Why.
    pub(crate) why: String,
    /// Paths that are not compared.
    #[serde(default)]
    pub(crate) ignore: Vec<String>,
    /// What our hub says instead of the recorded line.
    pub(crate) instead: Option<Value>,
    /// Our hub does not say the recorded line.
    #[serde(default)]
    pub(crate) absent: bool,
    /// The recorded peer would not say this line to our hub.
    #[serde(default)]
    pub(crate) skip: bool,
    /// A frame that our hub sends and the original did not; after the line.
    pub(crate) extra: Option<Extra>,
    /// A request that went past the recorder; before the line.
    pub(crate) unrecorded: Option<Unrecorded>,
}

/// A frame that only our hub sends.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Extra {
    pub(crate) ws: u64,
    /// What the frame holds, at least.
    pub(crate) frame: Value,
    /// What the worker answers; ids of the frame are put in for `<work>`.
    pub(crate) answer: Option<Value>,
}

/// A request of a client that did not go through the recorder.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Unrecorded {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) body: Value,
    /// It brings the cookie of the unrecorded request before it.
    #[serde(default)]
    pub(crate) with_cookie: bool,
}

/// Reads the differences of a recording; none if there is no file.
pub(crate) fn read(name: &str) -> Vec<Difference> {
    let path = vectors().join(format!("beacon/expect/hub/{name}.json"));
    let Ok(text) = std::fs::read_to_string(&path) else { return Vec::new() };
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}
