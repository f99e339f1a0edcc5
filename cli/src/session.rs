//! One role of this process: its commands and its events.
//!
//! Roles are driven by their handle, as from other languages, and not by the values of the Rust API:
//! a second signal has to shorten a drain that is under way, and a hub logs who comes and goes.

use std::collections::VecDeque;
use std::sync::Arc;

use moorline_core::CallCommand;
use moorline_core::json::Raw;
use moorline_core::words::subject;
use moorline_core::{CallId, Command, Error, ErrorCode};
use moorline_driver::Handle;
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::Notify;

/// An open role.
pub(crate) struct Session {
    handle: Handle,
    bell: Arc<Notify>,
    waiting: VecDeque<Told>,
    text: String,
    has_ended: bool,
    last_call: u64,
}

impl Session {
    /// Opens `role` of `dialect`. Connects nothing.
    pub(crate) fn open(dialect: &str, role: &str, options: &str) -> Result<Self, Error> {
        let handle = Handle::open(dialect, role, options)?;
        Ok(Self::of(handle))
    }

    fn of(handle: Handle) -> Self {
        let bell = Arc::new(Notify::new());
        let ring = Arc::clone(&bell);
        handle.events().set_doorbell(move || ring.notify_one());
        Self {
            handle,
            bell,
            waiting: VecDeque::new(),
            text: String::new(),
            has_ended: false,
            last_call: 0,
        }
    }

    /// Hands over a command.
    pub(crate) fn submit(&self, command: Command) -> Result<(), Error> {
        self.handle.submit(vec![command])
    }

    /// Hands over a command that must not be lost: where there is no room for it now there will be.
    pub(crate) async fn deliver(&self, command: Command) -> Result<(), Error> {
        let mut commands = vec![command];
        loop {
            match self.handle.submit_all(&mut commands) {
                Err(error) if error.code() == ErrorCode::Overloaded => {
                    tokio::task::yield_now().await;
                }
                result => return result,
            }
        }
    }

    /// Hands over a stop. A session that has ended meanwhile needs none.
    pub(crate) fn stop(&self, stop: Command) -> Result<(), Error> {
        match self.submit(stop) {
            Err(error) if error.code() == ErrorCode::Stopped => Ok(()),
            result => result,
        }
    }

    /// Begins a call and returns its id.
    pub(crate) fn call(&mut self, name: &str, payload: Raw, options: Raw) -> Result<CallId, Error> {
        self.last_call += 1;
        let call = CallId(self.last_call);
        self.submit(Command::Call(CallCommand::Make {
            call,
            name: name.to_owned(),
            payload,
            options,
        }))?;
        Ok(call)
    }

    /// Waits for the next event; `None` after the last one.
    pub(crate) async fn next(&mut self) -> Option<Told> {
        loop {
            if let Some(told) = self.waiting.pop_front() {
                return Some(told);
            }
            if self.has_ended {
                return None;
            }
            self.text.clear();
            let drained = self.handle.events().drain(&mut self.text);
            match serde_json::from_str::<Vec<Told>>(&self.text) {
                Ok(told) => self.waiting.extend(told),
                Err(error) => tracing::error!(%error, "events could not be read"),
            }
            self.has_ended = drained.ended;
            if self.waiting.is_empty() && !drained.more && !drained.ended {
                self.bell.notified().await;
            }
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.handle.close();
    }
}

/// An event as it crosses from the handle: the fields of all kinds, by name.
#[derive(Debug, Deserialize)]
pub(crate) struct Told {
    /// The kind.
    pub(crate) event: String,
    /// `ready`: the id or address.
    pub(crate) id: Option<String>,
    /// `ready`: what carries frames.
    pub(crate) transport: Option<String>,
    /// `lost`: the error; `peer_left`: a sentence.
    pub(crate) reason: Option<Reason>,
    /// `lost`: milliseconds to the next attempt.
    pub(crate) retry_ms: Option<u64>,
    /// `call_done`, `call_part`: the call.
    pub(crate) call: Option<u64>,
    /// `call_done`: its value.
    pub(crate) value: Option<Raw>,
    /// `call_part`: the part.
    pub(crate) part: Option<Raw>,
    /// `call_done`, `notice`, `ended`: what went wrong.
    pub(crate) error: Option<ToldError>,
    /// `work`, `work_withdrawn`: the item.
    pub(crate) work: Option<u64>,
    /// `work`: the handler key.
    pub(crate) key: Option<String>,
    /// `work`: the settings.
    pub(crate) payload: Option<Raw>,
    /// `work`: the envelope.
    pub(crate) meta: Option<Raw>,
    /// `work_withdrawn`: why.
    pub(crate) why: Option<String>,
    /// `peer_joined`, `peer_left`: the peer's name.
    pub(crate) name: Option<String>,
    /// `draining`: items that still run.
    pub(crate) in_flight: Option<u64>,
    /// `draining`: outcomes that the control plane has not taken.
    pub(crate) outbox: Option<u64>,
}

impl Told {
    /// Returns by which hash the control plane knows the item.
    pub(crate) fn hash(&self) -> String {
        let meta = self.meta.as_ref().and_then(|meta| meta.read::<Value>().ok());
        let hash = meta.as_ref().and_then(|meta| meta.get(subject::WORK_ITEM)?.as_str());
        hash.unwrap_or_default().to_owned()
    }
}

/// Why something ended.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Reason {
    /// With a code.
    Error(ToldError),
    /// In the words of whoever noticed it.
    Text(String),
}

impl From<Reason> for Error {
    fn from(reason: Reason) -> Self {
        match reason {
            Reason::Error(error) => error.into(),
            Reason::Text(text) => Self::new(ErrorCode::ConnectionLost, text),
        }
    }
}

/// An error as it crosses from the handle.
#[derive(Debug, Deserialize)]
pub(crate) struct ToldError {
    code: String,
    message: String,
    status: Option<u16>,
}

impl From<ToldError> for Error {
    fn from(told: ToldError) -> Self {
        let code = ErrorCode::ALL.iter().find(|code| code.name() == told.code);
        let code = code.copied().unwrap_or(ErrorCode::Internal);
        Self::new(code, told.message).with_status(told.status)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc::{Receiver, channel};

    use moorline_core::options::RuntimeOptions;
    use moorline_core::{
        Deadline, Endpoint, Input, Machine, Now, Outcome, Output, WorkCommand, WorkId,
    };

    use super::*;

    /// A machine whose first command takes until somebody says so; counts outcomes.
    struct Slow {
        go_on: Receiver<()>,
        outcomes: Arc<AtomicUsize>,
    }

    impl Machine for Slow {
        fn handle_input(&mut self, _: Input, _: Now) {}
        fn handle_timeout(&mut self, _: Now) {}
        fn poll_output(&mut self) -> Option<Output> {
            None
        }
        fn poll_timeout(&self) -> Option<Deadline> {
            None
        }
    }

    impl Endpoint for Slow {
        fn handle_command(&mut self, command: Command, _: Now) -> Result<(), Error> {
            // Nobody holds it back any more once the other end is gone.
            let _ = self.go_on.recv();
            if let Command::Work(WorkCommand::Complete { .. }) = command {
                self.outcomes.fetch_add(1, Ordering::SeqCst);
            }
            Ok(())
        }

        fn snapshot(&self, _: Now) -> String {
            String::from("{}")
        }
    }

    #[tokio::test]
    async fn an_outcome_waits_for_room_among_the_commands() {
        let (let_go, go_on) = channel();
        let outcomes = Arc::new(AtomicUsize::new(0));
        let slow = Slow { go_on, outcomes: Arc::clone(&outcomes) };
        let handle = Handle::drive(Box::new(slow), RuntimeOptions::default()).unwrap();
        let session = Session::of(handle);
        let refused = loop {
            if let Err(error) = session.submit(Command::Start) {
                break error;
            }
        };
        assert_eq!(refused.code(), ErrorCode::Overloaded);
        let outcome = Outcome::Cancelled;
        let complete = Command::Work(WorkCommand::Complete { work: WorkId(1), outcome });
        let mut delivery = std::pin::pin!(session.deliver(complete));
        tokio::select! {
            biased;
            done = &mut delivery => panic!("{done:?}"),
            () = std::future::ready(()) => drop(let_go),
        }
        delivery.await.unwrap();
        while outcomes.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
    }
}
