//! What workers, dispatchers and hubs have in common: commands out, events routed, calls settled.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use moorline_core::{CallId, Command, Error, ErrorCode, Event, Raw};
use tokio::runtime::Handle;
use tokio::sync::{oneshot, watch};
use tokio::task::AbortHandle;

use crate::api::mailbox::Mailbox;
use crate::api::settings::Settings;
use crate::counters::Counters;
use crate::events::Sink;
use crate::handle::open_role;
use crate::io_thread::IoThread;

/// Where a session stands.
#[derive(Clone, Debug)]
pub(crate) enum Status {
    /// Not ready for the first time yet.
    Starting,
    /// It has been ready, under this id.
    Ready(String),
    /// It is over.
    Ended(Option<Error>),
}

/// Takes the events that only one role knows.
pub(crate) trait Role: Send + 'static {
    /// Takes an event.
    fn handle(&mut self, event: Event, desk: &Arc<Desk>);
}

/// The application's end of one I/O thread.
pub(crate) struct Desk {
    io: IoThread,
    calls: Mutex<HashMap<CallId, Pending>>,
    last_call: AtomicU64,
    /// Commands of the present turn of the application.
    turn: Mutex<Vec<Command>>,
    status: watch::Sender<Status>,
}

/// Takes a part of a reply.
pub(crate) type OnPart = Box<dyn FnMut(Raw) + Send>;

struct Pending {
    done: oneshot::Sender<Result<Raw, Error>>,
    on_part: Option<OnPart>,
}

/// A desk with the task that routes its events. Closes everything when dropped.
pub(crate) struct Session {
    pub(crate) desk: Arc<Desk>,
    pump: AbortHandle,
}

impl Session {
    /// Opens a role, hands over the first commands and waits until it is ready.
    pub(crate) async fn open(
        role: &str,
        settings: &Settings,
        commands: Vec<Command>,
        roles: impl Role,
    ) -> Result<Self, Error> {
        let (opened, shared) = open_role("beacon", role, &settings.text()?)?;
        let max_bytes = usize::try_from(opened.runtime.max_event_bytes).unwrap_or(usize::MAX);
        let mailbox =
            Mailbox::new(Arc::clone(&shared.counting), Arc::clone(&shared.inbox), max_bytes);
        let mailbox = Arc::new(mailbox);
        let sink = Arc::clone(&mailbox) as Arc<dyn Sink>;
        let io = IoThread::start(opened.endpoint, &opened.runtime, sink, shared)?;
        let desk = Arc::new(Desk {
            io,
            calls: Mutex::default(),
            last_call: AtomicU64::new(0),
            turn: Mutex::default(),
            status: watch::channel(Status::Starting).0,
        });
        let pump = tokio::spawn(pump(Arc::clone(&desk), mailbox, roles)).abort_handle();
        let session = Self { desk, pump };
        session.desk.submit(commands)?;
        session.desk.ready().await?;
        Ok(session)
    }

    /// Stops, waits for the end and tells how it came.
    pub(crate) async fn drain(&self, limit: Duration) -> Result<(), Error> {
        let drain_ms = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        self.desk.submit(vec![Command::Stop { drain_ms }])?;
        self.desk.ended().await.map_or(Ok(()), Err)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.desk.io.abandon();
        self.pump.abort();
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("status", &*self.desk.status.borrow()).finish()
    }
}

impl Desk {
    /// Hands over commands.
    pub(crate) fn submit(&self, commands: Vec<Command>) -> Result<(), Error> {
        self.io.submit(commands)
    }

    /// Hands over a command together with those of the tasks that are ready beside this one: what a
    /// batch of handlers yields wakes the I/O thread once.
    pub(crate) fn submit_with_turn(self: &Arc<Self>, command: Command) {
        let mut turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        turn.push(command);
        if turn.len() > 1 {
            return;
        }
        drop(turn);
        let Ok(runtime) = Handle::try_current() else { return self.end_turn() };
        let desk = Arc::clone(self);
        runtime.spawn(async move {
            // Queued behind the tasks that are ready already.
            tokio::task::yield_now().await;
            desk.end_turn();
        });
    }

    fn end_turn(&self) {
        let commands =
            std::mem::take(&mut *self.turn.lock().unwrap_or_else(PoisonError::into_inner));
        if let Err(error) = self.submit(commands) {
            tracing::warn!(%error, "outcomes came after the end");
        }
    }

    /// Makes a call. Dropping the future cancels it.
    pub(crate) async fn call(
        self: &Arc<Self>,
        command: impl FnOnce(CallId) -> Command,
        on_part: Option<OnPart>,
    ) -> Result<Raw, Error> {
        let call = CallId(self.last_call.fetch_add(1, Ordering::Relaxed) + 1);
        let (done, result) = oneshot::channel();
        self.lock().insert(call, Pending { done, on_part });
        let _giving_up = GivingUp { desk: Arc::clone(self), call };
        self.submit(vec![command(call)])?;
        result.await.unwrap_or_else(|_| Err(ErrorCode::Stopped.into()))
    }

    /// Asks for the state.
    pub(crate) async fn snapshot(self: &Arc<Self>) -> Result<Raw, Error> {
        self.call(|call| Command::Snapshot { call }, None).await
    }

    /// Returns the id under which the session was ready.
    pub(crate) fn id(&self) -> String {
        match &*self.status.borrow() {
            Status::Ready(id) => id.clone(),
            Status::Starting | Status::Ended(_) => String::new(),
        }
    }

    /// Returns what the I/O thread did.
    pub(crate) fn counters(&self) -> Counters {
        self.io.counters()
    }

    /// Waits for the end.
    pub(crate) async fn ended(&self) -> Option<Error> {
        let mut status = self.status.subscribe();
        let ended = status.wait_for(|status| matches!(status, Status::Ended(_))).await;
        match ended.as_deref() {
            Ok(Status::Ended(error)) => error.clone(),
            Ok(Status::Starting | Status::Ready(_)) | Err(_) => Some(ErrorCode::Stopped.into()),
        }
    }

    async fn ready(&self) -> Result<(), Error> {
        let mut status = self.status.subscribe();
        let settled = status.wait_for(|status| !matches!(status, Status::Starting)).await;
        match settled.as_deref() {
            Ok(Status::Ready(_)) => Ok(()),
            Ok(Status::Ended(Some(error))) => Err(error.clone()),
            Ok(Status::Starting | Status::Ended(None)) | Err(_) => Err(ErrorCode::Stopped.into()),
        }
    }

    /// Routes one event; returns those that the role must take.
    fn route(&self, event: Event) -> Option<Event> {
        match event {
            Event::CallDone { call, result } => {
                let pending = self.lock().remove(&call);
                if let Some(pending) = pending {
                    // A caller that has given up does not listen.
                    let _ = pending.done.send(result);
                }
                None
            }
            Event::CallPart { call, part } => {
                let on_part = self.lock().get_mut(&call).and_then(|it| it.on_part.take());
                if let Some(mut on_part) = on_part {
                    on_part(part);
                    if let Some(pending) = self.lock().get_mut(&call) {
                        pending.on_part = Some(on_part);
                    }
                }
                None
            }
            Event::Ready { id, transport, .. } => {
                tracing::debug!(id, transport, "ready");
                self.status.send_replace(Status::Ready(id));
                None
            }
            Event::Lost { reason, retry_ms, attempt } => {
                tracing::info!(%reason, retry_ms, attempt, "the link is down");
                None
            }
            Event::Notice(error) => {
                tracing::warn!(%error, "notice");
                None
            }
            Event::Ended { error } => {
                self.status.send_replace(Status::Ended(error));
                self.lock().clear();
                None
            }
            Event::Work { .. }
            | Event::WorkWithdrawn { .. }
            | Event::Enrolled { .. }
            | Event::WorkDrained { .. }
            | Event::BeatAsked { .. }
            | Event::Message { .. }
            | Event::PeerJoined { .. }
            | Event::PeerLeft { .. }
            | Event::AdmissionAsked { .. }
            | Event::Draining { .. } => Some(event),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<CallId, Pending>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Cancels a call whose future is dropped.
struct GivingUp {
    desk: Arc<Desk>,
    call: CallId,
}

impl Drop for GivingUp {
    fn drop(&mut self) {
        let pending = self.desk.lock().remove(&self.call);
        if pending.is_some() {
            // After the end there is nothing left to cancel.
            let _ = self.desk.submit(vec![Command::Cancel { call: self.call }]);
        }
    }
}

async fn pump(desk: Arc<Desk>, mailbox: Arc<Mailbox>, mut role: impl Role) {
    while !matches!(*desk.status.borrow(), Status::Ended(_)) {
        for event in mailbox.take().await {
            if let Some(event) = desk.route(event) {
                role.handle(event, &desk);
            }
        }
    }
}
