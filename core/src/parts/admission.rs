//! Accepted connections: who may connect, how long they may stay unregistered, and whether they live.
//!
//! ```text
//!   offered ──accept──▶ waiting ──admit──▶ admitted ──silent twice──▶ closed
//!      │                   └─ deadline ─▶ closed
//!      └─ refused: full, or too many unregistered from one address
//! ```
//!
//! What registration means is the dialect's affair; this part counts, pings and keeps deadlines.

use std::collections::BTreeMap;

use crate::base::ids::ConnId;
use crate::base::time::{Deadline, Instant, Why};
use crate::net::target::FrameLimits;
use crate::parts::liveness::Liveness;
use crate::parts::timers::Timers;

/// The numbers of [`Accepted`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct AdmissionPolicy {
    /// Limits of a connection that has not registered.
    pub(crate) unadmitted: FrameLimits,
    /// Limits of a connection that has.
    pub(crate) admitted: FrameLimits,
    /// The most connections.
    pub(crate) max_connections: u64,
    /// The most unregistered connections of one address.
    pub(crate) max_unadmitted_per_address: u64,
    /// Time to register.
    pub(crate) registration_timeout_ms: u64,
    /// How often to ping; two unanswered pings end a connection.
    pub(crate) ping_interval_ms: u64,
}

/// Why a connection is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// There are as many connections as allowed.
    Full,
    /// There are as many unregistered ones of this address as allowed.
    TooManyUnregistered,
}

/// Counts of connections.
#[derive(Debug)]
pub(crate) struct Admission {
    max_total: u64,
    max_waiting: u64,
    total: u64,
    waiting: BTreeMap<String, u64>,
}

impl Admission {
    /// Allows `max_total` connections, of which `max_waiting` of an address may be unregistered.
    pub(crate) const fn new(max_total: u64, max_waiting: u64) -> Self {
        Self { max_total, max_waiting, total: 0, waiting: BTreeMap::new() }
    }

    /// Counts a new connection in.
    ///
    /// # Errors
    /// There are as many as allowed.
    pub(crate) fn enter(&mut self, address: &str) -> Result<(), Refusal> {
        if self.total >= self.max_total {
            return Err(Refusal::Full);
        }
        if self.waiting.get(address).is_some_and(|count| *count >= self.max_waiting) {
            return Err(Refusal::TooManyUnregistered);
        }
        self.total += 1;
        self.dismissed(address);
        Ok(())
    }

    /// Counts a connection as registered.
    pub(crate) fn admitted(&mut self, address: &str) {
        if let Some(count) = self.waiting.get_mut(address) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.waiting.remove(address);
            }
        }
    }

    /// Counts a connection as unregistered.
    pub(crate) fn dismissed(&mut self, address: &str) {
        *self.waiting.entry(address.to_owned()).or_default() += 1;
    }

    /// Counts a connection out.
    pub(crate) fn left(&mut self, address: &str, was_waiting: bool) {
        self.total = self.total.saturating_sub(1);
        if was_waiting {
            self.admitted(address);
        }
    }
}

/// What is due for a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// Send it a ping.
    Ping(ConnId),
    /// It answered neither of two pings.
    Silent(ConnId),
    /// It has not registered in time.
    Unregistered(ConnId),
}

/// Every connection that was accepted and has not ended.
#[derive(Debug)]
pub(crate) struct Accepted {
    policy: AdmissionPolicy,
    peers: BTreeMap<ConnId, Peer>,
    admission: Admission,
    timers: Timers<ConnId>,
}

#[derive(Debug)]
struct Peer {
    address: String,
    stage: Stage,
    due: Option<Instant>,
}

#[derive(Debug)]
enum Stage {
    Waiting,
    Admitted(Liveness),
    Closing,
}

impl Accepted {
    pub(crate) fn new(policy: AdmissionPolicy) -> Self {
        Self {
            policy,
            peers: BTreeMap::new(),
            admission: Admission::new(policy.max_connections, policy.max_unadmitted_per_address),
            timers: Timers::new(),
        }
    }

    /// Takes a connection in, unregistered, and returns the limits for it.
    pub(crate) fn accept(
        &mut self,
        conn: ConnId,
        remote: &str,
        now: Instant,
    ) -> Result<FrameLimits, Refusal> {
        let address = address(remote).to_owned();
        self.admission.enter(&address)?;
        let mut peer = Peer { address, stage: Stage::Waiting, due: None };
        let at = now.after(self.policy.registration_timeout_ms);
        self.timers.set(&mut peer.due, conn, at);
        self.peers.insert(conn, peer);
        Ok(self.policy.unadmitted)
    }

    /// Notes that a connection registered; returns its new limits the first time.
    pub(crate) fn admit(&mut self, conn: ConnId, now: Instant) -> Option<FrameLimits> {
        let waiting = |peer: &&mut Peer| matches!(peer.stage, Stage::Waiting);
        let peer = self.peers.get_mut(&conn).filter(waiting)?;
        self.admission.admitted(&peer.address);
        peer.stage = Stage::Admitted(Liveness::default());
        self.timers.set(&mut peer.due, conn, now.after(self.policy.ping_interval_ms));
        Some(self.policy.admitted)
    }

    /// Notes that a connection is registered no longer: it has the usual time to register again.
    pub(crate) fn dismiss(&mut self, conn: ConnId, now: Instant) {
        let admitted = |peer: &&mut Peer| matches!(peer.stage, Stage::Admitted(_));
        let Some(peer) = self.peers.get_mut(&conn).filter(admitted) else { return };
        self.admission.dismissed(&peer.address);
        peer.stage = Stage::Waiting;
        self.timers.set(&mut peer.due, conn, now.after(self.policy.registration_timeout_ms));
    }

    /// Notes a sign of life.
    pub(crate) fn heard(&mut self, conn: ConnId) {
        if let Some(Peer { stage: Stage::Admitted(liveness), .. }) = self.peers.get_mut(&conn) {
            liveness.heard();
        }
    }

    /// Notes that this side closes a connection: nothing is due for it any more.
    pub(crate) fn closing(&mut self, conn: ConnId) {
        let Some(peer) = self.peers.get_mut(&conn) else { return };
        self.timers.clear(&mut peer.due, conn);
        if matches!(peer.stage, Stage::Waiting) {
            self.admission.admitted(&peer.address);
        }
        peer.stage = Stage::Closing;
    }

    /// Forgets a connection that ended.
    pub(crate) fn closed(&mut self, conn: ConnId) {
        let Some(mut peer) = self.peers.remove(&conn) else { return };
        self.timers.clear(&mut peer.due, conn);
        self.admission.left(&peer.address, matches!(peer.stage, Stage::Waiting));
    }

    /// Tells whether frames of this connection still count and may still be sent.
    pub(crate) fn is_open(&self, conn: ConnId) -> bool {
        self.peers.get(&conn).is_some_and(|peer| !matches!(peer.stage, Stage::Closing))
    }

    /// Returns every connection.
    pub(crate) fn connections(&self) -> impl Iterator<Item = ConnId> {
        self.peers.keys().copied()
    }

    /// Returns where a connection comes from; empty if it is not known.
    pub(crate) fn address(&self, conn: ConnId) -> &str {
        self.peers.get(&conn).map_or("", |peer| &peer.address)
    }

    /// Returns how many connections there are.
    pub(crate) fn len(&self) -> usize {
        self.peers.len()
    }

    /// Returns what is due next up to `now`, once.
    pub(crate) fn take_due(&mut self, now: Instant) -> Option<Due> {
        let (_, conn) = self.timers.take_due(now)?;
        let peer = self.peers.get_mut(&conn)?;
        Some(match &mut peer.stage {
            Stage::Waiting => Due::Unregistered(conn),
            Stage::Admitted(liveness) => match liveness.ping(self.policy.ping_interval_ms) {
                Some(next_ms) => {
                    self.timers.set(&mut peer.due, conn, now.after(next_ms));
                    Due::Ping(conn)
                }
                None => Due::Silent(conn),
            },
            Stage::Closing => Due::Silent(conn),
        })
    }

    /// Returns when something is due.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.timers.first().map(|(at, _)| at)
    }
}

/// Those who wait for somebody's word on whether they are let in; `T` is what is known of each.
#[derive(Debug)]
pub(crate) struct Undecided<T> {
    max: u64,
    timeout_ms: u64,
    waiting: BTreeMap<ConnId, (T, Instant)>,
    timers: Timers<ConnId>,
}

impl<T> Undecided<T> {
    /// Lets `max` wait, each for `timeout_ms`.
    pub(crate) const fn new(max: u64, timeout_ms: u64) -> Self {
        Self { max, timeout_ms, waiting: BTreeMap::new(), timers: Timers::new() }
    }

    pub(crate) fn is_full(&self) -> bool {
        self.waiting.len() as u64 >= self.max
    }

    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(crate) fn add(&mut self, conn: ConnId, known: T, now: Instant) {
        let until = now.after(self.timeout_ms);
        self.timers.add(conn, until);
        self.waiting.insert(conn, (known, until));
    }

    /// Takes one who is decided about, or has left.
    pub(crate) fn take(&mut self, conn: ConnId) -> Option<T> {
        let (known, until) = self.waiting.remove(&conn)?;
        self.timers.remove(conn, until);
        Some(known)
    }

    /// Takes one who has waited long enough up to `now`; any, without it.
    pub(crate) fn take_due(&mut self, now: Option<Instant>) -> Option<(ConnId, T)> {
        let (until, conn) = self.timers.first()?;
        let is_due = now.is_none_or(|now| until <= now);
        is_due.then(|| self.take(conn)).flatten().map(|known| (conn, known))
    }

    pub(crate) fn deadline(&self) -> Option<Deadline> {
        self.timers.deadline(|_| Why::Patience)
    }
}

/// Returns the host part of `host:port`.
pub(crate) fn address(remote: &str) -> &str {
    remote.rsplit_once(':').map_or(remote, |(host, _)| host)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: FrameLimits =
        FrameLimits { max_message: 64, max_fragments: 4, max_send_queue: 1_024 };

    fn accepted() -> Accepted {
        Accepted::new(AdmissionPolicy {
            unadmitted: LIMITS,
            admitted: FrameLimits { max_message: 1_024, ..LIMITS },
            max_connections: 3,
            max_unadmitted_per_address: 2,
            registration_timeout_ms: 100,
            ping_interval_ms: 5_000,
        })
    }

    fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    #[test]
    fn connections_are_counted_by_address_until_they_register() {
        let mut accepted = accepted();
        assert!(accepted.accept(ConnId(1), "10.0.0.1:5", at(0)).is_ok());
        assert!(accepted.accept(ConnId(3), "10.0.0.1:6", at(0)).is_ok());
        assert_eq!(
            accepted.accept(ConnId(5), "10.0.0.1:7", at(0)),
            Err(Refusal::TooManyUnregistered)
        );
        assert_eq!(accepted.admit(ConnId(1), at(1)).map(|l| l.max_message), Some(1_024));
        assert!(accepted.accept(ConnId(7), "10.0.0.1:8", at(1)).is_ok());
        assert_eq!(accepted.accept(ConnId(9), "10.0.0.2:8", at(1)), Err(Refusal::Full));
        accepted.closed(ConnId(3));
        assert!(accepted.accept(ConnId(11), "10.0.0.2:8", at(1)).is_ok());
    }

    #[test]
    fn who_does_not_register_in_time_is_named_once() {
        let mut accepted = accepted();
        accepted.accept(ConnId(1), "a:1", at(0)).unwrap();
        assert_eq!(accepted.take_due(at(99)), None);
        assert_eq!(accepted.take_due(at(100)), Some(Due::Unregistered(ConnId(1))));
        assert_eq!(accepted.take_due(at(500)), None);
    }

    #[test]
    fn two_unanswered_pings_end_a_connection() {
        let mut accepted = accepted();
        accepted.accept(ConnId(1), "a:1", at(0)).unwrap();
        accepted.admit(ConnId(1), at(0));
        assert_eq!(accepted.take_due(at(5_000)), Some(Due::Ping(ConnId(1))));
        accepted.heard(ConnId(1));
        assert_eq!(accepted.take_due(at(10_000)), Some(Due::Ping(ConnId(1))));
        assert_eq!(accepted.take_due(at(15_000)), Some(Due::Ping(ConnId(1))));
        assert_eq!(accepted.take_due(at(15_999)), None);
        assert_eq!(accepted.take_due(at(16_000)), Some(Due::Silent(ConnId(1))));
        assert_eq!(accepted.next_due(), None);
    }

    #[test]
    fn a_dismissed_connection_must_register_again() {
        let mut accepted = accepted();
        accepted.accept(ConnId(1), "a:1", at(0)).unwrap();
        accepted.admit(ConnId(1), at(0));
        accepted.dismiss(ConnId(1), at(10));
        assert_eq!(accepted.take_due(at(110)), Some(Due::Unregistered(ConnId(1))));
    }
}
