//! Listeners: HTTP/1.1 and the upgrade to WebSocket on one port, or streams.
//!
//! One task per HTTP connection, none per request; a stranger's first request is waited for before anything
//! is made to speak HTTP with it. A request becomes an arrival of the drive loop's turn and its answer comes back through a one-shot. An admitted upgrade leaves the task and is
//! polled by the drive loop from then on. A stream needs no task but for a TLS handshake.

mod crowd;
mod socket;
mod stream;
#[cfg(unix)]
mod unix;
mod upgrade;
mod visit;
mod words;

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use moorline_core::{
    Error, ErrorCode, HttpLimits, Input, ListenId, ListenTarget, Networks, ServerInput,
};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsAcceptor;

pub(crate) use crowd::{Place, Share};
pub(crate) use stream::Accepted;

use crate::counters::Counting;
use crate::inbox::{Arrival, Inbox};
use crate::io::Io;
use crate::listen::crowd::{Crowd, Queue, Told};
use crate::listen::socket::{Client, Peer, Socket};
use crate::listen::stream::StreamDoor;
use crate::listen::visit::Visit;
use crate::tls::{self, Tls};

/// The smallest head limit that the HTTP library can enforce.
const MIN_HEAD: usize = 8 * 1024;
/// How long to pause when the system refuses to accept, such as for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The listener that the driver answers itself: whether all is well, and what was counted.
pub(crate) const HEALTH: ListenId = ListenId(u64::MAX);

/// The listeners of one I/O thread.
pub(crate) struct Listeners {
    inbox: Arc<Inbox>,
    counting: Arc<Counting>,
    ids: Arc<Ids>,
    tls: Arc<Tls>,
    open: HashMap<ListenId, (AbortHandle, Bound)>,
}

/// A listening socket, held where it can be closed at once: a task that is aborted lets go of what it
/// owns only later.
type Bound = Arc<Mutex<Option<Socket>>>;

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
    pub(crate) fn listen(&mut self, listen: ListenId, target: ListenTarget) {
        let (crowd, door) = match self.door(listen, &target) {
            Ok(it) => it,
            Err(error) => {
                self.inbox.arrive(Arrival::Input(Input::Server(ServerInput::ListenFailed {
                    listen,
                    error,
                })));
                return;
            }
        };
        let bound = Bound::default();
        let place = Arc::clone(&bound);
        let inbox = Arc::clone(&self.inbox);
        let task = tokio::spawn(async move {
            match Socket::bind(&target).await {
                Ok((socket, address)) => {
                    *place.lock().unwrap_or_else(PoisonError::into_inner) = Some(socket);
                    let input = ServerInput::Listening { listen, address };
                    inbox.arrive(Arrival::Input(Input::Server(input)));
                    accept(&place, &crowd, &door).await;
                }
                Err(error) => {
                    let input = ServerInput::ListenFailed { listen, error };
                    inbox.arrive(Arrival::Input(Input::Server(input)));
                }
            }
        });
        self.open.insert(listen, (task.abort_handle(), bound));
    }

    /// Stops accepting: the address is free when this returns.
    pub(crate) fn unlisten(&mut self, listen: ListenId) {
        if let Some((task, bound)) = self.open.remove(&listen) {
            task.abort();
            drop(bound.lock().unwrap_or_else(PoisonError::into_inner).take());
        }
    }

    fn door(&self, listen: ListenId, target: &ListenTarget) -> Result<(Arc<Crowd>, Door), Error> {
        let (inbox, counting) = (Arc::clone(&self.inbox), Arc::clone(&self.counting));
        let ids = Arc::clone(&self.ids);
        let (tls, framing, limits) = match target {
            ListenTarget::Http { limits, proxies, echoes_protocol, .. } => {
                let (most, strangers) = (limits.max_connections, limits.max_unadmitted_per_address);
                let HttpLimits { max_body, max_held, .. } = *limits;
                let crowd = Crowd::new(most, strangers, max_body, max_held, proxies.clone());
                let tls = if listen == HEALTH { None } else { self.tls.acceptor()? };
                let (limits, echoes_protocol) = (*limits, *echoes_protocol);
                let door = HttpDoor { listen, limits, echoes_protocol, tls, inbox, counting, ids };
                return Ok((crowd, Door::Http(Arc::new(door))));
            }
            ListenTarget::Tcp { tls: false, framing, limits, .. }
            | ListenTarget::Unix { framing, limits, .. } => (None, *framing, limits),
            ListenTarget::Tcp { tls: true, framing, limits, .. } => {
                let tls = self.tls.acceptor()?.ok_or_else(|| {
                    let message = "TLS needs runtime.cert_file and runtime.key_file";
                    Error::new(ErrorCode::ListenFailed, message)
                })?;
                (Some(tls), *framing, limits)
            }
        };
        let (most, strangers) = (limits.max_connections, limits.max_unadmitted_per_address);
        // Clients of streams have no limit together but their number.
        let crowd = Crowd::new(most, strangers, 0, usize::MAX, Networks::default());
        let handshake = Duration::from_millis(limits.handshake_timeout_ms);
        let door = StreamDoor { listen, framing, tls, handshake, inbox, counting, ids };
        Ok((crowd, Door::Stream(Arc::new(door))))
    }
}

impl Drop for Listeners {
    fn drop(&mut self) {
        for (task, bound) in std::mem::take(&mut self.open).into_values() {
            task.abort();
            drop(bound.lock().unwrap_or_else(PoisonError::into_inner).take());
        }
    }
}

/// What clients of a listener find.
enum Door {
    Http(Arc<HttpDoor>),
    Stream(Arc<StreamDoor>),
}

async fn accept(bound: &Mutex<Option<Socket>>, crowd: &Arc<Crowd>, door: &Door) {
    let (mut waiting, mut told) = (Queue::default(), Told::default());
    loop {
        while let Some((client, place)) = waiting.next(crowd) {
            door.enter(client, place);
        }
        let accepted = poll_fn(|cx| {
            let socket = bound.lock().unwrap_or_else(PoisonError::into_inner);
            socket.as_ref().map_or(Poll::Ready(None), |it| it.poll_accept(cx).map(Some))
        });
        let accepted = tokio::select! {
            accepted = accepted, if !waiting.is_full() => accepted,
            () = crowd.freed() => continue,
        };
        match accepted {
            Some(Ok(client)) => match Place::take(crowd, client.address) {
                Some(place) => door.enter(client, place),
                None => waiting.push(client, crowd),
            },
            Some(Err(error)) => {
                if told.is_news(Instant::now()) {
                    tracing::warn!(%error, "cannot accept");
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
            None => return,
        }
    }
}

impl Door {
    fn enter(&self, client: Client, place: Place) {
        match (self, client.peer) {
            (Self::Http(door), Peer::Tcp(stream)) => {
                tokio::spawn(Arc::clone(door).serve(stream, place, client.remote));
            }
            (Self::Stream(door), peer) => door.enter(peer, client.remote, place),
            #[cfg(unix)]
            (Self::Http(_), Peer::Unix(..)) => {}
        }
    }
}

/// What the connections of one HTTP listener share.
struct HttpDoor {
    listen: ListenId,
    limits: HttpLimits,
    echoes_protocol: bool,
    tls: Option<TlsAcceptor>,
    inbox: Arc<Inbox>,
    counting: Arc<Counting>,
    ids: Arc<Ids>,
}

impl HttpDoor {
    async fn serve(self: Arc<Self>, stream: TcpStream, place: Place, remote: String) {
        let came = Instant::now();
        let until = came + Duration::from_millis(self.limits.request_timeout_ms);
        let mut io = match timeout_at(until, self.secure(stream)).await {
            Ok(Ok(io)) => io,
            Ok(Err(error)) => return tracing::debug!(%error, remote, "TLS handshake failed"),
            Err(_) => return tracing::debug!(remote, "TLS handshake too slow"),
        };
        match timeout_at(until, words::first(&mut io, &self.limits)).await {
            Ok(Ok(said)) => {
                let visit = Visit { door: self, place: Arc::new(place), remote, came };
                Box::pin(converse(io.after(said), Arc::new(visit))).await;
            }
            Ok(Err(error)) => tracing::debug!(%error, remote, "ended before it asked"),
            Err(_) => {
                tracing::debug!(remote, "asked nothing in time");
                say_late(io).await;
            }
        }
    }

    async fn secure(&self, stream: TcpStream) -> io::Result<Io> {
        let counting = Arc::clone(&self.counting);
        match &self.tls {
            None => Ok(Io::plain(stream, counting)),
            Some(tls) => Ok(Io::tls(tls::accept(tls, stream).await?, counting)),
        }
    }
}

/// Speaks HTTP with a client that has begun to ask.
async fn converse(io: Io, visit: Arc<Visit>) {
    let limits = visit.door.limits;
    let io = io.visiting(Arc::clone(&visit.place));
    let answering = Arc::clone(&visit);
    let service = service_fn(move |request| {
        let visit = Arc::clone(&answering);
        async move { Ok::<_, Infallible>(visit.handle(request).await) }
    });
    let mut connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_millis(limits.request_timeout_ms))
        .max_header_size(limits.max_head)
        .max_buf_size(limits.max_head.max(MIN_HEAD))
        .max_headers(limits.max_headers)
        .serve_connection(TokioIo::new(io), service)
        .with_upgrades();
    let ended = tokio::select! {
        ended = &mut connection => ended,
        () = visit.is_too_much() => {
            let remote = &visit.remote;
            return tracing::debug!(remote, "ended: it held most of what all hold together");
        }
    };
    let Err(error) = ended else { return };
    tracing::debug!(%error, remote = visit.remote, "HTTP connection ended");
    if !error.is_timeout() {
        return;
    }
    let Some(parts) = connection.into_parts() else { return };
    if !visit.place.is_admitted() || !parts.read_buf.is_empty() {
        say_late(parts.io.into_inner()).await;
    }
}

/// Tells a client that its request took too long.
async fn say_late(mut io: Io) {
    let answer = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    if io.write_all(answer).await.is_ok() {
        let _ = io.shutdown().await;
    }
}
