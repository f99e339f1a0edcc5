//! Events on their way from the core to whom they concern: calls, handlers, the application.

use std::collections::{HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Waker;
use std::time::Duration;

use moorline_core::{
    CallEvent, CallId, Fault, PeerEvent, PeerId, Raw, SessionEvent, Withdrawal, WorkEvent,
};

use crate::endpoint::{Endpoint, Listener, Status, lock};
use crate::events::Event;
use crate::work::WorkContext;
use crate::{Error, ErrorCode};

/// How often those who were woken by a batch of events are let run before the turn ends without them.
const MAX_PASSES: usize = 64;

/// Routes events until the session is over.
pub(crate) async fn pump(endpoint: Arc<Endpoint>, listener: Listener) {
    let mut peers = Peers { names: HashMap::new(), listener };
    let mut events = VecDeque::new();
    let mut woken = Vec::new();
    while !matches!(*endpoint.status.borrow(), Status::Ended(_)) {
        endpoint.io.events().take(&mut events).await;
        endpoint.begin_turn();
        loop {
            endpoint.settle_first(&mut events, &mut woken);
            let Some(event) = events.pop_front() else { break };
            endpoint.route(event, &mut peers);
        }
        // Those who were woken take their turn first; runtimes let some run at a time.
        for _ in 0..MAX_PASSES {
            tokio::task::yield_now().await;
            endpoint.hand_over(true);
            if !lock(&endpoint.calls).has_untaken() {
                break;
            }
        }
        endpoint.end_turn();
    }
    // Nobody withdraws what runs any more.
    endpoint.running.close();
}

/// Runs the application's code. What panics there must not stop the events of everybody else; the panic is
/// told by the hook of the program.
pub(crate) fn apart<T>(run: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(run)).ok()
}

impl Endpoint {
    /// Hands an event to whom it concerns.
    fn route(self: &Arc<Self>, event: moorline_core::Event, peers: &mut Peers) {
        match event {
            moorline_core::Event::Session(event) => self.route_session(event),
            moorline_core::Event::Call(CallEvent::Done { call, result }) => {
                self.settle(call, result.map_err(Error::from));
            }
            moorline_core::Event::Call(CallEvent::Part { call, part }) => {
                self.take_part(call, part);
            }
            moorline_core::Event::Work(event) => self.route_work(event),
            moorline_core::Event::Peer(event) => self.route_peer(event, peers),
        }
    }

    fn route_session(&self, event: SessionEvent) {
        match event {
            SessionEvent::Ready { id, transport, max_message } => {
                tracing::debug!(id, %transport, "ready");
                if !self.is_muted() {
                    *lock(&self.lost) = None;
                    self.max_message.store(max_message.unwrap_or(0), Ordering::Release);
                    self.status.send_replace(Status::Ready(id.clone()));
                    self.tell(Event::Ready { id, transport });
                }
            }
            SessionEvent::Lost { reason, retry_ms, attempt } => {
                tracing::warn!(%reason, retry_ms, attempt, "the link is down");
                self.status.send_if_modified(|status| {
                    let Status::Ready(id) = status else { return false };
                    *status = Status::Lost(std::mem::take(id));
                    true
                });
                let (reason, retry) = (Error::from(reason), Duration::from_millis(retry_ms));
                *lock(&self.lost) = Some(reason.clone());
                self.tell(Event::Lost { reason, retry, attempt });
            }
            SessionEvent::Notice { error } => {
                tracing::warn!(%error, "notice");
                let error = self.explained(error);
                let is_attempt = matches!(
                    error.code(),
                    ErrorCode::ConnectFailed | ErrorCode::RegistrationFailed
                );
                self.status.send_if_modified(|status| {
                    let is_first = is_attempt && matches!(status, Status::Starting);
                    if is_first {
                        *status = Status::Failing(error.clone());
                    }
                    is_first
                });
                self.tell(Event::Notice(error));
            }
            SessionEvent::Enrolled { password } => self.application.enrolled(password),
            SessionEvent::Draining { in_flight, outbox } => {
                self.tell(Event::Draining { in_flight, outbox });
            }
            SessionEvent::Ended { error } => {
                let error = error.map(|error| self.explained(error));
                self.status.send_replace(Status::Ended(error.clone()));
                let waiting = lock(&self.calls).end();
                waiting.into_iter().for_each(Waker::wake);
                self.tell(Event::Ended { error });
            }
        }
    }

    fn route_work(self: &Arc<Self>, event: WorkEvent) {
        match event {
            WorkEvent::Assigned { work, key, payload, timeout_ms, meta } => {
                if !self.is_muted() {
                    let item = WorkContext::new(self, work, key, meta, timeout_ms, &payload);
                    self.running.begin(item, payload);
                }
            }
            WorkEvent::Withdrawn { work, why } => {
                if why == Withdrawal::Draining {
                    self.is_cut_short.store(true, Ordering::Release);
                }
                self.running.amend(work, |state| state.withdrawn = Some(why));
            }
            WorkEvent::Drained { work, chunks } => {
                self.running.amend(work, |state| state.drained = chunks);
            }
            WorkEvent::BeatAsked { beat } => self.running.make_beat(self, beat),
        }
    }

    fn route_peer(self: &Arc<Self>, event: PeerEvent, peers: &mut Peers) {
        if let Listener::Peers(take) = &mut peers.listener {
            if !self.is_muted() {
                let _ = apart(|| take(self, event));
            }
            return;
        }
        match event {
            PeerEvent::Joined { peer, name, .. } => {
                peers.names.insert(peer, name.clone());
                self.tell(Event::PeerJoined { name });
            }
            PeerEvent::Left { peer, name, reason } => {
                peers.names.remove(&peer);
                self.tell(Event::PeerLeft { name, reason });
            }
            PeerEvent::Message { peer: Some(peer), payload } => peers.heard(peer, payload),
            PeerEvent::Message { peer: None, payload } => {
                if !self.is_muted() {
                    self.application.tell_message(payload);
                }
            }
            // Of roles whose messages are no JSON.
            PeerEvent::Received { .. }
            | PeerEvent::Closed { .. }
            | PeerEvent::AdmissionAsked { .. }
            | PeerEvent::Backlog { .. }
            | PeerEvent::Heartbeat { .. } => {}
        }
    }

    /// Puts the loss of the link behind an error that came of it.
    fn explained(&self, error: moorline_core::Error) -> Error {
        let error = Error::from(error);
        let is_of_link = matches!(error.code().fault(), Fault::Transport | Fault::Deadline)
            || error.code() == ErrorCode::RegistrationFailed;
        match &*lock(&self.lost) {
            Some(lost) if is_of_link && !error.has_source() => {
                error.with_source(Some(Arc::new(lost.clone())))
            }
            Some(_) | None => error,
        }
    }

    /// Tells the application, unless it wants to hear nothing.
    pub(crate) fn tell(&self, event: Event) {
        if !self.is_muted() {
            self.application.tell(event);
        }
    }

    fn take_part(&self, call: CallId, part: Raw) {
        // Called outside the lock: it is the application's.
        let on_part = lock(&self.parts).remove(&call);
        let Some(mut on_part) = on_part else { return };
        if apart(|| on_part(part)).is_some() && lock(&self.calls).is_open(call) {
            lock(&self.parts).insert(call, on_part);
        }
    }
}

/// The peers of a server, and who takes their messages.
struct Peers {
    names: HashMap<PeerId, String>,
    listener: Listener,
}

impl Peers {
    fn heard(&mut self, peer: PeerId, message: Raw) {
        if let (Listener::Messages(take), Some(name)) = (&mut self.listener, self.names.get(&peer))
        {
            let _ = apart(|| take(name, message));
        }
    }
}
