//! What an application tells its machine, as data: one vocabulary for Rust, Node, Python, C and WASM.
//!
//! Bindings hand over a whole turn of commands as one JSON array of triples
//! `[name, id, body]`; see [`parse_batch`].

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::error::{Error, ErrorCode};
use crate::json::Raw;
use crate::machine::{CallId, ConnId, WorkId};

/// A command of the application.
#[derive(Clone, Debug)]
pub enum Command {
    /// Connect, or listen.
    Start,
    /// Refuse new work, let running work finish for `drain_ms`, flush, say farewell, end.
    Stop {
        /// Time to drain, in milliseconds; 0 ends at once.
        drain_ms: u64,
    },
    /// Offer a handler under `key`; `meta` describes it to the control plane.
    Handle {
        /// The handler key; for `beacon`: `Capability/Action`. `*` at a hub and at a VOLT daemon asks
        /// for messages.
        key: String,
        /// A JSON object; for `beacon`: `{description?, settings_schema?}`.
        meta: Raw,
    },
    /// Withdraw a handler.
    Unhandle {
        /// The handler key.
        key: String,
    },
    /// Make a call; settles in exactly one `CallDone`.
    Call {
        /// The call's id, chosen by the application, never reused.
        call: CallId,
        /// What is called; for `beacon`: `Capability/Action`, or an administrative name.
        name: String,
        /// The payload; absent if there is none.
        payload: Raw,
        /// A JSON object of call options; `{}` for the defaults.
        options: Raw,
    },
    /// Cancel a call.
    Cancel {
        /// The call.
        call: CallId,
    },
    /// Send a message without reply.
    Emit {
        /// What is sent; at a hub: the VOLT daemon that it is sent to.
        name: String,
        /// The payload; absent if there is none.
        payload: Raw,
    },
    /// Settle a work item.
    Complete {
        /// The item.
        work: WorkId,
        /// Its outcome.
        outcome: Outcome,
    },
    /// Report progress of a work item.
    Progress {
        /// The item.
        work: WorkId,
        /// A JSON object; for `beacon`: `{Percent?, Message?, Step?, TotalSteps?, Log?}`.
        report: Raw,
    },
    /// Let a peer in that `AdmissionAsked` named.
    Admit {
        /// The connection.
        conn: ConnId,
    },
    /// Turn it away.
    Refuse {
        /// The connection.
        conn: ConnId,
        /// The HTTP status.
        status: u16,
    },
    /// Ask for the state; answered by a `CallDone` with the snapshot.
    Snapshot {
        /// The call's id.
        call: CallId,
    },
}

/// How a work item ended, as the handler tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It succeeded.
    Done {
        /// What the handler returned, any JSON. For `beacon` an object becomes `Outputs` as it is,
        /// `null` becomes `{}`, anything else `{"Result": value}`.
        value: Raw,
        /// A JSON list of text lines; `[]` for none.
        log: Raw,
    },
    /// It failed with this message.
    Failed {
        /// The message, at most 512 bytes; cut if longer.
        message: String,
    },
    /// The handler gave it up after it was withdrawn.
    Cancelled,
}

impl Command {
    /// Returns the call id, if the command has one.
    #[must_use]
    pub const fn call(&self) -> Option<CallId> {
        match self {
            Self::Call { call, .. } | Self::Snapshot { call } => Some(*call),
            Self::Start
            | Self::Stop { .. }
            | Self::Handle { .. }
            | Self::Unhandle { .. }
            | Self::Cancel { .. }
            | Self::Emit { .. }
            | Self::Complete { .. }
            | Self::Progress { .. }
            | Self::Admit { .. }
            | Self::Refuse { .. } => None,
        }
    }
}

/// How long a stop drains when it does not say, in milliseconds.
pub const DEFAULT_DRAIN_MS: u64 = 30_000;

/// One triple of a batch: name, id, body.
type Triple<'a> = (Cow<'a, str>, u64, Option<&'a RawValue>);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StopBody {
    #[serde(default = "StopBody::default_drain_ms")]
    drain_ms: u64,
}

impl StopBody {
    const fn default_drain_ms() -> u64 {
        DEFAULT_DRAIN_MS
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyBody {
    key: String,
    meta: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CallBody<'a> {
    name: String,
    /// A payload of `null` is one; a key left out is none.
    #[serde(default, deserialize_with = "present")]
    payload: Option<Raw>,
    options: Option<Box<RawValue>>,
    #[serde(default)]
    blobs: Vec<Cow<'a, str>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DoneBody<'a> {
    value: Option<Box<RawValue>>,
    log: Option<Box<RawValue>>,
    #[serde(default)]
    blobs: Vec<Cow<'a, str>>,
}

fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Raw>, D::Error> {
    Raw::deserialize(deserializer).map(Some)
}

/// Reads the byte strings that stand beside a value.
fn blobs(texts: &[Cow<'_, str>]) -> Result<Vec<Bytes>, Error> {
    let decode = |text: &Cow<'_, str>| STANDARD.decode(text.as_bytes()).map(Bytes::from);
    texts
        .iter()
        .map(decode)
        .collect::<Result<_, _>>()
        .map_err(|e| invalid(format!("blobs: a list of base64 texts is wanted: {e}")))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FailBody {
    message: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RefuseBody {
    status: u16,
}

/// Reads one turn of commands: a JSON array of triples.
///
/// | name | id | body |
/// |---|---|---|
/// | `start` | 0 | `null` |
/// | `stop` | 0 | `{drain_ms?}` |
/// | `handle` | 0 | `{key, meta?}` |
/// | `unhandle` | 0 | `{key}` |
/// | `call` | call | `{name, payload?, options?, blobs?}` |
/// | `cancel` | call | `null` |
/// | `snapshot` | call | `null` |
/// | `emit` | 0 | `{name, payload?, blobs?}` |
/// | `done` | work | `{value?, log?}` |
/// | `failed` | work | `{message}` |
/// | `cancelled` | work | `null` |
/// | `progress` | work | the report |
/// | `admit` | connection | `null` |
/// | `refuse` | connection | `{status}` |
///
/// # Errors
/// `ARGUMENT_INVALID` naming the entry that is wrong; then no command of the batch is carried out.
pub fn parse_batch(text: &str) -> Result<Vec<Command>, Error> {
    let triples: Vec<Triple<'_>> = serde_json::from_str(text)
        .map_err(|e| invalid(format!("a batch is a JSON array of [name, id, body]: {e}")))?;
    triples
        .into_iter()
        .enumerate()
        .map(|(index, triple)| {
            parse_triple(triple).map_err(|e| invalid(format!("command {index}: {}", e.message())))
        })
        .collect()
}

fn parse_triple((name, id, body): Triple<'_>) -> Result<Command, Error> {
    Ok(match &*name {
        "start" => Command::Start,
        "stop" => Command::Stop { drain_ms: read::<StopBody>(&name, body)?.drain_ms },
        "handle" => {
            let KeyBody { key, meta } = read(&name, body)?;
            Command::Handle { key, meta: meta.map_or_else(Raw::empty_object, Raw::from) }
        }
        "unhandle" => Command::Unhandle { key: read::<KeyBody>(&name, body)?.key },
        "call" => {
            let CallBody { name, payload, options, blobs: texts } = read(&name, body)?;
            Command::Call {
                call: CallId(id),
                name,
                payload: payload.unwrap_or_else(Raw::absent).with_blobs(blobs(&texts)?),
                options: options.map_or_else(Raw::empty_object, Raw::from),
            }
        }
        "cancel" => Command::Cancel { call: CallId(id) },
        "snapshot" => Command::Snapshot { call: CallId(id) },
        "emit" => {
            let CallBody { name, payload, options: _, blobs: texts } = read(&name, body)?;
            let payload = payload.unwrap_or_else(Raw::absent).with_blobs(blobs(&texts)?);
            Command::Emit { name, payload }
        }
        "done" => {
            let DoneBody { value, log, blobs: texts } = read(&name, body)?;
            let value = value.map_or_else(Raw::null, Raw::from).with_blobs(blobs(&texts)?);
            let log = log.map_or_else(Raw::empty_list, Raw::from);
            Command::Complete { work: WorkId(id), outcome: Outcome::Done { value, log } }
        }
        "failed" => Command::Complete {
            work: WorkId(id),
            outcome: Outcome::Failed { message: read::<FailBody>(&name, body)?.message },
        },
        "cancelled" => Command::Complete { work: WorkId(id), outcome: Outcome::Cancelled },
        "progress" => Command::Progress { work: WorkId(id), report: required(&name, body)? },
        "admit" => Command::Admit { conn: ConnId(id) },
        "refuse" => {
            Command::Refuse { conn: ConnId(id), status: read::<RefuseBody>(&name, body)?.status }
        }
        other => return Err(invalid(format!("no command is named {other:?}"))),
    })
}

fn required(name: &str, body: Option<&RawValue>) -> Result<Raw, Error> {
    body.map(|body| Raw::from(body.to_owned()))
        .ok_or_else(|| invalid(format!("{name} needs a body")))
}

fn read<'a, T: Deserialize<'a>>(name: &str, body: Option<&'a RawValue>) -> Result<T, Error> {
    let text = body.map_or("null", RawValue::get);
    serde_json::from_str(text).map_err(|e| invalid(format!("{name}: {e}")))
}

fn invalid(message: String) -> Error {
    Error::new(ErrorCode::ArgumentInvalid, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_of_commands_is_one_text() {
        let batch = parse_batch(
            r#"[["start",0,null],["done",7,{"value":{"n":1.0}}],
                ["call",9,{"name":"Echo/Say","payload":{"Text":"hi"}}],["stop",0,{"drain_ms":5}]]"#,
        )
        .unwrap();
        assert!(matches!(batch[0], Command::Start));
        let Command::Complete { work: WorkId(7), outcome: Outcome::Done { value, .. } } = &batch[1]
        else {
            panic!("{batch:?}")
        };
        assert_eq!(value.as_str(), r#"{"n":1.0}"#);
        assert!(matches!(&batch[2], Command::Call { call: CallId(9), .. }));
        assert!(matches!(batch[3], Command::Stop { drain_ms: 5 }));
    }

    #[test]
    fn null_is_a_payload_and_none_is_none() {
        let batch = parse_batch(
            r#"[["call",1,{"name":"a","payload":null}],["call",2,{"name":"a"}],
                ["emit",0,{"name":"","payload":{},"blobs":["AQI=",""]}]]"#,
        )
        .unwrap();
        let [
            Command::Call { payload: null, .. },
            Command::Call { payload: none, .. },
            Command::Emit { payload: bytes, .. },
        ] = &*batch
        else {
            panic!("{batch:?}")
        };
        assert_eq!(*null, Raw::null());
        assert!(none.is_absent());
        assert_eq!(bytes.blobs(), [vec![1, 2], vec![]]);
        assert!(parse_batch(r#"[["emit",0,{"name":"","blobs":["?"]}]]"#).is_err());
    }

    #[test]
    fn a_stop_that_names_no_time_drains_for_the_default() {
        let batch = parse_batch(r#"[["stop",0,{}]]"#).unwrap();
        assert!(matches!(batch[0], Command::Stop { drain_ms: DEFAULT_DRAIN_MS }));
    }

    #[test]
    fn a_bad_entry_is_named_and_nothing_is_carried_out() {
        let error = parse_batch(r#"[["start",0,null],["dance",0,null]]"#).unwrap_err();
        assert_eq!(error.code(), ErrorCode::ArgumentInvalid);
        assert!(error.message().contains("command 1"), "{error}");
        assert!(parse_batch(r#"[["stop",0,{"drain":5}]]"#).is_err());
        assert!(parse_batch("{}").is_err());
        assert!(parse_batch(r#"[["progress",1,null]]"#).is_err());
    }
}
