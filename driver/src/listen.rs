//! Listeners: HTTP/1.1 and the upgrade to WebSocket on one port.
//!
//! One task per HTTP connection, none per request; a request becomes an arrival of the drive loop's
//! turn and its answer comes back through a one-shot. An admitted upgrade leaves the task and is
//! polled by the drive loop from then on.

mod visit;

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::poll_fn;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use moorline_core::ServerInput;
use moorline_core::{Error, ErrorCode, HttpLimits, Input, ListenId};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;
use tokio_rustls::TlsAcceptor;

use crate::counters::Counting;
use crate::inbox::{Arrival, Inbox};
use crate::io::Io;
use crate::listen::visit::Visit;
use crate::tls::Tls;

/// The smallest head limit that the HTTP library can enforce.
const MIN_HEAD: usize = 8 * 1024;
/// How long to pause when the system refuses to accept, such as for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The listeners of one I/O thread.
pub(crate) struct Listeners {
    inbox: Arc<Inbox>,
    counting: Arc<Counting>,
    ids: Arc<Ids>,
    tls: Arc<Tls>,
    open: HashMap<ListenId, (AbortHandle, Socket)>,
}

/// A listening socket, held where it can be closed at once: a task that is aborted lets go of what it
/// owns only later.
type Socket = Arc<Mutex<Option<TcpListener>>>;

/// Numbers what others begin: odd, never reused.
struct Ids(AtomicU64);

impl Ids {
    fn next(&self) -> u64 {
        self.0.fetch_add(2, Ordering::Relaxed)
    }
}

impl Listeners {
    /// Makes an empty set.
    pub(crate) fn new(inbox: Arc<Inbox>, tls: Arc<Tls>, counting: Arc<Counting>) -> Self {
        let ids = Arc::new(Ids(AtomicU64::new(1)));
        Self { inbox, counting, ids, tls, open: HashMap::new() }
    }

    /// Begins to listen; reports `Listening` or `ListenFailed`.
    pub(crate) fn listen(&mut self, listen: ListenId, address: String, limits: HttpLimits) {
        let tls = match self.tls.acceptor() {
            Ok(tls) => tls,
            Err(error) => {
                self.inbox.arrive(Arrival::Input(Input::Server(ServerInput::ListenFailed {
                    listen,
                    error,
                })));
                return;
            }
        };
        let door = Arc::new(Door {
            limits,
            tls,
            inbox: Arc::clone(&self.inbox),
            counting: Arc::clone(&self.counting),
            ids: Arc::clone(&self.ids),
            crowd: Mutex::default(),
        });
        let socket = Socket::default();
        let place = Arc::clone(&socket);
        let task = tokio::spawn(async move {
            let bound = match TcpListener::bind(&address).await {
                Ok(listener) => listener.local_addr().map(|address| (listener, address)),
                Err(e) => Err(e),
            };
            match bound {
                Ok((listener, address)) => {
                    let address = address.to_string();
                    *place.lock().unwrap_or_else(PoisonError::into_inner) = Some(listener);
                    door.inbox.arrive(Arrival::Input(Input::Server(ServerInput::Listening {
                        listen,
                        address,
                    })));
                    door.accept(&place).await;
                }
                Err(e) => {
                    let message = format!("cannot listen on {address}: {e}");
                    let error = Error::new(ErrorCode::ListenFailed, message);
                    door.inbox.arrive(Arrival::Input(Input::Server(ServerInput::ListenFailed {
                        listen,
                        error,
                    })));
                }
            }
        });
        self.open.insert(listen, (task.abort_handle(), socket));
    }

    /// Stops accepting: the address is free when this returns.
    pub(crate) fn unlisten(&mut self, listen: ListenId) {
        if let Some((task, socket)) = self.open.remove(&listen) {
            task.abort();
            drop(socket.lock().unwrap_or_else(PoisonError::into_inner).take());
        }
    }
}

/// What the connections of one listener share.
struct Door {
    limits: HttpLimits,
    tls: Option<TlsAcceptor>,
    inbox: Arc<Inbox>,
    counting: Arc<Counting>,
    ids: Arc<Ids>,
    crowd: Mutex<Crowd>,
}

/// Who is connected.
#[derive(Default)]
struct Crowd {
    connections: usize,
    unadmitted: HashMap<IpAddr, usize>,
}

impl Door {
    async fn accept(self: &Arc<Self>, socket: &Mutex<Option<TcpListener>>) {
        loop {
            let accepted = poll_fn(|cx| {
                let socket = socket.lock().unwrap_or_else(PoisonError::into_inner);
                socket.as_ref().map_or(Poll::Ready(None), |it| it.poll_accept(cx).map(Some))
            });
            let Some(accepted) = accepted.await else { return };
            match accepted {
                Ok((stream, remote)) => {
                    let Some(place) = Place::take(self, remote.ip()) else {
                        tracing::debug!(%remote, "too many connections: closed");
                        continue;
                    };
                    tokio::spawn(Self::serve(Arc::clone(self), stream, place, remote.to_string()));
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    async fn serve(self: Arc<Self>, stream: TcpStream, place: Place, remote: String) {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY not set");
        }
        let timeout = Duration::from_millis(self.limits.request_timeout_ms);
        let counting = Arc::clone(&self.counting);
        let io = match &self.tls {
            None => Io::plain(stream, counting),
            Some(tls) => match tokio::time::timeout(timeout, tls.accept(stream)).await {
                Ok(Ok(stream)) => Io::tls(stream, counting),
                Ok(Err(error)) => return tracing::debug!(%error, remote, "TLS handshake failed"),
                Err(_) => return tracing::debug!(remote, "TLS handshake too slow"),
            },
        };
        let visit = Arc::new(Visit { door: Arc::clone(&self), place, remote });
        let service = service_fn(|request| {
            let visit = Arc::clone(&visit);
            async move { Ok::<_, Infallible>(visit.handle(request).await) }
        });
        let mut connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(timeout)
            .max_header_size(self.limits.max_head)
            .max_buf_size(self.limits.max_head.max(MIN_HEAD))
            .max_headers(self.limits.max_headers)
            .serve_connection(TokioIo::new(io), service)
            .with_upgrades();
        let Err(error) = Pin::new(&mut connection).await else { return };
        tracing::debug!(%error, remote = visit.remote, "HTTP connection ended");
        if !error.is_timeout() {
            return;
        }
        let Some(parts) = connection.into_parts() else { return };
        if visit.place.is_admitted() && parts.read_buf.is_empty() {
            return;
        }
        let answer =
            b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
        let mut io = parts.io.into_inner();
        if io.write_all(answer).await.is_ok() {
            let _ = io.shutdown().await;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Crowd> {
        self.crowd.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection's place among the limits; given back on drop.
struct Place {
    door: Arc<Door>,
    address: IpAddr,
    admitted: AtomicBool,
}

impl Place {
    fn take(door: &Arc<Door>, address: IpAddr) -> Option<Self> {
        let mut crowd = door.lock();
        let unadmitted = crowd.unadmitted.get(&address).copied().unwrap_or(0);
        if crowd.connections >= door.limits.max_connections
            || unadmitted >= door.limits.max_unadmitted_per_address
        {
            return None;
        }
        crowd.connections += 1;
        crowd.unadmitted.insert(address, unadmitted + 1);
        Some(Self { door: Arc::clone(door), address, admitted: AtomicBool::new(false) })
    }

    fn is_admitted(&self) -> bool {
        self.admitted.load(Ordering::Relaxed)
    }

    /// A whole request came, or an upgrade was admitted: no longer a stranger.
    fn admit(&self) {
        if !self.admitted.swap(true, Ordering::Relaxed) {
            self.leave_strangers(&mut self.door.lock());
        }
    }

    fn leave_strangers(&self, crowd: &mut Crowd) {
        if let Some(count) = crowd.unadmitted.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                crowd.unadmitted.remove(&self.address);
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut crowd = self.door.lock();
        crowd.connections -= 1;
        if !self.is_admitted() {
            self.leave_strangers(&mut crowd);
        }
    }
}
