//! Bodies of HTTP answers. Key order as recorded.

use super::frames::{Delivery, moorline, queue_metadata, with_metadata};
use crate::base::json::object::{Object, list, text_list};
use crate::base::time::UnixMillis;

/// A worker's record.
#[derive(Debug)]
pub(crate) struct WorkerView<'a> {
    pub(crate) beacon_id: &'a str,
    pub(crate) name: &'a str,
    pub(crate) session: Option<&'a str>,
    pub(crate) capabilities: Vec<&'a str>,
    pub(crate) status: &'static str,
    pub(crate) heartbeat: UnixMillis,
    pub(crate) items: Vec<&'a str>,
    pub(crate) max_concurrent: u64,
    pub(crate) tags: &'a str,
    pub(crate) contexts: &'a str,
    pub(crate) bind_addresses: &'a str,
    pub(crate) host_id: Option<&'a str>,
    pub(crate) shared_mounts: &'a str,
    pub(crate) registered: UnixMillis,
}

/// A worker's record; with `acks` it answers a worker of ours.
pub(crate) fn beacon_record(view: &WorkerView<'_>, acks: bool) -> String {
    let object = Object::with_capacity(512)
        .text("BeaconID", view.beacon_id)
        .text("Name", view.name)
        .text_or_null("SessionID", view.session)
        .raw("Capabilities", &text_list(view.capabilities.iter().copied()))
        .text("Status", view.status)
        .plain("LastHeartbeat", view.heartbeat)
        .raw("CurrentWorkItems", &text_list(view.items.iter().copied()))
        .number("MaxConcurrent", view.max_concurrent)
        .raw("Tags", view.tags)
        .raw("Contexts", view.contexts)
        .raw("BindAddresses", view.bind_addresses)
        .text_or_null("HostID", view.host_id)
        .raw("SharedMounts", view.shared_mounts)
        .plain("RegisteredAt", view.registered);
    moorline(object, acks).end()
}

/// An item as the management views show it.
#[derive(Debug)]
pub(crate) struct ItemView<'a> {
    pub(crate) delivery: Delivery<'a>,
    pub(crate) run_hash: &'a str,
    pub(crate) node_hash: &'a str,
    pub(crate) affinity_key: &'a str,
    pub(crate) strict: bool,
    pub(crate) beacon_id: Option<&'a str>,
    pub(crate) status: &'static str,
    pub(crate) assigned: Option<UnixMillis>,
    pub(crate) cancel_reason: Option<&'a str>,
    pub(crate) last_event: UnixMillis,
    pub(crate) priority: i64,
    pub(crate) max_attempts: u64,
    pub(crate) retry_backoff_ms: u64,
    pub(crate) retry_after: Option<UnixMillis>,
    pub(crate) last_error: Option<&'a str>,
}

/// An item's record.
pub(crate) fn item_record(view: &ItemView<'_>) -> String {
    let delivery = &view.delivery;
    let settings = match view.assigned {
        Some(_) => with_metadata(delivery.settings, &queue_metadata(delivery)),
        None => delivery.settings.to_owned(),
    };
    let wait = view.assigned.map_or(0, |at| at.0.saturating_sub(delivery.enqueued.0));
    Object::with_capacity(settings.len() + 1_024)
        .text("WorkItemHash", delivery.hash)
        .text("RunHash", view.run_hash)
        .text("RunID", delivery.run_id)
        .text("NodeHash", view.node_hash)
        .text("OperationHash", delivery.operation_hash)
        .text("Capability", delivery.capability)
        .text("Action", delivery.action)
        .raw("Settings", &settings)
        .text("AffinityKey", view.affinity_key)
        .flag("RequireAffinityMatch", view.strict)
        .text_or_null("AssignedBeaconID", view.beacon_id)
        .text("Status", view.status)
        .number("TimeoutMs", delivery.timeout_ms)
        .plain("CreatedAt", delivery.enqueued)
        .plain("EnqueuedAt", delivery.enqueued)
        .plain_or_null("AssignedAt", view.assigned)
        .plain_or_null("DispatchedAt", view.assigned)
        .plain_or_null("StartedAt", view.assigned)
        .plain_or_null("ClaimedAt", view.assigned)
        .raw("CompletedAt", "null")
        .raw("CanceledAt", "null")
        .flag("CancelRequested", view.cancel_reason.is_some())
        .text("CancelReason", view.cancel_reason.unwrap_or(""))
        .plain("LastEventAt", view.last_event)
        .number("QueueWaitMs", wait)
        .number("Priority", view.priority)
        .raw("Health", "null")
        .text("HealthLabel", "Unknown")
        .text("HealthReason", "")
        .raw("HealthComputedAt", "null")
        .raw("Result", "null")
        .number("AttemptNumber", delivery.attempt.max(1))
        .number("MaxAttempts", view.max_attempts)
        .number("RetryBackoffMs", view.retry_backoff_ms)
        .plain_or_null("RetryAfter", view.retry_after)
        .text_or_null("LastError", view.last_error)
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

/// The answer to a dispatch that succeeded.
pub(crate) fn dispatched(hash: &str, outputs: &str, log: &str) -> String {
    Object::with_capacity(outputs.len() + log.len() + 128)
        .flag("Success", true)
        .text("WorkItemHash", hash)
        .raw("Outputs", outputs)
        .raw("Log", log)
        .end()
}

/// The value of an in-process call that succeeded.
pub(crate) fn call_value(hash: &str, outputs: &str, log: &str) -> String {
    Object::with_capacity(outputs.len() + log.len() + 128)
        .text("WorkItemHash", hash)
        .raw("Outputs", outputs)
        .raw("Log", log)
        .end()
}

/// The state or the outcome of an item.
#[derive(Debug)]
pub(crate) struct ResultView<'a> {
    pub(crate) hash: &'a str,
    pub(crate) status: &'static str,
    pub(crate) attempt: u64,
    pub(crate) outputs: Option<&'a str>,
    pub(crate) log: Option<&'a str>,
    pub(crate) error: Option<&'a str>,
}

/// The answer to a look-up of a result.
pub(crate) fn result(view: &ResultView<'_>) -> String {
    let mut object = Object::new()
        .text("WorkItemHash", view.hash)
        .text("Status", view.status)
        .number("AttemptNumber", view.attempt);
    if let Some(outputs) = view.outputs {
        object = object.raw("Outputs", outputs);
    }
    if let Some(log) = view.log {
        object = object.raw("Log", log);
    }
    if let Some(error) = view.error {
        object = object.text("Error", error);
    }
    object.end()
}

/// The answer to a report over HTTP, such as `Completed`.
pub(crate) fn reported(status: &str, hash: &str) -> String {
    Object::new().text("Status", status).text("WorkItemHash", hash).end()
}

/// The answer to progress over HTTP.
pub(crate) fn progressed(hash: &str) -> String {
    Object::new().flag("Success", true).text("WorkItemHash", hash).end()
}

/// The answer to a farewell over HTTP.
pub(crate) fn farewell(beacon_id: &str) -> String {
    Object::new().text("Status", "Deregistered").text("BeaconID", beacon_id).end()
}

/// The answer to a cancellation.
pub(crate) fn cancelled(hash: &str, cancelled: bool, status: &str) -> String {
    let object =
        Object::new().flag("Success", true).text("WorkItemHash", hash).flag("Canceled", cancelled);
    let object = if cancelled { object } else { object.flag("CancelRequested", true) };
    object.text("Status", status).end()
}

/// The answer to a change of order.
pub(crate) fn reordered(hash: &str) -> String {
    Object::new().flag("Success", true).text("WorkItemHash", hash).end()
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

/// Who holds a session.
#[derive(Clone, Debug)]
pub(crate) struct UserRecord {
    pub(crate) id: u64,
    pub(crate) name: String,
    pub(crate) roles: Vec<String>,
    pub(crate) name_first: String,
    pub(crate) name_last: String,
    pub(crate) full_name: String,
    pub(crate) email: String,
}

/// The answer to a login that was accepted, and to a check of a session that holds.
pub(crate) fn logged_in(session: &str, user: &UserRecord) -> String {
    let record = Object::new()
        .text("LoginID", &user.name)
        .number("IDUser", user.id)
        .raw("Roles", &text_list(user.roles.iter().map(String::as_str)))
        .text("NameFirst", &user.name_first)
        .text("NameLast", &user.name_last)
        .text("FullName", &user.full_name)
        .text("Email", &user.email)
        .end();
    Object::new()
        .flag("LoggedIn", true)
        .text("SessionID", session)
        .number("UserID", user.id)
        .raw("UserRecord", &record)
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

/// One action that some worker described.
#[derive(Debug)]
pub(crate) struct ActionView<'a> {
    pub(crate) capability: &'a str,
    pub(crate) action: &'a str,
    pub(crate) description: &'a str,
    pub(crate) settings_schema: &'a str,
    pub(crate) sources: Vec<&'a str>,
}

/// One entry of the action catalogue.
pub(crate) fn action_entry(view: &ActionView<'_>) -> String {
    Object::new()
        .text("Capability", view.capability)
        .text("Action", view.action)
        .text("Description", view.description)
        .raw("SettingsSchema", view.settings_schema)
        .flag("Available", !view.sources.is_empty())
        .raw("SourceBeacons", &text_list(view.sources.iter().copied()))
        .end()
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
