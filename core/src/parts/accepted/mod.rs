//! Accepted connections: who may connect, how long they may stay unregistered, and whether they live.
//!
//! ```text
//!   offered ──accept──▶ waiting ──admit──▶ admitted ──silent twice──▶ closed
//!      │                   └─ deadline ─▶ closed
//!      └─ refused: full, or too many unregistered from one address
//! ```
//!
//! What registration means is the dialect's affair; this part counts, pings and keeps deadlines.

mod admission;
mod liveness;

use std::collections::{BTreeMap, BTreeSet};

use admission::Admission;
pub(crate) use admission::address;
use liveness::Liveness;

use crate::base::ids::ConnId;
use crate::base::time::Instant;
use crate::net::target::FrameLimits;

/// The numbers of a server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ServerPolicy {
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
pub(crate) struct Server {
    policy: ServerPolicy,
    peers: BTreeMap<ConnId, Peer>,
    admission: Admission,
    due: BTreeSet<(Instant, ConnId)>,
}

#[derive(Debug)]
struct Peer {
    address: String,
    stage: Stage,
    due: Instant,
}

#[derive(Debug)]
enum Stage {
    Waiting,
    Admitted(Liveness),
    Closing,
}

impl Server {
    pub(crate) fn new(policy: ServerPolicy) -> Self {
        Self {
            policy,
            peers: BTreeMap::new(),
            admission: Admission::new(policy.max_connections, policy.max_unadmitted_per_address),
            due: BTreeSet::new(),
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
        let due = now.after(self.policy.registration_timeout_ms);
        self.due.insert((due, conn));
        self.peers.insert(conn, Peer { address, stage: Stage::Waiting, due });
        Ok(self.policy.unadmitted)
    }

    /// Notes that a connection registered; returns its new limits the first time.
    pub(crate) fn admit(&mut self, conn: ConnId, now: Instant) -> Option<FrameLimits> {
        let peer = self.peers.get_mut(&conn)?;
        match peer.stage {
            Stage::Waiting => {}
            Stage::Admitted(_) | Stage::Closing => return None,
        }
        self.admission.admitted(&peer.address);
        peer.stage = Stage::Admitted(Liveness::default());
        Self::rearm(&mut self.due, conn, peer, now.after(self.policy.ping_interval_ms));
        Some(self.policy.admitted)
    }

    /// Notes that a connection is registered no longer: it has the usual time to register again.
    pub(crate) fn dismiss(&mut self, conn: ConnId, now: Instant) {
        let Some(peer) = self.peers.get_mut(&conn) else { return };
        match peer.stage {
            Stage::Admitted(_) => {}
            Stage::Waiting | Stage::Closing => return,
        }
        self.admission.dismissed(&peer.address);
        peer.stage = Stage::Waiting;
        Self::rearm(&mut self.due, conn, peer, now.after(self.policy.registration_timeout_ms));
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
        self.due.remove(&(peer.due, conn));
        if matches!(peer.stage, Stage::Waiting) {
            self.admission.admitted(&peer.address);
        }
        peer.stage = Stage::Closing;
    }

    /// Forgets a connection that ended.
    pub(crate) fn closed(&mut self, conn: ConnId) {
        let Some(peer) = self.peers.remove(&conn) else { return };
        self.due.remove(&(peer.due, conn));
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

    /// Returns how many connections there are.
    pub(crate) fn len(&self) -> usize {
        self.peers.len()
    }

    /// Returns what is due next up to `now`, once.
    pub(crate) fn take_due(&mut self, now: Instant) -> Option<Due> {
        let (at, conn) = *self.due.first()?;
        if at > now {
            return None;
        }
        let Some(peer) = self.peers.get_mut(&conn) else {
            self.due.remove(&(at, conn));
            return self.take_due(now);
        };
        let (due, again_ms) = match &mut peer.stage {
            Stage::Waiting => (Due::Unregistered(conn), None),
            Stage::Closing => (Due::Silent(conn), None),
            Stage::Admitted(liveness) if liveness.is_lost() => (Due::Silent(conn), None),
            Stage::Admitted(liveness) => {
                liveness.pinged();
                (Due::Ping(conn), Some(liveness.wait_ms(self.policy.ping_interval_ms)))
            }
        };
        match again_ms {
            Some(millis) => Self::rearm(&mut self.due, conn, peer, now.after(millis)),
            None => {
                self.due.remove(&(at, conn));
            }
        }
        Some(due)
    }

    /// Returns when something is due.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    fn rearm(due: &mut BTreeSet<(Instant, ConnId)>, conn: ConnId, peer: &mut Peer, at: Instant) {
        due.remove(&(peer.due, conn));
        peer.due = at;
        due.insert((at, conn));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: FrameLimits =
        FrameLimits { max_message: 64, max_fragments: 4, max_send_queue: 1_024 };

    fn server() -> Server {
        Server::new(ServerPolicy {
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
        let mut server = server();
        assert!(server.accept(ConnId(1), "10.0.0.1:5", at(0)).is_ok());
        assert!(server.accept(ConnId(3), "10.0.0.1:6", at(0)).is_ok());
        assert_eq!(
            server.accept(ConnId(5), "10.0.0.1:7", at(0)),
            Err(Refusal::TooManyUnregistered)
        );
        assert_eq!(server.admit(ConnId(1), at(1)).map(|l| l.max_message), Some(1_024));
        assert!(server.accept(ConnId(7), "10.0.0.1:8", at(1)).is_ok());
        assert_eq!(server.accept(ConnId(9), "10.0.0.2:8", at(1)), Err(Refusal::Full));
        server.closed(ConnId(3));
        assert!(server.accept(ConnId(11), "10.0.0.2:8", at(1)).is_ok());
    }

    #[test]
    fn who_does_not_register_in_time_is_named_once() {
        let mut server = server();
        server.accept(ConnId(1), "a:1", at(0)).unwrap();
        assert_eq!(server.take_due(at(99)), None);
        assert_eq!(server.take_due(at(100)), Some(Due::Unregistered(ConnId(1))));
        assert_eq!(server.take_due(at(500)), None);
    }

    #[test]
    fn two_unanswered_pings_end_a_connection() {
        let mut server = server();
        server.accept(ConnId(1), "a:1", at(0)).unwrap();
        server.admit(ConnId(1), at(0));
        assert_eq!(server.take_due(at(5_000)), Some(Due::Ping(ConnId(1))));
        server.heard(ConnId(1));
        assert_eq!(server.take_due(at(10_000)), Some(Due::Ping(ConnId(1))));
        assert_eq!(server.take_due(at(15_000)), Some(Due::Ping(ConnId(1))));
        assert_eq!(server.take_due(at(15_999)), None);
        assert_eq!(server.take_due(at(16_000)), Some(Due::Silent(ConnId(1))));
        assert_eq!(server.next_due(), None);
    }

    #[test]
    fn a_dismissed_connection_must_register_again() {
        let mut server = server();
        server.accept(ConnId(1), "a:1", at(0)).unwrap();
        server.admit(ConnId(1), at(0));
        server.dismiss(ConnId(1), at(10));
        assert_eq!(server.take_due(at(110)), Some(Due::Unregistered(ConnId(1))));
    }
}
