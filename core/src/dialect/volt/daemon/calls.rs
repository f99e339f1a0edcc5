//! Commands that we send: each settled exactly once, by its answer, its deadline or the end of the
//! session.

use super::{Awaited, VoltDaemon};
use crate::api::options::{self, ResponseForm};
use crate::base::error::{Error, ErrorCode, invalid};
use crate::base::ids::CallId;
use crate::base::json::Raw;
use crate::dialect::volt::options::CommandOptions;
use crate::dialect::volt::wire::{self, Message};
use crate::dialect::volt::words::SENT;
use crate::parts::pacer::Rank;

/// The form in which we want every answer.
const FORM: &str = ResponseForm::Json.as_str();

/// Who asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Asker {
    Beat,
    /// The daemon itself, which generation of the protocol it talks to.
    Probe,
    Application(CallId),
}

impl VoltDaemon {
    /// Sends a command; it settles in one `CallDone`.
    pub(super) fn call(
        &mut self,
        call: CallId,
        name: String,
        payload: &Raw,
        options: &Raw,
    ) -> Result<(), Error> {
        if name == SENT {
            let parcels = self.engine.pacer.pushed();
            let (emitted, opened) = (self.emitted, self.opened.come);
            self.awaited.push_back(Awaited { emitted, opened, parcels, call });
            return Ok(());
        }
        let options = match options.as_str() {
            "{}" => CommandOptions::default(),
            text => options::read::<CommandOptions>(text)
                .map_err(|e| invalid(format!("the command's options: {e}")))?,
        };
        if !self.is_ready() || self.drain.is_on() {
            let why = if self.drain.is_on() { "drains" } else { "is not registered" };
            let message = format!("the daemon {why}: the command \"{name}\" was not sent");
            return Err(Error::new(ErrorCode::NotReady, message));
        }
        if self.calls.is_full() {
            let message =
                format!("{} commands wait for answers: max_pending_calls", self.calls.len());
            return Err(Error::new(ErrorCode::Overloaded, message));
        }
        self.check_room(self.engine.has_room())?;
        self.ask(Asker::Application(call), name, payload, options.timeout_ms)
    }

    /// Sends a command for whoever asks.
    pub(super) fn ask(
        &mut self,
        asker: Asker,
        name: String,
        payload: &Raw,
        timeout_ms: u64,
    ) -> Result<(), Error> {
        let (key, id) =
            self.calls.open(asker, name, timeout_ms, self.clock.mono, &mut self.entropy);
        let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
        let id: &str = id.hyphenated().encode_lower(&mut text);
        let size = wire::command_len(id, self.command_name(key), FORM, payload.as_str());
        let written = self.write_message(payload.blobs(), size, |daemon, json| {
            wire::command(id, daemon.command_name(key), FORM, payload.as_str(), json);
        });
        if let Err(error) = written.and_then(|()| self.check_written()) {
            self.calls.take(key);
            return Err(error);
        }
        self.counters.commands_sent += 1;
        // A heartbeat that waits its turn behind much would come too late.
        self.say(match asker {
            Asker::Beat | Asker::Probe => Rank::First,
            Asker::Application(_) => Rank::InTurn,
        });
        if timeout_ms == 0 {
            // Peer: the command goes out all the same.
            self.expire_calls();
        }
        Ok(())
    }

    /// Returns the name of the command that was sent under a key.
    fn command_name(&self, key: u64) -> &str {
        self.calls.get(key).map_or("", String::as_str)
    }

    pub(super) fn cancel(&mut self, call: CallId) {
        let before = self.awaited.len();
        self.awaited.retain(|waits| waits.call != call);
        if self.calls.cancel(Asker::Application(call)).is_some() || self.awaited.len() < before {
            self.settle(call, Err(ErrorCode::CallCancelled.into()));
        }
    }

    /// An answer came. Late, foreign and repeated ones meet nobody.
    pub(super) fn answered(&mut self, message: &Message<'_>, result: impl FnOnce() -> Raw) {
        let Some(id) = message.request_id.and_then(wire::lenient_text) else { return };
        let Some(call) = self.calls.settle(&id) else { return };
        let result =
            if message.is_ok() { Ok(result()) } else { Err(rejection(&call.what, message)) };
        self.conclude(call.asker, result);
    }

    pub(super) fn expire_calls(&mut self) {
        while let Some(call) = self.calls.expire(self.clock.mono) {
            let message = format!("no answer to the command \"{}\" in time", call.what);
            self.conclude(call.asker, Err(Error::new(ErrorCode::CallTimeout, message)));
        }
    }

    /// The session is over: no answer will come, since the server answers to the socket that asked.
    pub(super) fn fail_calls(&mut self) {
        while let Some(call) = self.calls.pop() {
            let message = format!(
                "the connection ended before the answer to \"{}\"; whether it was carried out is \
                 unknown",
                call.what
            );
            self.conclude(call.asker, Err(Error::new(ErrorCode::NotReady, message)));
        }
    }

    fn conclude(&mut self, asker: Asker, result: Result<Raw, Error>) {
        match asker {
            Asker::Application(call) => self.settle(call, result),
            Asker::Beat => self.beat_settled(result.map(drop)),
            Asker::Probe => self.probe_settled(result.map(drop)),
        }
    }
}

fn rejection(name: &str, message: &Message<'_>) -> Error {
    let status = message.status.and_then(|status| status.parse().ok());
    let rejected = || format!("the control plane rejected the command \"{name}\"").into();
    let text = message.explanation().unwrap_or_else(rejected);
    Error::new(ErrorCode::RemoteError, text).with_status(status)
}
