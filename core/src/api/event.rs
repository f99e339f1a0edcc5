//! What a machine tells its application, and how it crosses to other languages.
//!
//! [`write()`] appends an event as one JSON object; payloads are copied in as they are. Bindings join
//! objects with commas inside brackets, so that a host parses one array per drain.

mod shape;

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use crate::base::error::{Error, ErrorCode};
use crate::base::ids::{CallId, ConnId, PeerId, WorkId};
use crate::base::json::Raw;
use crate::base::secret::Secret;
use crate::net::Headers;

pub use shape::{EventField, FieldType, SHAPES, Shape};

/// Something that the application learns.
#[derive(Clone, Debug)]
pub enum Event {
    /// The link is up and registered (client), or the listener is bound (server).
    Ready {
        /// Our id at the control plane, or the address listened on.
        id: String,
        /// What carries frames: `websocket`, `polling` or `listener`.
        transport: &'static str,
        /// The most bytes of one message that the control plane accepts, where it says so.
        max_message: Option<u64>,
    },
    /// The link is down; the session tries again by itself.
    Lost {
        /// Why.
        reason: Error,
        /// Milliseconds until the next attempt.
        retry_ms: u64,
        /// The number of the next attempt, from 1.
        attempt: u32,
    },
    /// A call settled. Exactly one for each call.
    CallDone {
        /// The call.
        call: CallId,
        /// Its result.
        result: Result<Raw, Error>,
    },
    /// A call reported progress or a part of its reply.
    CallPart {
        /// The call.
        call: CallId,
        /// The part.
        part: Raw,
    },
    /// A work item for a handler.
    Work {
        /// The item.
        work: WorkId,
        /// The handler key.
        key: String,
        /// The user's part; for `beacon`: `Settings`.
        payload: Raw,
        /// Milliseconds that the handler has; `None` without a limit.
        timeout_ms: Option<u64>,
        /// The envelope without the user's part.
        meta: Raw,
    },
    /// The item is no longer wanted: stop working on it. Its outcome is ignored.
    WorkWithdrawn {
        /// The item.
        work: WorkId,
        /// Why.
        why: Withdrawal,
    },
    /// A message that is neither work nor a reply.
    Message {
        /// The peer, at servers.
        peer: Option<PeerId>,
        /// The payload.
        payload: Raw,
    },
    /// A peer registered at this server.
    PeerJoined {
        /// The peer.
        peer: PeerId,
        /// Its name.
        name: String,
    },
    /// A peer is gone.
    PeerLeft {
        /// The peer.
        peer: PeerId,
        /// Its name.
        name: String,
        /// Why.
        reason: String,
    },
    /// Someone asks to be let in; answer with `admit` or `refuse`.
    AdmissionAsked {
        /// The connection.
        conn: ConnId,
        /// The upgrade request's target.
        url: String,
        /// Its header fields.
        headers: Headers,
        /// The client's address.
        remote: String,
    },
    /// Something worth knowing that needs no answer.
    Notice(Error),
    /// A drain began, or made progress.
    Draining {
        /// Work items still running.
        in_flight: usize,
        /// Outcomes not yet taken by the control plane.
        outbox: usize,
    },
    /// The session is over; the last event.
    Ended {
        /// `None` after a stop that lost nothing.
        error: Option<Error>,
    },
    /// The enrollment succeeded.
    Enrolled {
        /// The password that the control plane gave; used from now on.
        password: Secret,
    },
    /// Parts of a stream that were handed over have left this process.
    WorkDrained {
        /// The item whose result is the stream.
        work: WorkId,
        /// How many parts have left so far.
        chunks: u64,
    },
    /// A heartbeat is due and the application makes its payload: complete it as if it were work.
    BeatAsked {
        /// What to complete.
        beat: WorkId,
    },
}

/// Why a work item is withdrawn from its handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Withdrawal {
    /// Its time limit passed.
    Expired,
    /// The control plane cancelled it.
    Cancelled,
    /// The session drains and the drain deadline passed.
    Draining,
    /// The control plane gave it to somebody else.
    Superseded,
    /// The link is down and the control plane will run it again.
    LinkLost,
}

impl Withdrawal {
    const ALL: [Self; 5] =
        [Self::Expired, Self::Cancelled, Self::Draining, Self::Superseded, Self::LinkLost];

    /// Returns its word, in events and between a hub and a worker of ours.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
            Self::Draining => "draining",
            Self::Superseded => "superseded",
            Self::LinkLost => "link_lost",
        }
    }

    /// Finds the withdrawal by its word; what a peer does not explain is a cancellation.
    #[must_use]
    pub fn from_word(word: &str) -> Self {
        Self::ALL.into_iter().find(|why| why.word() == word).unwrap_or(Self::Cancelled)
    }

    /// Returns the code with which a handler learns it.
    #[must_use]
    pub const fn code(self) -> ErrorCode {
        match self {
            Self::Expired => ErrorCode::WorkExpired,
            Self::Cancelled => ErrorCode::CallCancelled,
            Self::Draining => ErrorCode::DrainTimeout,
            Self::Superseded => ErrorCode::WorkLost,
            Self::LinkLost => ErrorCode::ConnectionLost,
        }
    }
}

/// Appends `event` to `out` as one JSON object with the field `event` first.
pub fn write(event: &Event, out: &mut String) {
    let mut object = Object::new(out, kind(event));
    match event {
        Event::Ready { id, transport, max_message } => {
            object.field("id", id);
            object.field("transport", transport);
            object.field("max_message", max_message);
        }
        Event::Lost { reason, retry_ms, attempt } => {
            object.field("reason", reason);
            object.field("retry_ms", retry_ms);
            object.field("attempt", attempt);
        }
        Event::CallDone { call, result } => {
            object.field("call", call);
            match result {
                Ok(value) => object.value("value", value),
                Err(error) => object.field("error", error),
            }
        }
        Event::CallPart { call, part } => {
            object.field("call", call);
            object.raw("part", part);
        }
        Event::Work { work, key, payload, timeout_ms, meta } => {
            object.field("work", work);
            object.field("key", key);
            object.value("payload", payload);
            object.field("timeout_ms", timeout_ms);
            object.raw("meta", meta);
        }
        Event::WorkWithdrawn { work, why } => {
            object.field("work", work);
            object.field("why", why.word());
            object.field("error", &Error::from(why.code()));
        }
        Event::Message { peer, payload } => {
            object.field("peer", peer);
            object.value("payload", payload);
        }
        Event::PeerJoined { peer, name } => {
            object.field("peer", peer);
            object.field("name", name);
        }
        Event::PeerLeft { peer, name, reason } => {
            object.field("peer", peer);
            object.field("name", name);
            object.field("reason", reason);
        }
        Event::AdmissionAsked { conn, url, headers, remote } => {
            object.field("conn", conn);
            object.field("url", url);
            let headers: Vec<_> = headers.iter().map(|(k, v)| (k, v.expose())).collect();
            object.field("headers", &headers);
            object.field("remote", remote);
        }
        Event::Notice(error) => object.field("error", error),
        Event::Draining { in_flight, outbox } => {
            object.field("in_flight", in_flight);
            object.field("outbox", outbox);
        }
        Event::Ended { error } => object.field("error", error),
        Event::Enrolled { password } => object.field("password", password.expose()),
        Event::WorkDrained { work, chunks } => {
            object.field("work", work);
            object.field("chunks", chunks);
        }
        Event::BeatAsked { beat } => object.field("beat", beat),
    }
    object.end();
}

/// Returns what there is to an event that is frequent: the number of a call and its result, or 0 and a
/// message. `None` for all others; one with blobs, and a message of a server's peer, are no such event.
///
/// What is returned comes last in the object that [`write()`] makes of the event.
#[must_use]
pub fn frequent(event: &Event) -> Option<(u64, &Raw)> {
    let (number, value) = if let Event::CallDone { call, result: Ok(value) } = event
        && call.0 != 0
    {
        (call.0, value)
    } else if let Event::Message { peer: None, payload } = event
        && !payload.is_absent()
    {
        (0, payload)
    } else {
        return None;
    };
    value.blobs().is_empty().then_some((number, value))
}

/// Appends `event` as two elements of a JSON array if it is a [`frequent`] one that is not absent: a
/// number and a value. Returns whether it was.
///
/// A host reads it at half the cost of an object: no keys, no word, one thing less to make.
pub fn write_short(event: &Event, out: &mut String) -> bool {
    let Some((number, value)) = frequent(event).filter(|(_, value)| !value.is_absent()) else {
        return false;
    };
    // Writing to a text cannot fail.
    let _ = write!(out, "{number},{}", value.as_str());
    true
}

/// Returns the kind's name, the value of the field `event`.
#[must_use]
pub const fn kind(event: &Event) -> &'static str {
    match event {
        Event::Ready { .. } => "ready",
        Event::Lost { .. } => "lost",
        Event::CallDone { .. } => "call_done",
        Event::CallPart { .. } => "call_part",
        Event::Work { .. } => "work",
        Event::WorkWithdrawn { .. } => "work_withdrawn",
        Event::Message { .. } => "message",
        Event::PeerJoined { .. } => "peer_joined",
        Event::PeerLeft { .. } => "peer_left",
        Event::AdmissionAsked { .. } => "admission_asked",
        Event::Notice(_) => "notice",
        Event::Draining { .. } => "draining",
        Event::Ended { .. } => "ended",
        Event::Enrolled { .. } => "enrolled",
        Event::WorkDrained { .. } => "work_drained",
        Event::BeatAsked { .. } => "beat_asked",
    }
}

/// Writes one flat object; cheaper than a serializer for payloads that are text already.
struct Object<'a>(&'a mut String);

impl<'a> Object<'a> {
    fn new(out: &'a mut String, kind: &str) -> Self {
        out.push_str("{\"event\":\"");
        out.push_str(kind);
        out.push('"');
        Self(out)
    }

    fn key(&mut self, name: &str) {
        self.0.push_str(",\"");
        self.0.push_str(name);
        self.0.push_str("\":");
    }

    fn field<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) {
        self.key(name);
        // These fields are strings, numbers and plain structs of them: writing cannot fail.
        self.0.push_str(&serde_json::to_string(value).unwrap_or_else(|_| String::from("null")));
    }

    /// Writes a value of the application, unless it is absent, and its blobs in base64.
    fn value(&mut self, name: &str, value: &Raw) {
        if !value.is_absent() {
            self.raw(name, value);
        }
        if !value.blobs().is_empty() {
            self.key("blobs");
            let mut open = '[';
            for blob in value.blobs() {
                self.0.push(open);
                self.0.push('"');
                STANDARD.encode_string(blob, self.0);
                self.0.push('"');
                open = ',';
            }
            self.0.push(']');
        }
    }

    fn raw(&mut self, name: &str, value: &Raw) {
        self.key(name);
        self.0.push_str(value.as_str());
    }

    fn end(self) {
        self.0.push('}');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_cross_byte_for_byte() {
        let mut out = String::new();
        write(
            &Event::Work {
                work: WorkId(3),
                key: "Echo/Say".into(),
                payload: Raw::parse(r#"{"z":1.0,"a":1e2}"#).unwrap(),
                timeout_ms: None,
                meta: Raw::empty_object(),
            },
            &mut out,
        );
        assert_eq!(
            out,
            r#"{"event":"work","work":3,"key":"Echo/Say","payload":{"z":1.0,"a":1e2},"timeout_ms":null,"meta":{}}"#
        );
    }

    #[test]
    fn frequent_events_can_be_written_as_two_elements() {
        let value = || Raw::parse(r#"{"z":1.0}"#).unwrap();
        let short = |event: &Event| {
            let mut out = String::new();
            let written = write_short(event, &mut out);
            assert_eq!(written, !out.is_empty());
            out
        };
        let done = |call, result| Event::CallDone { call: CallId(call), result };
        assert_eq!(short(&done(7, Ok(value()))), r#"7,{"z":1.0}"#);
        assert_eq!(short(&Event::Message { peer: None, payload: value() }), r#"0,{"z":1.0}"#);
        for event in [
            done(0, Ok(value())),
            done(7, Ok(Raw::absent())),
            done(7, Ok(value().with_blobs(vec![vec![1].into()]))),
            done(7, Err(Error::from(ErrorCode::CallTimeout))),
            Event::Message { peer: Some(PeerId(1)), payload: value() },
            Event::BeatAsked { beat: WorkId(1) },
        ] {
            assert_eq!(short(&event), "", "{event:?}");
        }
    }

    #[test]
    fn what_is_absent_is_left_out_and_blobs_stand_beside_their_value() {
        let mut out = String::new();
        write(&Event::CallDone { call: CallId(1), result: Ok(Raw::absent()) }, &mut out);
        assert_eq!(out, r#"{"event":"call_done","call":1}"#);
        out.clear();
        let payload = Raw::parse(r#"{"_placeholder":true,"num":0}"#).unwrap();
        let payload = payload.with_blobs(vec![vec![1, 2, 255].into(), vec![].into()]);
        write(&Event::Message { peer: None, payload }, &mut out);
        assert_eq!(
            out,
            r#"{"event":"message","peer":null,"payload":{"_placeholder":true,"num":0},"blobs":["AQL/",""]}"#
        );
    }

    #[test]
    fn errors_cross_with_code_and_retryability() {
        let mut out = String::new();
        let result = Err(Error::from(ErrorCode::CallTimeout));
        write(&Event::CallDone { call: CallId(1), result }, &mut out);
        let value: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert_eq!(value["error"]["code"], "CALL_TIMEOUT");
        assert_eq!(value["error"]["retryable"], true);
    }
}
