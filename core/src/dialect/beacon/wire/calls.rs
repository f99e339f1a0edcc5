//! What dispatchers write and read on the beacon wire.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::api::options::Fields;
use crate::base::json::Raw;
use crate::base::json::object::{Object, inside};
use crate::dialect::beacon::options::CallOptions;
use crate::net::origin::parameter;

/// The answer to a dispatch. `outputs` is there only if the item succeeded.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct DispatchAnswer<'a> {
    pub(crate) success: Option<bool>,
    #[serde(rename = "WorkItemHash", borrow)]
    pub(crate) hash: Option<&'a RawValue>,
    pub(crate) outputs: Option<&'a RawValue>,
    pub(crate) log: Option<&'a RawValue>,
}

impl DispatchAnswer<'_> {
    /// Writes the result for the application. `bytes` are those that a stream carried by themselves.
    pub(crate) fn value(&self, bytes: &[u8]) -> Raw {
        let outputs = self.outputs.map_or("{}", RawValue::get);
        let object = Object::with_capacity(outputs.len() + 128)
            .raw("WorkItemHash", self.hash.map_or("null", RawValue::get));
        let object = match inside(outputs) {
            Some(fields) if !bytes.is_empty() => object.object("Outputs", |object| {
                object.fields(fields.trim()).text("OutputData", &STANDARD.encode(bytes))
            }),
            Some(_) | None => object.raw("Outputs", outputs),
        };
        Raw::trusted(object.raw("Log", self.log.map_or("[]", RawValue::get)).end())
    }
}

/// Which part of a list is asked for: by the query of a request, or in the payload of a call.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct ListPart {
    /// The most entries.
    pub(crate) limit: u64,
    /// The entry behind which the part begins: a hash, an id or a key.
    pub(crate) after: String,
    /// Whether items come with their settings.
    pub(crate) settings: bool,
    /// The part of the queue, `Upcoming` or `InProgress`; empty for all.
    pub(crate) bucket: String,
    /// Whether what has ended stands beside the queue.
    pub(crate) history: bool,
}

impl Default for ListPart {
    fn default() -> Self {
        Self {
            limit: 1_000,
            after: String::new(),
            settings: false,
            bucket: String::new(),
            history: false,
        }
    }
}

impl ListPart {
    /// Reads the query of a URL; what it does not know it ignores.
    pub(crate) fn of_url(url: &str) -> Self {
        let mut page = Self::default();
        let query = url.split_once('?').map_or("", |(_, query)| query);
        for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            match name {
                "limit" => page.limit = value.parse().unwrap_or(page.limit),
                "after" => page.after = percent_decode_str(value).decode_utf8_lossy().into_owned(),
                "bucket" => {
                    page.bucket = percent_decode_str(value).decode_utf8_lossy().into_owned()
                }
                "include" => page.history = value == "history",
                "settings" => page.settings = matches!(value, "true" | "1"),
                _ => {}
            }
        }
        page
    }

    /// Writes the query, with its question mark.
    pub(crate) fn query(&self) -> String {
        let Self { limit, after, settings, .. } = self;
        format!("?limit={limit}&after={}&settings={settings}", parameter(after))
    }
}

/// What an administrative call is about.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Subject {
    #[serde(rename = "WorkItemHash")]
    pub(crate) hash: String,
    #[serde(rename = "RunID")]
    pub(crate) run: String,
    #[serde(rename = "BeaconID")]
    pub(crate) beacon: String,
    #[serde(rename = "TokenID")]
    pub(crate) token: String,
    #[serde(rename = "TeamClusterID")]
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
    Object::with_capacity(settings.as_str().len() + 160)
        .text("Capability", capability)
        .text("Action", action)
        .raw("Settings", settings.as_str())
        .number("TimeoutMs", timeout_ms)
        .when(!options.affinity_key.is_empty(), |object| {
            let object = object.text("AffinityKey", &options.affinity_key);
            object
                .when(options.require_affinity, |object| object.flag("RequireAffinityMatch", true))
        })
        .end()
}

/// Writes a command to a VOLT daemon.
pub(crate) fn command(name: &str, payload: &Raw, options: &CallOptions) -> String {
    Object::with_capacity(payload.as_str().len() + name.len() + 96)
        .text("Command", name)
        .when(!payload.is_absent(), |object| object.raw("Payload", payload.as_str()))
        .text("ResponseType", options.response_type.as_str())
        .when(options.timeout_ms > 0, |object| object.number("TimeoutMs", options.timeout_ms))
        .blobs("Blobs", payload.blobs())
        .end()
}

/// Writes the reason of a cancellation.
pub(crate) fn cancellation(reason: &str) -> String {
    Object::new().text("Reason", reason).end()
}

/// Adds the idempotency key to the body that starts a run, unless it names one.
pub(crate) fn keyed_run(body: &Raw, key: &str) -> String {
    const NAME: &str = "IdempotencyKey";
    let fields = body.read::<Fields<'_>>();
    let is_named = fields.is_ok_and(|fields| fields.0.iter().any(|(name, _)| name == NAME));
    match inside(body.as_str()) {
        Some(inside) if !is_named => Object::new().fields(inside.trim()).text(NAME, key).end(),
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
pub(crate) fn dispatch_answer(body: &[u8]) -> Option<DispatchAnswer<'_>> {
    serde_json::from_str(std::str::from_utf8(body).ok()?).ok()
}
