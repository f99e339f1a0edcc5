//! What ends a link before its time: refusals, forgetful peers, closes, time limits. And what follows.

use crate::api::event::SessionEvent;
use crate::api::event::{Event, Withdrawal};
use crate::base::error::{Error, ErrorCode};
use crate::base::ids::ConnId;
use crate::base::time::Now;
use crate::dialect::Dialect;
use crate::machine::CloseCause;
use crate::session::{Carrier, Link, Pace, Session};

/// The close code of a hub that refuses a worker.
const CLOSE_REJECTED: u16 = 4403;

/// A link that was ready for less is not registered again at once when the peer forgets us.
const MIN_READY_MS: u64 = 1_000;

impl<D: Dialect> Session<D> {
    /// The peer has forgotten us: announce us again, unless it does so all the time.
    pub(super) fn unregistered(&mut self, now: Now) {
        match self.link {
            // A worker that is about to go reports by the items' ids and is gone.
            Link::Ready { .. } if self.drain.is_some() => {}
            Link::Ready { carrier, since } if now.mono.since(since) >= MIN_READY_MS => {
                self.greet(carrier, now);
            }
            Link::Ready { .. } => {
                let message = "the control plane forgets this worker as soon as it is registered";
                self.lose(Error::new(ErrorCode::PeerProtocol, message), Pace::Ladder, now);
            }
            Link::Leaving { carrier, .. } => self.left(carrier, now),
            Link::Idle
            | Link::Recalling { .. }
            | Link::Preflight
            | Link::Dialing { .. }
            | Link::Greeting { .. }
            | Link::Waiting { .. }
            | Link::Ended => {}
        }
    }

    /// The session that we showed is not valid: ask for another, if one has been of use before.
    pub(super) fn unauthorized(&mut self, now: Now) {
        let on_requests = matches!(
            self.link,
            Link::Ready { carrier: Carrier::Requests, .. }
                | Link::Greeting { carrier: Carrier::Requests, .. }
        );
        if !on_requests {
            return;
        }
        if self.credentials.drop_session() {
            self.outbox.unsend_all();
            self.drop_exchanges();
            self.begin_attempt(now);
        } else {
            let message = "the control plane does not accept the session of this worker";
            self.lose(Error::new(ErrorCode::AuthenticationFailed, message), Pace::Ladder, now);
        }
    }

    pub(super) fn rejected(&mut self, reason: &str, now: Now) {
        let error = Error::new(ErrorCode::PeerRefused, reason);
        if self.was_ready {
            self.lose(error, Pace::Longest, now);
        } else {
            self.end(Some(error), now);
        }
    }

    pub(super) fn closed(&mut self, conn: ConnId, cause: &CloseCause, now: Now) {
        if self.upgrade.is_dialing(conn) {
            let interval = self.dialect.policy().upgrade_interval_ms;
            self.upgrade.wait(now.mono.after(interval));
            return;
        }
        if self.link.conn() != Some(conn) {
            return;
        }
        self.gone = Some(conn);
        match self.link {
            Link::Leaving { .. } => self.finish(now),
            Link::Dialing { .. } => self.fall_back(cause.to_error(), now),
            Link::Greeting { .. } => match cause {
                CloseCause::Remote { code: CLOSE_REJECTED, reason } => self.rejected(reason, now),
                CloseCause::Remote { .. }
                | CloseCause::Refused { .. }
                | CloseCause::Local
                | CloseCause::Failed(_) => self.fall_back(cause.to_error(), now),
            },
            Link::Ready { .. } => {
                let pace = match cause {
                    CloseCause::Remote { code: CLOSE_REJECTED, .. } => Pace::Longest,
                    CloseCause::Remote { .. }
                    | CloseCause::Refused { .. }
                    | CloseCause::Local
                    | CloseCause::Failed(_) => Pace::Ladder,
                };
                self.lose(cause.to_error(), pace, now);
            }
            Link::Idle
            | Link::Recalling { .. }
            | Link::Preflight
            | Link::Waiting { .. }
            | Link::Ended => {}
        }
    }

    /// The present transport failed before it was ready: try the other one, if there is one.
    pub(super) fn fall_back(&mut self, error: Error, now: Now) {
        let policy = self.dialect.policy();
        match (self.link.conn(), policy.fallback) {
            (Some(_), Some(fallback)) => {
                self.notice(Some(error));
                self.open(fallback, now);
            }
            (Some(_) | None, _) => self.lose(error, Pace::Ladder, now),
        }
    }

    /// The link is gone: wait, then begin anew.
    pub(super) fn lose(&mut self, error: Error, pace: Pace, now: Now) {
        if let Link::Ready { since, .. } = self.link {
            self.backoff.link_ended(since, now.mono);
        }
        self.abandon();
        self.last_error = Some(error.clone());
        if self.dialect.policy().withdraw_on_loss {
            self.dispatcher.drop_waiting();
            let events = self.dispatcher.withdraw_all(Withdrawal::LinkLost, now.mono);
            self.counters.withdrawn += events.len() as u64;
            events.into_iter().for_each(|event| self.event(event));
        }
        if self.drain.is_some() && self.dispatcher.is_idle() && self.outbox.is_empty() {
            self.finish(now);
            return;
        }
        let delay = match pace {
            Pace::Ladder => self.backoff.next(&mut self.entropy),
            Pace::Longest => self.backoff.longest(&mut self.entropy),
        };
        let Some(retry_ms) = delay else {
            self.end(Some(error), now);
            return;
        };
        self.set_link(Link::Waiting { until: now.mono.after(retry_ms) }, now);
        let attempt = self.backoff.attempt();
        self.event(Event::Session(SessionEvent::Lost { reason: error, retry_ms, attempt }));
    }

    /// Acts on the link's own deadline.
    pub(super) fn link_timeout(&mut self, now: Now) {
        if self.link.deadline().is_none_or(|due| due.at > now.mono) {
            return;
        }
        match self.link {
            Link::Recalling { .. } => {
                let message = "the store did not answer; outcomes of an earlier run stay in it";
                self.notice(Some(Error::new(ErrorCode::StoreFailed, message)));
                self.begin_attempt(now);
            }
            Link::Dialing { conn, .. } => {
                self.close(conn, 1000, "");
                self.gone = Some(conn);
                self.fall_back(ErrorCode::ConnectTimeout.into(), now);
            }
            Link::Greeting { carrier, .. } => {
                let message = "the control plane did not confirm the registration in time";
                let error = Error::new(ErrorCode::ConnectTimeout, message);
                if let Carrier::Connection(conn) = carrier {
                    self.close(conn, 1000, "");
                    self.gone = Some(conn);
                }
                self.fall_back(error, now);
            }
            Link::Waiting { .. } => self.begin_attempt(now),
            Link::Leaving { carrier, .. } => self.left(carrier, now),
            Link::Idle | Link::Preflight | Link::Ready { .. } | Link::Ended => {}
        }
    }
}
