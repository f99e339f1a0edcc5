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
        let bell = Arc::new(Notify::new());
        let ring = Arc::clone(&bell);
        handle.events().set_doorbell(move || ring.notify_one());
        Ok(Self {
            handle,
            bell,
            waiting: VecDeque::new(),
            text: String::new(),
            has_ended: false,
            last_call: 0,
        })
    }

    /// Hands over a command.
    pub(crate) fn submit(&self, command: Command) -> Result<(), Error> {
        self.handle.submit(vec![command])
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
