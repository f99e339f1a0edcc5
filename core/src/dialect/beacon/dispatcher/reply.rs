//! What an answer means for the call that asked: settled, or to be asked again.

use crate::base::error::{Error, ErrorCode};
use crate::base::json::Raw;
use crate::dialect::beacon::dispatcher::plan::Plan;
use crate::dialect::beacon::dispatcher::stream::Stream;
use crate::dialect::beacon::wire::{dispatch_answer, error_text, failure, stream_error};
use crate::net::HttpResponse;

/// What to do with a call.
#[derive(Debug)]
pub(super) enum Verdict {
    /// It is settled.
    Settled(Result<Raw, Error>),
    /// The control plane is away or busy: ask again, not before so many milliseconds.
    Again { error: Error, after_ms: Option<u64> },
    /// No worker is there yet: ask again for a while.
    NoWorker(Error),
    /// Our session is not valid (any more).
    Unauthorized,
}

/// Understands an answer; `stream` is what a streamed one has brought.
pub(super) fn judge(plan: &Plan, response: &HttpResponse, stream: Stream) -> Verdict {
    if matches!(plan, Plan::Command { .. }) && response.status != 401 {
        return Verdict::Settled(commanded(response, stream));
    }
    if response.status >= 400
        && response.status != 401
        && let Some(error) = coded(response.bytes())
    {
        return Verdict::Settled(Err(error));
    }
    let said = || error_text(response);
    let remote = |code: ErrorCode| Verdict::Settled(Err(failure(code, &said())));
    match response.status {
        200..=299 => match plan {
            Plan::Work { options, .. } if options.stream => streamed(stream),
            Plan::Work { .. } => Verdict::Settled(dispatched(response.bytes(), &[])),
            Plan::Request(_) | Plan::Command { .. } => {
                Verdict::Settled(value(response.bytes().to_vec()))
            }
        },
        401 => Verdict::Unauthorized,
        400 | 409 => remote(ErrorCode::ArgumentInvalid),
        413 => remote(ErrorCode::TooLarge),
        429 => again(ErrorCode::RateLimited, response),
        503 if response.retry_after().is_none() && is_dispatch_failure(response) => {
            Verdict::NoWorker(Error::new(ErrorCode::NoWorker, said()))
        }
        500 if is_dispatch_failure(response) => remote(ErrorCode::RemoteError),
        408 | 425 | 500.. => again(ErrorCode::ConnectFailed, response),
        _ => remote(ErrorCode::RemoteError),
    }
}

/// Tells the control plane's own failure of a dispatch from that of something in between.
fn is_dispatch_failure(response: &HttpResponse) -> bool {
    dispatch_answer(response.bytes()).is_some_and(|answer| answer.success == Some(false))
}

fn again(code: ErrorCode, response: &HttpResponse) -> Verdict {
    let error = Error::new(code, error_text(response));
    Verdict::Again { error, after_ms: response.retry_after() }
}

fn dispatched(body: &[u8], bytes: &[u8]) -> Result<Raw, Error> {
    let answer = dispatch_answer(body).ok_or_else(misunderstood)?;
    if answer.success == Some(false) { Err(failed(body)) } else { Ok(answer.value(bytes)) }
}

fn streamed(stream: Stream) -> Verdict {
    match stream.end {
        Some(Ok(payload)) => Verdict::Settled(dispatched(&payload, &stream.bytes)),
        Some(Err(payload)) => Verdict::Settled(Err(failed(&payload))),
        // The stream was cut before its end: the same key finds the item again.
        None => Verdict::Again { error: cut_off(), after_ms: None },
    }
}

/// Understands the answer to a command. Whatever it is, the command is not sent again.
fn commanded(response: &HttpResponse, stream: Stream) -> Result<Raw, Error> {
    if response.status / 100 != 2 {
        let code = match response.status {
            400 | 409 => ErrorCode::ArgumentInvalid,
            429 => ErrorCode::RateLimited,
            _ => ErrorCode::RemoteError,
        };
        let error = || Error::new(code, error_text(response));
        return Err(coded(response.bytes()).unwrap_or_else(error));
    }
    let payload = match stream.end {
        Some(Err(payload)) => return Err(coded(&payload).unwrap_or_else(|| failed(&payload))),
        Some(Ok(payload)) => payload,
        // A daemon that was asked for a stream may answer with a value.
        None if stream.cut.first() == Some(&b'{') => stream.cut,
        None if response.bytes().is_empty() => return Err(cut_off()),
        None => response.bytes().to_vec(),
    };
    let answer = value(payload)?;
    let bytes: Blobs = answer.read().unwrap_or_default();
    answer.with_base64(&bytes.blobs).map_err(|_| misunderstood())
}

/// The byte strings of an answer, in base64.
#[derive(Default, serde::Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Blobs {
    blobs: Vec<String>,
}

/// Reads an error that names one of our codes, and the status of a daemon.
fn coded(payload: &[u8]) -> Option<Error> {
    #[derive(Default, serde::Deserialize)]
    #[serde(rename_all = "PascalCase", default)]
    struct Words {
        error: String,
        code: String,
        status: Option<u16>,
    }
    let words: Words = serde_json::from_slice(payload).ok()?;
    let code = ErrorCode::ALL.iter().find(|code| code.name() == words.code)?;
    Some(Error::new(*code, words.error).with_status(words.status))
}

/// Reads an answer that is a value itself.
fn value(payload: Vec<u8>) -> Result<Raw, Error> {
    let text = String::from_utf8(payload).ok();
    text.and_then(|text| Raw::parse(text).ok()).ok_or_else(misunderstood)
}

fn failed(payload: &[u8]) -> Error {
    let said = stream_error(payload);
    failure(ErrorCode::RemoteError, said.as_deref().unwrap_or("the work item failed"))
}

fn cut_off() -> Error {
    Error::new(ErrorCode::ConnectionLost, "the stream ended before the result")
}

fn misunderstood() -> Error {
    Error::new(ErrorCode::PeerProtocol, "the control plane's answer was not understood")
}
