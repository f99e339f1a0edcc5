//! What workers write on the beacon wire.

use bytestring::ByteString;

use crate::api::command::Outcome;
use crate::base::json::Raw;
use crate::base::json::object::{Object, inside, list, text_list};
use crate::dialect::beacon::options::WorkerOptions;
use crate::dialect::beacon::wire::{WireItem, whole};
use crate::dialect::beacon::worker::Action;
use crate::net::origin::Origin;
use crate::net::{HttpRequest, Method};
use crate::parts::credentials::Credentials;
use crate::parts::handlers::Handlers;

/// Whether words travel as a frame, with an `Action`, or as an HTTP body, with our id.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Authorship<'a> {
    /// A frame.
    Frame,
    /// An HTTP body of the worker with this id.
    Body(&'a str),
}

/// A part of what a worker announces, with a registration each.
#[derive(Debug)]
pub(crate) struct Page {
    /// Its number, from 0.
    pub(crate) number: u32,
    /// Items that run here or have an outcome on its way, with their attempts.
    pub(crate) held: Vec<(ByteString, u32)>,
    /// Whether another page follows.
    pub(crate) more: bool,
    /// Whether no more work is taken.
    pub(crate) draining: bool,
}

/// Writes a registration; optional fields are absent when empty, as the original leaves them. Without
/// `details` only what an assignment needs is there; `id` is ours from before.
pub(crate) fn registration(
    options: &WorkerOptions,
    host: &str,
    handlers: &Handlers<Action>,
    (is_frame, details): (bool, bool),
    id: &str,
    page: &Page,
) -> String {
    let mut capabilities: Vec<&str> = Vec::new();
    for (_, Action { capability, .. }) in handlers.iter() {
        if !capabilities.contains(&capability.as_str()) {
            capabilities.push(capability);
        }
    }
    let schemas = handlers.iter().map(|(_, action)| {
        Object::new()
            .text("Capability", &action.capability)
            .text("Action", &action.name)
            .text("Description", &action.about.description)
            .raw("SettingsSchema", action.about.settings_schema.as_ref().map_or("[]", Raw::as_str))
            .end()
    });
    let running = page.held.iter().map(|(wire, attempt)| {
        Object::new().text("WorkItemHash", wire).number("AttemptNumber", *attempt).end()
    });
    let secret = &options.join_secret;
    let published = [
        ("Contexts", &options.contexts),
        ("Operations", &options.operations),
        ("BindAddresses", &options.bind_addresses),
    ];
    let is_empty = |value: &Raw| matches!(value.as_str(), "{}" | "[]" | "null");
    let published = published.into_iter().filter(|(_, value)| details && !is_empty(value));
    let object = Object::with_capacity(1_024)
        .when(is_frame, |object| object.text("Action", "BeaconRegister"))
        .text("Name", &options.name)
        .raw("Capabilities", &text_list(capabilities))
        .when(details, |object| object.raw("ActionSchemas", &list(schemas)))
        .number("MaxConcurrent", options.max_concurrent)
        .when(details, |object| object.raw("Tags", options.tags.as_str()))
        .when(!secret.is_empty(), |object| object.text("JoinSecret", secret.expose()));
    let object = published.fold(object, |object, (name, value)| object.raw(name, value.as_str()));
    let number = Some(page.number).filter(|_| page.more || page.number > 0);
    object
        .text("HostID", host)
        .when(details, |object| object.raw("SharedMounts", options.shared_mounts.as_str()))
        .object("Moorline", |ours| {
            ours.flag("Acks", true)
                .when(!id.is_empty(), |ours| ours.text("BeaconID", id))
                .number("MaxMessageBytes", options.limits.max_message_bytes)
                .when(page.draining, |ours| ours.flag("Draining", true))
                .given(number, |ours, number| ours.number("Page", number).flag("More", page.more))
                .raw("Running", &list(running))
        })
        .end()
}

/// Makes the request of a login: a dispatcher's, or that of a worker with its name.
pub(crate) fn login(
    origin: &Origin,
    credentials: &Credentials,
    worker: Option<&str>,
) -> HttpRequest {
    let body = Object::new()
        .text("UserName", &credentials.user)
        .text("Password", credentials.password.expose())
        .given(worker, |object, name| object.object("Moorline", |ours| ours.text("Worker", name)))
        .end();
    origin.request(Method::Post, "/1.0/Authenticate", None, body)
}

/// Writes the request for work.
pub(crate) fn poll(id: &str) -> String {
    Object::new().text("BeaconID", id).end()
}

/// Writes a farewell frame.
pub(crate) fn farewell(id: &str) -> String {
    Object::new().text("Action", "Deregister").text("BeaconID", id).end()
}

/// Writes a heartbeat: a frame with our id, or a body without.
pub(crate) fn heartbeat(
    id: Option<&str>,
    host_lag_ms: u64,
    in_flight: usize,
    is_draining: bool,
) -> String {
    Object::new()
        .given(id, |object, id| object.text("Action", "BeaconHeartbeat").text("BeaconID", id))
        .number("HostLagMs", host_lag_ms)
        .number("InFlight", in_flight as u64)
        .when(is_draining, |object| object.flag("Draining", true))
        .end()
}

/// Writes progress of an item, or a mere sign of life.
///
/// Peer: over HTTP the report is the body itself, on a connection it is wrapped in `ProgressData`.
pub(crate) fn progress(
    author: Authorship<'_>,
    wire: &str,
    attempt: u32,
    report: Option<&Raw>,
) -> String {
    let report = report.map_or("{}", Raw::as_str);
    let object = Object::with_capacity(report.len() + wire.len() + 128);
    let object = match author {
        Authorship::Frame => author.begin(object, "WorkProgress", wire).raw("ProgressData", report),
        Authorship::Body(_) => object.fields(inside(report).unwrap_or_default().trim()),
    };
    author.sign(object, attempt)
}

/// Writes how an item ended.
pub(crate) fn outcome(
    author: Authorship<'_>,
    wire: &str,
    attempt: u32,
    outcome: &Outcome,
) -> String {
    let (action, size) = match outcome {
        Outcome::Done { value, log } => ("WorkComplete", value.as_str().len() + log.as_str().len()),
        Outcome::Failed { message } => ("WorkError", message.len() * 2),
        Outcome::Cancelled => ("WorkError", 0),
    };
    let object = Object::with_capacity(size + wire.len() + 160);
    let object = author.begin(object, action, wire);
    let object = match outcome {
        Outcome::Done { value, log } => outputs(object, value.as_str()).raw("Log", log.as_str()),
        Outcome::Failed { message } => object.text("ErrorMessage", message).raw("Log", "[]"),
        Outcome::Cancelled => {
            object.text("ErrorMessage", "the handler gave the item up").raw("Log", "[]")
        }
    };
    author.sign(object, attempt)
}

/// Writes that a cancellation was heard: a frame with our id, or a body.
pub(crate) fn cancel_heard(author: Authorship<'_>, wire: &str, id: &str) -> String {
    author.begin(Object::new(), "WorkCancelAck", wire).text("BeaconID", id).end()
}

/// Writes that an item was stopped, as it was asked for.
pub(crate) fn cancelled(author: Authorship<'_>, wire: &str, attempt: u32) -> String {
    let object = author.begin(Object::new(), "WorkCanceled", wire);
    author.sign(object.text("Reason", "the hub asked for it"), attempt)
}

/// Writes the envelope of an item, without the user's part, for the application.
pub(crate) fn item_meta(item: &WireItem<'_>) -> String {
    let object = Object::with_capacity(320)
        .text("WorkItemHash", item.hash.as_str())
        .text("Capability", item.capability.as_str())
        .text("Action", item.action.as_str())
        .text("RunID", item.run.as_str())
        .text("OperationHash", item.operation_hash.as_str())
        .number("AttemptNumber", whole(item.attempt_number).max(1))
        .number("TimeoutMs", whole(item.timeout_ms));
    let Some(queue) = &item.queue_metadata else { return object.end() };
    object
        .text("EnqueuedAt", queue.enqueued_at.as_str())
        .text("DispatchedAt", queue.dispatched_at.as_str())
        .number("QueueWaitMs", whole(queue.queue_wait_ms))
        .end()
}

impl Authorship<'_> {
    fn begin(self, object: Object, action: &str, wire: &str) -> Object {
        match self {
            Self::Frame => object.text("Action", action).text("WorkItemHash", wire),
            Self::Body(_) => object,
        }
    }

    fn sign(self, object: Object, attempt: u32) -> String {
        let object = object.number("AttemptNumber", attempt);
        match self {
            Self::Frame => object.end(),
            Self::Body(id) => object.text("BeaconID", id).end(),
        }
    }
}

/// Writes what a handler returned as `Outputs`, which are always an object.
fn outputs(object: Object, value: &str) -> Object {
    match value {
        "null" => object.raw("Outputs", "{}"),
        value if value.starts_with('{') => object.raw("Outputs", value),
        value => object.object("Outputs", |outputs| outputs.raw("Result", value)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_are_always_an_object_and_pass_untouched() {
        for (value, wanted) in [
            (r#"{"b":1.0,"a":1e2}"#, r#"{"b":1.0,"a":1e2}"#),
            ("null", "{}"),
            ("[1]", r#"{"Result":[1]}"#),
            ("\"x\"", r#"{"Result":"x"}"#),
        ] {
            let outcome_ =
                Outcome::Done { value: Raw::parse(value).unwrap(), log: Raw::empty_list() };
            let frame = outcome(Authorship::Frame, "wi-1", 2, &outcome_);
            assert_eq!(
                frame,
                format!(
                    r#"{{"Action":"WorkComplete","WorkItemHash":"wi-1","Outputs":{wanted},"Log":[],"AttemptNumber":2}}"#
                )
            );
        }
    }

    #[test]
    fn text_is_escaped_where_it_must_be() {
        let outcome_ = Outcome::Failed { message: "a \"b\"\n\u{7f}é".into() };
        let body = outcome(Authorship::Body("bcn-1"), "wi-1", 1, &outcome_);
        let value: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!(value["ErrorMessage"], "a \"b\"\n\u{7f}é");
        assert_eq!(value["BeaconID"], "bcn-1");
    }

    #[test]
    fn progress_is_bare_over_http_and_wrapped_on_a_connection() {
        let report = Raw::parse(r#"{"Percent":50}"#).unwrap();
        assert_eq!(
            progress(Authorship::Body("b"), "wi-1", 1, Some(&report)),
            r#"{"Percent":50,"AttemptNumber":1,"BeaconID":"b"}"#
        );
        assert_eq!(
            progress(Authorship::Body("b"), "wi-1", 1, None),
            r#"{"AttemptNumber":1,"BeaconID":"b"}"#
        );
        assert_eq!(
            progress(Authorship::Frame, "wi-1", 1, None),
            r#"{"Action":"WorkProgress","WorkItemHash":"wi-1","ProgressData":{},"AttemptNumber":1}"#
        );
    }
}
