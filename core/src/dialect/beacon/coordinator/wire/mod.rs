//! What beacon workers and dispatchers say to the hub, and the texts that it answers with.
//!
//! Field names of the wire are spelled here and nowhere else in the coordinator. Unknown fields are ignored;
//! payloads stay slices of the frame. Source: `ultravisor` 1.3.24, `ultravisor-beacon` 1.0.5.

mod answers;
mod board;
mod frames;
mod status;

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

pub(crate) use answers::*;
pub(crate) use board::*;
pub(crate) use frames::*;
pub(crate) use status::*;

use crate::base::secret::Secret;
use crate::dialect::beacon::wire::Text;
pub(crate) use crate::dialect::beacon::wire::{count, failure as failed, number, text, too_large};

/// The words in a frame's `Action`.
pub(crate) mod action {
    pub(crate) const REGISTER: &str = "BeaconRegister";
    pub(crate) const HEARTBEAT: &str = "BeaconHeartbeat";
    pub(crate) const PROGRESS: &str = "WorkProgress";
    pub(crate) const COMPLETE: &str = "WorkComplete";
    pub(crate) const ERROR: &str = "WorkError";
    pub(crate) const DEREGISTER: &str = "Deregister";
    /// Source of both: `ultravisor` 1.3.27.
    pub(crate) const CANCEL_HEARD: &str = "WorkCancelAck";
    pub(crate) const CANCELLED: &str = "WorkCanceled";
}

/// What a worker says but for its registration: a frame, or the body of a request.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Report<'a> {
    /// What a frame is; a request's path says it.
    #[serde(borrow)]
    pub(crate) action: Text<'a>,
    #[serde(borrow)]
    pub(crate) work_item_hash: Cow<'a, str>,
    /// Who says it, in a request.
    #[serde(rename = "BeaconID")]
    pub(crate) beacon_id: Text<'a>,
    pub(crate) outputs: Option<&'a RawValue>,
    pub(crate) log: Option<&'a RawValue>,
    /// In a frame; a request's body is the progress itself.
    pub(crate) progress_data: Option<&'a RawValue>,
    pub(crate) error_message: Option<&'a RawValue>,
    pub(crate) attempt_number: Option<&'a RawValue>,
    pub(crate) host_lag_ms: Option<&'a RawValue>,
    pub(crate) in_flight: Option<&'a RawValue>,
    /// Whether the worker takes no more work.
    pub(crate) draining: Option<&'a RawValue>,
}

/// The body of a batch of reports; both names of the list are in use.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct BatchBody<'a> {
    #[serde(borrow)]
    pub(crate) items: Option<Vec<&'a RawValue>>,
    pub(crate) completions: Option<Vec<&'a RawValue>>,
    pub(crate) progress: Option<Vec<&'a RawValue>>,
}

/// What a worker reports before its outcome.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ProgressReport<'a> {
    #[serde(borrow)]
    pub(crate) percent: Option<&'a RawValue>,
    pub(crate) message: Option<&'a RawValue>,
    pub(crate) step: Option<&'a RawValue>,
    pub(crate) total_steps: Option<&'a RawValue>,
    pub(crate) log: Option<&'a RawValue>,
    pub(crate) binary_data: Option<&'a RawValue>,
}

/// A registration, over either carrier.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Registration<'a> {
    pub(crate) name: Option<String>,
    pub(crate) capabilities: Option<Vec<String>>,
    pub(crate) action_schemas: Option<Vec<ActionSchema>>,
    #[serde(borrow)]
    pub(crate) max_concurrent: Option<&'a RawValue>,
    pub(crate) tags: Option<&'a RawValue>,
    pub(crate) contexts: Option<&'a RawValue>,
    pub(crate) bind_addresses: Option<&'a RawValue>,
    #[serde(rename = "HostID")]
    pub(crate) host_id: Option<String>,
    pub(crate) shared_mounts: Option<&'a RawValue>,
    pub(crate) join_secret: Option<Secret>,
    pub(crate) moorline: Option<MoorlineRegistration>,
}

impl Registration<'_> {
    /// Tells whether the worker understands our acknowledgements.
    pub(crate) fn acks(&self) -> bool {
        self.moorline.as_ref().is_some_and(|ours| ours.acks)
    }

    /// Returns the id that a worker of ours had before; empty if this process registers first.
    pub(crate) fn former_id(&self) -> &str {
        self.moorline.as_ref().map_or("", |ours| &ours.beacon_id)
    }
}

/// What our worker adds to its registration.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct MoorlineRegistration {
    pub(crate) acks: bool,
    #[serde(rename = "BeaconID")]
    pub(crate) beacon_id: String,
    /// The largest message that it takes, in bytes.
    pub(crate) max_message_bytes: Option<u64>,
    pub(crate) running: Vec<RunningItem>,
    /// The number of this page of the list, from 0, and whether another follows.
    pub(crate) page: u64,
    pub(crate) more: bool,
    /// Whether it takes no more work.
    pub(crate) draining: bool,
}

/// An item that a worker still runs or whose outcome nobody has taken.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct RunningItem {
    pub(crate) work_item_hash: String,
    #[serde(default)]
    pub(crate) attempt_number: u64,
}

/// One action that a worker describes.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct ActionSchema {
    pub(crate) capability: String,
    pub(crate) action: String,
    pub(crate) description: Option<String>,
    pub(crate) settings_schema: Option<Box<RawValue>>,
}

/// What a dispatcher asks to be run.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct WorkRequest<'a> {
    pub(crate) capability: Option<String>,
    pub(crate) action: Option<String>,
    #[serde(borrow)]
    pub(crate) settings: Option<&'a RawValue>,
    pub(crate) affinity_key: Option<String>,
    pub(crate) require_affinity_match: Option<&'a RawValue>,
    pub(crate) timeout_ms: Option<&'a RawValue>,
    pub(crate) priority: Option<&'a RawValue>,
    #[serde(rename = "RunID")]
    pub(crate) run_id: Option<String>,
    pub(crate) run_hash: Option<String>,
    pub(crate) node_hash: Option<String>,
    pub(crate) operation_hash: Option<String>,
}

/// Settings that the hub itself obeys.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct HubSettings<'a> {
    #[serde(borrow)]
    pub(crate) priority: Option<&'a RawValue>,
    pub(crate) max_retries: Option<&'a RawValue>,
    pub(crate) retry_backoff_ms: Option<&'a RawValue>,
}

impl<'a> HubSettings<'a> {
    /// Reads them; most settings name none, and large ones are not parsed for it.
    pub(crate) fn find(settings: &'a str) -> Self {
        let named = ["\"priority\"", "\"maxRetries\"", "\"retryBackoffMs\""];
        if named.iter().any(|name| settings.contains(name)) {
            serde_json::from_str(settings).unwrap_or_default()
        } else {
            Self::default()
        }
    }
}

/// The body of a cancellation, a reordering, a drain, or the end of a run.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ControlBody {
    pub(crate) reason: Option<String>,
    pub(crate) direction: Option<String>,
    pub(crate) state: Option<String>,
    pub(crate) work_item_hash: Option<String>,
    #[serde(rename = "RunID")]
    pub(crate) run_id: Option<String>,
    #[serde(rename = "BeaconID")]
    pub(crate) beacon_id: Option<String>,
    pub(crate) draining: Option<bool>,
}

/// The body of the start of a run.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct RunRequest {
    pub(crate) idempotency_key: Option<String>,
}

/// A login; lower-case names are in use too.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct LoginRequest {
    #[serde(alias = "username")]
    pub(crate) user_name: Option<String>,
    #[serde(alias = "password")]
    pub(crate) password: Option<Secret>,
    moorline: Option<MoorlineLogin>,
}

/// What our worker adds to its login.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct MoorlineLogin {
    worker: Option<String>,
}

impl LoginRequest {
    /// Returns the name of the worker of ours that logs in.
    pub(crate) fn worker(&self) -> Option<&str> {
        self.moorline.as_ref()?.worker.as_deref().filter(|name| !name.is_empty())
    }
}

/// What an auth worker answers to a login.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct LoginOutputs {
    #[serde(deserialize_with = "answers::given")]
    pub(crate) success: bool,
    pub(crate) user_context: Option<UserRecord>,
}

/// What an auth worker answers about a worker that wants to join.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct JoinOutputs {
    #[serde(deserialize_with = "answers::given")]
    pub(crate) allowed: bool,
    pub(crate) reason: Option<String>,
}

/// Tells whether JavaScript would take a value for true.
pub(crate) fn truthy(raw: Option<&RawValue>) -> bool {
    raw.is_some_and(|raw| !matches!(raw.get(), "false" | "0" | "\"\"" | "null"))
}

/// Returns a raw value if it is an object.
pub(crate) fn object(raw: Option<&RawValue>) -> Option<&RawValue> {
    raw.filter(|raw| raw.get().starts_with('{'))
}

/// Returns a raw value if it is a list.
pub(crate) fn array(raw: Option<&RawValue>) -> Option<&RawValue> {
    raw.filter(|raw| raw.get().starts_with('['))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_read_in_one_pass_without_copies() {
        let text = r#"{"Action":"WorkComplete","WorkItemHash":"wi-1","Outputs":{"a":1.0},"Log":[],
            "AttemptNumber":2,"Unknown":{"x":[]}}"#;
        let frame: Report<'_> = serde_json::from_str(text).unwrap();
        assert!(matches!(frame.work_item_hash, Cow::Borrowed("wi-1")));
        assert_eq!(frame.outputs.unwrap().get(), r#"{"a":1.0}"#);
        assert_eq!(count(frame.attempt_number), Some(2));
    }

    #[test]
    fn a_report_of_whoever_has_no_id_is_read_too() {
        let text = r#"{"Action":"BeaconHeartbeat","BeaconID":null,"InFlight":2}"#;
        let frame: Report<'_> = serde_json::from_str(text).unwrap();
        assert_eq!((frame.beacon_id.as_str(), count(frame.in_flight)), ("", Some(2)));
    }

    #[test]
    fn numbers_are_read_as_javascript_writes_them() {
        let raw = |text: &str| serde_json::from_str::<Box<RawValue>>(text).unwrap();
        assert_eq!(count(Some(&raw("15000"))), Some(15_000));
        assert_eq!(count(Some(&raw("1.5e3"))), Some(1_500));
        assert_eq!(count(Some(&raw("-1"))), None);
        assert_eq!(count(Some(&raw("\"7\""))), None);
        assert!(truthy(Some(&raw("true"))) && !truthy(Some(&raw("0"))) && !truthy(None));
    }

    #[test]
    fn settings_are_searched_for_the_hubs_own_keys() {
        let found = HubSettings::find(r#"{"maxRetries":3,"retryBackoffMs":200}"#);
        assert_eq!((count(found.max_retries), count(found.retry_backoff_ms)), (Some(3), Some(200)));
        assert!(HubSettings::find(r#"{"Text":"x"}"#).max_retries.is_none());
    }
}
