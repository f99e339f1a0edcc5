//! Connections and HTTP exchanges between processes.

use std::collections::BTreeMap;

use moorline_core::{ConnId, HttpId, HttpResponse};

use super::node::NodeId;

/// One end of a connection or exchange, in one life of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct End<Id> {
    pub(super) node: NodeId,
    pub(super) life: u32,
    pub(super) id: Id,
}

/// A connection: two ends, order kept in each direction.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) dialer: End<ConnId>,
    pub(super) acceptor: End<ConnId>,
    pub(super) admitted: bool,
    /// Nothing passes, and nobody is told.
    pub(super) half_open: bool,
    /// The largest message that each end takes: the dialer, the acceptor.
    pub(super) takes: [usize; 2],
    /// When the latest frame of each direction arrives: later ones never overtake.
    pub(super) latest: [u64; 2],
}

/// An HTTP exchange that waits for its answer.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) asker: End<HttpId>,
    pub(super) server: End<HttpId>,
    /// The largest answer that the asker takes.
    pub(super) max_body: usize,
    /// The head and the parts so far of a streaming answer.
    pub(super) streaming: Option<(HttpResponse, Vec<u8>)>,
}

/// Everything that connects processes.
#[derive(Debug, Default)]
pub(super) struct Transports {
    pub(super) links: Vec<Link>,
    pub(super) by_conn: BTreeMap<(NodeId, ConnId), usize>,
    pub(super) exchanges: BTreeMap<(NodeId, HttpId), Exchange>,
}

impl Transports {
    /// Finds the link of a connection and which end asked: 0 the dialer, 1 the acceptor.
    pub(super) fn link(&mut self, node: NodeId, conn: ConnId) -> Option<(&mut Link, usize)> {
        let link = self.links.get_mut(*self.by_conn.get(&(node, conn))?)?;
        let side = usize::from(link.acceptor.node == node && link.acceptor.id == conn);
        Some((link, side))
    }

    /// Forgets a connection and returns the end that is left.
    pub(super) fn unlink(&mut self, node: NodeId, conn: ConnId) -> Option<End<ConnId>> {
        let index = self.by_conn.remove(&(node, conn))?;
        let link = self.links.get(index)?;
        let other = if link.dialer.node == node && link.dialer.id == conn {
            link.acceptor
        } else {
            link.dialer
        };
        // A later life of the other process may use the same number for another link.
        let key = (other.node, other.id);
        (self.by_conn.get(&key) == Some(&index)).then(|| self.by_conn.remove(&key)).map(|_| other)
    }

    /// Returns the connections of a process, in order.
    pub(super) fn conns_of(&self, node: NodeId) -> Vec<ConnId> {
        self.by_conn.keys().filter(|(of, _)| *of == node).map(|(_, conn)| *conn).collect()
    }
}

impl Link {
    /// Returns the end that faces `side`.
    pub(super) const fn other(&self, side: usize) -> End<ConnId> {
        if side == 0 { self.acceptor } else { self.dialer }
    }
}
