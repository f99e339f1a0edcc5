//! The daemon as a value.

use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use moorline_core::WorkCommand;
use moorline_core::options::{DaemonOptions, OptionValue as _};
use moorline_core::{Command, Error, ErrorCode, Raw, Secret};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::oneshot;

use super::builder::{DaemonBuilder, erased};
use super::command::{RawCommand, SendCommand};
use super::context::CommandContext;
use super::events::{Events, Messages};
use super::reply::{Failure, IntoReply};
use super::role::{Board, Daemon, Gauge, listen, lock, offer};
use crate::desk::{Desk, Session};
use moorline_driver::Counters;

/// A VOLT cluster daemon. Cheap to clone; the last clone that is dropped closes the connection at once.
#[derive(Clone)]
pub struct DaemonClient {
    options: Arc<Mutex<DaemonOptions>>,
    board: Arc<Board>,
    live: Arc<Mutex<Option<Arc<Live>>>>,
    timeout: Option<Duration>,
}

/// A session: from a connect to the disconnect.
#[derive(Debug)]
pub(super) struct Live {
    session: Session,
    gauge: Arc<Gauge>,
}

impl Live {
    pub(super) fn desk(&self) -> &Arc<Desk> {
        &self.session.desk
    }

    async fn leave(&self) {
        self.gauge.mute();
        // However the session ended before: it is over.
        let _ = self.session.drain(Duration::ZERO).await;
    }
}

impl DaemonClient {
    /// Begins to describe a daemon. The path of `control_socket_url` is the Socket.IO namespace.
    #[must_use]
    pub fn builder(control_socket_url: &str, team_cluster_id: &str) -> DaemonBuilder {
        DaemonBuilder::new(control_socket_url, team_cluster_id)
    }

    pub(super) fn new(options: DaemonOptions, board: Board, timeout: Option<Duration>) -> Self {
        Self {
            options: Arc::new(Mutex::new(options)),
            board: Arc::new(board),
            live: Arc::default(),
            timeout,
        }
    }

    /// Enrolls if need be, connects, registers and begins to beat. A second call replaces the session.
    /// Must run in a tokio runtime, where handlers then run as tasks.
    ///
    /// Dropping the future gives up.
    ///
    /// # Errors
    /// `ENROLLMENT_FAILED`; `CONNECT_FAILED` or `REGISTRATION_FAILED` of the first attempt, after which
    /// the daemon goes on trying in the background until [`disconnect`](Self::disconnect), unless the
    /// control plane has no such namespace.
    pub async fn connect(&self) -> Result<(), Error> {
        let old = lock(&self.live).take();
        if let Some(old) = old {
            old.leave().await;
        }
        self.learn();
        let (connecting, connected) = oneshot::channel();
        let gauge = Arc::new(Gauge::default());
        let role = Daemon {
            board: Arc::clone(&self.board),
            gauge: Arc::clone(&gauge),
            connecting: Some(connecting),
            running: Arc::default(),
        };
        let mut commands = self.board.greeting();
        commands.push(Command::Start);
        let options = lock(&self.options).describe();
        let session = Session::start("volt", "daemon", &options, commands, role)?;
        let live = Arc::new(Live { session, gauge });
        let replaced = lock(&self.live).replace(Arc::clone(&live));
        drop(replaced);
        let mut connecting = Connecting { daemon: self, live: Some(live) };
        let result = connected.await;
        connecting.live = None;
        result.unwrap_or_else(|_| Err(ErrorCode::Stopped.into()))
    }

    /// Says farewell, closes, and waits until that is done, at most about a second. Nobody is told
    /// anything any more; commands that wait fail with `NOT_READY`. May be repeated, and
    /// [`connect`](Self::connect) may be called again.
    pub async fn disconnect(&self) {
        let live = lock(&self.live).take();
        if let Some(live) = live {
            live.leave().await;
        }
        self.learn();
    }

    /// Tells whether the daemon is registered.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        lock(&self.live).as_ref().is_some_and(|live| live.gauge.is_ready())
    }

    /// Prepares a command with a payload of any type of serde; `null`, such as that of `&()`, is left
    /// out. Await it to send it; drop the future to cancel it.
    ///
    /// # Errors
    /// `NOT_READY` when not registered or when the connection ends first, which leaves open whether the
    /// command was carried out; `CALL_TIMEOUT`; `REMOTE_ERROR`, with the answer's
    /// [`status`](Error::status); `TOO_LARGE`; `ARGUMENT_INVALID` if payload or answer do not fit.
    pub fn send_command<T: DeserializeOwned>(
        &self,
        command: &str,
        payload: &(impl Serialize + ?Sized),
    ) -> SendCommand<T> {
        let written = Raw::from_value(payload);
        SendCommand::new(match written {
            Ok(payload) if payload.as_str() == "null" => {
                self.send_command_raw(command, Raw::absent())
            }
            Ok(payload) => self.send_command_raw(command, payload),
            Err(error) => RawCommand::refused(Error::new(
                ErrorCode::ArgumentInvalid,
                format!("the payload: {error}"),
            )),
        })
    }

    /// Prepares a command whose payload, blobs included, goes out as it is; [`Raw::absent`] sends none.
    /// The answer's data come back in the same way.
    ///
    /// # Errors
    /// Those of [`send_command`](Self::send_command).
    pub fn send_command_raw(&self, command: &str, payload: Raw) -> RawCommand {
        RawCommand::new(self.ready_desk(), command, payload, self.timeout)
    }

    /// Sends a message without an answer, or queues it, bounded by `max_queued`, until registered.
    ///
    /// # Errors
    /// `NOT_STARTED` before `connect` and after `disconnect`, `TOO_LARGE`, `ARGUMENT_INVALID`.
    pub fn emit(&self, message: &(impl Serialize + ?Sized)) -> Result<(), Error> {
        let message = Raw::from_value(message)
            .map_err(|e| Error::new(ErrorCode::ArgumentInvalid, format!("the message: {e}")))?;
        self.emit_raw(message)
    }

    /// Sends a message as it is, blobs included.
    ///
    /// # Errors
    /// Those of [`emit`](Self::emit).
    pub fn emit_raw(&self, message: Raw) -> Result<(), Error> {
        let live = self.live()?;
        let (size, blobs) = (message.as_str().len() as u64, message.blobs().len());
        if let Some(max) = live.gauge.max_message().filter(|max| size > *max) {
            let text = format!("a message of {size} bytes; the control plane takes at most {max}");
            return Err(Error::new(ErrorCode::TooLarge, text));
        }
        if blobs > moorline_core::words::MAX_ATTACHMENTS {
            let max = moorline_core::words::MAX_ATTACHMENTS;
            let text = format!("a message with {blobs} byte strings; it may hold {max}");
            return Err(Error::new(ErrorCode::TooLarge, text));
        }
        live.desk().submit_soon(Command::Emit { name: String::new(), payload: message })
    }

    /// Handles a command from here on, connected or not; a handler of the same command is replaced.
    ///
    /// The payload and what is returned are any types of serde, or [`Raw`], or a
    /// [`Reply`](super::Reply). An error is an answer that says no if it is a
    /// [`Rejection`](super::Rejection).
    pub fn register_handler<P, R, F, Fut>(&self, command: &str, handler: F)
    where
        P: DeserializeOwned + Send + 'static,
        R: IntoReply + 'static,
        F: Fn(P, CommandContext) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<R, Failure>> + Send + 'static,
    {
        lock(&self.board.handlers).insert(command.to_owned(), erased(handler));
        self.tell(offer(command));
    }

    /// Handles a command no longer; what runs goes on. Unknown commands are ignored.
    pub fn unregister_handler(&self, command: &str) {
        if lock(&self.board.handlers).remove(command).is_some() {
            self.tell(Command::Work(WorkCommand::Unhandle { key: command.to_owned() }));
        }
    }

    /// Returns what happens to the daemon from here on.
    #[must_use]
    pub fn events(&self) -> Events {
        Events(self.board.events.subscribe())
    }

    /// Returns the messages of the control plane from here on. They are asked for while somebody has
    /// such a value: drop it when they are no longer wanted.
    #[must_use]
    pub fn messages(&self) -> Messages {
        let messages = Messages::new(&self.board, &self.live);
        self.tell(listen());
        messages
    }

    /// Sets the password for later registrations, on this connection or another one.
    ///
    /// # Errors
    /// `STOPPED` if the session has just ended; the password is kept all the same.
    pub fn set_daemon_password(&self, password: &str) -> Result<(), Error> {
        #[derive(Serialize)]
        struct Password<'a> {
            password: &'a str,
        }
        self.learn();
        lock(&self.options).daemon_password = Secret::new(password);
        let Ok(live) = self.live() else { return Ok(()) };
        let payload = Raw::from_value(&Password { password })
            .map_err(|e| Error::new(ErrorCode::Internal, e.to_string()))?;
        live.desk().submit_soon(Command::Emit { name: String::from("$password"), payload })
    }

    /// Returns the password: as configured, as enrolled, or as set since.
    #[must_use]
    pub fn daemon_password(&self) -> Secret {
        self.learn();
        lock(&self.options).daemon_password.clone()
    }

    /// Returns the id under which the daemon registers.
    #[must_use]
    pub fn team_cluster_id(&self) -> String {
        lock(&self.options).team_cluster_id.clone()
    }

    /// Returns the state as JSON: link, counters, what waits.
    ///
    /// # Errors
    /// `NOT_STARTED` when not connected.
    pub async fn snapshot(&self) -> Result<Raw, Error> {
        let live = self.live()?;
        live.desk().snapshot().await
    }

    /// Returns what the I/O thread of the present session has done, counted; zeros without one.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.live().map(|live| live.desk().counters()).unwrap_or_default()
    }

    fn ready_desk(&self) -> Result<Arc<Desk>, Error> {
        match &*lock(&self.live) {
            Some(live) if live.gauge.is_ready() => Ok(Arc::clone(live.desk())),
            Some(_) | None => Err(Error::new(
                ErrorCode::NotReady,
                "the daemon is not registered at the control plane",
            )),
        }
    }

    fn live(&self) -> Result<Arc<Live>, Error> {
        lock(&self.live).clone().ok_or_else(|| ErrorCode::NotStarted.into())
    }

    /// A session that is there is told; a later one is told when it begins.
    fn tell(&self, command: Command) {
        if let Ok(live) = self.live() {
            // It may have ended.
            let _ = live.desk().submit_soon(command);
        }
    }

    /// A token is good for one enrollment: later sessions use the password that it returned.
    fn learn(&self) {
        let enrolled = lock(&self.board.enrolled).take();
        if let Some(password) = enrolled {
            let mut options = lock(&self.options);
            options.daemon_password = password;
            options.enrollment.enabled = false;
        }
    }
}

impl fmt::Debug for DaemonClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DaemonClient").field("is_ready", &self.is_ready()).finish_non_exhaustive()
    }
}

/// Gives up when whoever connects does.
struct Connecting<'a> {
    daemon: &'a DaemonClient,
    live: Option<Arc<Live>>,
}

impl Drop for Connecting<'_> {
    fn drop(&mut self) {
        let Some(given_up) = self.live.take() else { return };
        given_up.gauge.mute();
        let mut live = lock(&self.daemon.live);
        if live.as_ref().is_some_and(|present| Arc::ptr_eq(present, &given_up)) {
            *live = None;
        }
    }
}
