//! One role on its I/O thread, as every dialect uses it: commands out, events routed, calls settled.
//!
//! A dialect names its [`Role`]s and writes what they put into outcomes; everything else is here.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use moorline_core::command::DEFAULT_DRAIN_MS;
use moorline_core::{CallCommand, CallEvent, CallId, Command, Outcome, PeerEvent, Raw};
use moorline_driver::{Counters, Handle, Mailbox};
use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::application::Application;
use crate::calls::Calls;
use crate::handler::{Given, Running};
use crate::routing::pump;
use crate::work::WorkContext;
use crate::{Error, ErrorCode};

/// What an endpoint must know of its role: names, and how the role takes what handlers give.
pub(crate) struct Role {
    pub(crate) dialect: &'static str,
    pub(crate) name: &'static str,
    /// The member of an item's envelope that is its id on the wire.
    pub(crate) wire_id: &'static str,
    /// What is answered, before the key, if a handler was withdrawn while its item was on its way.
    pub(crate) unhandled: &'static str,
    /// Whether a handler is dropped when its item is withdrawn, instead of being told.
    pub(crate) drops_withdrawn: bool,
    /// Whether the role takes reports of progress.
    pub(crate) takes_reports: bool,
    /// Whether it drains in the background when it is dropped. A hub closes: others wait for its address.
    pub(crate) drains_when_dropped: bool,
    /// Writes the outcome of an item, and what the application must be told of it.
    pub(crate) outcome: fn(&WorkContext, Given) -> (Outcome, Option<Error>),
}

/// Takes a part of a reply.
pub(crate) type OnPart = Box<dyn FnMut(Raw) + Send>;

/// Takes a message of a peer: its name, and the message.
pub(crate) type OnMessage = Box<dyn FnMut(&str, Raw) + Send>;

/// Takes what concerns the peers of a role whose messages are no JSON.
pub(crate) type OnPeer = Box<dyn FnMut(&Arc<Endpoint>, PeerEvent) + Send>;

/// Who takes what peers say.
pub(crate) enum Listener {
    /// Nobody but the streams of the application.
    None,
    /// Messages by the names of their peers.
    Messages(OnMessage),
    /// Everything.
    Peers(OnPeer),
}

/// Where a session stands.
#[derive(Clone, Debug)]
pub(crate) enum Status {
    /// Not ready for the first time yet.
    Starting,
    /// Not ready for the first time yet, and an attempt has failed.
    Failing(Error),
    /// It is ready, under this id.
    Ready(String),
    /// It has been ready, and is not at present.
    Lost(String),
    /// It is over.
    Ended(Option<Error>),
}

/// The application's end of one I/O thread.
pub(crate) struct Endpoint {
    pub(crate) role: &'static Role,
    pub(crate) application: Arc<Application>,
    pub(crate) running: Running,
    pub(crate) io: Handle<Mailbox>,
    /// Where the session was begun.
    pub(crate) runtime: tokio::runtime::Handle,
    pub(crate) calls: Mutex<Calls>,
    pub(crate) parts: Mutex<HashMap<CallId, OnPart>>,
    turn: Mutex<Turn>,
    pub(crate) status: watch::Sender<Status>,
    /// Why the link was lost last.
    pub(crate) lost: Mutex<Option<Error>>,
    is_muted: AtomicBool,
    /// Handlers were still running when a drain was over.
    pub(crate) is_cut_short: AtomicBool,
    pub(crate) max_message: AtomicU64,
}

/// Commands that cross together.
#[derive(Default)]
struct Turn {
    commands: Vec<Command>,
    /// Somebody will hand them over soon.
    is_open: bool,
}

/// An endpoint with the task that routes its events; what dropping it does is its role's.
pub(crate) struct Session {
    endpoint: Arc<Endpoint>,
    pump: AbortHandle,
}

impl Session {
    /// Opens a role and hands over the first commands. `options` are JSON text.
    pub(crate) fn start(
        role: &'static Role,
        options: &str,
        commands: Vec<Command>,
        application: &Arc<Application>,
        listener: Listener,
    ) -> Result<Self, Error> {
        let endpoint = Arc::new(Endpoint {
            role,
            application: Arc::clone(application),
            running: Running::default(),
            io: Handle::open_mailbox(role.dialect, role.name, options)?,
            runtime: tokio::runtime::Handle::current(),
            calls: Mutex::default(),
            parts: Mutex::default(),
            turn: Mutex::default(),
            status: watch::channel(Status::Starting).0,
            lost: Mutex::default(),
            is_muted: AtomicBool::new(false),
            is_cut_short: AtomicBool::new(false),
            max_message: AtomicU64::new(0),
        });
        let pump = tokio::spawn(pump(Arc::clone(&endpoint), listener)).abort_handle();
        let session = Self { endpoint, pump };
        session.submit(commands)?;
        Ok(session)
    }

    /// Opens a role as [`start`](Self::start) does and waits until it is ready.
    pub(crate) async fn open(
        role: &'static Role,
        options: &str,
        commands: Vec<Command>,
        application: &Arc<Application>,
        listener: Listener,
    ) -> Result<Self, Error> {
        let session = Self::start(role, options, commands, application, listener)?;
        session.ready().await?;
        Ok(session)
    }

    /// Returns the endpoint for values that may outlive the session.
    pub(crate) const fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }
}

impl std::ops::Deref for Session {
    type Target = Endpoint;

    fn deref(&self) -> &Endpoint {
        &self.endpoint
    }
}

impl Drop for Session {
    /// Drains in the background what was ready once and is still heard: leaving a scope means the same in
    /// every language. It takes a runtime that lives on; when that ends, the connection is closed.
    fn drop(&mut self) {
        let was_ready = matches!(*self.status.borrow(), Status::Ready(_) | Status::Lost(_));
        let stop = vec![Command::Stop { drain_ms: DEFAULT_DRAIN_MS }];
        let may_drain = self.role.drains_when_dropped && was_ready && !self.is_muted();
        if may_drain && self.submit(stop).is_ok() {
            return;
        }
        self.io.abandon();
        self.pump.abort();
        self.running.close();
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("status", &*self.status.borrow()).finish()
    }
}

impl Endpoint {
    /// Hands over commands, behind those of the open turn.
    pub(crate) fn submit(&self, mut commands: Vec<Command>) -> Result<(), Error> {
        let mut turn = lock(&self.turn);
        let earlier = turn.commands.len();
        if earlier == 0 {
            drop(turn);
            return Ok(self.io.submit_all(&mut commands)?);
        }
        turn.commands.append(&mut commands);
        let submitted = self.io.submit_all(&mut turn.commands);
        turn.commands.truncate(earlier);
        Ok(submitted?)
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
        let endpoint = Arc::clone(self);
        runtime.spawn(async move {
            // Queued behind the tasks that are ready already.
            tokio::task::yield_now().await;
            endpoint.end_turn();
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
    pub(crate) fn begin_turn(&self) {
        lock(&self.turn).is_open = true;
    }

    pub(crate) fn end_turn(self: &Arc<Self>) {
        self.hand_over(false);
    }

    /// Hands over what the turn has gathered; it goes on if `is_open`. What a full queue refuses is tried
    /// again, but for calls, which fail: outcomes must not be lost.
    pub(crate) fn hand_over(self: &Arc<Self>, is_open: bool) {
        let mut turn = lock(&self.turn);
        turn.is_open = is_open;
        if turn.commands.is_empty() {
            return;
        }
        let Err(error) = self.io.submit_all(&mut turn.commands) else { return };
        let error = Error::from(error);
        let (calls, others): (Vec<_>, Vec<_>) = std::mem::take(&mut turn.commands)
            .into_iter()
            .partition(|command| command.call().is_some());
        let again = tokio::runtime::Handle::try_current().ok();
        let again = again.filter(|_| error.is_retryable() && !others.is_empty());
        if let Some(runtime) = again {
            turn.commands = others;
            if !std::mem::replace(&mut turn.is_open, true) {
                let endpoint = Arc::clone(self);
                runtime.spawn(async move {
                    tokio::task::yield_now().await;
                    endpoint.end_turn();
                });
            }
        }
        drop(turn);
        tracing::warn!(%error, "commands were refused");
        for call in calls.iter().filter_map(Command::call) {
            self.settle(call, Err(error.clone()));
        }
    }

    /// Makes a call. Dropping the future cancels it.
    pub(crate) async fn call(
        self: &Arc<Self>,
        command: impl FnOnce(CallId) -> Command,
    ) -> Result<Raw, Error> {
        let waiting = self.begin_call(command, None)?;
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
        let waiting = Waiting { endpoint: Arc::clone(self), call: Some(call), has_parts };
        self.submit_soon(command(call))?;
        Ok(waiting)
    }

    pub(crate) fn settle(&self, call: CallId, result: Result<Raw, Error>) {
        let waker = lock(&self.calls).settle(call, result);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Settles the calls whose results come first among the events, and wakes who waits for them.
    pub(crate) fn settle_first(
        &self,
        events: &mut VecDeque<moorline_core::Event>,
        woken: &mut Vec<Waker>,
    ) {
        if !matches!(events.front(), Some(moorline_core::Event::Call(CallEvent::Done { .. }))) {
            return;
        }
        let mut calls = lock(&self.calls);
        while let Some(event) = events.pop_front() {
            let moorline_core::Event::Call(CallEvent::Done { call, result }) = event else {
                events.push_front(event);
                break;
            };
            woken.extend(calls.settle(call, result.map_err(Error::from)));
        }
        drop(calls);
        woken.drain(..).for_each(Waker::wake);
    }

    /// Asks for the state.
    pub(crate) async fn snapshot(self: &Arc<Self>) -> Result<Raw, Error> {
        self.call(|call| Command::Snapshot { call }).await
    }

    /// Stops, waits for the end and tells how it came.
    pub(crate) async fn drain(&self, limit: Duration) -> Result<(), Error> {
        let drain_ms = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        self.submit(vec![Command::Stop { drain_ms }])?;
        self.ended().await?;
        if self.is_cut_short.load(Ordering::Acquire) {
            return Err(ErrorCode::DrainTimeout.into());
        }
        Ok(())
    }

    /// Tells nobody anything from here on.
    pub(crate) fn mute(&self) {
        self.is_muted.store(true, Ordering::Release);
    }

    pub(crate) fn is_muted(&self) -> bool {
        self.is_muted.load(Ordering::Acquire)
    }

    /// Returns whether the session is ready, and its application listens.
    pub(crate) fn is_ready(&self) -> bool {
        matches!(*self.status.borrow(), Status::Ready(_)) && !self.is_muted()
    }

    /// Returns the most bytes of a message, if the control plane says so.
    pub(crate) fn max_message(&self) -> Option<u64> {
        Some(self.max_message.load(Ordering::Acquire)).filter(|max| *max > 0)
    }

    /// Returns the id under which the session was ready last; empty before and after.
    pub(crate) fn id(&self) -> String {
        match &*self.status.borrow() {
            Status::Ready(id) | Status::Lost(id) => id.clone(),
            Status::Starting | Status::Failing(_) | Status::Ended(_) => String::new(),
        }
    }

    /// Returns what the I/O thread did.
    pub(crate) fn counters(&self) -> Counters {
        self.io.counters()
    }

    /// Waits for the end.
    pub(crate) async fn ended(&self) -> Result<(), Error> {
        match self.reach(|status| matches!(status, Status::Ended(_))).await {
            Some(Status::Ended(error)) => error.map_or(Ok(()), Err),
            Some(_) | None => Err(ErrorCode::Stopped.into()),
        }
    }

    /// Waits until the session is ready, however many attempts that takes.
    async fn ready(&self) -> Result<(), Error> {
        let is_settled = |status: &_| !matches!(status, Status::Starting | Status::Failing(_));
        match self.reach(is_settled).await {
            Some(Status::Ready(_) | Status::Lost(_)) => Ok(()),
            Some(Status::Ended(Some(error))) => Err(error),
            Some(Status::Starting | Status::Failing(_) | Status::Ended(None)) | None => {
                Err(ErrorCode::Stopped.into())
            }
        }
    }

    /// Waits for what becomes of the first attempt; `None` if the session was stopped meanwhile.
    pub(crate) async fn first_attempt(&self) -> Option<Result<(), Error>> {
        match self.reach(|status| !matches!(status, Status::Starting)).await {
            Some(Status::Ready(_) | Status::Lost(_)) => Some(Ok(())),
            Some(Status::Failing(error) | Status::Ended(Some(error))) => Some(Err(error)),
            Some(Status::Starting | Status::Ended(None)) | None => None,
        }
    }

    async fn reach(&self, is_there: impl FnMut(&Status) -> bool) -> Option<Status> {
        let mut status = self.status.subscribe();
        let reached = status.wait_for(is_there).await.ok();
        reached.map(|status| status.clone())
    }
}

/// A call that waits for its result; dropping it cancels the call.
pub(crate) struct Waiting {
    endpoint: Arc<Endpoint>,
    call: Option<CallId>,
    has_parts: bool,
}

impl Waiting {
    fn forget_parts(&self, call: CallId) {
        if self.has_parts {
            lock(&self.endpoint.parts).remove(&call);
        }
    }
}

impl Future for Waiting {
    type Output = Result<Raw, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(call) = self.call else { return Poll::Ready(Err(ErrorCode::Stopped.into())) };
        let polled = lock(&self.endpoint.calls).poll(call, cx);
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
        if lock(&self.endpoint.calls).abandon(call) {
            // After the end there is nothing left to cancel.
            let _ = self.endpoint.submit_soon(Command::Call(CallCommand::Cancel { call }));
        }
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
