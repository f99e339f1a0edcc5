//! What a machine tells its application, and how it crosses to other languages.
//!
//! One table gives the kinds of events with their fields; the enums, their JSON and the generated types
//! of all languages come from it. [`write()`] appends an event as one JSON object; payloads are copied
//! in as they are. Bindings join objects with commas inside brackets, so that a host parses one array
//! per drain.

mod table;

use std::fmt::Write as _;

use crate::base::content::Content;
use crate::base::error::{Error, ErrorCode};
use crate::base::ids::{CallId, PeerId, WorkId};
use crate::base::json::Raw;
use crate::base::secret::Secret;
use crate::words;

pub use table::{EventField, FieldType, Shape};
use table::{Payload, events};

events! {
    /// The session: its link, its drain, its end.
    Session(SessionEvent) {
        /// The link is up and registered, or the listener is bound.
        1 "ready" Ready {
            /// Our id at the control plane, or the address listened on.
            id: String,
            /// What carries frames.
            transport: Transport,
            /// The most bytes of one message that the control plane accepts, where it says so.
            max_message: Option<u64>,
        }
        /// The link is down; the session tries again by itself.
        2 "lost" Lost {
            /// Why.
            reason: Error,
            /// Milliseconds until the next attempt.
            retry_ms: u64,
            /// The number of the next attempt, from 1.
            attempt: u32,
        }
        /// Something worth knowing that needs no answer.
        11 "notice" Notice {
            /// What.
            error: Error,
        }
        /// A drain began, or made progress.
        12 "draining" Draining {
            /// Work items still running.
            in_flight: usize,
            /// Outcomes not yet taken by the control plane.
            outbox: usize,
        }
        /// The session is over; the last event.
        13 "ended" Ended {
            /// Null after a stop that lost nothing.
            error: Option<Error>,
        }
        /// The enrollment succeeded.
        14 "enrolled" Enrolled {
            /// The password that the control plane gave; used from now on.
            password: Secret,
        }
    }
    /// Calls that we made.
    Call(CallEvent) {
        /// A call settled; exactly one for each call, with either a value or an error.
        3 "call_done" Done {
            /// The call.
            call: CallId,
            /// Its result, if it succeeded with one.
            result: Result<Raw, Error>,
        }
        /// A call reported progress or a part of its reply.
        4 "call_part" Part {
            /// The call.
            call: CallId,
            /// The part.
            part: Raw,
        }
    }
    /// Work for handlers.
    Work(WorkEvent) {
        /// A work item for a handler.
        5 "work" Assigned {
            /// The item.
            work: WorkId,
            /// The handler key.
            key: String,
            /// The user's part, if there is one.
            payload: Raw as Payload,
            /// Milliseconds that the handler has; null without a limit.
            timeout_ms: Option<u64>,
            /// The envelope without the user's part.
            meta: Raw,
        }
        /// The item is no longer wanted: stop working on it. Its outcome is ignored.
        6 "work_withdrawn" Withdrawn {
            /// The item.
            work: WorkId,
            /// Why.
            why: Withdrawal,
        }
        /// Parts of a stream that were handed over have left this process.
        15 "work_drained" Drained {
            /// The item whose result is the stream.
            work: WorkId,
            /// How many parts have left so far.
            chunks: u64,
        }
        /// A heartbeat is due and the application makes its payload: complete it as if it were work.
        16 "beat_asked" BeatAsked {
            /// What to complete.
            beat: WorkId,
        }
    }
    /// Peers of a server, and messages from either side.
    Peer(PeerEvent) {
        /// A message that is neither work nor a reply.
        7 "message" Message {
            /// The peer, at servers.
            peer: Option<PeerId>,
            /// The payload, if there is one.
            payload: Raw as Payload,
        }
        /// A peer registered at this server.
        8 "peer_joined" Joined {
            /// The peer.
            peer: PeerId,
            /// Its name.
            name: String,
            /// A JSON object with what else is known of it; for `netcluster`: `{ip, parameters}`.
            meta: Raw,
        }
        /// A peer is gone.
        9 "peer_left" Left {
            /// The peer.
            peer: PeerId,
            /// Its name.
            name: String,
            /// Why.
            reason: String,
        }
        /// A message that is not JSON, as it is: in JSON either text or bytes.
        17 "received" Received {
            /// The peer, at servers.
            peer: Option<PeerId>,
            /// The message.
            content: Content,
        }
        /// A connection is over, or an attempt to open one.
        18 "closed" Closed {
            /// The peer, at servers.
            peer: Option<PeerId>,
            /// The close code of the WebSocket: 1005 if none was said, 1006 without a farewell, 0 for our own end without a code.
            code: u32,
            /// The reason.
            reason: String,
        }
        /// Someone asks to be let in: answer with admit or refuse. Without an answer the peer is asked to come back.
        19 "admission_asked" AdmissionAsked {
            /// Who will be the peer.
            peer: PeerId,
            /// Milliseconds that the application has.
            timeout_ms: u64,
            /// The request: method, url, path, query, ip, and lists of name and value: headers, cookies, parameters.
            request: Raw,
        }
        /// More has not left than allowed, or all of it has left since.
        20 "backlog" Backlog {
            /// The peer, at servers.
            peer: Option<PeerId>,
            /// The bytes; 0 when all have left.
            bytes: u64,
        }
        /// A heartbeat of the protocol; most are told only where an option asks for them.
        21 "heartbeat" Heartbeat {
            /// The peer, at servers.
            peer: Option<PeerId>,
            /// What it is.
            sign: HeartbeatSign,
            /// For `announced` the interval in milliseconds, for `strike` and `cycle` their number, that of the connected; else 0.
            value: u64,
        }
    }
}

words! {
    /// What can be told of a heartbeat.
    pub enum HeartbeatSign {
        /// The control plane has said how often it beats.
        Announced = "announced",
        /// A ping was sent, or came.
        Ping = "ping",
        /// The answer came.
        Pong = "pong",
        /// No answer came in time.
        Strike = "strike",
        /// No answer came at all.
        End = "end",
        /// A round of pings begins; no peer is named.
        Cycle = "cycle",
    }
}

words! {
    /// What carries a session's frames.
    pub enum Transport {
        /// A WebSocket, or a stream.
        WebSocket = "websocket",
        /// Requests over HTTP.
        Polling = "polling",
        /// Connections of others that a server accepts.
        Listener = "listener",
    }
}

words! {
    /// Why a work item is withdrawn from its handler: its word stands in events, and between a hub and a
    /// worker of ours.
    pub enum Withdrawal {
        /// Its time limit passed.
        Expired = "expired",
        /// The control plane cancelled it.
        Cancelled = "cancelled",
        /// The session drains and the drain deadline passed.
        Draining = "draining",
        /// The control plane gave it to somebody else.
        Superseded = "superseded",
        /// The link is down and the control plane will run it again.
        LinkLost = "link_lost",
    }
}

impl Withdrawal {
    /// Finds the withdrawal by its word; what a peer does not explain is a cancellation.
    #[must_use]
    pub fn from_word(word: &str) -> Self {
        Self::find(word).unwrap_or(Self::Cancelled)
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

/// Returns what there is to an event that is frequent: the number of a call and its result, or 0 and a
/// message. `None` for all others; one with blobs, and a message of a server's peer, are no such event.
///
/// What is returned comes last in the object that [`write()`] makes of the event.
#[must_use]
pub fn frequent(event: &Event) -> Option<(u64, &Raw)> {
    let (number, value) = if let Event::Call(CallEvent::Done { call, result: Ok(value) }) = event
        && call.0 != 0
    {
        (call.0, value)
    } else if let Event::Peer(PeerEvent::Message { peer: None, payload }) = event
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_cross_byte_for_byte() {
        let mut out = String::new();
        write(
            &Event::Work(WorkEvent::Assigned {
                work: WorkId(3),
                key: "Echo/Say".into(),
                payload: Raw::parse(r#"{"z":1.0,"a":1e2}"#).unwrap(),
                timeout_ms: None,
                meta: Raw::empty_object(),
            }),
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
        let done = |call, result| Event::Call(CallEvent::Done { call: CallId(call), result });
        assert_eq!(short(&done(7, Ok(value()))), r#"7,{"z":1.0}"#);
        assert_eq!(
            short(&Event::Peer(PeerEvent::Message { peer: None, payload: value() })),
            r#"0,{"z":1.0}"#
        );
        for event in [
            done(0, Ok(value())),
            done(7, Ok(Raw::absent())),
            done(7, Ok(value().with_blobs(vec![vec![1].into()]))),
            done(7, Err(Error::from(ErrorCode::CallTimeout))),
            Event::Peer(PeerEvent::Message { peer: Some(PeerId(1)), payload: value() }),
            Event::Work(WorkEvent::BeatAsked { beat: WorkId(1) }),
        ] {
            assert_eq!(short(&event), "", "{event:?}");
        }
    }

    #[test]
    fn what_is_absent_is_left_out_and_blobs_stand_beside_their_value() {
        let mut out = String::new();
        write(
            &Event::Call(CallEvent::Done { call: CallId(1), result: Ok(Raw::absent()) }),
            &mut out,
        );
        assert_eq!(out, r#"{"event":"call_done","call":1}"#);
        out.clear();
        let payload = Raw::parse(r#"{"_placeholder":true,"num":0}"#).unwrap();
        let payload = payload.with_blobs(vec![vec![1, 2, 255].into(), vec![].into()]);
        write(&Event::Peer(PeerEvent::Message { peer: None, payload }), &mut out);
        assert_eq!(
            out,
            r#"{"event":"message","peer":null,"payload":{"_placeholder":true,"num":0},"blobs":["AQL/",""]}"#
        );
    }

    #[test]
    fn errors_cross_with_code_and_retryability() {
        let mut out = String::new();
        let result = Err(Error::from(ErrorCode::CallTimeout));
        write(&Event::Call(CallEvent::Done { call: CallId(1), result }), &mut out);
        let value: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert_eq!(value["error"]["code"], "CALL_TIMEOUT");
        assert_eq!(value["error"]["retryable"], true);
    }
}
