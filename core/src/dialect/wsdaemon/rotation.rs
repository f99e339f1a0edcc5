//! The daemons that are connected to a server, and whose turn it is.

use crate::base::ids::ConnId;

/// Connections in the order in which they came.
///
/// Peer: the turn moves before it is used, so of several the second is first; who leaves moves those
/// behind up, and the turn begins anew only where it is out of range.
#[derive(Debug, Default)]
pub(super) struct Rotation {
    conns: Vec<ConnId>,
    turn: usize,
}

impl Rotation {
    pub(super) fn join(&mut self, conn: ConnId) {
        self.conns.push(conn);
    }

    /// Takes a connection out; tells whether it was in.
    pub(super) fn leave(&mut self, conn: ConnId) -> bool {
        let Some(at) = self.conns.iter().position(|other| *other == conn) else { return false };
        self.conns.remove(at);
        if self.turn >= self.conns.len() {
            self.turn = 0;
        }
        true
    }

    /// Returns whose turn it is.
    pub(super) fn next(&mut self) -> Option<ConnId> {
        self.turn = if self.turn + 1 < self.conns.len() { self.turn + 1 } else { 0 };
        self.conns.get(self.turn).copied()
    }

    pub(super) fn conns(&self) -> &[ConnId] {
        &self.conns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Vectors 16 and 18.
    #[test]
    fn turns_go_round_as_measured() {
        let mut rotation = Rotation::default();
        assert_eq!(rotation.next(), None);
        (0..3).for_each(|conn| rotation.join(ConnId(conn)));
        let turns: Vec<_> = (0..7).filter_map(|_| rotation.next()).map(|conn| conn.0).collect();
        assert_eq!(turns, [1, 2, 0, 1, 2, 0, 1]);
        assert!(rotation.leave(ConnId(1)) && !rotation.leave(ConnId(1)));
        let turns: Vec<_> = (0..4).filter_map(|_| rotation.next()).map(|conn| conn.0).collect();
        assert_eq!(turns, [0, 2, 0, 2]);
    }

    #[test]
    fn one_is_always_next() {
        let mut rotation = Rotation::default();
        rotation.join(ConnId(7));
        assert_eq!([rotation.next(), rotation.next()], [Some(ConnId(7)); 2]);
    }
}
