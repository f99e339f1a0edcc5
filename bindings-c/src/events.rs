//! Events on their way to C: drained in batches, handed over one by one or as text.

use std::borrow::Cow;
use std::mem::MaybeUninit;
use std::sync::{Mutex, MutexGuard, PoisonError};

use moorline_core::{Error, ErrorCode, event};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::ffi::callback::{OnEvent, User, deliver};
use crate::ffi::panic::guard;
use crate::ffi::text::{Buffer, Length, Text};
use crate::handle::{Handle, given, place};
use crate::status::Status;

/// One event, with the fields that programs branch on. All texts are valid during the callback
/// only.
#[repr(C)]
#[derive(Debug)]
pub struct Event<'a> {
    /// Which event: one of `MOORLINE_EVENT_*`.
    pub kind: i32,
    /// What went wrong, or `MOORLINE_OK`.
    pub status: Status,
    /// The call, work item, heartbeat or peer; 0 if the event has none.
    pub id: u64,
    /// The handler key of a work item, our id of a ready link, the name of a peer; else empty.
    pub name: Text<'a>,
    /// JSON: the payload of a work item or message, the value of a call, a part of it; else empty.
    pub payload: Text<'a>,
    /// What went wrong, for people; else empty.
    pub message: Text<'a>,
    /// The whole event as a JSON object.
    pub json: Text<'a>,
}

/// Hands the events that wait to `on_event`, in order: at most 64 KiB of them, so that an event
/// loop can breathe. `*more` tells whether others wait; then the descriptor stays readable, but no
/// callback tells.
///
/// # Safety
/// `handle` came from `moorline_open`; `on_event` may be called with `user` during the call. `more`
/// may be null. Inside `on_event` every function may be called but `moorline_free` and the drains.
#[unsafe(no_mangle)]
pub extern "C" fn moorline_drain(
    handle: Option<&Handle>,
    on_event: OnEvent,
    user: User,
    more: Option<&mut MaybeUninit<bool>>,
) -> Status {
    guard(|| {
        let handle = given(handle)?;
        let on_event =
            on_event.ok_or_else(|| Error::new(ErrorCode::ArgumentInvalid, "on_event is null"))?;
        let (text, rest) = {
            let mut inbox = handle.inbox.fill(handle);
            (std::mem::take(&mut inbox.text), inbox.more)
        };
        if let Some(more) = more {
            more.write(rest);
        }
        let events: Vec<&RawValue> = serde_json::from_str(&text).map_err(defect)?;
        for json in events {
            let fields: Fields<'_> = serde_json::from_str(json.get()).map_err(defect)?;
            deliver(on_event, user, &fields.event(json.get()));
        }
        Ok(())
    })
}

/// Copies the events that wait into `buffer` as one JSON array, at most 64 KiB unless a single
/// event is larger. `*len` is its length; no NUL follows. Without events the array is empty. If the
/// buffer is too small, fails with `MOORLINE_TOO_LARGE` and writes the length needed to `*len`; the
/// events stay.
///
/// # Safety
/// `handle` came from `moorline_open`; `buffer` has `capacity` writable bytes; `more` may be null.
#[unsafe(no_mangle)]
pub extern "C" fn moorline_drain_text(
    handle: Option<&Handle>,
    mut buffer: Buffer,
    capacity: Length,
    len: Option<&mut MaybeUninit<usize>>,
    more: Option<&mut MaybeUninit<bool>>,
) -> Status {
    guard(|| {
        let (handle, len) = (given(handle)?, place(len, "len")?);
        let mut inbox = handle.inbox.fill(handle);
        len.write(inbox.text.len());
        if !buffer.fill(&capacity, &inbox.text) {
            let needed = inbox.text.len();
            // Keeps the descriptor readable: these events still wait.
            handle.events().1.signal();
            return Err(Error::new(
                ErrorCode::TooLarge,
                format!("the buffer must have {needed} bytes"),
            ));
        }
        inbox.text.clear();
        if let Some(more) = more {
            more.write(inbox.more);
        }
        Ok(())
    })
}

/// A batch that was drained from the queue and not yet taken by C.
#[derive(Default)]
pub(crate) struct Inbox(Mutex<Batch>);

#[derive(Default)]
pub(crate) struct Batch {
    text: String,
    more: bool,
}

impl Inbox {
    /// Returns the batch that C has not taken, or the next one.
    fn fill(&self, handle: &Handle) -> MutexGuard<'_, Batch> {
        let mut batch = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if batch.text.is_empty() {
            let (queue, bell) = handle.events();
            // Before the drain: a ring that comes after it must not be lost.
            bell.clear();
            batch.more = queue.drain(&mut batch.text).more;
            if batch.more {
                bell.signal();
            }
        }
        batch
    }
}

/// The fields of an event that cross by themselves.
#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(borrow)]
    event: Cow<'a, str>,
    call: Option<u64>,
    work: Option<u64>,
    peer: Option<u64>,
    beat: Option<u64>,
    #[serde(borrow)]
    id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    key: Option<Cow<'a, str>>,
    #[serde(borrow)]
    name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    payload: Option<&'a RawValue>,
    #[serde(borrow)]
    value: Option<&'a RawValue>,
    #[serde(borrow)]
    part: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<Failure<'a>>,
    #[serde(borrow)]
    reason: Option<Reason<'a>>,
}

#[derive(Deserialize)]
struct Failure<'a> {
    number: u16,
    #[serde(borrow)]
    message: Cow<'a, str>,
}

/// Why a link is down (an error), or why a peer left (a text).
#[derive(Deserialize)]
#[serde(untagged)]
enum Reason<'a> {
    Error(#[serde(borrow)] Failure<'a>),
    Text(#[serde(borrow)] Cow<'a, str>),
}

impl Fields<'_> {
    fn event<'a>(&'a self, json: &'a str) -> Event<'a> {
        let (status, message) = match (&self.error, &self.reason) {
            (Some(error), _) | (None, Some(Reason::Error(error))) => {
                (Status::from_number(error.number), &*error.message)
            }
            (None, Some(Reason::Text(text))) => (Status::OK, &**text),
            (None, None) => (Status::OK, ""),
        };
        let name = self.key.as_deref().or(self.name.as_deref()).or(self.id.as_deref());
        let payload = self.payload.or(self.value).or(self.part);
        Event {
            kind: number(&self.event),
            status,
            id: self.call.or(self.work).or(self.peer).or(self.beat).unwrap_or(0),
            name: name.unwrap_or("").into(),
            payload: payload.map_or("", RawValue::get).into(),
            message: message.into(),
            json: json.into(),
        }
    }
}

/// Returns the number of an event kind in the core's table; 0 for none.
fn number(kind: &str) -> i32 {
    i32::from(event::number(kind).unwrap_or(0))
}

fn defect(error: serde_json::Error) -> Error {
    Error::new(ErrorCode::Internal, format!("an event could not be read: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_event(json: &str, check: impl FnOnce(&Event<'_>)) {
        let fields: Fields<'_> = serde_json::from_str(json).unwrap();
        check(&fields.event(json));
    }

    #[test]
    fn a_failed_call_carries_its_status() {
        let json = r#"{"event":"call_done","call":7,"error":{"code":"CALL_TIMEOUT","number":200,"message":"a \"b\"","fault":"deadline","retryable":true}}"#;
        with_event(json, |event| {
            assert_eq!((event.kind, event.id), (3, 7));
            assert_eq!(event.status, Status::from(ErrorCode::CallTimeout));
            assert_eq!(event.message.len, r#"a "b""#.len());
            assert_eq!(event.json.len, json.len());
        });
    }

    #[test]
    fn work_carries_key_and_untouched_payload() {
        let json = r#"{"event":"work","work":3,"key":"Echo/Say","payload":{"n":1.0},"timeout_ms":null,"meta":{}}"#;
        with_event(json, |event| {
            assert_eq!((event.id, event.name.len), (3, "Echo/Say".len()));
            assert_eq!(event.payload.len, r#"{"n":1.0}"#.len());
            assert_eq!(event.status, Status::OK);
        });
    }

    #[test]
    fn reasons_are_errors_or_texts() {
        let lost =
            r#"{"event":"lost","reason":{"number":301,"message":"gone"},"retry_ms":5,"attempt":1}"#;
        with_event(lost, |event| assert_eq!(event.status, Status::from(ErrorCode::ConnectionLost)));
        let left = r#"{"event":"peer_left","peer":1,"name":"w","reason":"closed"}"#;
        with_event(left, |event| assert_eq!((event.status, event.message.len), (Status::OK, 6)));
    }

    #[test]
    fn every_kind_has_a_number() {
        assert!(event::shapes().iter().all(|shape| number(shape.name) > 0));
        assert_eq!(number("unheard_of"), 0);
    }
}
