//! One function for each command: the same calls as in every language.

use moorline_core::json::Raw;
use moorline_core::{CallCommand, WorkCommand};
use moorline_core::{CallId, Command, Error, ErrorCode, Outcome, WorkId};

use crate::ffi::panic::guard;
use crate::ffi::text::{CText, Chars, Length};
use crate::handle::{Handle, given};
use crate::status::Status;

/// Connects, or listens. The event `MOORLINE_EVENT_READY` follows, or `MOORLINE_EVENT_ENDED`.
///
/// # Safety
/// `handle` came from `moorline_open`.
#[unsafe(no_mangle)]
pub extern "C" fn moorline_start(handle: Option<&Handle>) -> Status {
    submit(handle, || Ok(Command::Start))
}

/// Refuses new work, lets running work finish for `drain_ms`, says farewell and ends with the event
/// `MOORLINE_EVENT_ENDED`. 0 ends at once; `MOORLINE_DEFAULT_DRAIN_MS` is what other languages
/// allow.
///
/// # Safety
/// `handle` came from `moorline_open`.
#[unsafe(no_mangle)]
pub extern "C" fn moorline_stop(handle: Option<&Handle>, drain_ms: u64) -> Status {
    submit(handle, || Ok(Command::Stop { drain_ms }))
}

/// Offers a handler under `key`, such as "Echo/Say"; its work arrives as `MOORLINE_EVENT_WORK`.
/// `meta` is a JSON object that describes it, or null. Fails with `MOORLINE_ARGUMENT_INVALID` for a key that
/// the role cannot have.
///
/// # Safety
/// `handle` came from `moorline_open`; the texts are NUL-terminated.
#[unsafe(no_mangle)]
pub extern "C" fn moorline_handle_key(handle: Option<&Handle>, key: CText, meta: CText) -> Status {
    guard(|| {
        let (handle, key) = (given(handle)?, key.read("key")?);
        let meta = meta.optional("meta")?.map_or_else(|| Ok(Raw::empty_object()), json("meta"))?;
        handle.check(key, &meta)?;
        handle.submit(Command::Work(WorkCommand::Handle { key: key.to_owned(), meta }))
    })
}

/// Withdraws a handler.
///
/// # Safety
/// `handle` came from `moorline_open`; `key` is NUL-terminated.
#[unsafe(no_mangle)]
pub extern "C" fn moorline_unhandle_key(handle: Option<&Handle>, key: CText) -> Status {
    submit(handle, || Ok(Command::Work(WorkCommand::Unhandle { key: key.read("key")?.to_owned() })))
}

/// Makes a call. It settles in exactly one `MOORLINE_EVENT_CALL_DONE` with the same `call`, a
/// number of the caller's own, from 1 on and never used twice with this handle. `payload` is `len`
/// bytes of JSON, or null for none; `options` is a JSON object, or null for the defaults. Byte
/// strings beside the payload go through `moorline_submit`.
///
/// # Safety
/// `handle` came from `moorline_open`; `payload` has `len` readable bytes; the other texts are
/// NUL-terminated.
#[unsafe(no_mangle)]
pub extern "C" fn moorline_call(
    handle: Option<&Handle>,
    call: u64,
    name: CText,
    payload: Chars,
    len: Length,
    options: CText,
) -> Status {
    submit(handle, || {
        Ok(Command::Call(CallCommand::Make {
            call: CallId(call),
            name: name.read("name")?.to_owned(),
            payload: payload.optional(&len, "payload")?.map_or_else(none, json("payload"))?,
            options: options
                .optional("options")?
                .map_or_else(|| Ok(Raw::empty_object()), json("options"))?,
        }))
    })
}

/// Cancels a call; it settles with `MOORLINE_CALL_CANCELLED` unless it settled before.
///
/// # Safety
/// `handle` came from `moorline_open`.
#[unsafe(no_mangle)]
pub extern "C" fn moorline_cancel(handle: Option<&Handle>, call: u64) -> Status {
    submit(handle, || Ok(Command::Call(CallCommand::Cancel { call: CallId(call) })))
}

/// Asks for the state of the handle; answered by `MOORLINE_EVENT_CALL_DONE` with the same `call`.
///
/// # Safety
/// `handle` came from `moorline_open`.
#[unsafe(no_mangle)]
pub extern "C" fn moorline_snapshot(handle: Option<&Handle>, call: u64) -> Status {
    submit(handle, || Ok(Command::Snapshot { call: CallId(call) }))
}

/// Sends a message without reply. `payload` is `len` bytes of JSON, or null for none. Byte strings
/// beside it go through `moorline_submit`.
///
/// # Safety
/// `handle` came from `moorline_open`; `name` is NUL-terminated; `payload` has `len` readable
/// bytes.
#[unsafe(no_mangle)]
pub extern "C" fn moorline_emit(
    handle: Option<&Handle>,
    name: CText,
    payload: Chars,
    len: Length,
) -> Status {
    submit(handle, || {
        Ok(Command::Emit {
            name: name.read("name")?.to_owned(),
            payload: payload.optional(&len, "payload")?.map_or_else(none, json("payload"))?,
        })
    })
}

/// Settles a work item with a result: `value` is `len` bytes of JSON; `log` is a JSON list of text
/// lines, or null for none.
///
/// # Safety
/// `handle` came from `moorline_open`; `value` has `len` readable bytes; `log` is NUL-terminated.
#[unsafe(no_mangle)]
pub extern "C" fn moorline_complete_done(
    handle: Option<&Handle>,
    work: u64,
    value: Chars,
    len: Length,
    log: CText,
) -> Status {
    complete(handle, work, || {
        let value = json("value")(value.read(&len, "value")?)?;
        let log = log.optional("log")?.map_or_else(|| Ok(Raw::empty_list()), json("log"))?;
        Ok(Outcome::Done { value, log })
    })
}

/// Settles a work item as failed. The message is cut at 512 bytes. A failure is never refused for its words:
/// what is no UTF-8 becomes U+FFFD, and null is a failure without words.
///
/// # Safety
/// `handle` came from `moorline_open`; `message` is NUL-terminated.
#[unsafe(no_mangle)]
pub extern "C" fn moorline_complete_failed(
    handle: Option<&Handle>,
    work: u64,
    message: CText,
) -> Status {
    complete(handle, work, || Ok(Outcome::Failed { message: message.lossy("the handler failed") }))
}

/// Settles a work item that was given up after `MOORLINE_EVENT_WORK_WITHDRAWN`.
///
/// # Safety
/// `handle` came from `moorline_open`.
#[unsafe(no_mangle)]
pub extern "C" fn moorline_complete_cancelled(handle: Option<&Handle>, work: u64) -> Status {
    complete(handle, work, || Ok(Outcome::Cancelled))
}

/// Reports progress of a work item: `report` is `len` bytes, a JSON object.
///
/// # Safety
/// `handle` came from `moorline_open`; `report` has `len` readable bytes.
#[unsafe(no_mangle)]
pub extern "C" fn moorline_progress(
    handle: Option<&Handle>,
    work: u64,
    report: Chars,
    len: Length,
) -> Status {
    submit(handle, || {
        let report = json("report")(report.read(&len, "report")?)?;
        Ok(Command::Work(WorkCommand::Progress { work: WorkId(work), report }))
    })
}

fn submit(handle: Option<&Handle>, command: impl FnOnce() -> Result<Command, Error>) -> Status {
    guard(|| given(handle)?.submit(command()?))
}

fn complete(
    handle: Option<&Handle>,
    work: u64,
    outcome: impl FnOnce() -> Result<Outcome, Error>,
) -> Status {
    submit(handle, || {
        Ok(Command::Work(WorkCommand::Complete { work: WorkId(work), outcome: outcome()? }))
    })
}

/// No value at all.
const fn none() -> Result<Raw, Error> {
    Ok(Raw::absent())
}

/// Checks that a text is JSON.
fn json(what: &str) -> impl FnOnce(&str) -> Result<Raw, Error> {
    move |text| {
        Raw::parse(text.to_owned())
            .map_err(|e| Error::new(ErrorCode::ArgumentInvalid, format!("{what} is not JSON: {e}")))
    }
}
