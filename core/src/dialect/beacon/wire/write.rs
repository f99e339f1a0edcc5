//! What workers write on the beacon wire.

use std::fmt::Write as _;

use bytestring::ByteString;

use crate::api::command::Outcome;
use crate::base::json::Raw;
use crate::dialect::beacon::options::WorkerOptions;
use crate::dialect::beacon::wire::WireItem;
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

/// A registration.
pub(crate) struct Announcement<'a> {
    pub(crate) options: &'a WorkerOptions,
    pub(crate) host: &'a str,
    pub(crate) handlers: &'a Handlers<Action>,
    pub(crate) is_frame: bool,
}

impl Announcement<'_> {
    /// Writes the registration; optional fields are absent when empty, as the original leaves them.
    /// `held` are items that run here or have an outcome on its way, with their attempts.
    pub(crate) fn write<'a>(&self, held: impl Iterator<Item = (&'a ByteString, u32)>) -> String {
        let options = self.options;
        let mut out = String::with_capacity(1_024);
        out.push('{');
        if self.is_frame {
            out.push_str("\"Action\":\"BeaconRegister\",");
        }
        out.push_str("\"Name\":");
        text(&mut out, &options.name);
        out.push_str(",\"Capabilities\":[");
        let mut seen: Vec<&str> = Vec::new();
        for (_, Action { capability, .. }) in self.handlers.iter() {
            if !seen.contains(&capability.as_str()) {
                comma(&mut out, seen.len());
                text(&mut out, capability);
                seen.push(capability);
            }
        }
        out.push_str("],\"ActionSchemas\":[");
        for (index, (_, action)) in self.handlers.iter().enumerate() {
            comma(&mut out, index);
            out.push_str("{\"Capability\":");
            text(&mut out, &action.capability);
            out.push_str(",\"Action\":");
            text(&mut out, &action.name);
            out.push_str(",\"Description\":");
            text(&mut out, &action.about.description);
            out.push_str(",\"SettingsSchema\":");
            out.push_str(action.about.settings_schema.as_ref().map_or("[]", Raw::as_str));
            out.push('}');
        }
        let _ = write!(out, "],\"MaxConcurrent\":{},\"Tags\":", options.max_concurrent);
        out.push_str(options.tags.as_str());
        if !options.join_secret.is_empty() {
            out.push_str(",\"JoinSecret\":");
            text(&mut out, options.join_secret.expose());
        }
        optional(&mut out, "Contexts", &options.contexts);
        optional(&mut out, "Operations", &options.operations);
        optional(&mut out, "BindAddresses", &options.bind_addresses);
        out.push_str(",\"HostID\":");
        text(&mut out, self.host);
        out.push_str(",\"SharedMounts\":");
        out.push_str(options.shared_mounts.as_str());
        out.push_str(",\"Moorline\":{\"Acks\":true,\"Running\":[");
        for (index, (wire, attempt)) in held.enumerate() {
            comma(&mut out, index);
            out.push_str("{\"WorkItemHash\":");
            text(&mut out, wire);
            let _ = write!(out, ",\"AttemptNumber\":{attempt}}}");
        }
        out.push_str("]}}");
        out
    }
}

/// Makes the request of a login.
pub(crate) fn login(origin: &Origin, credentials: &Credentials) -> HttpRequest {
    let mut out = String::from("{\"UserName\":");
    text(&mut out, credentials.user());
    out.push_str(",\"Password\":");
    text(&mut out, credentials.password().expose());
    out.push('}');
    origin.request(Method::Post, "/1.0/Authenticate", None, out)
}

/// Writes the request for work.
pub(crate) fn poll(id: &str) -> String {
    let mut out = String::from("{\"BeaconID\":");
    text(&mut out, id);
    out.push('}');
    out
}

/// Writes a farewell frame.
pub(crate) fn farewell(id: &str) -> String {
    let mut out = String::from("{\"Action\":\"Deregister\",\"BeaconID\":");
    text(&mut out, id);
    out.push('}');
    out
}

/// Writes a heartbeat: a frame with our id, or a body without.
pub(crate) fn heartbeat(
    id: Option<&str>,
    host_lag_ms: u64,
    in_flight: usize,
    is_draining: bool,
) -> String {
    let mut out = String::with_capacity(128);
    out.push('{');
    if let Some(id) = id {
        out.push_str("\"Action\":\"BeaconHeartbeat\",\"BeaconID\":");
        text(&mut out, id);
        out.push(',');
    }
    let _ = write!(out, "\"HostLagMs\":{host_lag_ms},\"InFlight\":{in_flight}");
    if is_draining {
        out.push_str(",\"Draining\":true");
    }
    out.push('}');
    out
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
    let mut out = String::with_capacity(report.len() + wire.len() + 128);
    match author {
        Authorship::Frame => {
            out.push_str("{\"Action\":\"WorkProgress\",\"WorkItemHash\":");
            text(&mut out, wire);
            out.push_str(",\"ProgressData\":");
            out.push_str(report);
            let _ = write!(out, ",\"AttemptNumber\":{attempt}}}");
        }
        Authorship::Body(id) => {
            let fields = report.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
            let fields = fields.unwrap_or_default().trim();
            out.push('{');
            out.push_str(fields);
            comma(&mut out, fields.len());
            sign(&mut out, id, attempt);
        }
    }
    out
}

/// Writes how an item ended.
pub(crate) fn outcome(
    author: Authorship<'_>,
    wire: &str,
    attempt: u32,
    outcome: &Outcome,
) -> String {
    let size = match outcome {
        Outcome::Done { value, log } => value.as_str().len() + log.as_str().len(),
        Outcome::Failed { message } => message.len() * 2,
        Outcome::Cancelled => 0,
    };
    let mut out = String::with_capacity(size + wire.len() + 160);
    out.push('{');
    if matches!(author, Authorship::Frame) {
        out.push_str(match outcome {
            Outcome::Done { .. } => "\"Action\":\"WorkComplete\",\"WorkItemHash\":",
            Outcome::Failed { .. } | Outcome::Cancelled => {
                "\"Action\":\"WorkError\",\"WorkItemHash\":"
            }
        });
        text(&mut out, wire);
        out.push(',');
    }
    match outcome {
        Outcome::Done { value, log } => {
            out.push_str("\"Outputs\":");
            outputs(&mut out, value.as_str());
            out.push_str(",\"Log\":");
            out.push_str(log.as_str());
        }
        Outcome::Failed { message } => {
            out.push_str("\"ErrorMessage\":");
            text(&mut out, message);
            out.push_str(",\"Log\":[]");
        }
        Outcome::Cancelled => {
            out.push_str("\"ErrorMessage\":\"the handler gave the item up\",\"Log\":[]");
        }
    }
    out.push(',');
    match author {
        Authorship::Frame => {
            let _ = write!(out, "\"AttemptNumber\":{attempt}}}");
        }
        Authorship::Body(id) => sign(&mut out, id, attempt),
    }
    out
}

/// Writes the envelope of an item, without the user's part, for the application.
pub(crate) fn item_meta(item: &WireItem<'_>) -> String {
    let mut out = String::with_capacity(320);
    out.push_str("{\"WorkItemHash\":");
    text(&mut out, item.hash.as_str());
    out.push_str(",\"Capability\":");
    text(&mut out, item.capability.as_str());
    out.push_str(",\"Action\":");
    text(&mut out, item.action.as_str());
    out.push_str(",\"RunID\":");
    text(&mut out, item.run.as_str());
    out.push_str(",\"OperationHash\":");
    text(&mut out, item.operation.as_str());
    let (attempt, timeout) = (item.attempt.0.max(1), item.timeout_ms.0);
    let _ = write!(out, ",\"AttemptNumber\":{attempt},\"TimeoutMs\":{timeout}");
    if let Some(queue) = &item.queue {
        out.push_str(",\"EnqueuedAt\":");
        text(&mut out, queue.enqueued_at.as_str());
        let _ = write!(out, ",\"QueueWaitMs\":{}", queue.wait_ms.0);
    }
    out.push('}');
    out
}

/// Appends `value` as a JSON string.
pub(crate) fn text(out: &mut String, value: &str) {
    let is_plain = value.bytes().all(|byte| byte >= 0x20 && byte != b'"' && byte != b'\\');
    if is_plain {
        out.push('"');
        out.push_str(value);
        out.push('"');
    } else {
        out.push_str(&serde_json::to_string(value).unwrap_or_else(|_| String::from("\"\"")));
    }
}

/// Appends what a handler returned as `Outputs`, which are always an object.
fn outputs(out: &mut String, value: &str) {
    if value.starts_with('{') {
        out.push_str(value);
    } else if value == "null" {
        out.push_str("{}");
    } else {
        out.push_str("{\"Result\":");
        out.push_str(value);
        out.push('}');
    }
}

fn sign(out: &mut String, id: &str, attempt: u32) {
    let _ = write!(out, "\"AttemptNumber\":{attempt},\"BeaconID\":");
    text(out, id);
    out.push('}');
}

fn optional(out: &mut String, name: &str, value: &Raw) {
    let is_empty = matches!(value.as_str(), "{}" | "[]" | "null");
    if !is_empty {
        let _ = write!(out, ",\"{name}\":{}", value.as_str());
    }
}

fn comma(out: &mut String, before: usize) {
    if before > 0 {
        out.push(',');
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
