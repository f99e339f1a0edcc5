//! What the hub says: frames to workers, bodies of HTTP answers. Key order as recorded.

use serde_json::value::RawValue;

use super::ProgressReport;
use super::object::{Object, list, text_list};
use crate::time::UnixMillis;

/// A work item on its way to a worker.
#[derive(Debug)]
pub(crate) struct Delivery<'a> {
    pub(crate) hash: &'a str,
    pub(crate) run_id: &'a str,
    pub(crate) capability: &'a str,
    pub(crate) action: &'a str,
    pub(crate) settings: &'a str,
    pub(crate) operation_hash: &'a str,
    pub(crate) timeout_ms: u64,
    pub(crate) attempt: u64,
    pub(crate) enqueued: UnixMillis,
    pub(crate) dispatched: UnixMillis,
}

/// The frame that pushes a work item.
pub(crate) fn work_frame(delivery: &Delivery<'_>) -> String {
    Object::with_capacity(delivery.settings.len() + 768)
        .text("EventType", "WorkItem")
        .raw("WorkItem", &work_item(delivery))
        .end()
}

/// The answer to a poll.
pub(crate) fn polled(item: Option<&Delivery<'_>>) -> String {
    let item = item.map(work_item);
    Object::new().raw("WorkItem", item.as_deref().unwrap_or("null")).end()
}

fn work_item(delivery: &Delivery<'_>) -> String {
    let metadata = queue_metadata(delivery);
    Object::with_capacity(delivery.settings.len() + 704)
        .text("WorkItemHash", delivery.hash)
        .text("RunID", delivery.run_id)
        .text("Capability", delivery.capability)
        .text("Action", delivery.action)
        .raw("Settings", &with_metadata(delivery.settings, &metadata))
        .text("OperationHash", delivery.operation_hash)
        .number("TimeoutMs", delivery.timeout_ms)
        .number("AttemptNumber", delivery.attempt)
        .raw("QueueMetadata", &metadata)
        .end()
}

fn queue_metadata(delivery: &Delivery<'_>) -> String {
    Object::with_capacity(256)
        .text("RunID", delivery.run_id)
        .text("WorkItemHash", delivery.hash)
        .plain("EnqueuedAt", delivery.enqueued)
        .plain("DispatchedAt", delivery.dispatched)
        .number("QueueWaitMs", delivery.dispatched.0.saturating_sub(delivery.enqueued.0))
        .number("AttemptNumber", delivery.attempt)
        .text("HubInstanceID", "")
        .end()
}

/// Peer: the hub repeats its metadata inside the settings. Being last, it wins over a caller's own.
fn with_metadata(settings: &str, metadata: &str) -> String {
    let inner = settings.trim();
    let inner = inner.strip_prefix('{').unwrap_or(inner);
    let inner = inner.strip_suffix('}').unwrap_or(inner).trim_end();
    let mut text = String::with_capacity(inner.len() + metadata.len() + 24);
    text.push('{');
    text.push_str(inner);
    if !inner.trim_start().is_empty() {
        text.push(',');
    }
    text.push_str("\"QueueMetadata\":");
    text.push_str(metadata);
    text.push('}');
    text
}

/// The frame that confirms a registration.
pub(crate) fn registered(beacon_id: &str, acks: bool) -> String {
    let object = Object::new().text("EventType", "BeaconRegistered").text("BeaconID", beacon_id);
    moorline(object, acks).end()
}

fn moorline(object: Object, acks: bool) -> Object {
    if acks { object.raw("Moorline", r#"{"Acks":true}"#) } else { object }
}

/// The frame that turns a worker away.
pub(crate) fn rejected(reason: &str) -> String {
    Object::new().text("EventType", "BeaconRejected").text("Reason", reason).end()
}

/// The frame that confirms a farewell.
pub(crate) fn deregistered() -> String {
    Object::new().text("EventType", "Deregistered").end()
}

/// Whether the hub took an outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) hash: String,
    /// Why it was refused; `None` when it was taken.
    pub(crate) refused: Option<String>,
}

/// The frame that tells a worker of ours which outcomes were taken.
pub(crate) fn work_taken(verdicts: &[Verdict]) -> String {
    let items = verdicts.iter().map(|verdict| {
        let item = Object::new()
            .text("WorkItemHash", &verdict.hash)
            .flag("Taken", verdict.refused.is_none());
        match &verdict.refused {
            Some(reason) => item.text("Reason", reason).end(),
            None => item.end(),
        }
    });
    Object::new().text("EventType", "WorkTaken").raw("Items", &list(items)).end()
}

/// The frame that asks a worker of ours to stop working on an item.
pub(crate) fn work_cancel(hash: &str, reason: &str) -> String {
    Object::new()
        .text("EventType", "WorkCancel")
        .text("WorkItemHash", hash)
        .text("Reason", reason)
        .end()
}

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

/// The last value of each field that a worker reported.
#[derive(Clone, Debug, Default)]
pub(crate) struct Progress {
    percent: Option<Box<RawValue>>,
    message: Option<Box<RawValue>>,
    step: Option<Box<RawValue>>,
    total_steps: Option<Box<RawValue>>,
}

impl Progress {
    /// Takes over what a report names. Peer: an empty message does not overwrite.
    pub(crate) fn merge(&mut self, report: &ProgressReport<'_>) {
        let take = |own: &mut Option<Box<RawValue>>, new: Option<&RawValue>| {
            if let Some(new) = new {
                *own = Some(new.to_owned());
            }
        };
        take(&mut self.percent, report.percent);
        take(&mut self.message, report.message.filter(|message| message.get() != "\"\""));
        take(&mut self.step, report.step);
        take(&mut self.total_steps, report.total_steps);
    }

    /// Writes the fields for whoever follows the item.
    pub(crate) fn write(&self, at: UnixMillis) -> String {
        let fields = [
            ("Percent", &self.percent),
            ("Message", &self.message),
            ("Step", &self.step),
            ("TotalSteps", &self.total_steps),
        ];
        let mut object = Object::new();
        for (key, value) in fields {
            if let Some(value) = value {
                object = object.raw(key, value.get());
            }
        }
        object.plain("UpdatedAt", at).end()
    }
}

/// The name of the output whose bytes a stream sends apart.
pub(crate) const OUTPUT_DATA: &str = "OutputData";

/// Appends the lines of a JSON list of text to the inside of another.
pub(crate) fn append_lines(lines: &mut String, more: &RawValue) {
    let inner = more.get().strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    let Some(inner) = inner.map(str::trim).filter(|inner| !inner.is_empty()) else { return };
    if !lines.is_empty() {
        lines.push(',');
    }
    lines.push_str(inner);
}

/// Wraps the inside of a list of lines.
pub(crate) fn lines(inner: &str) -> String {
    format!("[{inner}]")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivery(settings: &str) -> Delivery<'_> {
        Delivery {
            hash: "wi-unknown-unknown-1795246516776-1",
            run_id: "",
            capability: "Echo",
            action: "Say",
            settings,
            operation_hash: "",
            timeout_ms: 15_000,
            attempt: 1,
            enqueued: UnixMillis(1_795_246_617_932),
            dispatched: UnixMillis(1_795_246_617_962),
        }
    }

    #[test]
    fn a_pushed_item_looks_as_recorded() {
        let metadata = concat!(
            r#"{"RunID":"","WorkItemHash":"wi-unknown-unknown-1795246516776-1","#,
            r#""EnqueuedAt":"2026-11-21T07:36:57.932Z","DispatchedAt":"2026-11-21T07:36:57.962Z","#,
            r#""QueueWaitMs":30,"AttemptNumber":1,"HubInstanceID":""}"#
        );
        let expected = [
            r#"{"EventType":"WorkItem","WorkItem":{"WorkItemHash":"wi-unknown-unknown-1795246516776-1","#,
            r#""RunID":"","Capability":"Echo","Action":"Say","Settings":{"Text":"hello","QueueMetadata":"#,
            metadata,
            r#"},"OperationHash":"","TimeoutMs":15000,"AttemptNumber":1,"QueueMetadata":"#,
            metadata,
            "}}",
        ]
        .concat();
        assert_eq!(work_frame(&delivery(r#"{"Text":"hello"}"#)), expected);
    }

    #[test]
    fn metadata_joins_any_object() {
        assert_eq!(with_metadata("{}", "1"), r#"{"QueueMetadata":1}"#);
        assert_eq!(with_metadata("{ }", "1"), r#"{"QueueMetadata":1}"#);
        assert_eq!(with_metadata(r#"{"a":{}}"#, "1"), r#"{"a":{},"QueueMetadata":1}"#);
    }

    #[test]
    fn lines_join_without_parsing() {
        let raw = |text: &str| serde_json::from_str::<Box<RawValue>>(text).unwrap();
        let mut inner = String::new();
        append_lines(&mut inner, &raw(r#"["a"]"#));
        append_lines(&mut inner, &raw("[ ]"));
        append_lines(&mut inner, &raw(r#"["b","c"]"#));
        assert_eq!(lines(&inner), r#"["a","b","c"]"#);
    }

    #[test]
    fn progress_keeps_the_last_value_of_each_field() {
        let mut progress = Progress::default();
        progress.merge(&serde_json::from_str(r#"{"Percent":40,"Message":"half"}"#).unwrap());
        progress.merge(&serde_json::from_str(r#"{"Step":2,"Message":""}"#).unwrap());
        assert_eq!(
            progress.write(UnixMillis(0)),
            r#"{"Percent":40,"Message":"half","Step":2,"UpdatedAt":"1970-01-01T00:00:00.000Z"}"#
        );
    }
}
