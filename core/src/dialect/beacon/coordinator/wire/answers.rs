//! Bodies of HTTP answers. Key order as recorded.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use super::super::item::{Item, State};
use super::super::results::{Finished, Kept};
use super::super::worker::Worker;
use super::ActionSchema;
use super::frames::{lines, moorline, queue_metadata, with_cancels, with_metadata};
use crate::base::json::object::{Object, list, text_list};
use crate::base::time::UnixMillis;

/// A worker's record, with its session for whoever may see it; `ours` is the largest body, for a worker of ours.
pub(crate) fn beacon_record(
    worker: &Worker,
    items: Vec<&str>,
    session: Option<&str>,
    ours: Option<u64>,
) -> String {
    let object = Object::with_capacity(512)
        .text("BeaconID", &worker.beacon_id)
        .text("Name", &worker.name)
        .text_or_null("SessionID", session)
        .raw("Capabilities", &text_list(worker.capabilities.iter().map(|name| &**name)))
        .text("Status", worker.status())
        .plain("LastHeartbeat", worker.heartbeat)
        .raw("CurrentWorkItems", &text_list(items))
        .number("MaxConcurrent", worker.max_concurrent)
        .raw("Tags", worker.tags.as_str())
        .raw("Contexts", worker.contexts.as_str())
        .raw("BindAddresses", worker.bind_addresses.as_str())
        .text_or_null("HostID", worker.host_id.as_deref())
        .raw("SharedMounts", worker.shared_mounts.as_str())
        .plain("RegisteredAt", worker.registered);
    with_cancels(moorline(object, ours), &worker.cancels).end()
}

/// Settings that stand in every list, in bytes.
const SMALL: usize = 1_024;

/// An item's record, in a snapshot of the queue with its `bucket`; `reserved` if the worker that it
/// waits for is here.
///
/// Peer: settings always come; here large ones do only `with_settings`.
pub(crate) fn item_record(
    item: &Item,
    bucket: Option<&str>,
    reserved: bool,
    with_settings: bool,
) -> String {
    let order = &item.order;
    let (holder, assigned) = match item.state {
        State::Running(_) | State::Held => (item.holder.as_ref(), item.assigned),
        State::Pending(_) | State::Retry(_) => (None, None),
    };
    let wait = assigned.map_or(0, |at| at.0.saturating_sub(order.enqueued.0));
    let with_settings = with_settings || order.settings.as_str().len() <= SMALL;
    let object = Object::with_capacity(1_280)
        .given(bucket, |object, bucket| object.text("Bucket", bucket))
        .text("WorkItemHash", &order.hash)
        .text("RunHash", &order.run_hash)
        .text("RunID", &order.run_id)
        .text("NodeHash", &order.node_hash)
        .text("OperationHash", &order.operation_hash)
        .text("Capability", &order.capability)
        .text("Action", &order.action);
    let object = match assigned {
        _ if !with_settings => object,
        Some(_) => with_metadata(object, &order.settings, &queue_metadata(item)),
        None => object.raw("Settings", order.settings.as_str()),
    };
    object
        .text("AffinityKey", &order.affinity_key)
        .flag("RequireAffinityMatch", order.strict)
        .text_or_null("AssignedBeaconID", holder.map(|holder| &*holder.beacon_id))
        .text("Status", item.status(reserved))
        .number("TimeoutMs", order.timeout_ms)
        .plain("CreatedAt", order.enqueued)
        .plain("EnqueuedAt", order.enqueued)
        .plain_or_null("AssignedAt", assigned)
        .plain_or_null("DispatchedAt", assigned)
        .plain_or_null("StartedAt", assigned)
        .plain_or_null("ClaimedAt", assigned)
        .raw("CompletedAt", "null")
        .raw("CanceledAt", "null")
        .flag("CancelRequested", item.cancel_reason.is_some())
        .text("CancelReason", item.cancel_reason.as_deref().unwrap_or_default())
        .plain("LastEventAt", item.last_event)
        .number("QueueWaitMs", wait)
        .number("Priority", item.priority)
        .raw("Health", "null")
        .text("HealthLabel", "Unknown")
        .text("HealthReason", "")
        .raw("HealthComputedAt", "null")
        .raw("Result", "null")
        .number("AttemptNumber", item.attempt.max(1))
        .number("MaxAttempts", order.max_attempts)
        .number("RetryBackoffMs", order.retry_backoff_ms)
        .plain_or_null("RetryAfter", item.retry_after)
        .text_or_null("LastError", item.last_error.as_deref())
        .given(item.progress.said(item.last_event), |object, text| object.raw("Progress", &text))
        .when(!item.log.is_empty(), |object| object.raw("AccumulatedLog", &lines(&item.log)))
        .end()
}

/// One that has ended, in the history of the queue. What it was about is said while it is in memory; its
/// outcome is a request of its own.
pub(crate) fn past(kept: &Kept) -> String {
    Object::new()
        .text("WorkItemHash", &kept.hash)
        .text("Status", kept.ending.name())
        .number("AttemptNumber", kept.attempt)
        .given(kept.whole.as_deref(), |object, done| {
            object
                .text("Capability", &done.capability)
                .text("Action", &done.action)
                .text("RunID", &done.run_id)
                .plain("EnqueuedAt", done.enqueued)
                .plain("CompletedAt", done.finished)
        })
        .end()
}

/// An error of most routes.
pub(crate) fn error(text: &str) -> String {
    Object::new().text("Error", text).end()
}

/// An error of the dispatch routes.
pub(crate) fn failure(text: &str) -> String {
    Object::new().flag("Success", false).text("Error", text).end()
}

/// The answer to a body that is not JSON.
pub(crate) fn invalid_content(text: &str) -> String {
    Object::new().text("code", "InvalidContent").text("message", text).end()
}

/// The answer to whoever has no valid session.
pub(crate) fn authentication_required() -> String {
    Object::new().text("Error", "Authentication required.").flag("LoggedIn", false).end()
}

/// The answer to whoever asks for too much.
pub(crate) fn admission_denied(reason: &str, retry_after_ms: u64) -> String {
    Object::new()
        .flag("Success", false)
        .text("Error", "Admission denied.")
        .text("Reason", reason)
        .number("RetryAfterMs", retry_after_ms)
        .end()
}

/// The answer to `Enqueue`.
pub(crate) fn enqueued(
    run_id: &str,
    hash: &str,
    status: &str,
    at: UnixMillis,
    priority: i64,
) -> String {
    Object::new()
        .flag("Success", true)
        .text("RunID", run_id)
        .text("WorkItemHash", hash)
        .text("Status", status)
        .plain("EnqueuedAt", at)
        .number("Priority", priority)
        .end()
}

/// What a work item came to: the answer to `Dispatch` says `Success` too, the value of a call does not.
pub(crate) fn dispatched(with_success: bool, hash: &str, outputs: &str, log: &str) -> String {
    Object::with_capacity(outputs.len() + log.len() + 128)
        .when(with_success, |object| object.flag("Success", true))
        .text("WorkItemHash", hash)
        .raw("Outputs", outputs)
        .raw("Log", log)
        .end()
}

/// The answer to a look-up of an outcome.
pub(crate) fn result(done: &Finished) -> String {
    let object = state(&done.hash, done.ending.name(), done.attempt);
    match &done.result {
        Ok((outputs, log)) => object.raw("Outputs", outputs.as_str()).raw("Log", log.as_str()),
        Err(error) => object.text("Error", error),
    }
    .end()
}

/// The answer to a look-up of an item that is not finished.
pub(crate) fn unfinished(item: &Item, reserved: bool) -> String {
    state(&item.order.hash, item.status(reserved), item.attempt)
        .given(item.last_error.as_ref(), |object, error| object.text("Error", error))
        .end()
}

fn state(hash: &str, status: &str, attempt: u64) -> Object {
    Object::new().text("WorkItemHash", hash).text("Status", status).number("AttemptNumber", attempt)
}

/// The answer to a report over HTTP, such as `Completed`.
pub(crate) fn reported(status: &str, hash: &str) -> String {
    Object::new().text("Status", status).text("WorkItemHash", hash).end()
}

/// The answer to a change of order.
pub(crate) fn reordered(hash: &str, before: i64, after: i64) -> String {
    Object::new()
        .flag("Success", true)
        .flag("Reordered", true)
        .text("WorkItemHash", hash)
        .number("OldPriority", before)
        .number("NewPriority", after)
        .end()
}

/// The answer to a change of order that is not possible.
pub(crate) fn not_reordered(why: &str) -> String {
    Object::new().flag("Reordered", false).text("Error", why).end()
}

/// The answer to progress over HTTP, with the reason why the item is to be stopped.
pub(crate) fn noted(hash: &str, cancel: Option<&str>) -> String {
    Object::new()
        .flag("Success", true)
        .text("WorkItemHash", hash)
        .given(cancel, |object, reason| {
            object.flag("CancelRequested", true).text("CancelReason", reason)
        })
        .end()
}

/// The answer to word of a cancellation over HTTP.
pub(crate) fn succeeded(hash: &str) -> String {
    Object::new().flag("Success", true).text("WorkItemHash", hash).end()
}

/// The answer to a farewell over HTTP.
pub(crate) fn farewell(beacon_id: &str) -> String {
    Object::new().text("Status", "Deregistered").text("BeaconID", beacon_id).end()
}

/// The answer to a cancellation; `requested` where the worker runs on.
pub(crate) fn cancelled(hash: &str, cancelled: bool, requested: bool, status: &str) -> String {
    let object =
        Object::new().flag("Success", true).text("WorkItemHash", hash).flag("Canceled", cancelled);
    object
        .when(requested, |object| object.flag("CancelRequested", true))
        .text("Status", status)
        .end()
}

/// The answer to a batch: what was done, and what was wrong with the entry of each index.
pub(crate) fn batch(done: &[String], errors: &[(usize, String)]) -> String {
    let errors = errors.iter().map(|(index, text)| {
        Object::new().number("Index", *index as u64).text("Error", text).end()
    });
    Object::new().raw("Items", &list(done)).raw("Errors", &list(errors)).end()
}

/// One completed entry of a batch.
pub(crate) fn batch_completed(hash: &str) -> String {
    Object::new().text("WorkItemHash", hash).text("Status", "Completed").end()
}

/// One entry of a batch whose progress was noted.
pub(crate) fn batch_updated(hash: &str) -> String {
    Object::new().text("WorkItemHash", hash).flag("Updated", true).end()
}

/// The answer to the start of a run.
pub(crate) fn run_started(run_id: &str, at: UnixMillis, key: Option<&str>) -> String {
    Object::new()
        .flag("Success", true)
        .text("RunID", run_id)
        .text("State", "Active")
        .plain("StartedAt", at)
        .text_or_null("IdempotencyKey", key)
        .end()
}

/// The answer to the end of a run.
pub(crate) fn run_ended(run_id: &str, state: &str) -> String {
    Object::new().flag("Success", true).text("RunID", run_id).text("State", state).end()
}

/// The answer to a login that was refused.
pub(crate) fn login_refused(error: &str) -> String {
    Object::new().flag("LoggedIn", false).text("Error", error).end()
}

/// The answer to the login of a worker of ours that comes while too many do.
pub(crate) fn come_back_later(wait_ms: u64) -> String {
    Object::new()
        .flag("LoggedIn", false)
        .text("Error", "Too many workers come back at once.")
        .number("RetryAfterMs", wait_ms)
        .end()
}

/// A user, as an auth worker tells and as clients are told.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct UserRecord {
    #[serde(rename(serialize = "LoginID", deserialize = "Username"), deserialize_with = "given")]
    pub(crate) name: String,
    #[serde(rename(serialize = "IDUser", deserialize = "UserID"), deserialize_with = "id")]
    pub(crate) id: u64,
    #[serde(deserialize_with = "given")]
    pub(crate) roles: Vec<String>,
    #[serde(deserialize_with = "given")]
    pub(crate) name_first: String,
    #[serde(deserialize_with = "given")]
    pub(crate) name_last: String,
    #[serde(deserialize_with = "given")]
    pub(crate) full_name: String,
    #[serde(deserialize_with = "given")]
    pub(crate) email: String,
}

/// Reads the number of a user, which may be a text; 0 for one that is none.
fn id<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    let raw = Box::<RawValue>::deserialize(from)?;
    Ok(raw.get().trim_matches('"').parse().unwrap_or(0))
}

/// Reads a value that may be null.
pub(super) fn given<'de, T: Default + Deserialize<'de>, D: Deserializer<'de>>(
    from: D,
) -> Result<T, D::Error> {
    Option::deserialize(from).map(Option::unwrap_or_default)
}

/// The answer to a login that was accepted, and to a check of a session that holds.
pub(crate) fn logged_in(session: &str, user: &UserRecord) -> String {
    Object::new()
        .flag("LoggedIn", true)
        .text("SessionID", session)
        .number("UserID", user.id)
        .value("UserRecord", user)
        .end()
}

/// The answer to a check of a session that does not hold, and to a logout.
pub(crate) fn logged_out() -> String {
    Object::new().flag("LoggedIn", false).end()
}

/// The settings of the question whether a login is right.
pub(crate) fn login_question(user: &str, password: &str) -> String {
    Object::new().text("Username", user).text("Password", password).end()
}

/// The settings of the question whether a worker may join.
pub(crate) fn join_question(name: &str, secret: &str, capabilities: &[String]) -> String {
    Object::new()
        .text("BeaconName", name)
        .text("JoinSecret", secret)
        .raw("Capabilities", &text_list(capabilities.iter().map(String::as_str)))
        .end()
}

/// `GET /status`.
pub(crate) fn hub_status(secured: bool) -> String {
    Object::new()
        .text("Status", "Running")
        .number("ScheduleEntries", 0)
        .flag("ScheduleRunning", false)
        .flag("AuthEnabled", secured)
        .text("AuthMode", if secured { "authenticated" } else { "promiscuous" })
        .flag("SupportsUserManagement", false)
        .end()
}

/// One entry of the action catalogue; `sources` are the workers that offer it.
pub(crate) fn action_entry(action: &ActionSchema, sources: &[&str]) -> String {
    Object::new()
        .text("Capability", &action.capability)
        .text("Action", &action.action)
        .text("Description", action.description.as_deref().unwrap_or_default())
        .raw("SettingsSchema", action.settings_schema.as_ref().map_or("[]", |raw| raw.get()))
        .flag("Available", !sources.is_empty())
        .raw("SourceBeacons", &text_list(sources.iter().copied()))
        .end()
}

/// `GET /Beacon/Actions`; `entries` is a JSON list.
pub(crate) fn actions(entries: &str) -> String {
    Object::new().raw("Actions", entries).end()
}

/// `GET /Beacon/Capabilities`.
pub(crate) fn capabilities(names: &[&str], workers: usize, catalogue: &[String]) -> String {
    Object::new()
        .raw("Capabilities", &text_list(names.iter().copied()))
        .number("BeaconCount", workers as u64)
        .raw("ActionCatalog", &list(catalogue))
        .end()
}

/// One sticky binding.
pub(crate) fn binding(key: &str, beacon_id: &str, created: UnixMillis, ttl_ms: u64) -> String {
    Object::new()
        .text("AffinityKey", key)
        .text("BeaconID", beacon_id)
        .text("RunHash", "")
        .plain("CreatedAt", created)
        .plain("ExpiresAt", UnixMillis(created.0.saturating_add(ttl_ms)))
        .end()
}
