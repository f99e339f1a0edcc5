//! Clients that open streams: one that has connected becomes an arrival of the drive loop's turn, after
//! its TLS handshake if there is one.

use std::sync::Arc;
use std::time::Duration;

use moorline_core::{ConnId, Framing, ListenId, UnixPeer};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use crate::counters::Counting;
use crate::inbox::{Arrival, Inbox};
use crate::io::Io;
use crate::listen::Ids;
use crate::listen::crowd::Place;
use crate::listen::socket::Peer;
use crate::tls;
use crate::transport::Carrier;

/// What the connections of one listener for streams share.
pub(super) struct StreamDoor {
    pub(super) listen: ListenId,
    pub(super) framing: Framing,
    pub(super) tls: Option<TlsAcceptor>,
    pub(super) handshake: Duration,
    pub(super) inbox: Arc<Inbox>,
    pub(super) counting: Arc<Counting>,
    pub(super) ids: Arc<Ids>,
}

/// A client that waits for the machine's word.
pub(crate) struct Accepted {
    io: Io,
    framing: Framing,
    place: Place,
}

impl Accepted {
    /// Lets the client in.
    pub(crate) fn admit(self) -> Carrier {
        self.place.admit();
        Carrier::Stream { io: self.io.holding(Arc::new(self.place)), framing: self.framing }
    }
}

impl StreamDoor {
    /// Reports a client.
    pub(super) fn enter(self: &Arc<Self>, peer: Peer, remote: String, place: Place) {
        let counting = Arc::clone(&self.counting);
        match (peer, &self.tls) {
            (Peer::Tcp(stream), None) => {
                self.report(Io::plain(stream, counting), remote, None, place);
            }
            (Peer::Tcp(stream), Some(tls)) => {
                tokio::spawn(Arc::clone(self).secure(tls.clone(), stream, remote, place));
            }
            #[cfg(unix)]
            (Peer::Unix(stream, credentials), _) => {
                self.report(Io::unix(stream, counting), remote, credentials, place);
            }
        }
    }

    async fn secure(
        self: Arc<Self>,
        acceptor: TlsAcceptor,
        stream: TcpStream,
        remote: String,
        place: Place,
    ) {
        match tokio::time::timeout(self.handshake, tls::accept(&acceptor, stream)).await {
            Ok(Ok(stream)) => {
                let io = Io::tls(stream, Arc::clone(&self.counting));
                self.report(io, remote, None, place);
            }
            Ok(Err(error)) => tracing::debug!(%error, remote, "TLS handshake failed"),
            Err(_) => tracing::debug!(remote, "TLS handshake too slow"),
        }
    }

    fn report(&self, io: Io, remote: String, credentials: Option<UnixPeer>, place: Place) {
        self.inbox.arrive(Arrival::Accepted {
            conn: ConnId(self.ids.next()),
            listen: self.listen,
            remote,
            credentials,
            accepted: Accepted { io, framing: self.framing, place },
        });
    }
}
