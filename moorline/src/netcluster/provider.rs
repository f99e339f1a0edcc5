//! Providers: many consumers, and a message of each at a time.

use std::collections::HashMap;
use std::fmt;
use std::ops::Deref;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use moorline_core::options::{OptionValue as _, ProviderOptions};
use moorline_core::{Command, PeerCommand, PeerEvent, PeerId, Raw, Recipients};
use serde::Deserialize;

use super::consumer::parameter;
use super::{Content, Outcome, Request, deliver, message, role};
use crate::application::Application;
use crate::endpoint::{Endpoint, Listener, Role, Session};
use crate::request::Pair;
use crate::routing::apart;
use crate::{Error, Started};

static PROVIDER: Role = role("provider");

/// A provider that listens in this process. Dropping it closes every connection.
#[derive(Debug)]
pub struct Provider {
    started: Started,
}

impl Provider {
    /// Begins to describe a provider.
    #[must_use]
    pub fn builder() -> ProviderBuilder {
        ProviderBuilder { options: ProviderOptions::default(), listeners: Listeners::default() }
    }

    /// Returns the address it listens on, with the port that was chosen.
    #[must_use]
    pub fn address(&self) -> String {
        self.started.0.id()
    }

    /// Returns the port it listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        let address = self.address();
        address.rsplit(':').next().and_then(|port| port.parse().ok()).unwrap_or(0)
    }

    /// Sends one message to many: it is kept once for all of them.
    ///
    /// # Errors
    /// `STOPPED` after the end, `OVERLOADED` if too many commands wait.
    pub fn send_to<'a>(
        &self,
        consumers: impl IntoIterator<Item = &'a Connection>,
        content: impl Into<Content>,
    ) -> Result<(), Error> {
        let peers = consumers.into_iter().map(|consumer| consumer.inner.peer).collect();
        self.started.0.submit_soon(message(None, Recipients::Peers(peers), content.into(), false))
    }

    /// Lets in nobody more and lets what was sent leave for `limit`, then closes every connection.
    ///
    /// # Errors
    /// `DRAIN_TIMEOUT` if consumers had not read it.
    pub async fn drain(self, limit: Duration) -> Result<(), Error> {
        self.started.0.drain(limit).await
    }
}

impl Deref for Provider {
    type Target = Started;

    fn deref(&self) -> &Started {
        &self.started
    }
}

/// One connected consumer. Clones are of the same connection; after its end commands do nothing.
#[derive(Clone)]
pub struct Connection {
    inner: Arc<Inner>,
}

struct Inner {
    peer: PeerId,
    endpoint: Arc<Endpoint>,
    id: String,
    known: Known,
}

#[derive(Default, Deserialize)]
struct Known {
    ip: String,
    parameters: Vec<Pair>,
}

impl Connection {
    /// Returns its id: a UUID that is never sent.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.inner.id
    }

    /// Returns the address that it comes from, without the port.
    #[must_use]
    pub fn ip(&self) -> &str {
        &self.inner.known.ip
    }

    /// Returns the parameters that it came with, by name; one that stood there twice twice.
    #[must_use]
    pub fn parameters(&self) -> &[Pair] {
        &self.inner.known.parameters
    }

    /// Sends a message; what becomes of it is not told.
    ///
    /// # Errors
    /// `STOPPED` after the end of the provider, `OVERLOADED` if too many commands wait.
    pub fn send(&self, content: impl Into<Content>) -> Result<(), Error> {
        let to = Recipients::Peer(self.inner.peer);
        self.inner.endpoint.submit_soon(message(None, to, content.into(), false))
    }

    /// Sends a message compressed, where `ws.compressor` and the consumer allow it.
    ///
    /// # Errors
    /// Those of [`send`](Self::send).
    pub fn send_compressed(&self, content: impl Into<Content>) -> Result<(), Error> {
        let to = Recipients::Peer(self.inner.peer);
        self.inner.endpoint.submit_soon(message(None, to, content.into(), true))
    }

    /// Sends a message and waits for its outcome.
    ///
    /// # Errors
    /// `INPUT_GONE` if the connection is over, `ARGUMENT_INVALID` for a message that the protocol keeps for
    /// itself, `TOO_LARGE`, `CONNECTION_LOST` if it waited until then.
    pub async fn deliver(&self, content: impl Into<Content>) -> Result<Outcome, Error> {
        let to = Recipients::Peer(self.inner.peer);
        deliver(&self.inner.endpoint, to, content.into()).await
    }

    /// Closes it in order, behind what was sent; without a code for `None`.
    ///
    /// # Errors
    /// `STOPPED` after the end of the provider.
    pub fn end(&self, code: Option<u16>, reason: &str) -> Result<(), Error> {
        self.tell(PeerCommand::End { peer: self.inner.peer, code, reason: reason.to_owned() })
    }

    /// Cuts it off.
    ///
    /// # Errors
    /// `STOPPED` after the end of the provider.
    pub fn close(&self) -> Result<(), Error> {
        self.tell(PeerCommand::Close { peer: self.inner.peer })
    }

    /// Sends a ping of WebSocket.
    ///
    /// # Errors
    /// `STOPPED` after the end of the provider.
    pub fn ping(&self, payload: impl Into<Bytes>) -> Result<(), Error> {
        self.tell(PeerCommand::Ping { peer: self.inner.peer, payload: payload.into() })
    }

    fn tell(&self, command: PeerCommand) -> Result<(), Error> {
        self.inner.endpoint.submit_soon(Command::Peer(command))
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("id", &self.inner.id).finish_non_exhaustive()
    }
}

type Admitting = Pin<Box<dyn Future<Output = bool> + Send>>;
type Admits = Box<dyn FnMut(Request) -> Admitting + Send>;
type OnOpen = Box<dyn FnMut(&Connection) + Send>;
type OnMessage = Box<dyn FnMut(&Connection, Content) + Send>;
type OnClose = Box<dyn FnMut(&Connection, u32, &str) + Send>;

/// What an application does with its consumers.
#[derive(Default)]
struct Listeners {
    admits: Option<Admits>,
    on_open: Option<OnOpen>,
    on_message: Option<OnMessage>,
    on_close: Option<OnClose>,
    connections: HashMap<PeerId, Connection>,
}

impl Listeners {
    fn take(&mut self, endpoint: &Arc<Endpoint>, event: PeerEvent) {
        match event {
            PeerEvent::Received { peer: Some(peer), content } => {
                if let (Some(connection), Some(take)) =
                    (self.connections.get(&peer), &mut self.on_message)
                {
                    take(connection, content);
                }
            }
            PeerEvent::Joined { peer, name, meta } => {
                let known = meta.read().unwrap_or_default();
                let endpoint = Arc::clone(endpoint);
                let inner = Arc::new(Inner { peer, endpoint, id: name, known });
                let connection = Connection { inner };
                if let Some(take) = &mut self.on_open {
                    let _ = apart(|| take(&connection));
                    // Behind what was sent there; after the end there is nobody to greet.
                    let _ = connection.tell(PeerCommand::Greet { peer });
                }
                self.connections.insert(peer, connection);
            }
            PeerEvent::Closed { peer: Some(peer), code, reason } => {
                if let (Some(connection), Some(take)) =
                    (self.connections.remove(&peer), &mut self.on_close)
                {
                    take(&connection, code, &reason);
                }
            }
            PeerEvent::AdmissionAsked { peer, request, .. } => self.admit(endpoint, peer, &request),
            PeerEvent::Received { peer: None, .. }
            | PeerEvent::Closed { peer: None, .. }
            | PeerEvent::Message { .. }
            | PeerEvent::Left { .. }
            | PeerEvent::Backlog { .. }
            | PeerEvent::Heartbeat { .. } => {}
        }
    }

    /// Lets the application decide in a task of its own; one that panics refuses.
    fn admit(&mut self, endpoint: &Arc<Endpoint>, peer: PeerId, request: &Raw) {
        let Some(admits) = &mut self.admits else { return };
        // It may panic before there is anything to await.
        let deciding = apart(|| admits(request.read().unwrap_or_default())).map(tokio::spawn);
        let endpoint = Arc::clone(endpoint);
        tokio::spawn(async move {
            let is_admitted = match deciding {
                Some(deciding) => deciding.await.unwrap_or(false),
                None => false,
            };
            let command = if is_admitted {
                PeerCommand::Admit { peer }
            } else {
                PeerCommand::Refuse { peer }
            };
            endpoint.submit_with_turn(Command::Peer(command));
        });
    }
}

/// Describes a provider.
pub struct ProviderBuilder {
    options: ProviderOptions,
    listeners: Listeners,
}

impl ProviderBuilder {
    /// Sets the port; 0 takes a free one.
    #[must_use]
    pub fn port(self, port: u16) -> Self {
        self.options(|options| options.port = u64::from(port))
    }

    /// Lets in only those who come with this parameter, among others.
    #[must_use]
    pub fn parameter(self, name: &str, value: &str) -> Self {
        self.options(|options| options.auth.parameters.push(parameter(name, value)))
    }

    /// Speaks TLS with this certificate.
    #[must_use]
    pub fn tls(self, cert_file: &str, key_file: &str) -> Self {
        self.options(|options| {
            cert_file.clone_into(&mut options.ssl.cert);
            key_file.clone_into(&mut options.ssl.key);
        })
    }

    /// Decides who is let in, after the parameters were found to fit. The decision is made in a task of
    /// its own; one that takes too long is as if the provider were overloaded.
    #[must_use]
    pub fn admit_if<F>(mut self, mut decide: impl FnMut(Request) -> F + Send + 'static) -> Self
    where
        F: Future<Output = bool> + Send + 'static,
    {
        self.listeners.admits = Some(Box::new(move |request| Box::pin(decide(request))));
        self.options(|options| options.auth.asks = true)
    }

    /// Is told of every consumer that was let in. It must not block.
    #[must_use]
    pub fn on_open(mut self, take: impl FnMut(&Connection) + Send + 'static) -> Self {
        self.listeners.on_open = Some(Box::new(take));
        self
    }

    /// Takes messages. It must not block: consumers are not read meanwhile.
    #[must_use]
    pub fn on_message(mut self, take: impl FnMut(&Connection, Content) + Send + 'static) -> Self {
        self.listeners.on_message = Some(Box::new(take));
        self
    }

    /// Is told code and reason of every end: 1006 for one without a farewell, 0 for our own without a code.
    #[must_use]
    pub fn on_close(mut self, take: impl FnMut(&Connection, u32, &str) + Send + 'static) -> Self {
        self.listeners.on_close = Some(Box::new(take));
        self
    }

    /// Sets any option; a name that is none does not compile.
    #[must_use]
    pub fn options(mut self, set: impl FnOnce(&mut ProviderOptions)) -> Self {
        set(&mut self.options);
        self
    }

    /// Starts the provider and waits until it listens.
    ///
    /// # Errors
    /// `CONFIG_INVALID` with every problem of the options, `LISTEN_FAILED`.
    pub async fn start(self) -> Result<Provider, Error> {
        let Self { mut options, mut listeners } = self;
        options.heartbeat.awaits_greet = listeners.on_open.is_some();
        let application = Arc::new(Application::new(HashMap::new(), None));
        let listener = Listener::Peers(Box::new(move |endpoint, event| {
            listeners.take(endpoint, event);
        }));
        let (options, commands) = (options.describe(), vec![Command::Start]);
        let session = Session::open(&PROVIDER, &options, commands, &application, listener).await?;
        Ok(Provider { started: Started(session) })
    }
}

impl fmt::Debug for ProviderBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProviderBuilder").field("port", &self.options.port).finish_non_exhaustive()
    }
}
