//! ws-daemon: daemons by which programs of one machine run scripts and handlers on another.
//!
//! ```
//! use moorline::wsdaemon::Daemon;
//! use serde_json::{Value, json};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), moorline::Error> {
//! let server = Daemon::server("127.0.0.1:0")
//!     .handle("greet", |params: Value, _work| async move { Ok(i64::from(params != "Ada")) })
//!     .start()
//!     .await?;
//! let client = Daemon::client(&format!("ws://{}", server.id())).start().await?;
//!
//! assert_eq!(client.call("greet", &json!("Ada")).await?, Some(0));
//! # Ok(())
//! # }
//! ```
//!
//! The guide is `docs/wsdaemon-libraries.md`; what differs from the original is in `docs/wsdaemon.md`.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use moorline_core::options::OptionValue as _;
use moorline_core::options::wsdaemon::{DaemonMode, DaemonOptions};
use moorline_core::words::order;
use moorline_core::{CallCommand, Command, PeerEvent, Raw, Secret};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::application::Application;
use crate::call::{millis, written};
use crate::endpoint::{Listener, Role, Session};
use crate::handler::{Handler, erased};
use crate::worker::{WORKER, offers};
use crate::{Error, ErrorCode, Event, Failure, IntoReply, Started, WorkContext};

static DAEMON: Role =
    Role { dialect: "wsdaemon", name: "daemon", wire_id: "id", takes_reports: false, ..WORKER };

/// A daemon, client or server. Dropping it drains for 30 seconds in the background, as long as the runtime
/// lives; [`drain`](Self::drain) waits for that, and ends with zero at once.
#[derive(Debug)]
pub struct Daemon {
    started: Started,
}

impl Daemon {
    /// Begins to describe a client of the server at `server_url`, such as `wss://far.example`.
    #[must_use]
    pub fn client(server_url: &str) -> DaemonBuilder {
        DaemonBuilder::new().options(|options| {
            options.mode = DaemonMode::Client;
            server_url.clone_into(&mut options.server_url);
        })
    }

    /// Begins to describe a server that listens on `address`; port 0 takes a free one.
    #[must_use]
    pub fn server(address: &str) -> DaemonBuilder {
        DaemonBuilder::new().options(|options| {
            options.mode = DaemonMode::Server;
            address.clone_into(&mut options.listen);
        })
    }

    /// Returns the URL of a client's server, or the address that a server listens on.
    #[must_use]
    pub fn id(&self) -> String {
        self.started.0.id()
    }

    /// Tells whether a client is connected; a server is while it listens.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.started.0.is_ready()
    }

    /// Has the other side run a script or handler, and returns how it ended: with an exit code, or by a
    /// signal, which is `None`. A server asks its clients in turn, a client keeps what it asks until it is
    /// connected. Dropping the future asks for the status no longer; what runs goes on.
    ///
    /// # Errors
    /// `NOT_READY` if a server has no client, `CALL_TIMEOUT` if the status did not come within
    /// `asks.timeout_ms`, `CONNECTION_LOST` or `STOPPED` if it cannot come any more, `OVERLOADED`,
    /// `TOO_LARGE`, `ARGUMENT_INVALID`.
    pub async fn call(
        &self,
        name: &str,
        params: &(impl Serialize + ?Sized),
    ) -> Result<Option<i64>, Error> {
        self.call_raw(name, written(params)?).await
    }

    /// Does what [`call`](Self::call) does with parameters as they are; with [`Raw::absent`] there are none.
    ///
    /// # Errors
    /// Those of [`call`](Self::call).
    pub async fn call_raw(&self, name: &str, params: Raw) -> Result<Option<i64>, Error> {
        #[derive(Deserialize)]
        struct Answer {
            status: Option<i64>,
        }
        let (name, options) = (name.to_owned(), Raw::empty_object());
        let make = |call| CallCommand::Make { call, name, payload: params, options };
        let answer = self.started.0.endpoint().call(|call| Command::Call(make(call))).await?;
        let read = |e| Error::caused(ErrorCode::PeerProtocol, "the status is none", e);
        Ok(answer.read::<Answer>().map_err(read)?.status)
    }

    /// Writes `data` to the programs of the other side; nothing answers.
    ///
    /// # Errors
    /// `ARGUMENT_INVALID`, `STOPPED`, `OVERLOADED`.
    pub fn tell(&self, data: &(impl Serialize + ?Sized)) -> Result<(), Error> {
        self.order(order::REMOTE, order::STATUS, data)
    }

    /// Sends the client at the other end away for a while, if it honours that.
    ///
    /// # Errors
    /// `STOPPED`, `OVERLOADED`.
    pub fn send_away(&self, time: Duration) -> Result<(), Error> {
        self.order(order::REMOTE, order::PAUSE, &millis(time))
    }

    /// Disconnects this client for a while. A server goes on.
    ///
    /// # Errors
    /// `STOPPED`, `OVERLOADED`.
    pub fn pause(&self, time: Duration) -> Result<(), Error> {
        self.order(order::LOCAL, order::PAUSE, &millis(time))
    }

    /// Takes no more requests, lets running ones finish for `limit` and answers them, then closes.
    ///
    /// # Errors
    /// `DRAIN_TIMEOUT` if requests were still open then, or why else the daemon ended.
    pub async fn drain(self, limit: Duration) -> Result<(), Error> {
        self.started.0.drain(limit).await
    }

    fn order(&self, name: &str, code: &str, data: &(impl Serialize + ?Sized)) -> Result<(), Error> {
        #[derive(Serialize)]
        struct Order<'a> {
            code: &'a str,
            data: Raw,
        }
        let payload = written(&Order { code, data: written(data)? })?;
        self.started.0.submit_soon(Command::Emit { name: name.to_owned(), payload })
    }
}

impl Deref for Daemon {
    type Target = Started;

    fn deref(&self) -> &Started {
        &self.started
    }
}

type OnMessage = Box<dyn FnMut(Raw) + Send>;

/// Describes a daemon. Every option has a default; see the table of options.
pub struct DaemonBuilder {
    options: DaemonOptions,
    handlers: HashMap<String, Handler>,
    on_message: Option<OnMessage>,
}

impl DaemonBuilder {
    fn new() -> Self {
        Self { options: DaemonOptions::default(), handlers: HashMap::new(), on_message: None }
    }

    /// Sets the token that a client shows and a server wants to see.
    #[must_use]
    pub fn token(self, token: &str) -> Self {
        self.options(|options| options.token = Secret::new(token))
    }

    /// Offers the executable files of a folder, as they are at the start, under their names.
    #[must_use]
    pub fn scripts(self, folder: &str) -> Self {
        self.options(|options| folder.clone_into(&mut options.scripts.folder))
    }

    /// Lets programs of this machine ask at a Unix socket.
    #[must_use]
    pub fn socket_path(self, path: &str) -> Self {
        self.options(|options| path.clone_into(&mut options.local.socket_path))
    }

    /// Offers a handler under `name`, in the place of a script of that name. Its parameters are any type of
    /// serde; those that are absent are `null`. The status is what it returns: a whole number, or the
    /// member `status` of an object, else 0; a failure is 1.
    #[must_use]
    pub fn handle<P, R, F, Fut>(mut self, name: &str, handler: F) -> Self
    where
        P: DeserializeOwned + Send + 'static,
        R: IntoReply + 'static,
        F: Fn(P, WorkContext) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<R, Failure>> + Send + 'static,
    {
        self.handlers.insert(name.to_owned(), erased(handler));
        self
    }

    /// Takes what the other side says to local programs while there is none. It must not block.
    #[must_use]
    pub fn on_message(mut self, take: impl FnMut(Raw) + Send + 'static) -> Self {
        self.on_message = Some(Box::new(take));
        self
    }

    /// Sets any option; a name that is none does not compile. Values are checked at the start, all at once,
    /// with their paths.
    #[must_use]
    pub fn options(mut self, set: impl FnOnce(&mut DaemonOptions)) -> Self {
        set(&mut self.options);
        self
    }

    /// Starts the daemon and waits until a client is connected, however many attempts that takes, or a
    /// server listens.
    ///
    /// # Errors
    /// `CONFIG_INVALID` with every problem of the options, `ARGUMENT_INVALID` for the name of a handler,
    /// `LISTEN_FAILED`, or `AUTHENTICATION_FAILED` if the server does not accept the token.
    pub async fn start(self) -> Result<Daemon, Error> {
        let Self { options, handlers, mut on_message } = self;
        let application = Arc::new(Application::new(handlers, None));
        let mut commands = offers(&DAEMON, &application, &HashMap::new())?;
        commands.push(Command::Start);
        let listener = Listener::Peers(Box::new(move |endpoint, event| match event {
            PeerEvent::Message { payload, .. } => {
                if let Some(take) = &mut on_message {
                    take(payload);
                }
            }
            PeerEvent::Joined { name, .. } => endpoint.tell(Event::PeerJoined { name }),
            PeerEvent::Left { name, reason, .. } => {
                endpoint.tell(Event::PeerLeft { name, reason });
            }
            PeerEvent::Received { .. }
            | PeerEvent::Closed { .. }
            | PeerEvent::AdmissionAsked { .. }
            | PeerEvent::Backlog { .. }
            | PeerEvent::Heartbeat { .. } => {}
        }));
        let options = options.describe();
        let session = Session::open(&DAEMON, &options, commands, &application, listener).await?;
        Ok(Daemon { started: Started(session) })
    }
}

impl fmt::Debug for DaemonBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DaemonBuilder").field("mode", &self.options.mode).finish_non_exhaustive()
    }
}
