//! What the application says, and what it is told of the state.

use bytestring::ByteString;

use super::asks::{Ask, Asker};
use super::options::CallOptions;
use super::wire::{self, LOCAL_COMMAND, REMOTE_COMMAND};
use super::{Side, WsDaemon};
use crate::api::command::{CallCommand, Command, WorkCommand};
use crate::api::event::CallEvent;
use crate::api::options::read;
use crate::base::error::{Error, ErrorCode, invalid};
use crate::base::ids::CallId;
use crate::base::json::Raw;
use crate::base::json::object::Object;
use crate::base::time::Now;
use crate::machine::Endpoint;
use crate::parts::pacer::Outlet;

impl WsDaemon {
    fn call(
        &mut self,
        call: CallId,
        name: &str,
        params: &Raw,
        options: &Raw,
        now: Now,
    ) -> Result<(), Error> {
        let options: CallOptions = read(options.as_str())?;
        if name == REMOTE_COMMAND || name == LOCAL_COMMAND {
            return Err(invalid(format!("{name} is never answered: emit it")));
        }
        let id = format!("\"{}\"", self.entropy.uuid());
        let text = self.request(name, Some(&id), params)?;
        let timeout_ms = match options.timeout_ms {
            0 => self.options.asks.timeout_ms,
            millis => millis,
        };
        let ask = Ask { asker: Asker::Call(call), id: Raw::trusted(id) };
        self.forward(ask, Some(timeout_ms), text, now);
        Ok(())
    }

    /// Carries out what the application says as a local program would.
    fn emit(&mut self, name: &str, params: &Raw, now: Now) -> Result<(), Error> {
        let text = self.request(name, None, params)?;
        let asker = Asker::Call(CallId(0));
        if name == LOCAL_COMMAND {
            self.local_said(asker, text, now);
        } else {
            self.forward(Ask { asker, id: Raw::absent() }, None, text, now);
        }
        Ok(())
    }

    fn request(&self, name: &str, id: Option<&str>, params: &Raw) -> Result<ByteString, Error> {
        if !self.life.is_running() {
            return Err(ErrorCode::NotStarted.into());
        }
        let text = wire::request(name, id, params);
        if text.len() as u64 > self.options.limits.max_message_bytes {
            let bytes = text.len();
            let text = format!("a message of {bytes} bytes exceeds limits.max_message_bytes");
            return Err(Error::new(ErrorCode::TooLarge, text));
        }
        Ok(text)
    }
}

impl Endpoint for WsDaemon {
    fn handle_command(&mut self, command: Command, now: Now) -> Result<(), Error> {
        if self.life.is_ended() && !matches!(command, Command::Snapshot { .. }) {
            return Err(ErrorCode::Stopped.into());
        }
        match command {
            Command::Start => self.start(now)?,
            Command::Stop { drain_ms } => {
                let in_flight = self.jobs.len() + self.asks.len();
                self.life.stop(drain_ms, in_flight, now, &mut self.out);
            }
            Command::Call(CallCommand::Make { call, name, payload, options }) => {
                self.call(call, &name, &payload, &options, now)?;
            }
            Command::Call(CallCommand::Cancel { call }) => {
                if let Some(ask) = self.asks.cancel(call) {
                    self.settle_lost(&ask, ErrorCode::CallCancelled, "the call was cancelled");
                }
            }
            Command::Work(WorkCommand::Handle { key, .. }) => self.offer(key)?,
            Command::Work(WorkCommand::Unhandle { key }) => {
                if !self.handlers.remove(&key) {
                    return Err(ErrorCode::HandlerUnknown.into());
                }
            }
            Command::Work(WorkCommand::Complete { work, outcome }) => {
                self.completed(work, &outcome, now)?;
            }
            Command::Emit { name, payload } => self.emit(&name, &payload, now)?,
            Command::Snapshot { call } => {
                let result = Ok(Raw::trusted(self.snapshot(now)));
                self.event(CallEvent::Done { call, result });
            }
            Command::Work(WorkCommand::Progress { .. }) | Command::Peer(_) => {
                return Err(ErrorCode::Unsupported.into());
            }
        }
        self.advance_drain(now);
        Ok(())
    }

    fn snapshot(&self, now: Now) -> String {
        let object = Object::new()
            .text("dialect", "wsdaemon")
            .text("role", "daemon")
            .text("mode", self.options.mode.as_str());
        let state = match &self.side {
            Side::Client(link) => link.state(),
            Side::Server(server) => server.listener.state(),
        };
        let waiting: usize = self.outlets.values().map(Outlet::waiting).sum();
        let object = self
            .life
            .describe(object, state, now)
            .value("local", &self.local.addresses)
            .value("programs", &self.local.programs.len())
            .value("asks", &self.asks.len())
            .value("running", &self.work.running)
            .value("waiting", &self.work.waiting.len())
            .number("waiting_bytes", self.work.waiting_bytes)
            .value("queued", &waiting)
            .number("undelivered", self.undelivered);
        match &self.side {
            Side::Client(link) => link.describe(object, now),
            Side::Server(server) => server.describe(object),
        }
        .end()
    }
}
