//! What an application tells its machine, as data: one vocabulary for Rust, Node, Python, C and WASM.
//!
//! Bindings hand over a whole turn of commands as one JSON array of triples
//! `[name, id, body]`; see [`parse_batch`]. Those of JavaScript hand over lines; see [`parse_turn`].

mod peer;
mod scan;
mod turn;

use std::fmt;

use serde::de::{self, IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::base::error::{Error, invalid};
use crate::base::ids::{CallId, PeerId, WorkId};
use crate::base::json::Raw;
use crate::base::json::object::Object;

pub use peer::{PeerCommand, Recipients};
pub use turn::parse_turn;

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
    /// Calls of the other side.
    Call(CallCommand),
    /// Handlers and what becomes of their work.
    Work(WorkCommand),
    /// Peers of a server, or the other end of a connection, and what is sent as it is.
    Peer(PeerCommand),
    /// Send a message without reply.
    Emit {
        /// What is sent; at a hub: the VOLT daemon that it is sent to.
        name: String,
        /// The payload; absent if there is none.
        payload: Raw,
    },
    /// Ask for the state; answered by a `CallDone` with the snapshot.
    Snapshot {
        /// The call's id.
        call: CallId,
    },
}

/// A command about a call.
#[derive(Clone, Debug)]
pub enum CallCommand {
    /// Make a call; settles in exactly one [`CallEvent::Done`](crate::CallEvent::Done).
    Make {
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
}

/// A command about handlers or their work.
#[derive(Clone, Debug)]
pub enum WorkCommand {
    /// Offer a handler under `key`; `meta` describes it to the control plane.
    Handle {
        /// The handler key; for `beacon`: `Capability/Action`; for `volt` and at a hub: a command of the
        /// other side. `*` at a hub and at a VOLT daemon asks for messages.
        key: String,
        /// A JSON object; for `beacon`: `{description?, settings_schema?}`.
        meta: Raw,
    },
    /// Withdraw a handler.
    Unhandle {
        /// The handler key.
        key: String,
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
        if let Self::Peer(PeerCommand::Send { call, .. }) = self {
            return *call;
        }
        let (Self::Call(CallCommand::Make { call, .. }) | Self::Snapshot { call }) = self else {
            return None;
        };
        Some(*call)
    }
}

/// How long a stop drains when it does not say, in milliseconds.
pub const DEFAULT_DRAIN_MS: u64 = 30_000;

/// The name of a command in a batch.
#[derive(Clone, Copy, Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum Word {
    Start,
    Stop,
    Handle,
    Unhandle,
    Call,
    Cancel,
    Snapshot,
    Emit,
    Done,
    Failed,
    Cancelled,
    Progress,
    Admit,
    Refuse,
    Greet,
    Send,
    Ping,
    End,
    Close,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StopBody {
    #[serde(default = "default_drain_ms")]
    drain_ms: u64,
}

const fn default_drain_ms() -> u64 {
    DEFAULT_DRAIN_MS
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyBody {
    key: String,
    meta: Option<Raw>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CallBody {
    name: String,
    /// A payload of `null` is one; a key left out is none.
    #[serde(default = "Raw::absent")]
    payload: Raw,
    options: Option<Raw>,
    #[serde(default)]
    blobs: Blobs,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DoneBody {
    value: Option<Raw>,
    log: Option<Raw>,
    #[serde(default)]
    blobs: Blobs,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FailBody {
    message: String,
}

/// The byte strings that stand beside a value, in base64.
#[derive(Default, Deserialize)]
struct Blobs(Vec<String>);

impl Blobs {
    /// Adds the byte strings to their value.
    fn add_to<E: de::Error>(&self, value: Raw) -> Result<Raw, E> {
        let wanted = "blobs: a list of base64 texts is wanted";
        value.with_base64(&self.0).map_err(|e| E::custom(format_args!("{wanted}: {e}")))
    }
}

/// Writes the triple that [`parse_batch`] reads.
#[must_use]
pub fn write(command: &Command) -> String {
    let body = Object::new;
    let call = |name: &str, payload: &Raw, options: Option<&Raw>| {
        let given = Some(payload.as_str()).filter(|_| !payload.is_absent());
        let call = body().text("name", name).given(given, |call, json| call.raw("payload", json));
        let call = call.given(options, |call, options| call.value("options", options));
        call.blobs("blobs", payload.blobs())
    };
    let (word, id, body) = match command {
        Command::Start => ("start", 0, None),
        Command::Stop { drain_ms } => ("stop", 0, Some(body().number("drain_ms", *drain_ms))),
        Command::Work(WorkCommand::Handle { key, meta }) => {
            ("handle", 0, Some(body().text("key", key).value("meta", meta)))
        }
        Command::Work(WorkCommand::Unhandle { key }) => {
            ("unhandle", 0, Some(body().text("key", key)))
        }
        Command::Call(CallCommand::Make { call: id, name, payload, options }) => {
            ("call", id.0, Some(call(name, payload, Some(options))))
        }
        Command::Call(CallCommand::Cancel { call }) => ("cancel", call.0, None),
        Command::Emit { name, payload } => ("emit", 0, Some(call(name, payload, None))),
        Command::Work(WorkCommand::Complete { work, outcome }) => match outcome {
            Outcome::Done { value, log } => {
                let json = if value.is_absent() { "null" } else { value.as_str() };
                let done = body().raw("value", json).value("log", log);
                ("done", work.0, Some(done.blobs("blobs", value.blobs())))
            }
            Outcome::Failed { message } => {
                ("failed", work.0, Some(body().text("message", message)))
            }
            Outcome::Cancelled => ("cancelled", work.0, None),
        },
        Command::Work(WorkCommand::Progress { work, report }) => {
            return format!("[\"progress\",{},{}]", work.0, report.as_str());
        }
        Command::Peer(command) => peer::triple(command),
        Command::Snapshot { call } => ("snapshot", call.0, None),
    };
    format!("[\"{word}\",{id},{}]", body.map_or_else(|| "null".to_owned(), Object::end))
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
/// | `admit`, `refuse` | peer | `null` |
/// | `greet` | peer | `null` |
/// | `send` | call, or 0 | `{peer?, peers?, text?, bytes?, compress?}` |
/// | `ping` | peer | `{bytes?}` |
/// | `end` | peer | `{code?, reason?}`, or `null` |
/// | `close` | peer | `null` |
///
/// # Errors
/// `ARGUMENT_INVALID` naming the entry that is wrong; then no command of the batch is carried out.
pub fn parse_batch(text: &str) -> Result<Vec<Command>, Error> {
    if let Some(commands) = scan::batch(text) {
        return Ok(commands);
    }
    // The parser knows what is wrong, and where.
    let read = || {
        let mut reader = serde_json::Deserializer::from_str(text);
        let commands = reader.deserialize_seq(Triples)?;
        reader.end().map(|()| commands)
    };
    read().map_err(|e: serde_json::Error| {
        invalid(format!("a batch is a JSON array of [name, id, body]: {e}"))
    })
}

/// Reads a batch in one pass: a body is read as what the name before it says.
struct Triples;

impl<'de> Visitor<'de> for Triples {
    type Value = Vec<Command>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of commands")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut triples: A) -> Result<Vec<Command>, A::Error> {
        let mut commands = Vec::new();
        let wrong = |index, e| de::Error::custom(format_args!("command {index}: {e}"));
        while let Some(One(command)) =
            triples.next_element().map_err(|e: A::Error| wrong(commands.len(), e))?
        {
            commands.push(command);
        }
        Ok(commands)
    }
}

struct One(Command);

impl<'de> Deserialize<'de> for One {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_tuple(3, Triple).map(One)
    }
}

struct Triple;

impl<'de> Visitor<'de> for Triple {
    type Value = Command;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a triple of name, id and body")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Command, A::Error> {
        let word = next(&mut parts)?;
        let id = next(&mut parts)?;
        let complete = |outcome| Command::Work(WorkCommand::Complete { work: WorkId(id), outcome });
        Ok(match word {
            Word::Start => next(&mut parts).map(|IgnoredAny| Command::Start)?,
            Word::Stop => Command::Stop { drain_ms: next::<StopBody, A>(&mut parts)?.drain_ms },
            Word::Handle => {
                let KeyBody { key, meta } = next(&mut parts)?;
                let meta = meta.unwrap_or_else(Raw::empty_object);
                Command::Work(WorkCommand::Handle { key, meta })
            }
            Word::Unhandle => {
                Command::Work(WorkCommand::Unhandle { key: next::<KeyBody, A>(&mut parts)?.key })
            }
            Word::Call => {
                let CallBody { name, payload, options, blobs } = next(&mut parts)?;
                let options = options.unwrap_or_else(Raw::empty_object);
                let (call, payload) = (CallId(id), blobs.add_to(payload)?);
                Command::Call(CallCommand::Make { call, name, payload, options })
            }
            Word::Cancel => next(&mut parts)
                .map(|IgnoredAny| Command::Call(CallCommand::Cancel { call: CallId(id) }))?,
            Word::Snapshot => {
                next(&mut parts).map(|IgnoredAny| Command::Snapshot { call: CallId(id) })?
            }
            Word::Emit => {
                let CallBody { name, payload, options: _, blobs } = next(&mut parts)?;
                Command::Emit { name, payload: blobs.add_to(payload)? }
            }
            Word::Done => {
                let DoneBody { value, log, blobs } = next(&mut parts)?;
                let value = blobs.add_to(value.unwrap_or_else(Raw::null))?;
                complete(Outcome::Done { value, log: log.unwrap_or_else(Raw::empty_list) })
            }
            Word::Failed => {
                let FailBody { message } = next(&mut parts)?;
                complete(Outcome::Failed { message })
            }
            Word::Cancelled => next(&mut parts).map(|IgnoredAny| complete(Outcome::Cancelled))?,
            Word::Progress => {
                let report: Option<Raw> = next(&mut parts)?;
                let report = report.ok_or_else(|| de::Error::custom("progress needs a body"))?;
                Command::Work(WorkCommand::Progress { work: WorkId(id), report })
            }
            Word::Admit => of_peer(&mut parts, PeerCommand::Admit { peer: PeerId(id) })?,
            Word::Refuse => of_peer(&mut parts, PeerCommand::Refuse { peer: PeerId(id) })?,
            Word::Greet => of_peer(&mut parts, PeerCommand::Greet { peer: PeerId(id) })?,
            Word::Close => of_peer(&mut parts, PeerCommand::Close { peer: PeerId(id) })?,
            Word::Send => Command::Peer(next::<peer::SendBody, A>(&mut parts)?.command(id)?),
            Word::Ping => {
                Command::Peer(next::<peer::PingBody, A>(&mut parts)?.command(PeerId(id))?)
            }
            Word::End => {
                let body: Option<peer::EndBody> = next(&mut parts)?;
                let peer::EndBody { code, reason } = body.unwrap_or_default();
                Command::Peer(PeerCommand::End { peer: PeerId(id), code, reason })
            }
        })
    }
}

/// A command that has no body.
fn of_peer<'de, A: SeqAccess<'de>>(
    parts: &mut A,
    command: PeerCommand,
) -> Result<Command, A::Error> {
    next(parts).map(|IgnoredAny| Command::Peer(command))
}

fn next<'de, T: Deserialize<'de>, A: SeqAccess<'de>>(parts: &mut A) -> Result<T, A::Error> {
    parts.next_element()?.ok_or_else(|| de::Error::invalid_length(2, &"name, id and body"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::error::ErrorCode;

    #[test]
    fn a_turn_of_commands_is_one_text() {
        let batch = parse_batch(
            r#"[["start",0,null],["done",7,{"value":{"n":1.0}}],
                ["call",9,{"name":"Echo/Say","payload":{"Text":"hi"}}],["stop",0,{"drain_ms":5}]]"#,
        )
        .unwrap();
        assert!(matches!(batch[0], Command::Start));
        let Command::Work(WorkCommand::Complete {
            work: WorkId(7),
            outcome: Outcome::Done { value, .. },
        }) = &batch[1]
        else {
            panic!("{batch:?}")
        };
        assert_eq!(value.as_str(), r#"{"n":1.0}"#);
        assert!(matches!(&batch[2], Command::Call(CallCommand::Make { call: CallId(9), .. })));
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
            Command::Call(CallCommand::Make { payload: null, .. }),
            Command::Call(CallCommand::Make { payload: none, .. }),
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
        for odd in [
            "[[]]",
            r#"[["start",0]]"#,
            r#"[["start",0,null,1]]"#,
            r#"[["start",-1,null]]"#,
            "[] []",
        ] {
            assert!(parse_batch(odd).is_err(), "{odd}");
        }
        assert!(parse_batch(r#"[["progress",1,null]]"#).is_err());
    }
}
