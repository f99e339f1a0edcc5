//! Commands to the control plane, as futures that make them.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use moorline_core::CallCommand;
use moorline_core::{Command, Error, ErrorCode, Raw};
use serde::de::DeserializeOwned;

use crate::desk::{Desk, Waiting};

/// A command that is made when it is awaited first; dropping it cancels the command.
///
/// Its output is the answer's data as it came: [`Raw::absent`] if there is none.
#[must_use = "a command is sent when it is awaited"]
pub struct RawCommand {
    state: State,
}

enum State {
    Prepared { desk: Arc<Desk>, name: String, payload: Raw, timeout: Option<Duration> },
    Refused(Error),
    Sent(Waiting),
    Taken,
}

impl RawCommand {
    pub(super) fn new(
        desk: Result<Arc<Desk>, Error>,
        name: &str,
        payload: Raw,
        timeout: Option<Duration>,
    ) -> Self {
        let state = match desk {
            Ok(desk) => State::Prepared { desk, name: name.to_owned(), payload, timeout },
            Err(error) => State::Refused(error),
        };
        Self { state }
    }

    pub(super) fn refused(error: Error) -> Self {
        Self { state: State::Refused(error) }
    }

    /// Sets the time for the answer; that of the daemon unless set, zero gives up at once.
    pub fn timeout(mut self, limit: Duration) -> Self {
        if let State::Prepared { timeout, .. } = &mut self.state {
            *timeout = Some(limit);
        }
        self
    }
}

impl Future for RawCommand {
    type Output = Result<Raw, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let State::Sent(waiting) = &mut self.state {
            return Pin::new(waiting).poll(cx);
        }
        let mut waiting = match std::mem::replace(&mut self.state, State::Taken) {
            State::Prepared { desk, name, payload, timeout } => {
                let options = options(timeout);
                let command =
                    |call| Command::Call(CallCommand::Make { call, name, payload, options });
                match desk.begin_call(command, None) {
                    Ok(waiting) => waiting,
                    Err(error) => return Poll::Ready(Err(error)),
                }
            }
            State::Refused(error) => return Poll::Ready(Err(error)),
            State::Sent(_) | State::Taken => return Poll::Ready(Err(ErrorCode::Stopped.into())),
        };
        let polled = Pin::new(&mut waiting).poll(cx);
        if polled.is_pending() {
            self.state = State::Sent(waiting);
        }
        polled
    }
}

fn options(timeout: Option<Duration>) -> Raw {
    let Some(limit) = timeout else { return Raw::empty_object() };
    // Longer than what every language can count to is as good as for ever.
    const LONGEST: u64 = (1 << 53) - 1;
    let millis = u64::try_from(limit.as_millis()).unwrap_or(LONGEST).min(LONGEST);
    Raw::from_value(&Options { timeout_ms: millis }).unwrap_or_else(|_| Raw::empty_object())
}

#[derive(serde::Serialize)]
struct Options {
    timeout_ms: u64,
}

impl fmt::Debug for RawCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawCommand").finish_non_exhaustive()
    }
}

/// A command whose answer's data is read as `T`; like [`RawCommand`] else. Its output is `None` if the
/// answer has no data, or `null`.
#[must_use = "a command is sent when it is awaited"]
pub struct SendCommand<T> {
    command: RawCommand,
    reads: PhantomData<fn() -> T>,
}

impl<T> SendCommand<T> {
    pub(super) const fn new(command: RawCommand) -> Self {
        Self { command, reads: PhantomData }
    }

    /// Sets the time for the answer; that of the daemon unless set, zero gives up at once.
    pub fn timeout(self, limit: Duration) -> Self {
        Self::new(self.command.timeout(limit))
    }
}

impl<T: DeserializeOwned> Future for SendCommand<T> {
    type Output = Result<Option<T>, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.command).poll(cx).map(|result| {
            let data = result?;
            if data.is_absent() {
                return Ok(None);
            }
            data.read().map_err(|e| {
                let message = format!("the data of the answer are of another shape: {e}");
                Error::new(ErrorCode::ArgumentInvalid, message)
            })
        })
    }
}

impl<T> fmt::Debug for SendCommand<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendCommand").finish_non_exhaustive()
    }
}
