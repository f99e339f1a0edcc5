//! Messages of ws-daemon: the same JSON on the local socket and between daemons.
//!
//! ```text
//! {"name":"script","id":any,"params":any}                               a request; id and params optional
//! {"name":"&cmd","params":{"code":"STATUS","data":{"status":0,"id":any}}}   its answer, to the other daemon
//! {"status":0,"id":any}                                                 its answer, to a local program
//! ```
//!
//! `&cmd` is for the daemon at the other end of a WebSocket, `+cmd` for the one that a local program asks.

use bytestring::ByteString;
use serde::Deserialize;

use super::words::order;
use crate::base::json::Raw;
use crate::base::json::object::Object;

pub(super) use super::words::order::{LOCAL as LOCAL_COMMAND, REMOTE as REMOTE_COMMAND};

/// Answers that are no exit status. The original knows the first two.
pub(super) mod status {
    /// It could not be started, or nothing of that name is offered.
    pub(crate) const NOT_STARTED: i64 = -1;
    /// There is no daemon to send it to.
    pub(crate) const NOBODY: i64 = -2;
    /// It took longer than it may.
    pub(crate) const TIMED_OUT: i64 = -3;
    /// The connection or the daemon ended before it did: what became of it is unknown.
    pub(crate) const LOST: i64 = -4;
    /// It was not taken: too much waits already, or the daemon ends.
    pub(crate) const REFUSED: i64 = -5;
}

/// What a text says.
#[derive(Debug)]
pub(super) enum Message {
    /// A command to a daemon.
    Command(Command),
    /// A request to run something; a name that is no text names nothing.
    Request { name: Option<String>, id: Raw, params: Raw },
    /// JSON that is no object.
    Other,
}

/// A command to a daemon.
#[derive(Debug)]
pub(super) enum Command {
    /// The status of something that ran there, or anything else for local programs.
    Status(Raw),
    /// Go away for so many milliseconds; `None` for what is no such number.
    Pause(Option<u64>),
    /// Another one.
    Unknown,
}

#[derive(Deserialize)]
struct Fields {
    #[serde(default)]
    name: Raw,
    #[serde(default)]
    id: Raw,
    #[serde(default)]
    params: Raw,
}

#[derive(Deserialize)]
struct CommandFields {
    #[serde(default)]
    code: String,
    #[serde(default)]
    data: Raw,
}

/// The longest pause: what a timer of the original takes.
const MAX_PAUSE_MS: f64 = 2_147_483_647.0;

/// Reads a text; `command` is the name by which its sender means us.
///
/// # Errors
/// It is not JSON.
pub(super) fn read(text: &ByteString, command: &str) -> Result<Message, serde_json::Error> {
    if !is_object(text) {
        return Raw::parse(text.clone()).map(|_| Message::Other);
    }
    let Fields { name, id, params } = serde_json::from_str(text)?;
    let name = name.read::<String>().ok();
    Ok(if name.as_deref() == Some(command) {
        Message::Command(Command::read(&params))
    } else {
        Message::Request { name, id, params }
    })
}

impl Command {
    fn read(params: &Raw) -> Self {
        let fields = params.read::<CommandFields>().ok().filter(|_| is_object(params.as_str()));
        let Some(CommandFields { code, data }) = fields else { return Self::Unknown };
        match code.to_uppercase().as_str() {
            order::STATUS => Self::Status(data),
            order::PAUSE => {
                let millis = data.read::<f64>().ok();
                let millis = millis.filter(|millis| (0.0..=MAX_PAUSE_MS).contains(millis));
                Self::Pause(millis.map(|millis| millis as u64))
            }
            _ => Self::Unknown,
        }
    }
}

/// An array would be read as the fields of an object in their order.
fn is_object(text: &str) -> bool {
    text.trim_start().starts_with('{')
}

/// Writes a request.
pub(super) fn request(name: &str, id: Option<&str>, params: &Raw) -> ByteString {
    let request = Object::new().text("name", name).given(id, |request, id| request.raw("id", id));
    let params = Some(params.as_str()).filter(|_| !params.is_absent());
    request.given(params, |request, params| request.raw("params", params)).end().into()
}

/// Writes an answer for a local program; a `status` of `None` is that of a process that a signal ended.
pub(super) fn answer(status: Option<i64>, id: &Raw) -> Raw {
    let answer = Object::new();
    let answer = match status {
        Some(status) => answer.number("status", status),
        None => answer.raw("status", "null"),
    };
    let id = Some(id.as_str()).filter(|_| !id.is_absent());
    Raw::trusted(answer.given(id, |answer, id| answer.raw("id", id)).end())
}

/// Writes an answer for the daemon that asked.
pub(super) fn status_command(answer: &Raw) -> ByteString {
    let params = |params: Object| params.text("code", order::STATUS).raw("data", answer.as_str());
    Object::new().text("name", REMOTE_COMMAND).object("params", params).end().into()
}

/// Returns the id in an answer; `None` if it is none.
pub(super) fn answered_id(data: &Raw) -> Option<Raw> {
    #[derive(Deserialize)]
    struct Answer {
        #[serde(default)]
        status: Raw,
        #[serde(default)]
        id: Raw,
    }
    let answer = data.read::<Answer>().ok().filter(|_| is_object(data.as_str()))?;
    (!answer.status.is_absent()).then_some(answer.id)
}

/// Returns the status that the value of a handler stands for: a whole number is one, and so is the
/// `status` of an object; anything else succeeded.
pub(super) fn status_of(value: &Raw) -> Option<i64> {
    #[derive(Deserialize)]
    struct Outcome {
        #[serde(default)]
        status: Raw,
    }
    if let Ok(status) = value.read::<i64>() {
        return Some(status);
    }
    let outcome = value.read::<Outcome>().ok().filter(|_| is_object(value.as_str()));
    match outcome {
        Some(Outcome { status }) if status == Raw::null() => None,
        Some(Outcome { status }) => Some(status.read().unwrap_or(0)),
        None => Some(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> Raw {
        Raw::parse(text.to_owned()).unwrap()
    }

    fn read(text: &str) -> Message {
        super::read(&text.into(), REMOTE_COMMAND).unwrap()
    }

    #[test]
    fn ids_keep_their_type_and_absence() {
        for (id, answered) in [
            (r#","id":"a""#, r#"{"status":3,"id":"a"}"#),
            (r#","id":12345"#, r#"{"status":3,"id":12345}"#),
            (r#","id":null"#, r#"{"status":3,"id":null}"#),
            ("", r#"{"status":3}"#),
        ] {
            let Message::Request { name, id, params } = read(&format!("{{\"name\":\"x\"{id}}}"))
            else {
                panic!("a request")
            };
            assert_eq!((name.as_deref(), params.is_absent()), (Some("x"), true));
            let answer = answer(Some(3), &id);
            assert_eq!(answer.as_str(), answered);
            assert_eq!(answered_id(&answer).unwrap(), id);
        }
        assert_eq!(answer(None, &Raw::absent()).as_str(), r#"{"status":null}"#);
    }

    #[test]
    fn what_is_no_text_names_nothing() {
        for odd in [r#"{"name":["ok"]}"#, r#"{"name":5}"#, "{}", r#"{"name":null}"#] {
            assert!(matches!(read(odd), Message::Request { name: None, .. }), "{odd}");
        }
        for odd in ["5", "[]", r#"["ok"]"#, "null", " \"x\" "] {
            assert!(matches!(read(odd), Message::Other), "{odd}");
        }
        for bad in ["", "{", "not json", "{\"name\":\"a\"} x"] {
            assert!(super::read(&bad.into(), REMOTE_COMMAND).is_err(), "{bad}");
        }
    }

    #[test]
    fn commands_are_known_in_any_case_and_pauses_within_bounds() {
        let command = |params: &str| {
            let Message::Command(command) =
                read(&format!(r#"{{"name":"&cmd","params":{params}}}"#))
            else {
                panic!("a command")
            };
            command
        };
        assert!(
            matches!(command(r#"{"code":"status","data":"x"}"#), Command::Status(data) if data == raw("\"x\""))
        );
        assert!(
            matches!(command(r#"{"code":"STATUS"}"#), Command::Status(data) if data.is_absent())
        );
        assert!(matches!(command(r#"{"code":"pause","data":1.5e3}"#), Command::Pause(Some(1_500))));
        for bad in ["-1", "2147483648", "null", "\"500\""] {
            let pause = command(&format!(r#"{{"code":"PAUSE","data":{bad}}}"#));
            assert!(matches!(pause, Command::Pause(None)), "{bad}");
        }
        for odd in ["{}", "[]", "5", r#"{"code":5}"#, r#"{"code":"NOPE"}"#] {
            assert!(matches!(command(odd), Command::Unknown), "{odd}");
        }
        let local = super::read(
            &r#"{"name":"+cmd","params":{"code":"PAUSE","data":0}}"#.into(),
            LOCAL_COMMAND,
        );
        assert!(matches!(local, Ok(Message::Command(Command::Pause(Some(0))))));
    }

    #[test]
    fn values_of_handlers_are_statuses() {
        for (value, status) in [
            ("3", Some(3)),
            ("null", Some(0)),
            ("{}", Some(0)),
            (r#"{"status":"x"}"#, Some(0)),
            (r#"{"status":4}"#, Some(4)),
            (r#"{"status":null}"#, None),
            ("\"text\"", Some(0)),
            ("[1]", Some(0)),
            ("1.5", Some(0)),
        ] {
            assert_eq!(status_of(&raw(value)), status, "{value}");
        }
    }
}
