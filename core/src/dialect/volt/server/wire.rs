//! Messages of the control channel, as the server reads and writes them.
//!
//! Source: `@voltstack/daemon-cluster-client` 1.0.0 and the server that it was recorded against.

use std::borrow::Cow;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::daemons::Daemon;
use crate::api::options::{Fields, ResponseForm};
use crate::base::error::printable;
use crate::base::ids::PeerId;
use crate::base::json::Raw;
use crate::base::json::object::Object;
use crate::base::time::UnixMillis;
use crate::dialect::volt::options::DaemonChannel;
use crate::dialect::volt::wire::{
    Message, PLACEHOLDER, Reply, attached, lenient_text, ok_reply, refusal,
};

/// The event that complains about an invalid payload.
pub(super) const COMPLAINT: &str = "error";

/// The code of every complaint about a payload.
pub(super) const INVALID_INPUT: &str = "Validation::InvalidInput";

/// The code of the complaint about a registration that did not come.
pub(super) const REGISTRATION_TIMEOUT: &str = "Registration::Timeout";

/// What is said to wrong credentials.
pub(super) const INVALID_CREDENTIALS: &str = "Invalid daemon credentials";

/// What is said to an unknown cluster.
pub(super) const UNKNOWN_CLUSTER: &str = "Team cluster not found";

impl<'a> Message<'a> {
    /// Returns the request id as it came, if it is a text.
    pub(super) fn request(&self) -> Option<&'a str> {
        self.request_id.filter(|_| text(self.request_id).is_some())
    }

    /// Returns the status of an answer; 200 or 500 if none is given.
    pub(super) fn status_or_default(&self) -> u16 {
        let given = self.status.and_then(|json| json.parse().ok());
        given.unwrap_or(if self.is_ok() { 200 } else { 500 })
    }
}

/// Reads a member that must be a Unicode text; `None` for anything else.
pub(super) fn text(member: Option<&str>) -> Option<Cow<'_, str>> {
    // What was not read keeps its escapes.
    lenient_text(member?).filter(|text| matches!(text, Cow::Owned(_)) || !text.contains('\\'))
}

/// Who registers, and for what.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Registration {
    pub(super) cluster: String,
    pub(super) password: String,
    pub(super) channel: DaemonChannel,
}

/// Reads the argument of a registration as strictly as the original does; later generations tell the channel.
///
/// # Errors
/// What is wrong, in the original's words.
pub(super) fn registration(argument: &Raw) -> Result<Registration, String> {
    let json = argument.as_str();
    let Ok(fields) = serde_json::from_str::<Fields<'_>>(json) else {
        return Err(format!("Invalid input: expected object, received {}", type_of(json)));
    };
    let mut problems = Vec::new();
    let mut value = |name: &str| {
        let json = fields.0.iter().rev().find(|(key, _)| key == name).map_or("", |(_, v)| v.get());
        let Ok(text) = serde_json::from_str::<String>(json) else {
            let got = type_of(json);
            problems.push(format!("{name}: Invalid input: expected string, received {got}"));
            return String::new();
        };
        let text = text.trim().to_owned();
        if text.is_empty() {
            problems.push(format!("{name}: Too small: expected string to have >=1 characters"));
        }
        text
    };
    let (cluster, password) = (value("teamClusterId"), value("daemonPassword"));
    let told = fields.0.iter().rev().find(|(key, _)| key == "channel");
    let told = told.map(|(_, json)| serde_json::from_str::<String>(json.get()).unwrap_or_default());
    let channel = told.map_or(Some(DaemonChannel::None), |word| {
        DaemonChannel::find(&word).filter(|channel| *channel != DaemonChannel::None)
    });
    if channel.is_none() {
        let words: Vec<_> =
            DaemonChannel::WORDS.iter().skip(1).map(|it| format!("\"{it}\"")).collect();
        problems.push(format!("channel: Invalid option: expected one of {}", words.join("|")));
    }
    let foreign: Vec<String> = fields
        .0
        .iter()
        .filter(|(key, _)| !["teamClusterId", "daemonPassword", "channel"].contains(&&**key))
        .map(|(key, _)| format!("\"{}\"", printable(key)))
        .take(8)
        .collect();
    if !foreign.is_empty() {
        let plural = if foreign.len() == 1 { "" } else { "s" };
        problems.push(format!("Unrecognized key{plural}: {}", foreign.join(", ")));
    }
    match channel.filter(|_| problems.is_empty()) {
        Some(channel) => Ok(Registration { cluster, password, channel }),
        None => Err(problems.join(", ")),
    }
}

/// What JavaScript calls the type of a JSON text; empty text is no value.
fn type_of(json: &str) -> &'static str {
    match json.as_bytes().first() {
        None => "undefined",
        Some(b'{') => "object",
        Some(b'[') => "array",
        Some(b'"') => "string",
        Some(b't' | b'f') => "boolean",
        Some(b'n') => "null",
        Some(_) => "number",
    }
}

/// The argument of a complaint.
pub(super) fn complaint(code: &str, details: &str) -> String {
    Object::new().text("code", code).text("message", code).text("details", details).end()
}

/// The argument that confirms a registration; it tells the channel to those who told one.
pub(super) fn registered(cluster: &str, channel: DaemonChannel) -> String {
    Object::new()
        .text("teamClusterId", cluster)
        .when(channel != DaemonChannel::None, |object| object.text("channel", channel.as_str()))
        .end()
}

/// The arguments of an acknowledgement.
pub(super) fn acknowledgement(error: Option<&str>) -> String {
    match error {
        None => "[{\"ok\":true}]".to_owned(),
        Some(error) => format!("[{}]", Object::new().flag("ok", false).text("error", error).end()),
    }
}

/// A refused command of a daemon; `request` is the id as it came.
pub(super) fn refused(request: &str, status: u16, message: &str) -> String {
    let mut json = String::with_capacity(request.len() + message.len() + 96);
    refusal(request, status, message, &mut json);
    json
}

/// The answer to a heartbeat; `request` is the id as it came.
pub(super) fn heartbeat_taken(request: &str, cluster: &str) -> String {
    let team_cluster = Object::new().text("_id", cluster).text("status", "connected").end();
    let data = Object::new().raw("teamCluster", &team_cluster).end();
    let mut json = String::with_capacity(request.len() + data.len() + 96);
    ok_reply(request, 200, "", Reply::Data(&data), &mut json);
    json
}

/// What an application learns of a daemon's command beside its payload.
pub(super) fn work_meta(peer: PeerId, cluster: &str, request: &str, form: ResponseForm) -> Raw {
    let object = Object::with_capacity(request.len() + cluster.len() + 96)
        .number("peer", peer.0)
        .text("team_cluster_id", cluster)
        .raw("request_id", request)
        .text("response_type", form.as_str());
    Raw::trusted(object.end())
}

/// Finds the bytes of an answer to a request for a buffer. Peer: the second generation attaches them as
/// `body` of the data.
pub(super) fn attached_body<'a>(data: Option<&str>, blobs: &'a [Bytes]) -> Option<&'a Bytes> {
    #[derive(Deserialize)]
    struct Data<'a> {
        #[serde(borrow)]
        body: &'a RawValue,
    }
    let Data { body } = serde_json::from_str(data?).ok()?;
    attached(body.get(), blobs)
}

/// A part of a stream that a daemon opens, for the application: without its envelope.
pub(super) fn opened_part(message: &Message<'_>, bytes: Bytes) -> Raw {
    let object = Object::with_capacity(160)
        .text("type", "stream")
        .given(message.request_id, |object, id| object.raw("requestId", id))
        .given(message.stream_id, |object, id| object.raw("streamId", id))
        .raw("chunk", PLACEHOLDER);
    Raw::trusted(object.end()).with_blobs(vec![bytes])
}

/// What a heartbeat must carry.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Beat {
    pub(super) team_cluster_id: String,
    pub(super) daemon_password: String,
    pub(super) installed_version: Option<String>,
}

/// Reads the body of an enrollment as strictly as the original does: a token, and perhaps a version.
///
/// # Errors
/// What is wrong.
pub(super) fn enrollment(body: &str) -> Result<(String, Option<String>), String> {
    let invalid = |path: &str| format!("body{path}: Invalid input");
    let fields: Fields<'_> = serde_json::from_str(body).map_err(|_| invalid(""))?;
    let (mut token, mut version) = (None, None);
    for (key, value) in fields.0 {
        let text = || {
            let text: String =
                serde_json::from_str(value.get()).map_err(|_| invalid(&format!(".{key}")))?;
            Ok::<_, String>(text.trim().to_owned())
        };
        match &*key {
            "enrollmentToken" => token = Some(text()?).filter(|token| !token.is_empty()),
            "installedVersion" => {
                version = Some(text()?).filter(|text| (1..=64).contains(&text.chars().count()));
                version.as_ref().ok_or_else(|| invalid(".installedVersion"))?;
            }
            _ => return Err(format!("body: Unrecognized key: \"{}\"", printable(&key))),
        }
    }
    Ok((token.ok_or_else(|| invalid(".enrollmentToken"))?, version))
}

/// The answer to an enrollment at `now`.
pub(super) fn enrolled(id: &str, daemon: &Daemon, now: UnixMillis, password: &str) -> String {
    let cluster = Object::with_capacity(320)
        .text("_id", id)
        .text("name", &daemon.record.name)
        .text("role", "cluster")
        .text("status", "healthcheck-received")
        .text_or_null("installedVersion", daemon.record.version.as_deref())
        .plain_or_null("lastHeartbeatAt", daemon.heartbeat)
        .plain_or_null("lastDisconnectAt", daemon.disconnected)
        .plain("createdAt", daemon.record.created)
        .plain("updatedAt", now)
        .end();
    let data = Object::new().raw("teamCluster", &cluster).text("daemonPassword", password).end();
    Object::new().text("status", "success").raw("data", &data).end()
}

/// A refused enrollment.
pub(super) fn enrollment_refused(status: u16, code: Option<&str>, message: &str) -> String {
    let object = Object::new().text("status", "error");
    match code {
        Some(code) => {
            object.text("code", code).text("message", message).number("statusCode", status).end()
        }
        // Peer: the rate limiter's body has no status.
        None => object.text("message", message).end(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(json: &str) -> Result<Registration, String> {
        registration(&if json.is_empty() {
            Raw::absent()
        } else {
            Raw::parse(json.to_owned()).unwrap()
        })
    }

    #[test]
    fn a_registration_has_two_texts_and_perhaps_a_channel() {
        let good = check(r#"{"teamClusterId":" c ","daemonPassword":"p"}"#);
        let registration = |channel| {
            let (cluster, password) = ("c".to_owned(), "p".to_owned());
            Ok(Registration { cluster, password, channel })
        };
        assert_eq!(good, registration(DaemonChannel::None));
        let gateway = r#"{"teamClusterId":"c","daemonPassword":"p","channel":"object-gateway"}"#;
        assert_eq!(check(gateway), registration(DaemonChannel::ObjectGateway));
        let details = |json| check(json).unwrap_err();
        assert_eq!(
            details(r#"{"teamClusterId":"c","daemonPassword":" "}"#),
            "daemonPassword: Too small: expected string to have >=1 characters"
        );
        assert_eq!(
            details(r#"{"teamClusterId":"c","daemonPassword":"p","plane":"control"}"#),
            "Unrecognized key: \"plane\""
        );
        for none in ["\"none\"", "\"c\"", "null", "7"] {
            let json = format!(r#"{{"teamClusterId":"c","daemonPassword":"p","channel":{none}}}"#);
            assert_eq!(
                check(&json).unwrap_err(),
                "channel: Invalid option: expected one of \"control\"|\"heartbeat\"|\"events\"|\"object-gateway\""
            );
        }
        assert_eq!(
            details(r#"{"teamClusterId":7}"#),
            "teamClusterId: Invalid input: expected string, received number, \
             daemonPassword: Invalid input: expected string, received undefined"
        );
        assert_eq!(details(""), "Invalid input: expected object, received undefined");
        assert_eq!(details("[]"), "Invalid input: expected object, received array");
    }

    #[test]
    fn an_enrollment_has_exactly_the_known_keys() {
        let good = enrollment(r#"{"enrollmentToken":"t","installedVersion":" 1.4 "}"#).unwrap();
        assert_eq!((&*good.0, good.1.as_deref()), ("t", Some("1.4")));
        assert!(enrollment(r#"{"enrollmentToken":"t"}"#).is_ok());
        let long = format!(r#"{{"enrollmentToken":"t","installedVersion":"{}"}}"#, "v".repeat(65));
        for bad in [
            r#"{"enrollmentToken":" "}"#,
            r#"{"enrollmentToken":null}"#,
            r#"{"enrollmentToken":"t","installedVersion":""}"#,
            r#"{"enrollmentToken":"t","installedVersion":null}"#,
            r#"{"enrollmentToken":"t","more":1}"#,
            &long,
            "{}",
            "[]",
            "x",
        ] {
            assert!(enrollment(bad).is_err(), "{bad}");
        }
    }
}
