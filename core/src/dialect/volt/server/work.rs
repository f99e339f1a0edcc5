//! Commands of daemons that the application answers.
//!
//! ```text
//!              ┌── answered ──▶ response
//!   Event::Work├── too late ──▶ 504, withdrawn
//!              ├── hub ends ──▶ 503, withdrawn
//!              └── link lost ─▶ withdrawn
//! ```

use super::{SessionId, Timer, VoltServer, wire};
use crate::api::command::Outcome;
use crate::api::event::{Withdrawal, WorkEvent};
use crate::api::options::ResponseForm;
use crate::base::error::{Error, ErrorCode, invalid, printable};
use crate::base::ids::WorkId;
use crate::base::json::Raw;
use crate::base::time::Instant;
use crate::dialect::volt::envelope::{Envelope, Reject, lenient_form, unhandled};
use crate::dialect::volt::wire::{Message, ok_reply};
use crate::dialect::volt::words::{HEARTBEAT, MESSAGE, check_name};
use crate::net::socketio::{self, ROOT};
use crate::parts::pacer::Rank;

/// The longest id of a command that is handed to the application, as JSON: it is kept until the answer.
const MAX_REQUEST: usize = 1_024;

/// A command that a handler works on.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) session: SessionId,
    cluster: String,
    name: String,
    /// The id as it came: JSON. A copy, so that it does not hold on to the payload.
    request: String,
    form: ResponseForm,
    due: Instant,
}

impl VoltServer {
    /// Hands a command of daemons to the application from now on.
    ///
    /// # Errors
    /// `ARGUMENT_INVALID` for a name that cannot be one, `OVERLOADED` for too many.
    pub(crate) fn handle(&mut self, name: String) -> Result<(), Error> {
        if name == HEARTBEAT {
            return Err(invalid(format!("{name} is answered by the hub itself")));
        }
        check_name(&name)?;
        self.handlers.add(name, ())
    }

    /// Takes a command from the application. What runs is answered all the same.
    pub(crate) fn unhandle(&mut self, name: &str) {
        self.handlers.remove(name);
    }

    /// Hands a command to its handler.
    ///
    /// # Errors
    /// The status and the words with which it is refused.
    pub(super) fn begin_work(
        &mut self,
        session: SessionId,
        request: &str,
        message: &Message<'_>,
        argument: &Raw,
    ) -> Result<(), (u16, String)> {
        let name = wire::text(message.command).unwrap_or_default();
        if !self.handlers.contains(&name) {
            return Err((404, format!("Unknown daemon server command: {name}")));
        }
        if !self.is_open {
            return Err((503, "The hub is going away.".to_owned()));
        }
        let max = self.options.max_commands;
        if self.running.len() as u64 >= max {
            let text = format!("The hub works on {max} commands already: volt.max_commands");
            return Err((503, text));
        }
        if self.check_room(session, Rank::InTurn).is_err() {
            let text = "The hub's answers wait to be read: limits.max_send_queue_bytes";
            return Err((503, text.to_owned()));
        }
        if request.len() > MAX_REQUEST {
            return Err((400, format!("A requestId has at most {MAX_REQUEST} bytes")));
        }
        let form = lenient_form(message.response_type);
        if form == ResponseForm::Stream {
            let text = "The hub answers commands with json or a buffer, not with a stream";
            return Err((406, text.to_owned()));
        }
        let unregistered = || (503, "The daemon is not registered".to_owned());
        let state = self.sessions.get(&session);
        let cluster = state.and_then(|state| state.cluster.clone()).ok_or_else(unregistered)?;
        let daemon = self.daemons.get_mut(&cluster).ok_or_else(unregistered)?;
        let peer = daemon.peer().ok_or_else(unregistered)?;
        self.last_work += 1;
        let work = WorkId(self.last_work);
        daemon.work.insert(work);
        let due = self.clock.mono.after(self.options.handler_timeout_ms);
        self.timers.add(Timer::Work(work), due);
        let meta = wire::work_meta(peer, &cluster, request, form);
        let payload = message.payload.filter(|json| *json != "null");
        let payload = payload.map_or_else(Raw::absent, |json| argument.part(json));
        let payload = payload.with_blobs(argument.blobs().to_vec());
        let (key, request) = (name.into_owned(), request.to_owned());
        let running = Running { session, cluster, name: key.clone(), request, form, due };
        self.running.insert(work, running);
        let timeout_ms = Some(self.options.handler_timeout_ms);
        self.event(WorkEvent::Assigned { work, key, payload, timeout_ms, meta });
        Ok(())
    }

    /// Answers a command with what its handler came to. A late outcome is ignored.
    ///
    /// # Errors
    /// `WORK_UNKNOWN` if there never was such work; if the outcome cannot be sent, `ARGUMENT_INVALID`
    /// or `TOO_LARGE`, and the daemon is answered 500.
    pub(crate) fn complete(&mut self, work: WorkId, outcome: &Outcome) -> Result<(), Error> {
        let Some(running) = self.forget_work(work) else {
            let is_late = (1..=self.last_work).contains(&work.0);
            return if is_late { Ok(()) } else { Err(ErrorCode::WorkUnknown.into()) };
        };
        let (result, refusal) = match outcome {
            Outcome::Done { value, .. } => (self.reply_work(&running, value), None),
            Outcome::Failed { message } => (Ok(()), Some(printable(message))),
            Outcome::Cancelled => (Ok(()), Some(unhandled(&running.name))),
        };
        // Whatever was wrong with a result, the daemon gets an answer.
        let refusal = refusal.or_else(|| result.is_err().then(|| unhandled(&running.name)));
        if let Some(text) = refusal {
            self.refuse_work(&running, 500, &text);
        }
        result
    }

    fn reply_work(&mut self, running: &Running, value: &Raw) -> Result<(), Error> {
        let invalid =
            |why: String| invalid(format!("the result of the command {:?}: {why}", running.name));
        let envelope = Envelope::read(value).map_err(invalid)?;
        if let Some(Reject { status, message }) = &envelope.reject {
            self.refuse_work(running, *status, message);
            return Ok(());
        }
        let reply = envelope.reply(running.form).map_err(invalid)?;
        let (request, blobs) = (&running.request, value.blobs());
        let size = value.as_str().len() + request.len() + 128;
        self.write(running.session, Rank::InTurn, |frames| {
            socketio::event_with(ROOT, None, MESSAGE, size, blobs, frames, |json| {
                ok_reply(request, envelope.status(), envelope.headers(), reply, json);
            })
        })
        .map_err(|malformed| Error::new(ErrorCode::TooLarge, malformed.to_string()))
    }

    fn refuse_work(&mut self, running: &Running, status: u16, text: &str) {
        let answer = wire::refused(&running.request, status, text);
        self.emit(running.session, MESSAGE, answer);
    }

    /// Gives up a handler whose time is up.
    pub(super) fn expire_work(&mut self, work: WorkId) {
        let Some(running) = self.running.get(&work) else { return };
        let limit = self.options.handler_timeout_ms;
        let text = format!("The command \"{}\" was not answered within {limit} ms.", running.name);
        self.withdraw(work, Withdrawal::Expired, Some((504, &text)));
    }

    /// Gives up every handler: the hub ends.
    pub(super) fn withdraw_all(&mut self) {
        let running: Vec<WorkId> = self.running.keys().copied().collect();
        for work in running {
            let text = "The hub ended; whether the command was carried out is unknown.";
            self.withdraw(work, Withdrawal::Draining, Some((503, text)));
        }
    }

    /// Takes a command from its handler; `refusal` is what the daemon is answered.
    pub(super) fn withdraw(&mut self, work: WorkId, why: Withdrawal, refusal: Option<(u16, &str)>) {
        let Some(running) = self.forget_work(work) else { return };
        if let Some((status, text)) = refusal {
            self.refuse_work(&running, status, text);
        }
        self.event(WorkEvent::Withdrawn { work, why });
    }

    fn forget_work(&mut self, work: WorkId) -> Option<Running> {
        let running = self.running.remove(&work)?;
        self.timers.remove(Timer::Work(work), running.due);
        if let Some(daemon) = self.daemons.get_mut(&running.cluster) {
            daemon.work.remove(&work);
        }
        Some(running)
    }
}
