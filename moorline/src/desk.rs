//! What workers, dispatchers and hubs have in common: commands out, events routed, calls settled.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use moorline_core::options::OptionValue;
use moorline_core::{CallCommand, CallEvent, SessionEvent};
use moorline_core::{CallId, Command, Error, ErrorCode, Event, Raw};
use moorline_driver::{Counters, Handle, Mailbox};
use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::calls::Calls;

/// How often those who were woken by a batch of events are let run before the turn ends without them.
const MAX_PASSES: usize = 64;

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

    /// Looks at an event of the link that the desk takes.
    fn observe(&mut self, _event: &Event) {}
}

/// The application's end of one I/O thread.
pub(crate) struct Desk {
    io: Handle<Mailbox>,
    calls: Mutex<Calls>,
    parts: Mutex<HashMap<CallId, OnPart>>,
    turn: Mutex<Turn>,
    status: watch::Sender<Status>,
}

/// Takes a part of a reply.
pub(crate) type OnPart = Box<dyn FnMut(Raw) + Send>;

/// Commands that cross together.
#[derive(Default)]
struct Turn {
    commands: Vec<Command>,
    /// Somebody will hand them over soon.
    is_open: bool,
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
        options: &impl OptionValue,
        commands: Vec<Command>,
        roles: impl Role,
    ) -> Result<Self, Error> {
        let session = Self::start("beacon", role, &options.describe(), commands, roles)?;
        session.desk.ready().await?;
        Ok(session)
    }

    /// Opens a role and hands over the first commands.
    pub(crate) fn start(
        dialect: &str,
        role: &str,
        options: &str,
        commands: Vec<Command>,
        roles: impl Role,
    ) -> Result<Self, Error> {
        let desk = Arc::new(Desk {
            io: Handle::open_mailbox(dialect, role, options)?,
            calls: Mutex::default(),
            parts: Mutex::default(),
            turn: Mutex::default(),
            status: watch::channel(Status::Starting).0,
        });
        let pump = tokio::spawn(pump(Arc::clone(&desk), roles)).abort_handle();
        let session = Self { desk, pump };
        session.desk.submit(commands)?;
        Ok(session)
    }

    /// Stops, waits for the end and tells how it came.
    pub(crate) async fn drain(&self, limit: Duration) -> Result<(), Error> {
        let drain_ms = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        self.desk.submit(vec![Command::Stop { drain_ms }])?;
        self.desk.ended().await
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
    /// Hands over commands, behind those of the open turn.
    pub(crate) fn submit(&self, mut commands: Vec<Command>) -> Result<(), Error> {
        let mut turn = lock(&self.turn);
        let earlier = turn.commands.len();
        if earlier == 0 {
            drop(turn);
            return self.io.submit_all(&mut commands);
        }
        turn.commands.append(&mut commands);
        let submitted = self.io.submit_all(&mut turn.commands);
        turn.commands.truncate(earlier);
        submitted
    }

    /// Hands over a command together with those of the tasks that are ready beside this one: what a
    /// batch of handlers yields wakes the I/O thread once.
    pub(crate) fn submit_with_turn(self: &Arc<Self>, command: Command) {
        let mut turn = lock(&self.turn);
        turn.commands.push(command);
        if std::mem::replace(&mut turn.is_open, true) {
            return;
        }
        drop(turn);
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return self.end_turn() };
        let desk = Arc::clone(self);
        runtime.spawn(async move {
            // Queued behind the tasks that are ready already.
            tokio::task::yield_now().await;
            desk.end_turn();
        });
    }

    /// Hands over a command: with the open turn if there is one, else at once.
    pub(crate) fn submit_soon(&self, command: Command) -> Result<(), Error> {
        let mut turn = lock(&self.turn);
        if turn.is_open {
            turn.commands.push(command);
            return Ok(());
        }
        drop(turn);
        self.submit(vec![command])
    }

    /// What is woken by events that are handed out now hands its commands over together.
    fn begin_turn(&self) {
        lock(&self.turn).is_open = true;
    }

    fn end_turn(&self) {
        self.hand_over(false);
    }

    /// Hands over what the turn has gathered; it goes on if `is_open`.
    fn hand_over(&self, is_open: bool) {
        let mut turn = lock(&self.turn);
        turn.is_open = is_open;
        if turn.commands.is_empty() {
            return;
        }
        let Err(error) = self.io.submit_all(&mut turn.commands) else { return };
        let commands = std::mem::take(&mut turn.commands);
        drop(turn);
        tracing::warn!(%error, "commands were refused");
        for call in commands.iter().filter_map(Command::call) {
            self.settle(call, Err(error.clone()));
        }
    }

    /// Makes a call. Dropping the future cancels it.
    pub(crate) async fn call(
        self: &Arc<Self>,
        command: impl FnOnce(CallId) -> Command,
        on_part: Option<OnPart>,
    ) -> Result<Raw, Error> {
        let waiting = self.begin_call(command, on_part)?;
        waiting.await
    }

    /// Makes a call whose result the future waits for.
    pub(crate) fn begin_call(
        self: &Arc<Self>,
        command: impl FnOnce(CallId) -> Command,
        on_part: Option<OnPart>,
    ) -> Result<Waiting, Error> {
        let call = lock(&self.calls).open()?;
        let has_parts = on_part.is_some();
        if let Some(on_part) = on_part {
            lock(&self.parts).insert(call, on_part);
        }
        let waiting = Waiting { desk: Arc::clone(self), call: Some(call), has_parts };
        self.submit_soon(command(call))?;
        Ok(waiting)
    }

    fn settle(&self, call: CallId, result: Result<Raw, Error>) {
        let waker = lock(&self.calls).settle(call, result);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Settles the calls whose results come first among the events, and wakes who waits for them.
    fn settle_first(&self, events: &mut VecDeque<Event>, woken: &mut Vec<Waker>) {
        if !matches!(events.front(), Some(Event::Call(CallEvent::Done { .. }))) {
            return;
        }
        let mut calls = lock(&self.calls);
        while let Some(event) = events.pop_front() {
            let Event::Call(CallEvent::Done { call, result }) = event else {
                events.push_front(event);
                break;
            };
            woken.extend(calls.settle(call, result));
        }
        drop(calls);
        woken.drain(..).for_each(Waker::wake);
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
    pub(crate) async fn ended(&self) -> Result<(), Error> {
        let mut status = self.status.subscribe();
        let ended = status.wait_for(|status| matches!(status, Status::Ended(_))).await;
        match ended.as_deref() {
            Ok(Status::Ended(error)) => error.clone().map_or(Ok(()), Err),
            Ok(Status::Starting | Status::Ready(_)) | Err(_) => Err(ErrorCode::Stopped.into()),
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
            Event::Call(CallEvent::Done { call, result }) => {
                self.settle(call, result);
                None
            }
            Event::Call(CallEvent::Part { call, part }) => {
                // Called outside the lock: it is the application's.
                let on_part = lock(&self.parts).remove(&call);
                if let Some(mut on_part) = on_part {
                    on_part(part);
                    if lock(&self.calls).is_open(call) {
                        lock(&self.parts).insert(call, on_part);
                    }
                }
                None
            }
            Event::Session(SessionEvent::Ready { id, transport, .. }) => {
                tracing::debug!(id, transport, "ready");
                self.status.send_replace(Status::Ready(id));
                None
            }
            Event::Session(SessionEvent::Lost { reason, retry_ms, attempt }) => {
                tracing::info!(%reason, retry_ms, attempt, "the link is down");
                None
            }
            Event::Session(SessionEvent::Notice { error }) => {
                tracing::warn!(%error, "notice");
                None
            }
            Event::Session(SessionEvent::Ended { error }) => {
                self.status.send_replace(Status::Ended(error));
                let waiting = lock(&self.calls).end();
                for waker in waiting {
                    waker.wake();
                }
                None
            }
            Event::Work(_)
            | Event::Session(SessionEvent::Enrolled { .. })
            | Event::Session(SessionEvent::Draining { .. })
            | Event::Peer(_) => Some(event),
        }
    }
}

/// A call that waits for its result; dropping it cancels the call.
pub(crate) struct Waiting {
    desk: Arc<Desk>,
    call: Option<CallId>,
    has_parts: bool,
}

impl Waiting {
    fn forget_parts(&self, call: CallId) {
        if self.has_parts {
            lock(&self.desk.parts).remove(&call);
        }
    }
}

impl Future for Waiting {
    type Output = Result<Raw, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(call) = self.call else { return Poll::Ready(Err(ErrorCode::Stopped.into())) };
        let polled = lock(&self.desk.calls).poll(call, cx);
        if polled.is_ready() {
            self.call = None;
            self.forget_parts(call);
        }
        polled
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let Some(call) = self.call else { return };
        self.forget_parts(call);
        if lock(&self.desk.calls).abandon(call) {
            // After the end there is nothing left to cancel.
            let _ = self.desk.submit_soon(Command::Call(CallCommand::Cancel { call }));
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn pump(desk: Arc<Desk>, mut role: impl Role) {
    let mut events = VecDeque::new();
    let mut woken = Vec::new();
    while !matches!(*desk.status.borrow(), Status::Ended(_)) {
        desk.io.events().take(&mut events).await;
        desk.begin_turn();
        loop {
            desk.settle_first(&mut events, &mut woken);
            let Some(event) = events.pop_front() else { break };
            if let Event::Session(SessionEvent::Ready { .. })
            | Event::Session(SessionEvent::Lost { .. })
            | Event::Session(SessionEvent::Notice { .. })
            | Event::Session(SessionEvent::Ended { .. }) = &event
            {
                role.observe(&event);
            }
            if let Some(event) = desk.route(event) {
                role.handle(event, &desk);
            }
        }
        // Those who were woken take their turn first; runtimes let some run at a time.
        for _ in 0..MAX_PASSES {
            tokio::task::yield_now().await;
            desk.hand_over(true);
            if !lock(&desk.calls).has_untaken() {
                break;
            }
        }
        desk.end_turn();
    }
}
