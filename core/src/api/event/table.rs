//! How the table of events is declared, written and described.

use super::{HeartbeatSign, Transport, Withdrawal};
use crate::base::content::Content;
use crate::base::error::Error;
use crate::base::ids::{CallId, PeerId, WorkId};
use crate::base::json::Raw;
use crate::base::json::object::Object;
use crate::base::secret::Secret;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

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
#[derive(Clone, Debug)]
pub struct Shape {
    /// The value of the field `event`.
    pub name: &'static str,
    /// Its number in C; never used for another kind.
    pub number: u16,
    /// What it tells.
    pub doc: &'static str,
    /// The other fields, in the order in which they are written.
    pub fields: Vec<EventField>,
}

/// A type that fields of events have: what becomes of it in JSON. `As` tells apart what one type
/// stands for.
pub(super) trait Crossing<As = Plain> {
    /// Appends the rows of the table that a field called `name` has.
    fn describe(name: &'static str, doc: &'static str, rows: &mut Vec<EventField>);

    /// Writes the field.
    fn cross(&self, name: &str, object: Object) -> Object;
}

/// As its type says.
pub(super) struct Plain;

/// A value of the application: left out when absent, its byte strings in base64 beside it.
pub(super) struct Payload;

/// What stands beside a value that has byte strings in it.
const BLOBS: &str = "Byte strings in base64 that the placeholders of the value stand for.";

const fn row(name: &'static str, kind: FieldType, doc: &'static str) -> EventField {
    EventField { name, kind, optional: false, doc }
}

const fn optional(name: &'static str, kind: FieldType, doc: &'static str) -> EventField {
    EventField { name, kind, optional: true, doc }
}

macro_rules! crossing {
    ($($type:ty $(as $how:ty)?, $kind:expr, |$value:ident, $name:ident, $object:ident| $write:expr;)+) => {$(
        impl Crossing$(<$how>)? for $type {
            fn describe(name: &'static str, doc: &'static str, rows: &mut Vec<EventField>) {
                rows.push(row(name, $kind, doc));
            }

            fn cross(&self, $name: &str, $object: Object) -> Object {
                let $value = self;
                $write
            }
        }
    )+};
}

crossing! {
    u64, FieldType::Integer, |value, name, object| object.number(name, *value);
    u32, FieldType::Integer, |value, name, object| object.number(name, *value);
    usize, FieldType::Integer, |value, name, object| object.number(name, *value as u64);
    CallId, FieldType::Integer, |value, name, object| object.number(name, value.0);
    WorkId, FieldType::Integer, |value, name, object| object.number(name, value.0);
    PeerId, FieldType::Integer, |value, name, object| object.number(name, value.0);
    Option<u64>, FieldType::IntegerOrNull, |value, name, object| object.value(name, value);
    Option<PeerId>, FieldType::IntegerOrNull, |value, name, object| object.value(name, value);
    String, FieldType::Text, |value, name, object| object.text(name, value);
    Secret, FieldType::Text, |value, name, object| object.text(name, value.expose());
    Transport, FieldType::Word(Self::WORDS), |value, name, object| object.text(name, value.as_str());
    HeartbeatSign, FieldType::Word(Self::WORDS), |value, name, object| object.text(name, value.as_str());
    Error, FieldType::Error, |value, name, object| object.value(name, value);
    Option<Error>, FieldType::ErrorOrNull, |value, name, object| object.value(name, value);
    Raw, FieldType::Json, |value, name, object| object.raw(name, value.as_str());
}

impl Crossing<Payload> for Raw {
    fn describe(name: &'static str, doc: &'static str, rows: &mut Vec<EventField>) {
        rows.push(optional(name, FieldType::Json, doc));
        rows.push(optional("blobs", FieldType::TextList, BLOBS));
    }

    fn cross(&self, name: &str, object: Object) -> Object {
        let object = if self.is_absent() { object } else { object.raw(name, self.as_str()) };
        object.blobs("blobs", self.blobs())
    }
}

impl Crossing for Content {
    fn describe(_: &'static str, _: &'static str, rows: &mut Vec<EventField>) {
        rows.push(optional("text", FieldType::Text, "The message, if it is text."));
        rows.push(optional("bytes", FieldType::Text, "The message in base64, if it is bytes."));
    }

    fn cross(&self, _: &str, object: Object) -> Object {
        match self {
            Self::Text(text) => object.text("text", text),
            Self::Bytes(bytes) => object.plain("bytes", STANDARD.encode(bytes)),
        }
    }
}

impl Crossing for Result<Raw, Error> {
    fn describe(_: &'static str, doc: &'static str, rows: &mut Vec<EventField>) {
        <Raw as Crossing<Payload>>::describe("value", doc, rows);
        rows.push(optional("error", FieldType::Error, "Why it failed, if it did."));
    }

    fn cross(&self, _: &str, object: Object) -> Object {
        match self {
            Ok(value) => Crossing::<Payload>::cross(value, "value", object),
            Err(error) => error.cross("error", object),
        }
    }
}

impl Crossing for Withdrawal {
    fn describe(name: &'static str, doc: &'static str, rows: &mut Vec<EventField>) {
        rows.push(row(name, FieldType::Word(Self::WORDS), doc));
        rows.push(row("error", FieldType::Error, "The same as an error."));
    }

    fn cross(&self, name: &str, object: Object) -> Object {
        Error::from(self.code()).cross("error", object.text(name, self.as_str()))
    }
}

/// Makes [`Event`](super::Event) and its groups, their JSON and their description from one table.
///
/// A row is a number, a word, a variant and its fields. New kinds take the next number; 10 was one
/// that nothing spoke.
macro_rules! events {
    (@how) => { $crate::api::event::table::Plain };
    (@how $how:ty) => { $how };
    ($(
        $(#[doc = $about:literal])+
        $group:ident($name:ident) {$(
            $(#[doc = $doc:literal])+
            $number:literal $word:literal $variant:ident {$(
                $(#[doc = $what:literal])+
                $field:ident: $type:ty $(as $how:ident)?,
            )+}
        )+}
    )+) => {
        /// Something that the application learns.
        #[derive(Clone, Debug)]
        pub enum Event {$(
            $(#[doc = $about])+
            $group($name),
        )+}

        $(
            $(#[doc = $about])+
            #[derive(Clone, Debug)]
            pub enum $name {$(
                $(#[doc = $doc])+
                $variant {$(
                    $(#[doc = $what])+
                    $field: $type,
                )+},
            )+}

            impl From<$name> for Event {
                fn from(event: $name) -> Self {
                    Self::$group(event)
                }
            }
        )+

        /// Appends `event` to `out` as one JSON object with the field `event` first.
        pub fn write(event: &Event, out: &mut String) {
            use $crate::api::event::table::Crossing;
            let object = $crate::base::json::object::Object::onto(out).text("event", kind(event));
            *out = match event {$($(
                Event::$group($name::$variant { $($field),+ }) => {
                    $(let object = Crossing::<events!(@how $($how)?)>::cross(
                        $field, stringify!($field), object,
                    );)+
                    object
                }
            )+)+}.end();
        }

        /// Returns the kind's name, the value of the field `event`.
        #[must_use]
        pub const fn kind(event: &Event) -> &'static str {
            match event {$($(
                Event::$group($name::$variant { .. }) => $word,
            )+)+}
        }

        /// Returns the number in C of the kind with this name.
        #[must_use]
        pub fn number(kind: &str) -> Option<u16> {
            match kind {
                $($($word => Some($number),)+)+
                _ => None,
            }
        }

        /// Describes every kind of event, in the order of their numbers.
        #[must_use]
        pub fn shapes() -> Vec<Shape> {
            use $crate::api::event::table::Crossing;
            let mut shapes = vec![$($({
                let mut fields = Vec::new();
                $(<$type as Crossing<events!(@how $($how)?)>>::describe(
                    stringify!($field), concat!($($what),+).trim_start(), &mut fields,
                );)+
                Shape {
                    name: $word,
                    number: $number,
                    doc: concat!($($doc),+).trim_start(),
                    fields,
                }
            }),+),+];
            shapes.sort_by_key(|shape| shape.number);
            shapes
        }
    };
}

pub(super) use events;

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::api::event::{
        CallEvent, Event, HeartbeatSign, PeerEvent, SessionEvent, Withdrawal, WorkEvent, kind,
        shapes, write,
    };
    use crate::base::error::ErrorCode;

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
        let mut events: Vec<Event> =
            [Transport::WebSocket, Transport::Polling, Transport::Listener]
                .map(|transport| {
                    Event::Session(SessionEvent::Ready {
                        id: "bcn-1".into(),
                        transport,
                        max_message: Some(9),
                    })
                })
                .into();
        events.extend(withdrawals.map(|why| {
            match why {
                Withdrawal::Expired
                | Withdrawal::Cancelled
                | Withdrawal::Draining
                | Withdrawal::Superseded
                | Withdrawal::LinkLost => {}
            }
            Event::Work(WorkEvent::Withdrawn { work: WorkId(1), why })
        }));
        events.extend([
            Event::Session(SessionEvent::Lost { reason: error(), retry_ms: 5, attempt: 1 }),
            Event::Call(CallEvent::Done { call: CallId(1), result: Ok(blob()) }),
            Event::Call(CallEvent::Done { call: CallId(1), result: Err(error()) }),
            Event::Call(CallEvent::Part { call: CallId(1), part: Raw::null() }),
            Event::Work(WorkEvent::Assigned {
                work: WorkId(1),
                key: "Echo/Say".into(),
                payload: blob(),
                timeout_ms: Some(5),
                meta: Raw::empty_object(),
            }),
            Event::Work(WorkEvent::Assigned {
                work: WorkId(1),
                key: "Echo/Say".into(),
                payload: Raw::empty_object(),
                timeout_ms: None,
                meta: Raw::empty_object(),
            }),
            Event::Peer(PeerEvent::Message { peer: None, payload: blob() }),
            Event::Peer(PeerEvent::Message { peer: Some(PeerId(1)), payload: Raw::null() }),
            Event::Peer(PeerEvent::Joined {
                peer: PeerId(1),
                name: "n".into(),
                meta: Raw::empty_object(),
            }),
            Event::Peer(PeerEvent::Left { peer: PeerId(1), name: "n".into(), reason: "r".into() }),
            Event::Session(SessionEvent::Notice { error: error() }),
            Event::Session(SessionEvent::Draining { in_flight: 1, outbox: 0 }),
            Event::Session(SessionEvent::Ended { error: None }),
            Event::Session(SessionEvent::Ended { error: Some(error()) }),
            Event::Session(SessionEvent::Enrolled { password: Secret::new("p") }),
            Event::Work(WorkEvent::Drained { work: WorkId(1), chunks: 2 }),
            Event::Work(WorkEvent::BeatAsked { beat: WorkId(2) }),
            Event::Peer(PeerEvent::Received { peer: None, content: Content::Text("t".into()) }),
            Event::Peer(PeerEvent::Received {
                peer: Some(PeerId(1)),
                content: Content::Bytes(vec![255].into()),
            }),
            Event::Peer(PeerEvent::Closed { peer: None, code: 1_006, reason: "r".into() }),
            Event::Peer(PeerEvent::AdmissionAsked {
                peer: PeerId(1),
                timeout_ms: 5,
                request: Raw::empty_object(),
            }),
            Event::Peer(PeerEvent::Backlog { peer: None, bytes: 7 }),
        ]);
        events.extend(HeartbeatSign::ALL.iter().map(|sign| {
            Event::Peer(PeerEvent::Heartbeat { peer: Some(PeerId(1)), sign: *sign, value: 0 })
        }));
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
        }
    }

    #[test]
    fn the_table_states_what_is_written() {
        let mut seen: Vec<(&str, &str)> = Vec::new();
        for event in examples() {
            let shape = shapes().into_iter().find(|shape| shape.name == kind(&event)).unwrap();
            let mut text = String::new();
            write(&event, &mut text);
            let value: Value = serde_json::from_str(&text).unwrap();
            let object = value.as_object().unwrap();
            assert_eq!(object["event"], shape.name);
            for field in &shape.fields {
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
        for shape in shapes() {
            for field in &shape.fields {
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
        shapes()
            .into_iter()
            .flat_map(|shape| shape.fields)
            .filter_map(|field| match field.kind {
                FieldType::Word(words) => Some(words),
                FieldType::Integer
                | FieldType::IntegerOrNull
                | FieldType::Text
                | FieldType::Json
                | FieldType::Error
                | FieldType::ErrorOrNull
                | FieldType::TextList => None,
            })
            .flatten()
            .find(|known| **known == word)
            .unwrap()
    }
}
