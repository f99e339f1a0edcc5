//! What we expect from the peer: an answer to our pings. Two unanswered in a row end the link.
//!
//! A ping also carries a number, so that its pong proves which of the frames sent before it have
//! reached the peer.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::base::time::Instant;

/// Unanswered pings that end a link.
const MAX_STRIKES: u8 = 2;

/// How long the second unanswered ping may take: a dead link is noticed within two intervals and this.
const LAST_CHANCE_MS: u64 = 1_000;

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pulse {
    /// Nothing yet.
    NotDue,
    /// Send a ping.
    Ping,
    /// Two pings in a row were not answered.
    Dead,
}

/// How many pings in a row were not answered.
#[derive(Debug, Default)]
pub(crate) struct Strikes(u8);

impl Strikes {
    /// Notes a sign of the peer: a busy one may answer pings late.
    pub(crate) const fn heard(&mut self) {
        self.0 = 0;
    }

    /// Notes that a ping is sent.
    pub(crate) const fn pinged(&mut self) {
        self.0 = self.0.saturating_add(1);
    }

    /// Returns when to look again after a ping: the first of two has had a whole interval more.
    pub(crate) fn wait_ms(&self, interval_ms: u64) -> u64 {
        if self.is_lost() { interval_ms.min(LAST_CHANCE_MS) } else { interval_ms }
    }

    /// Tells whether as many pings as allowed are unanswered.
    pub(crate) const fn is_lost(&self) -> bool {
        self.0 >= MAX_STRIKES
    }
}

/// Pings of one link.
#[derive(Debug)]
pub(crate) struct Liveness {
    interval_ms: u64,
    next: Option<Instant>,
    strikes: Strikes,
    serial: u64,
    outstanding: VecDeque<(u64, u64)>,
}

impl Liveness {
    pub(crate) const fn new(interval_ms: u64) -> Self {
        Self {
            interval_ms,
            next: None,
            strikes: Strikes(0),
            serial: 0,
            outstanding: VecDeque::new(),
        }
    }

    pub(crate) fn arm(&mut self, now: Instant) {
        self.next = Some(now.after(self.interval_ms));
        self.strikes.heard();
        self.outstanding.clear();
    }

    pub(crate) fn disarm(&mut self) {
        self.next = None;
        self.outstanding.clear();
    }

    pub(crate) const fn deadline(&self) -> Option<Instant> {
        self.next
    }

    /// Takes what is due.
    pub(crate) fn take(&mut self, now: Instant) -> Pulse {
        if self.next.is_none_or(|due| now < due) {
            return Pulse::NotDue;
        }
        if self.strikes.is_lost() {
            return Pulse::Dead;
        }
        self.strikes.pinged();
        self.next = Some(now.after(self.strikes.wait_ms(self.interval_ms)));
        Pulse::Ping
    }

    /// Makes the payload of a ping whose pong will prove that everything up to `covers` arrived.
    pub(crate) fn ping(&mut self, covers: u64) -> Bytes {
        self.serial += 1;
        self.outstanding.push_back((self.serial, covers));
        Bytes::from(self.serial.to_string())
    }

    /// Notes that the peer sent something.
    pub(crate) fn heard(&mut self, now: Instant) {
        if self.strikes.0 > 0 {
            self.strikes.heard();
            self.next = self.next.map(|_| now.after(self.interval_ms));
        }
    }

    /// Takes a pong; returns up to where it proves arrival, if it answers one of our pings.
    pub(crate) fn pong(&mut self, payload: &[u8]) -> Option<u64> {
        let serial: u64 = std::str::from_utf8(payload).ok()?.parse().ok()?;
        let mut proven = None;
        while let Some((first, covers)) = self.outstanding.front().copied() {
            if first > serial {
                break;
            }
            self.outstanding.pop_front();
            proven = Some(covers);
        }
        proven
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_unanswered_pings_end_the_link_within_two_intervals_and_a_second() {
        let mut liveness = Liveness::new(10_000);
        liveness.arm(at(0));
        assert_eq!(liveness.take(at(9_999)), Pulse::NotDue);
        assert_eq!(liveness.take(at(10_000)), Pulse::Ping);
        assert_eq!(liveness.take(at(20_000)), Pulse::Ping);
        assert_eq!(liveness.take(at(20_999)), Pulse::NotDue);
        assert_eq!(liveness.take(at(21_000)), Pulse::Dead);
    }

    #[test]
    fn any_sign_of_the_peer_counts() {
        let mut liveness = Liveness::new(10_000);
        liveness.arm(at(0));
        liveness.take(at(10_000));
        liveness.take(at(20_000));
        liveness.heard(at(20_500));
        assert_eq!(liveness.take(at(21_000)), Pulse::NotDue);
        assert_eq!(liveness.take(at(30_500)), Pulse::Ping);
    }

    #[test]
    fn a_pong_proves_what_was_sent_before_its_ping() {
        let mut liveness = Liveness::new(10_000);
        let first = liveness.ping(3);
        let second = liveness.ping(7);
        assert_eq!(liveness.pong(b"hello"), None);
        assert_eq!(liveness.pong(&second), Some(7));
        assert_eq!(liveness.pong(&first), None);
    }

    fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }
}
