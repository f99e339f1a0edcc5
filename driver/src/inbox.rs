//! Where everything that concerns the I/O thread arrives: one lock, taken once per turn.
//!
//! Connections that became ready, results of tasks, commands of the application. Only the first
//! arrival of a turn wakes the thread.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use moorline_core::{
    Command, ConnId, Deflate, FrameLimits, HttpId, HttpRequest, Input, ListenId, UnixPeer,
};
use tokio::sync::oneshot;

use crate::body::{Answer, Asker};
use crate::listen::Accepted;
use crate::transport::Carrier;

/// The most commands that wait for the I/O thread.
pub(crate) const MAX_COMMANDS: usize = 131_072;

/// Something that a task reports to the turn.
pub(crate) enum Arrival {
    /// Goes to the machine as it is.
    Input(Input),
    /// A dial succeeded.
    Dialed { conn: ConnId, carrier: Carrier, limits: FrameLimits },
    /// A client asks to upgrade; dropping the sender closes it.
    Offered {
        conn: ConnId,
        request: HttpRequest,
        remote: String,
        decision: oneshot::Sender<Decision>,
    },
    /// An admitted upgrade is through.
    Upgraded { conn: ConnId, carrier: Carrier, limits: FrameLimits },
    /// A client has opened a stream.
    Accepted {
        conn: ConnId,
        listen: ListenId,
        remote: String,
        credentials: Option<UnixPeer>,
        accepted: Accepted,
    },
    /// A client asks something over HTTP.
    Asked { listen: ListenId, http: HttpId, request: HttpRequest, remote: String, asker: Asker },
    /// A script says it.
    #[cfg(feature = "scripted")]
    Scripted(crate::scripted::Step),
}

/// The machine's word on an offered connection.
pub(crate) enum Decision {
    /// Upgrade it, and grant compression up to this.
    Admit(FrameLimits, Option<Deflate>),
    /// Answer with this and go on with HTTP.
    Refuse(Answer),
}

/// What one turn takes; its buffers are swapped with the inbox's and reused.
#[derive(Default)]
pub(crate) struct Batch {
    pub(crate) ready: Vec<ConnId>,
    pub(crate) arrivals: VecDeque<Arrival>,
    pub(crate) commands: Vec<Command>,
    pub(crate) close: bool,
}

impl Batch {
    fn is_empty(&self) -> bool {
        self.ready.is_empty() && self.arrivals.is_empty() && self.commands.is_empty() && !self.close
    }
}

/// The inbox of one I/O thread.
#[derive(Default)]
pub(crate) struct Inbox {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    batch: Batch,
    waker: Option<Waker>,
    woken: bool,
    sealed: bool,
    closed: bool,
}

impl State {
    fn has_arrived(&self) -> bool {
        self.woken || !self.batch.is_empty()
    }
}

/// Why commands were not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rejected {
    /// The I/O thread is gone.
    Closed,
    /// Too many commands wait.
    Full,
}

impl Inbox {
    /// Takes a command batch: all of it or nothing.
    pub(crate) fn submit(&self, commands: &mut Vec<Command>) -> Result<(), Rejected> {
        let mut state = self.lock();
        if state.sealed {
            return Err(Rejected::Closed);
        }
        if state.batch.commands.len() + commands.len() > MAX_COMMANDS {
            return Err(Rejected::Full);
        }
        if state.batch.commands.is_empty() {
            std::mem::swap(&mut state.batch.commands, commands);
        } else {
            state.batch.commands.append(commands);
        }
        state.woken = true;
        Self::wake(state);
        Ok(())
    }

    /// Adds what a task has to report.
    pub(crate) fn arrive(&self, arrival: Arrival) {
        let mut state = self.lock();
        if !state.closed {
            state.batch.arrivals.push_back(arrival);
            Self::wake(state);
        }
    }

    /// Asks the thread to end at once.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.batch.close = true;
        Self::wake(state);
    }

    /// Makes the thread take a turn, whether or not anything arrived.
    pub(crate) fn nudge(&self) {
        let mut state = self.lock();
        state.woken = true;
        Self::wake(state);
    }

    /// Swaps everything that arrived into `batch`, which must be empty.
    pub(crate) fn take(&self, batch: &mut Batch) {
        let mut state = self.lock();
        state.woken = false;
        std::mem::swap(&mut state.batch, batch);
    }

    /// Tells whether something has arrived.
    pub(crate) fn has_arrived(&self) -> bool {
        self.lock().has_arrived()
    }

    /// Marks a connection ready without waking: the running turn did not finish with it.
    pub(crate) fn requeue(&self, conn: ConnId) {
        self.lock().batch.ready.push(conn);
    }

    /// Resolves when something has arrived.
    pub(crate) fn poll_arrived(&self, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        if state.has_arrived() {
            return Poll::Ready(());
        }
        if !state.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            state.waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Refuses commands from here on: the machine has ended.
    pub(crate) fn seal(&self) {
        let mut state = self.lock();
        state.sealed = true;
        let commands = std::mem::take(&mut state.batch.commands);
        drop(state);
        drop(commands);
    }

    /// Tells whether commands are refused.
    pub(crate) fn is_sealed(&self) -> bool {
        self.lock().sealed
    }

    /// Refuses everything from here on: the thread has ended.
    pub(crate) fn shut(&self) {
        let mut state = self.lock();
        state.sealed = true;
        state.closed = true;
        let batch = std::mem::take(&mut state.batch);
        drop(state);
        drop(batch);
    }

    /// Keeps the lock, as a thread does that a fork interrupts.
    #[cfg(test)]
    pub(crate) fn hold(&self) -> impl Sized + '_ {
        self.lock()
    }

    fn wake(mut state: MutexGuard<'_, State>) {
        if let Some(waker) = state.waker.take() {
            drop(state);
            waker.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The waker of one connection: puts it on the ready list, once until it is looked at.
pub(crate) struct ConnWaker {
    conn: ConnId,
    queued: AtomicBool,
    inbox: Arc<Inbox>,
}

impl ConnWaker {
    /// Makes the waker of `conn`.
    pub(crate) fn new(conn: ConnId, inbox: Arc<Inbox>) -> Arc<Self> {
        Arc::new(Self { conn, queued: AtomicBool::new(false), inbox })
    }

    /// Returns the connection.
    pub(crate) const fn conn(&self) -> ConnId {
        self.conn
    }

    /// The turn looks at the connection: the next wake counts again.
    pub(crate) fn rearm(&self) {
        self.queued.store(false, Ordering::Release);
    }

    /// Puts the connection on the list of the next turn.
    pub(crate) fn requeue(&self) {
        if !self.queued.swap(true, Ordering::AcqRel) {
            self.inbox.requeue(self.conn);
        }
    }
}

impl Wake for ConnWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.queued.swap(true, Ordering::AcqRel) {
            let mut state = self.inbox.lock();
            if !state.closed {
                state.batch.ready.push(self.conn);
                Inbox::wake(state);
            }
        }
    }
}
