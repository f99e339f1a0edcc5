//! Lines of a transcript, as described in `vectors/netcluster/provenance.md`.

use moorline_tests::transcript::vectors;
use serde::Deserialize;
use serde_json::Value;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Line {
    /// Milliseconds since the recording began.
    pub(crate) t: f64,
    pub(crate) conn: Option<u64>,
    pub(crate) dir: String,
    pub(crate) kind: String,
    pub(crate) op: String,
    pub(crate) data: Value,
    pub(crate) enc: String,
    pub(crate) fin: Option<bool>,
    pub(crate) len: usize,
    pub(crate) code: Option<u16>,
    pub(crate) case: String,
}

impl Line {
    pub(crate) fn text(&self) -> &str {
        self.data.as_str().unwrap_or_default()
    }

    /// Returns the payload of a frame; what the recorder cut short is filled up.
    pub(crate) fn payload(&self) -> Vec<u8> {
        let text = self.text();
        if self.enc == "hex" {
            return bytes(text.trim_end_matches('.'));
        }
        if text.ends_with(" bytes)") {
            let first = text.as_bytes()[0];
            return vec![first; self.len];
        }
        text.as_bytes().to_vec()
    }

    /// Returns an event: its name and what it tells.
    pub(crate) fn event(&self) -> (&str, &[Value]) {
        let (name, rest) = self.data.as_array().and_then(|it| it.split_first()).expect("a list");
        (name.as_str().unwrap_or_default(), rest)
    }

    /// Returns the status of an answer over HTTP.
    pub(crate) fn status(&self) -> Option<u16> {
        self.text().strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()
    }
}

/// Reads a transcript. Rows less than a millisecond apart may be out of order.
pub(crate) fn read(name: &str) -> Vec<Line> {
    let path = vectors().join("netcluster").join(format!("{name}.jsonl"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{name}: {e}"));
    let lines = text.lines().skip(1).map(serde_json::from_str);
    let mut lines: Vec<Line> = lines.collect::<Result<_, _>>().expect("lines of a transcript");
    lines.sort_by(|one, other| one.t.total_cmp(&other.t));
    lines
}

/// Reads hexadecimal digits.
fn bytes(digits: &str) -> Vec<u8> {
    let pairs = (0..digits.len() / 2).map(|at| digits.get(2 * at..2 * at + 2));
    let byte = |pair: Option<&str>| u8::from_str_radix(pair.unwrap_or_default(), 16);
    pairs.map(byte).collect::<Result<_, _>>().expect("hexadecimal digits")
}
