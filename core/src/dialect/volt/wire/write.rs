//! How our messages are written.

use std::fmt::Write as _;

use super::bytes::PLACEHOLDER;
use crate::base::json::object::{Object, inside};
use crate::base::json::push_text;
use crate::dialect::volt::options::{DaemonChannel, DaemonOptions};
use crate::dialect::volt::words::BEAT;

/// The registration: without a channel exactly these two keys, since strict servers refuse others.
pub(crate) fn register(cluster: &str, password: &str, channel: DaemonChannel) -> String {
    Object::new()
        .text("teamClusterId", cluster)
        .text("daemonPassword", password)
        .when(channel != DaemonChannel::None, |object| object.text("channel", channel.as_str()))
        .end()
}

/// An enrollment: exactly these keys, since strict servers refuse others; an empty version is none.
pub(crate) fn enrollment(token: &str, version: &str) -> String {
    let body = Object::new().text("enrollmentToken", token);
    if version.is_empty() { body.end() } else { body.text("installedVersion", version).end() }
}

const COMMAND: &str = "{\"type\":\"command\",\"requestId\":\"";
const NAME: &str = "\",\"command\":";
const FORM: &str = ",\"responseType\":\"";
const PAYLOAD: &str = ",\"payload\":";

/// A command; an empty payload text stands for none.
pub(crate) fn command(id: &str, name: &str, form: &str, payload: &str, json: &mut String) {
    push(json, [COMMAND, id, NAME]);
    push_text(json, name);
    push(json, [FORM, form, "\""]);
    if !payload.is_empty() {
        push(json, [PAYLOAD, payload]);
    }
    json.push('}');
}

/// Returns how many bytes [`command`] appends; more if the name needs escapes. A text without room to
/// spare becomes a frame without a further allocation.
pub(crate) const fn command_len(id: &str, name: &str, form: &str, payload: &str) -> usize {
    let form = FORM.len() + form.len() + 1;
    let fixed = COMMAND.len() + id.len() + NAME.len() + name.len() + 2 + form + 1;
    if payload.is_empty() { fixed } else { fixed + PAYLOAD.len() + payload.len() }
}

/// The payload of a heartbeat: with credentials, if wanted, before the application's members.
pub(crate) fn beat_payload(options: &DaemonOptions, password: &str, payload: &str) -> String {
    if options.heartbeat.include_credentials {
        credentials(options, password, payload)
    } else {
        payload.to_owned()
    }
}

/// A payload that shows who sends it, before the application's members.
pub(crate) fn credentials(options: &DaemonOptions, password: &str, payload: &str) -> String {
    let version = Some(options.installed_version.as_str()).filter(|version| !version.is_empty());
    Object::with_capacity(payload.len() + 160)
        .text("teamClusterId", &options.team_cluster_id)
        .text("daemonPassword", password)
        .given(version, |object, version| object.text("installedVersion", version))
        .fields(members(payload))
        .end()
}

/// A heartbeat that nobody answers.
pub(crate) fn beat_message(payload: &str) -> String {
    Object::new().text("type", BEAT).fields(members(payload)).end()
}

fn members(object: &str) -> &str {
    inside(object.trim()).unwrap_or_default().trim()
}

/// What an answer carries beside its status.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Reply<'a> {
    /// JSON; empty for none.
    Data(&'a str),
    /// Bytes in base64.
    Body(&'a str),
    /// Bytes that are the only attachment. Peer: they stand as `body` of the data.
    Attached,
    /// The id of the stream that follows.
    Stream(&'a str),
}

/// A command's success. `request` is the id as it came, JSON; `headers` is JSON, empty for none.
pub(crate) fn ok_reply(
    request: &str,
    status: u16,
    headers: &str,
    reply: Reply<'_>,
    json: &mut String,
) {
    let _ = write!(
        json,
        "{{\"type\":\"response\",\"requestId\":{request},\"ok\":true,\"status\":{status}"
    );
    if !headers.is_empty() {
        push(json, [",\"headers\":", headers]);
    }
    match reply {
        Reply::Data("") => json.push_str(",\"data\":{\"status\":\"success\"}}"),
        Reply::Data(data) => {
            push(json, [",\"data\":{\"status\":\"success\",\"data\":", data, "}}"]);
        }
        Reply::Body(base64) => push(json, [",\"bodyBase64\":\"", base64, "\"}"]),
        Reply::Attached => {
            push(
                json,
                [",\"data\":{\"status\":\"success\",\"data\":{\"body\":", PLACEHOLDER, "}}}"],
            );
        }
        Reply::Stream(id) => push(json, [",\"streamId\":\"", id, "\"}"]),
    }
}

/// A command's refusal.
pub(crate) fn refusal(request: &str, status: u16, message: &str, json: &mut String) {
    let _ = write!(
        json,
        "{{\"type\":\"response\",\"requestId\":{request},\"ok\":false,\"status\":{status},\"message\":"
    );
    push_text(json, message);
    json.push('}');
}

/// A part of a stream, in base64; `None` for one that is the only attachment. `request` is JSON.
pub(crate) fn stream_part(request: &str, stream: &str, base64: Option<&str>, json: &mut String) {
    push_stream(json, "stream", request, stream);
    match base64 {
        Some(base64) => push(json, [",\"chunkBase64\":\"", base64, "\"}"]),
        None => push(json, [",\"chunk\":", PLACEHOLDER, "}"]),
    }
}

/// The end of a stream; a failure says why. Peer: the server does not look at it.
pub(crate) fn stream_end(request: &str, stream: &str, failure: Option<&str>, json: &mut String) {
    push_stream(json, "stream-end", request, stream);
    if let Some(failure) = failure {
        json.push_str(",\"message\":");
        push_text(json, failure);
    }
    json.push('}');
}

fn push<const N: usize>(json: &mut String, parts: [&str; N]) {
    parts.into_iter().for_each(|part| json.push_str(part));
}

fn push_stream(json: &mut String, kind: &str, request: &str, stream: &str) {
    let _ = write!(json, "{{\"type\":\"{kind}\",\"requestId\":{request},\"streamId\":");
    push_text(json, stream);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_of_a_command_is_known_before() {
        for payload in ["", "{\"a\":1}"] {
            let mut json = String::new();
            command("0-1", "jobs.list", "json", payload, &mut json);
            assert_eq!(json.len(), command_len("0-1", "jobs.list", "json", payload));
        }
    }

    #[test]
    fn credentials_come_before_the_applications_members() {
        let mut options = DaemonOptions::default();
        assert_eq!(beat_payload(&options, "pw", "{\"a\":1}"), "{\"a\":1}");
        options.team_cluster_id = "c".into();
        options.heartbeat.include_credentials = true;
        assert_eq!(
            beat_payload(&options, "p\"w", "{ }"),
            "{\"teamClusterId\":\"c\",\"daemonPassword\":\"p\\\"w\"}"
        );
        options.installed_version = "1.2".into();
        assert_eq!(
            beat_payload(&options, "pw", "{\"a\":1}"),
            "{\"teamClusterId\":\"c\",\"daemonPassword\":\"pw\",\"installedVersion\":\"1.2\",\"a\":1}"
        );
        assert_eq!(beat_message("{\"a\":1}"), "{\"type\":\"runtime-heartbeat\",\"a\":1}");
        assert_eq!(beat_message("{}"), "{\"type\":\"runtime-heartbeat\"}");
    }
}
