//! Listening sockets and who connects to them, whichever they are.

use std::io;
use std::net::IpAddr;
use std::task::{Context, Poll, ready};

#[cfg(unix)]
use moorline_core::UnixPeer;
use moorline_core::{Error, ErrorCode, ListenTarget};
use tokio::net::{TcpListener, TcpStream};
#[cfg(unix)]
use tokio::net::{UnixListener, UnixStream};

#[cfg(unix)]
use crate::listen::unix::{self, SocketFile};

/// A listening socket.
pub(super) enum Socket {
    Tcp(TcpListener),
    #[cfg(unix)]
    Unix(UnixListener, SocketFile),
}

/// Somebody who has connected.
pub(super) struct Client {
    pub(super) peer: Peer,
    pub(super) remote: String,
    pub(super) address: Option<IpAddr>,
}

/// The connection.
pub(super) enum Peer {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(UnixStream, Option<UnixPeer>),
}

impl Socket {
    /// Binds; returns the address as well, with the port that was chosen.
    pub(super) async fn bind(target: &ListenTarget) -> Result<(Self, String), Error> {
        let failed = |e: io::Error| {
            let message = format!("cannot listen on {}: {e}", target.address());
            Error::new(ErrorCode::ListenFailed, message)
        };
        match target {
            ListenTarget::Http { address, .. } | ListenTarget::Tcp { address, .. } => {
                let listener = TcpListener::bind(address).await.map_err(failed)?;
                let address = listener.local_addr().map_err(failed)?.to_string();
                Ok((Self::Tcp(listener), address))
            }
            #[cfg(unix)]
            ListenTarget::Unix { path, mode, .. } => {
                let (listener, file) = unix::bind(path, *mode).await.map_err(failed)?;
                let address = file.address();
                Ok((Self::Unix(listener, file), address))
            }
            #[cfg(not(unix))]
            ListenTarget::Unix { .. } => {
                let message = format!("there are no Unix sockets here for {}", target.address());
                Err(Error::new(ErrorCode::Unsupported, message))
            }
        }
    }

    /// Takes the next client.
    pub(super) fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<Client>> {
        match self {
            Self::Tcp(listener) => {
                let (stream, remote) = ready!(listener.poll_accept(cx))?;
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "TCP_NODELAY not set");
                }
                Poll::Ready(Ok(Client {
                    peer: Peer::Tcp(stream),
                    remote: remote.to_string(),
                    address: Some(remote.ip()),
                }))
            }
            #[cfg(unix)]
            Self::Unix(listener, file) => {
                let (stream, credentials) = loop {
                    let (stream, _) = ready!(listener.poll_accept(cx))?;
                    let credentials = match stream.peer_cred() {
                        Ok(it) => Some(UnixPeer { uid: it.uid(), gid: it.gid(), pid: it.pid() }),
                        Err(error) => {
                            tracing::debug!(%error, "the client's credentials are not told");
                            None
                        }
                    };
                    // Whoever has got past the file's permissions is still not let in.
                    match credentials {
                        Some(it) if !file.admits(it.uid) => {
                            tracing::warn!(uid = it.uid, "another user's client was refused");
                        }
                        credentials => break (stream, credentials),
                    }
                };
                let peer = Peer::Unix(stream, credentials);
                Poll::Ready(Ok(Client { peer, remote: file.address(), address: None }))
            }
        }
    }
}
