//! What each event looks like as JSON, for generated types and pages.
//!
//! The table states what [`write`](super::write) does; a test compares the two for every kind.

/// What a field of an event holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldType {
    /// A whole number.
    Integer,
    /// A whole number or `null`.
    IntegerOrNull,
    /// Text.
    Text,
    /// One of a fixed set of words.
    Word(&'static [&'static str]),
    /// Any JSON value.
    Json,
    /// An error object: `code`, `number`, `message`, `fault`, `retryable`.
    Error,
    /// An error object or `null`.
    ErrorOrNull,
    /// A list of pairs of text.
    TextPairs,
    /// A list of text.
    TextList,
}

/// One field of an event.
#[derive(Clone, Copy, Debug)]
pub struct EventField {
    /// Its key.
    pub name: &'static str,
    /// What it holds.
    pub kind: FieldType,
    /// The key may be absent.
    pub optional: bool,
    /// One sentence.
    pub doc: &'static str,
}

/// One kind of event.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// The value of the field `event`.
    pub name: &'static str,
    /// What it tells.
    pub doc: &'static str,
    /// The other fields, in the order in which they are written.
    pub fields: &'static [EventField],
}

const fn field(name: &'static str, kind: FieldType, doc: &'static str) -> EventField {
    EventField { name, kind, optional: false, doc }
}

const fn maybe(name: &'static str, kind: FieldType, doc: &'static str) -> EventField {
    EventField { name, kind, optional: true, doc }
}

/// What stands beside a value that has byte strings in it.
const BLOBS: &str = "Byte strings in base64 that the placeholders of the value stand for.";

/// Every kind of event, in the order of the enum. New kinds go to the end: C numbers them by place.
pub const SHAPES: &[Shape] = &[
    Shape {
        name: "ready",
        doc: "The link is up and registered, or the listener is bound.",
        fields: &[
            field(
                "id",
                FieldType::Text,
                "Our id at the control plane, or the address listened on.",
            ),
            field(
                "transport",
                FieldType::Word(&["websocket", "polling", "listener"]),
                "What carries frames.",
            ),
            field(
                "max_message",
                FieldType::IntegerOrNull,
                "The most bytes of one message that the control plane accepts, where it says so.",
            ),
        ],
    },
    Shape {
        name: "lost",
        doc: "The link is down; the session tries again by itself.",
        fields: &[
            field("reason", FieldType::Error, "Why."),
            field("retry_ms", FieldType::Integer, "Milliseconds until the next attempt."),
            field("attempt", FieldType::Integer, "The number of the next attempt, from 1."),
        ],
    },
    Shape {
        name: "call_done",
        doc: "A call settled; exactly one for each call, with either a value or an error.",
        fields: &[
            field("call", FieldType::Integer, "The call."),
            maybe("value", FieldType::Json, "Its result, if it succeeded with one."),
            maybe("blobs", FieldType::TextList, BLOBS),
            maybe("error", FieldType::Error, "Why it failed, if it did."),
        ],
    },
    Shape {
        name: "call_part",
        doc: "A call reported progress or a part of its reply.",
        fields: &[
            field("call", FieldType::Integer, "The call."),
            field("part", FieldType::Json, "The part."),
        ],
    },
    Shape {
        name: "work",
        doc: "A work item for a handler.",
        fields: &[
            field("work", FieldType::Integer, "The item."),
            field("key", FieldType::Text, "The handler key."),
            maybe("payload", FieldType::Json, "The user's part, if there is one."),
            maybe("blobs", FieldType::TextList, BLOBS),
            field(
                "timeout_ms",
                FieldType::IntegerOrNull,
                "Milliseconds that the handler has; null without a limit.",
            ),
            field("meta", FieldType::Json, "The envelope without the user's part."),
        ],
    },
    Shape {
        name: "work_withdrawn",
        doc: "The item is no longer wanted: stop working on it. Its outcome is ignored.",
        fields: &[
            field("work", FieldType::Integer, "The item."),
            field(
                "why",
                FieldType::Word(&["expired", "cancelled", "draining", "superseded", "link_lost"]),
                "Why.",
            ),
            field("error", FieldType::Error, "The same as an error."),
        ],
    },
    Shape {
        name: "message",
        doc: "A message that is neither work nor a reply.",
        fields: &[
            field("peer", FieldType::IntegerOrNull, "The peer, at servers."),
            maybe("payload", FieldType::Json, "The payload, if there is one."),
            maybe("blobs", FieldType::TextList, BLOBS),
        ],
    },
    Shape {
        name: "peer_joined",
        doc: "A peer registered at this server.",
        fields: &[
            field("peer", FieldType::Integer, "The peer."),
            field("name", FieldType::Text, "Its name."),
        ],
    },
    Shape {
        name: "peer_left",
        doc: "A peer is gone.",
        fields: &[
            field("peer", FieldType::Integer, "The peer."),
            field("name", FieldType::Text, "Its name."),
            field("reason", FieldType::Text, "Why."),
        ],
    },
    Shape {
        name: "admission_asked",
        doc: "Someone asks to be let in; answer with admit or refuse.",
        fields: &[
            field("conn", FieldType::Integer, "The connection."),
            field("url", FieldType::Text, "The upgrade request's target."),
            field("headers", FieldType::TextPairs, "Its header fields."),
            field("remote", FieldType::Text, "The client's address."),
        ],
    },
    Shape {
        name: "notice",
        doc: "Something worth knowing that needs no answer.",
        fields: &[field("error", FieldType::Error, "What.")],
    },
    Shape {
        name: "draining",
        doc: "A drain began, or made progress.",
        fields: &[
            field("in_flight", FieldType::Integer, "Work items still running."),
            field("outbox", FieldType::Integer, "Outcomes not yet taken by the control plane."),
        ],
    },
    Shape {
        name: "ended",
        doc: "The session is over; the last event.",
        fields: &[field("error", FieldType::ErrorOrNull, "Null after a stop that lost nothing.")],
    },
    Shape {
        name: "enrolled",
        doc: "The enrollment succeeded.",
        fields: &[field(
            "password",
            FieldType::Text,
            "The password that the control plane gave; used from now on.",
        )],
    },
    Shape {
        name: "work_drained",
        doc: "Parts of a stream that were handed over have left this process.",
        fields: &[
            field("work", FieldType::Integer, "The item whose result is the stream."),
            field("chunks", FieldType::Integer, "How many parts have left so far."),
        ],
    },
    Shape {
        name: "beat_asked",
        doc: "A heartbeat is due and the application makes its payload: complete it as if it were work.",
        fields: &[field("beat", FieldType::Integer, "What to complete.")],
    },
];

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::api::event::{Event, Withdrawal, kind, write};
    use crate::base::error::{Error, ErrorCode};
    use crate::base::ids::{CallId, ConnId, PeerId, WorkId};
    use crate::base::json::Raw;
    use crate::base::secret::Secret;
    use crate::net::Headers;

    /// One or more examples of every kind. The match below makes a new kind stop the build.
    fn examples() -> Vec<Event> {
        let error = || Error::from(ErrorCode::ConnectionLost);
        let blob = || Raw::empty_object().with_blobs(vec![vec![0].into()]);
        let withdrawals = [
            Withdrawal::Expired,
            Withdrawal::Cancelled,
            Withdrawal::Draining,
            Withdrawal::Superseded,
            Withdrawal::LinkLost,
        ];
        let mut events: Vec<Event> = ["websocket", "polling", "listener"]
            .map(|transport| Event::Ready { id: "bcn-1".into(), transport, max_message: Some(9) })
            .into();
        events.extend(withdrawals.map(|why| {
            match why {
                Withdrawal::Expired
                | Withdrawal::Cancelled
                | Withdrawal::Draining
                | Withdrawal::Superseded
                | Withdrawal::LinkLost => {}
            }
            Event::WorkWithdrawn { work: WorkId(1), why }
        }));
        events.extend([
            Event::Lost { reason: error(), retry_ms: 5, attempt: 1 },
            Event::CallDone { call: CallId(1), result: Ok(blob()) },
            Event::CallDone { call: CallId(1), result: Err(error()) },
            Event::CallPart { call: CallId(1), part: Raw::null() },
            Event::Work {
                work: WorkId(1),
                key: "Echo/Say".into(),
                payload: blob(),
                timeout_ms: Some(5),
                meta: Raw::empty_object(),
            },
            Event::Work {
                work: WorkId(1),
                key: "Echo/Say".into(),
                payload: Raw::empty_object(),
                timeout_ms: None,
                meta: Raw::empty_object(),
            },
            Event::Message { peer: None, payload: blob() },
            Event::Message { peer: Some(PeerId(1)), payload: Raw::null() },
            Event::PeerJoined { peer: PeerId(1), name: "n".into() },
            Event::PeerLeft { peer: PeerId(1), name: "n".into(), reason: "r".into() },
            Event::AdmissionAsked {
                conn: ConnId(1),
                url: "/".into(),
                headers: Headers::new().with("a", "b"),
                remote: "127.0.0.1:1".into(),
            },
            Event::Notice(error()),
            Event::Draining { in_flight: 1, outbox: 0 },
            Event::Ended { error: None },
            Event::Ended { error: Some(error()) },
            Event::Enrolled { password: Secret::new("p") },
            Event::WorkDrained { work: WorkId(1), chunks: 2 },
            Event::BeatAsked { beat: WorkId(2) },
        ]);
        events
    }

    fn fits(kind: FieldType, value: &Value) -> bool {
        let error = |value: &Value| {
            let keys: Vec<_> = value.as_object().into_iter().flatten().map(|(k, _)| k).collect();
            keys == ["code", "fault", "message", "number", "retryable"]
        };
        match kind {
            FieldType::Integer => value.is_u64(),
            FieldType::IntegerOrNull => value.is_u64() || value.is_null(),
            FieldType::Text => value.is_string(),
            FieldType::Word(words) => value.as_str().is_some_and(|word| words.contains(&word)),
            FieldType::Json => true,
            FieldType::Error => error(value),
            FieldType::ErrorOrNull => value.is_null() || error(value),
            FieldType::TextList => {
                value.as_array().is_some_and(|list| list.iter().all(Value::is_string))
            }
            FieldType::TextPairs => value.as_array().is_some_and(|pairs| {
                pairs.iter().all(|pair| {
                    pair.as_array()
                        .is_some_and(|pair| pair.len() == 2 && pair.iter().all(Value::is_string))
                })
            }),
        }
    }

    #[test]
    fn the_table_states_what_is_written() {
        let mut seen: Vec<(&str, &str)> = Vec::new();
        for event in examples() {
            let shape = SHAPES.iter().find(|shape| shape.name == kind(&event)).unwrap();
            let mut text = String::new();
            write(&event, &mut text);
            let value: Value = serde_json::from_str(&text).unwrap();
            let object = value.as_object().unwrap();
            assert_eq!(object["event"], shape.name);
            for field in shape.fields {
                let Some(value) = object.get(field.name) else {
                    assert!(field.optional, "{text} lacks {}", field.name);
                    continue;
                };
                assert!(fits(field.kind, value), "{text}: {} is not {:?}", field.name, field.kind);
                seen.push((shape.name, field.name));
                if let FieldType::Word(_) = field.kind {
                    seen.push((field.name, value.as_str().map(word_of).unwrap()));
                }
            }
            for key in object.keys().filter(|key| *key != "event") {
                assert!(shape.fields.iter().any(|field| field.name == key), "{text}: {key}");
            }
        }
        for shape in SHAPES {
            for field in shape.fields {
                assert!(seen.contains(&(shape.name, field.name)), "{} {}", shape.name, field.name);
                if let FieldType::Word(words) = field.kind {
                    for word in words {
                        assert!(seen.contains(&(field.name, word)), "{} {word}", field.name);
                    }
                }
            }
        }
    }

    /// Finds the table's own copy of a word.
    fn word_of(word: &str) -> &'static str {
        SHAPES
            .iter()
            .flat_map(|shape| shape.fields)
            .filter_map(|field| match field.kind {
                FieldType::Word(words) => Some(words),
                FieldType::Integer
                | FieldType::IntegerOrNull
                | FieldType::Text
                | FieldType::Json
                | FieldType::Error
                | FieldType::ErrorOrNull
                | FieldType::TextPairs
                | FieldType::TextList => None,
            })
            .flatten()
            .find(|known| **known == word)
            .unwrap()
    }
}
