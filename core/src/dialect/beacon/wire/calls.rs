//! What dispatchers write and read on the beacon wire.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytestring::ByteString;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::api::options::Fields;
use crate::base::json::Raw;
use crate::base::json::object::base64_list;
use crate::dialect::beacon::options::CallOptions;
use crate::dialect::beacon::wire::write::text;

/// The answer to a dispatch. `outputs` is there only if the item succeeded.
#[derive(Deserialize)]
pub(crate) struct DispatchAnswer<'a> {
    #[serde(rename = "Success", default)]
    pub(crate) success: Option<bool>,
    #[serde(rename = "WorkItemHash", borrow)]
    pub(crate) hash: Option<&'a RawValue>,
    #[serde(rename = "Outputs", borrow)]
    pub(crate) outputs: Option<&'a RawValue>,
    #[serde(rename = "Log", borrow)]
    pub(crate) log: Option<&'a RawValue>,
}

impl DispatchAnswer<'_> {
    /// Writes the result for the application. `bytes` are those that a stream carried by themselves.
    pub(crate) fn value(&self, bytes: &[u8]) -> Raw {
        let outputs = self.outputs.map_or("{}", RawValue::get);
        let mut out = String::with_capacity(outputs.len() + 128);
        out.push_str("{\"WorkItemHash\":");
        out.push_str(self.hash.map_or("null", RawValue::get));
        out.push_str(",\"Outputs\":");
        let fields = outputs.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
        match fields.map(str::trim) {
            Some(fields) if !bytes.is_empty() => {
                let comma = if fields.is_empty() { "" } else { "," };
                let data = STANDARD.encode(bytes);
                let _ = write!(out, "{{{fields}{comma}\"OutputData\":\"{data}\"}}");
            }
            Some(_) | None => out.push_str(outputs),
        }
        out.push_str(",\"Log\":");
        out.push_str(self.log.map_or("[]", RawValue::get));
        out.push('}');
        Raw::trusted(out)
    }
}

/// The answer to an order, of which only this counts.
#[derive(Deserialize)]
pub(crate) struct OrderAnswer {
    #[serde(rename = "WorkItemHash")]
    pub(crate) hash: String,
}

/// What an administrative call is about.
#[derive(Default, Deserialize)]
pub(crate) struct Subject {
    #[serde(rename = "WorkItemHash", default)]
    pub(crate) hash: String,
    #[serde(rename = "RunID", default)]
    pub(crate) run: String,
    #[serde(rename = "BeaconID", default)]
    pub(crate) beacon: String,
    #[serde(rename = "TokenID", default)]
    pub(crate) token: String,
    #[serde(rename = "TeamClusterID", default)]
    pub(crate) cluster: String,
}

/// Writes an order of work: the body of `Dispatch`, `DispatchStream` and `Enqueue`.
pub(crate) fn order(
    capability: &str,
    action: &str,
    settings: &Raw,
    timeout_ms: u64,
    options: &CallOptions,
) -> String {
    let mut out = String::with_capacity(settings.as_str().len() + 160);
    out.push_str("{\"Capability\":");
    text(&mut out, capability);
    out.push_str(",\"Action\":");
    text(&mut out, action);
    out.push_str(",\"Settings\":");
    out.push_str(settings.as_str());
    let _ = write!(out, ",\"TimeoutMs\":{timeout_ms}");
    if !options.affinity_key.is_empty() {
        out.push_str(",\"AffinityKey\":");
        text(&mut out, &options.affinity_key);
        if options.require_affinity {
            out.push_str(",\"RequireAffinityMatch\":true");
        }
    }
    out.push('}');
    out
}

/// Writes a command to a VOLT daemon.
pub(crate) fn command(name: &str, payload: &Raw, options: &CallOptions) -> String {
    let mut out = String::with_capacity(payload.as_str().len() + name.len() + 96);
    out.push_str("{\"Command\":");
    text(&mut out, name);
    if !payload.is_absent() {
        out.push_str(",\"Payload\":");
        out.push_str(payload.as_str());
    }
    let _ = write!(out, ",\"ResponseType\":\"{}\"", options.response_type.as_str());
    if options.timeout_ms > 0 {
        let _ = write!(out, ",\"TimeoutMs\":{}", options.timeout_ms);
    }
    if let Some(blobs) = base64_list(payload.blobs()) {
        out.push_str(",\"Blobs\":");
        out.push_str(&blobs);
    }
    out.push('}');
    out
}

/// Writes the reason of a cancellation.
pub(crate) fn cancellation(reason: &str) -> String {
    let mut out = String::from("{\"Reason\":");
    text(&mut out, reason);
    out.push('}');
    out
}

/// Adds the idempotency key to the body that starts a run, unless it names one.
pub(crate) fn keyed_run(body: &Raw, key: &str) -> String {
    const NAME: &str = "IdempotencyKey";
    let fields = body.read::<Fields<'_>>();
    let is_named = fields.is_ok_and(|fields| fields.0.iter().any(|(name, _)| name == NAME));
    let inner = body.as_str().strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
    match inner.map(str::trim) {
        Some(inner) if !is_named => {
            let comma = if inner.is_empty() { "" } else { "," };
            let mut out = format!("{{{inner}{comma}\"{NAME}\":");
            text(&mut out, key);
            out.push('}');
            out
        }
        Some(_) | None => body.as_str().to_owned(),
    }
}

/// Returns what an error frame of a stream says.
pub(crate) fn stream_error(payload: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct WireError {
        #[serde(rename = "Error")]
        error: String,
    }
    serde_json::from_slice::<WireError>(payload).ok().map(|body| body.error)
}

/// Reads an answer to a dispatch.
pub(crate) fn dispatch_answer(body: &ByteString) -> Option<DispatchAnswer<'_>> {
    serde_json::from_str(body).ok()
}
