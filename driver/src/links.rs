//! The connections of one I/O thread, from dial, offer or accept to their end.

mod connection;
mod control;

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::task::Waker;

use moorline_core::{
    CloseCause, ConnId, ConnInput, Deflate, Error, ErrorCode, Frame, FrameLimits, Input, Instant,
    Pulses,
};
use rustc_hash::FxHashMap;
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

use crate::inbox::{ConnWaker, Decision, Inbox};
use crate::links::connection::{Connection, Phase};
use crate::links::control::ControlRate;
use crate::listen::Accepted;
use crate::transport::{Carrier, Flushed, Packing, Step, Transport};
use crate::ws::Pool;

/// How long a peer may take to answer that a connection was closed, or to read why.
const LINGER_MS: u64 = 2_000;
/// How long a connection is kept that both sides have closed, or whose peer broke the protocol.
const PART_MS: u64 = 1_000;

/// Stands for an end without a close frame; never on the wire itself.
const CUT: u16 = 1006;
/// With more than this on its way, the question whether it has left is answered at once.
const MUCH: usize = 16 * 1024;

/// Why a connection is ended that may be in order by itself.
const TOO_MUCH: &str =
    "all connections together hold more than max_connection_bytes, and this one most";

/// Every connection that the machine knows by id.
pub(crate) struct Links {
    inbox: Arc<Inbox>,
    /// Ids are counted by us: no peer can choose them to collide.
    links: FxHashMap<ConnId, Link>,
    touched: Vec<ConnId>,
    paused: Vec<ConnId>,
    leaving: BTreeSet<(Instant, ConnId)>,
    pool: Pool,
}

enum Link {
    Dialing(AbortHandle, Pulses),
    Offered(oneshot::Sender<Decision>),
    Accepted(Box<Accepted>),
    Admitted(Vec<Waiting>, Pulses),
    Open(Box<Connection>),
}

/// What the machine said to a connection whose upgrade is not through yet.
enum Waiting {
    Frame(Frame, Packing),
    Limits(FrameLimits),
    AskSent,
    Close(u16, String),
}

/// What looking at a ready connection gave.
pub(crate) enum Look {
    /// A frame for the machine.
    Frame(Frame),
    /// So many bytes that nobody wants any more.
    Unwanted(usize),
    /// Nothing more for now.
    Nothing,
    /// The connection ended; tell the machine.
    Ended(CloseCause),
}

impl Links {
    /// Makes an empty table.
    ///
    /// # Errors
    /// `INTERNAL` where the system has no random bytes.
    pub(crate) fn new(inbox: Arc<Inbox>) -> Result<Self, Error> {
        Ok(Self {
            inbox,
            links: FxHashMap::default(),
            touched: Vec::new(),
            paused: Vec::new(),
            leaving: BTreeSet::new(),
            pool: Pool::new()?,
        })
    }

    /// Notes a dial that has begun.
    pub(crate) fn dialing(&mut self, conn: ConnId, task: AbortHandle, pulses: Pulses) {
        self.links.insert(conn, Link::Dialing(task, pulses));
    }

    /// Notes a client that asks to be let in.
    pub(crate) fn offered(&mut self, conn: ConnId, decision: oneshot::Sender<Decision>) {
        self.links.insert(conn, Link::Offered(decision));
    }

    /// Notes a client that has opened a stream.
    pub(crate) fn accepted(&mut self, conn: ConnId, accepted: Accepted) {
        self.links.insert(conn, Link::Accepted(Box::new(accepted)));
    }

    /// Lets a client in; what is sent from here on waits for the upgrade, if there is one.
    pub(crate) fn admit(
        &mut self,
        conn: ConnId,
        limits: FrameLimits,
        pulses: Pulses,
        deflate: Option<Deflate>,
        now: Instant,
    ) {
        match self.links.remove(&conn) {
            Some(Link::Offered(decision)) => {
                self.links.insert(conn, Link::Admitted(Vec::new(), pulses));
                // A client that has left reports itself as closed.
                let _ = decision.send(Decision::Admit(limits, deflate));
            }
            Some(Link::Accepted(accepted)) => {
                self.links.insert(conn, Link::Admitted(Vec::new(), pulses));
                self.open(conn, accepted.admit(), limits, now);
            }
            Some(link @ (Link::Dialing(..) | Link::Admitted(..) | Link::Open(_))) => {
                self.links.insert(conn, link);
            }
            None => {}
        }
    }

    /// Turns a client away.
    pub(crate) fn refuse(&mut self, conn: ConnId, answer: crate::body::Answer) {
        if let Some(Link::Offered(decision)) = self.links.remove(&conn) {
            let _ = decision.send(Decision::Refuse(answer));
        }
    }

    /// Takes over a byte stream over which frames can flow; false if nobody waits for it any more.
    pub(crate) fn open(
        &mut self,
        conn: ConnId,
        carrier: Carrier,
        limits: FrameLimits,
        now: Instant,
    ) -> bool {
        let (waiting, pulses) = match self.links.remove(&conn) {
            Some(Link::Dialing(_, pulses)) => (Vec::new(), pulses),
            Some(Link::Admitted(waiting, pulses)) => (waiting, pulses),
            Some(Link::Offered(_) | Link::Accepted(_) | Link::Open(_)) | None => return false,
        };
        let waker = ConnWaker::new(conn, Arc::clone(&self.inbox));
        let transport = Transport::new(carrier, limits, Waker::from(Arc::clone(&waker)));
        if let Some(share) = transport.share() {
            share.wake(Waker::from(Arc::clone(&waker)));
        }
        waker.requeue();
        self.links.insert(
            conn,
            Link::Open(Box::new(Connection {
                transport,
                waker,
                phase: Phase::Open,
                held: VecDeque::new(),
                held_bytes: 0,
                over: None,
                is_paused: false,
                is_touched: false,
                is_unflushed: false,
                asks_sent: false,
                unflushed: 0,
                control: ControlRate::new(now),
                pulses,
            })),
        );
        for said in waiting {
            match said {
                Waiting::Frame(frame, packing) => drop(self.send(conn, frame, packing)),
                Waiting::Limits(limits) => self.set_limits(conn, limits),
                // What has left already is told by the flush that follows: the connection was touched.
                Waiting::AskSent => {
                    if self.ask_sent(conn)
                        && let Some(Link::Open(connection)) = self.links.get_mut(&conn)
                    {
                        connection.asks_sent = true;
                    }
                }
                Waiting::Close(code, reason) => drop(self.close(conn, code, reason, now)),
            }
        }
        true
    }

    /// Forgets a connection that ended before it was open.
    pub(crate) fn forget(&mut self, conn: ConnId) -> bool {
        self.links.remove(&conn).is_some()
    }

    /// Changes limits.
    pub(crate) fn set_limits(&mut self, conn: ConnId, limits: FrameLimits) {
        match self.links.get_mut(&conn) {
            Some(Link::Open(connection)) => connection.transport.set_limits(limits),
            Some(Link::Admitted(waiting, _)) => waiting.push(Waiting::Limits(limits)),
            Some(Link::Dialing(..) | Link::Offered(_) | Link::Accepted(_)) | None => {}
        }
    }

    /// Sends a frame with this turn's flush. Returns why the connection failed, if it did.
    pub(crate) fn send(
        &mut self,
        conn: ConnId,
        frame: Frame,
        packing: Packing,
    ) -> Option<CloseCause> {
        match self.links.get_mut(&conn) {
            Some(Link::Admitted(waiting, _)) => {
                waiting.push(Waiting::Frame(frame, packing));
                None
            }
            Some(Link::Open(connection)) if connection.phase == Phase::Open => {
                if matches!(frame, Frame::Ping(_)) {
                    connection.control.pinged();
                }
                connection.unflushed += frame.len();
                let sent = connection.transport.send(frame, packing, &mut self.pool);
                if let Err(cause) = sent {
                    self.links.remove(&conn);
                    return Some(cause);
                }
                connection.count();
                connection.touch(&mut self.touched);
                None
            }
            Some(Link::Open(_) | Link::Dialing(..) | Link::Offered(_) | Link::Accepted(_))
            | None => None,
        }
    }

    /// Asks when what was sent so far has been handed to the network. Returns true if it is already: much
    /// is tried at once, so that what a turn sends is not held against a peer that reads it.
    pub(crate) fn ask_sent(&mut self, conn: ConnId) -> bool {
        match self.links.get_mut(&conn) {
            Some(Link::Admitted(waiting, _)) => waiting.push(Waiting::AskSent),
            Some(Link::Open(connection)) if connection.phase == Phase::Open => {
                connection.touch(&mut self.touched);
                if connection.unflushed >= MUCH && !connection.is_unflushed {
                    connection.unflushed = 0;
                    if matches!(connection.transport.flush(), Flushed::All) {
                        return true;
                    }
                }
                connection.asks_sent = true;
            }
            Some(Link::Open(_) | Link::Dialing(..) | Link::Offered(_) | Link::Accepted(_))
            | None => {}
        }
        false
    }

    /// Closes a connection. Returns true if it is over at once.
    pub(crate) fn close(&mut self, conn: ConnId, code: u16, reason: String, now: Instant) -> bool {
        match self.links.get_mut(&conn) {
            Some(Link::Open(_)) if code == CUT => {
                self.links.remove(&conn);
                true
            }
            Some(Link::Open(connection)) => {
                if connection.phase == Phase::Open {
                    connection.phase = Phase::Closing;
                    connection.transport.close(code, &reason, &mut self.pool);
                    self.leaving.insert((now.after(LINGER_MS), conn));
                    connection.touch(&mut self.touched);
                    connection.waker.requeue();
                }
                false
            }
            Some(Link::Admitted(waiting, _)) => {
                waiting.push(Waiting::Close(code, reason));
                false
            }
            Some(Link::Dialing(task, _)) => {
                task.abort();
                self.links.remove(&conn);
                true
            }
            Some(Link::Offered(_) | Link::Accepted(_)) => {
                self.links.remove(&conn);
                true
            }
            None => false,
        }
    }

    /// Begins to look at a connection that woke: the next wake counts again.
    pub(crate) fn wake(&mut self, conn: ConnId) {
        if let Some(Link::Open(connection)) = self.links.get_mut(&conn) {
            connection.waker.rearm();
            if connection.is_unflushed {
                connection.touch(&mut self.touched);
            }
        }
    }

    /// Reads one frame of a connection. With `hold`, only pings and pongs are given out.
    pub(crate) fn look(&mut self, conn: ConnId, hold: bool, now: Instant) -> Look {
        let Some(Link::Open(connection)) = self.links.get_mut(&conn) else {
            return Look::Nothing;
        };
        if connection.phase == Phase::Open && connection.is_too_much() {
            // What it holds is to be free at once: it is not told why.
            self.links.remove(&conn);
            return Look::Ended(CloseCause::Failed(Error::new(ErrorCode::Overloaded, TOO_MUCH)));
        }
        let step = connection.next(hold, &mut self.pool);
        connection.count();
        let Some(step) = step else {
            if connection.over.is_some() {
                connection.touch(&mut self.touched);
            }
            if !std::mem::replace(&mut connection.is_paused, true) {
                self.paused.push(conn);
            }
            return Look::Nothing;
        };
        match (connection.permitted(step, now, &mut self.pool), connection.phase) {
            (Step::Frame(frame), Phase::Open) => {
                if matches!(frame, Frame::Ping(_)) {
                    connection.touch(&mut self.touched);
                }
                Look::Frame(frame)
            }
            (Step::Frame(frame), Phase::Closing | Phase::Leaving) => Look::Unwanted(frame.len()),
            (Step::Pending, _) => Look::Nothing,
            (Step::Over(cause), Phase::Open) => {
                connection.transport.part();
                connection.phase = Phase::Leaving;
                let is_large = matches!(cause, CloseCause::Exceeded { .. });
                let time = if is_large { LINGER_MS } else { PART_MS };
                self.leaving.insert((now.after(time), conn));
                connection.touch(&mut self.touched);
                connection.waker.requeue();
                Look::Ended(cause)
            }
            (Step::Over(_), Phase::Closing) => {
                // The other side may have closed before it has read that we did.
                let _ = connection.transport.flush();
                self.links.remove(&conn);
                Look::Ended(CloseCause::Local)
            }
            (Step::Over(_), Phase::Leaving) => {
                self.links.remove(&conn);
                Look::Nothing
            }
        }
    }

    /// Puts a connection on the list of the next turn.
    pub(crate) fn look_again(&self, conn: ConnId) {
        if let Some(Link::Open(connection)) = self.links.get(&conn) {
            connection.waker.requeue();
        }
    }

    /// Reads connections again that were held back.
    pub(crate) fn resume(&mut self) {
        for conn in std::mem::take(&mut self.paused) {
            if let Some(Link::Open(connection)) = self.links.get_mut(&conn) {
                connection.is_paused = false;
                connection.waker.requeue();
            }
        }
    }

    /// Returns the connections that are held back and not read, whatever the other side sends.
    pub(crate) fn unread(&self) -> Vec<ConnId> {
        let is_unread = |conn: &&ConnId| {
            let link = self.links.get(*conn);
            matches!(link, Some(Link::Open(connection)) if connection.is_unread())
        };
        self.paused.iter().filter(is_unread).copied().collect()
    }

    /// Flushes every connection that was written to, once; adds what the machine is to be told: that
    /// one failed, or that what was sent is gone where it asked. False if there was none.
    pub(crate) fn flush(&mut self, news: &mut Vec<Input>) -> bool {
        if self.touched.is_empty() {
            return false;
        }
        for conn in self.touched.drain(..) {
            let Some(Link::Open(connection)) = self.links.get_mut(&conn) else { continue };
            connection.is_touched = false;
            connection.unflushed = 0;
            let flushed = connection.transport.flush();
            connection.count();
            match flushed {
                Flushed::All => {
                    connection.is_unflushed = false;
                    if std::mem::take(&mut connection.asks_sent) {
                        news.push(Input::Conn(ConnInput::Sent { conn }));
                    }
                }
                Flushed::Pending => connection.is_unflushed = true,
                Flushed::Failed(cause) => {
                    let phase = connection.phase;
                    self.links.remove(&conn);
                    match phase {
                        Phase::Open => news.push(Input::Conn(ConnInput::Closed { conn, cause })),
                        Phase::Closing => {
                            news.push(Input::Conn(ConnInput::Closed {
                                conn,
                                cause: CloseCause::Local,
                            }));
                        }
                        Phase::Leaving => {}
                    }
                }
            }
        }
        true
    }

    /// Drops connections that took too long to part. Returns those that the machine waits for.
    pub(crate) fn expire(&mut self, now: Instant, closed: &mut Vec<(ConnId, CloseCause)>) {
        while let Some((_, conn)) = self.leaving.first().copied().filter(|(at, _)| *at <= now) {
            self.leaving.pop_first();
            if let Some(Link::Open(connection)) = self.links.remove(&conn)
                && connection.phase == Phase::Closing
            {
                closed.push((conn, CloseCause::Local));
            }
        }
    }

    /// Returns when [`expire`](Self::expire) has something to do.
    pub(crate) fn expiry(&self) -> Option<Instant> {
        self.leaving.first().map(|(at, _)| *at)
    }

    /// Tells whether no connection is left.
    pub(crate) fn is_empty(&self) -> bool {
        self.links.is_empty()
    }
}
