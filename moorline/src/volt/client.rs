//! The daemon as a value.

use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use moorline_core::options::{CommandOptions, DaemonOptions, OptionValue as _};
use moorline_core::words::STREAM;
use moorline_core::{Command, Raw, Secret, WorkCommand};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::builder::DaemonBuilder;
use super::outcome::outcome;
use crate::application::{Application, offer};
use crate::call::written;
use crate::endpoint::{Role, lock};
use crate::handler::erased;
use crate::messages::{Messages, listen};
use crate::pace::Pace;
use crate::session_slot::SessionSlot;
use crate::{Call, Counters, Error, ErrorCode, Events, Failure, IntoReply, Reply, WorkContext};

static DAEMON: Role = Role {
    dialect: "volt",
    name: "daemon",
    wire_id: "request_id",
    unhandled: "Unknown daemon command: ",
    drops_withdrawn: false,
    takes_reports: false,
    drains_when_dropped: true,
    outcome,
};

/// A VOLT cluster daemon. Cheap to clone; the last clone that is dropped drains for 30 seconds in the background,
/// as long as the runtime lives. [`disconnect`](Self::disconnect) ends at once.
#[derive(Clone)]
pub struct DaemonClient {
    options: Arc<Mutex<DaemonOptions>>,
    application: Arc<Application>,
    slot: Arc<SessionSlot>,
    timeout: Option<Duration>,
    pace: Arc<Pace>,
}

impl DaemonClient {
    /// Begins to describe a daemon. The path of `control_socket_url` is the Socket.IO namespace.
    #[must_use]
    pub fn builder(control_socket_url: &str, team_cluster_id: &str) -> DaemonBuilder {
        DaemonBuilder::new(control_socket_url, team_cluster_id)
    }

    pub(super) fn new(
        options: DaemonOptions,
        application: Application,
        timeout: Option<Duration>,
    ) -> Self {
        Self {
            pace: Pace::new(options.limits.max_send_queue_bytes),
            options: Arc::new(Mutex::new(options)),
            application: Arc::new(application),
            slot: Arc::default(),
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
        self.disconnect().await;
        let mut commands = self.application.offers();
        if self.application.messages.receiver_count() > 0 {
            commands.push(listen());
        }
        commands.push(Command::Start);
        let options = lock(&self.options).describe();
        let connecting = self.slot.connect(&DAEMON, &options, commands, &self.application);
        connecting.await?.unwrap_or_else(|| {
            let text = "disconnected before the daemon was registered";
            Err(Error::new(ErrorCode::ConnectFailed, text))
        })
    }

    /// Says farewell, closes, and waits until that is done, at most about a second. Nobody is told
    /// anything any more; commands that wait fail with `NOT_READY`. May be repeated, and
    /// [`connect`](Self::connect) may be called again.
    pub async fn disconnect(&self) {
        self.slot.disconnect().await;
        self.learn();
    }

    /// Refuses new commands with status 503, lets running handlers and commands finish for `limit`, says
    /// farewell and closes. Returns at once when not connected. [`connect`](Self::connect) may be called again.
    ///
    /// # Errors
    /// `DRAIN_TIMEOUT` if handlers were still running then, or why else the session ended.
    pub async fn drain(&self, limit: Duration) -> Result<(), Error> {
        let drained = self.slot.drain(limit).await;
        self.learn();
        drained
    }

    /// Tells whether the daemon is registered.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.slot.ready().is_some()
    }

    /// Prepares a command with a payload of any type of serde; `null`, such as that of `&()`, is left
    /// out. Await it to send it; drop the future to cancel it.
    ///
    /// # Errors
    /// `NOT_READY` when not registered or when the connection ends first, which leaves open whether the
    /// command was carried out; `CALL_TIMEOUT`; `REMOTE_ERROR`, with the answer's
    /// [`status`](Error::status); `TOO_LARGE`; `ARGUMENT_INVALID` if the payload is not JSON.
    pub fn send_command(
        &self,
        command: &str,
        payload: &(impl Serialize + ?Sized),
    ) -> Call<CommandOptions> {
        let is_null = |payload: &Raw| payload.as_str() == "null";
        let left_out = |payload| if is_null(&payload) { Raw::absent() } else { payload };
        self.prepare(command, written(payload).map(left_out))
    }

    /// Prepares a command whose payload, blobs included, goes out as it is; [`Raw::absent`] sends none.
    /// [`Reply::raw`](crate::Reply::raw) is the answer in the same form.
    ///
    /// # Errors
    /// Those of [`send_command`](Self::send_command).
    pub fn send_command_raw(&self, command: &str, payload: Raw) -> Call<CommandOptions> {
        self.prepare(command, Ok(payload))
    }

    fn prepare(&self, command: &str, payload: Result<Raw, Error>) -> Call<CommandOptions> {
        let text = "the daemon is not registered at the control plane";
        let endpoint = self.slot.ready().ok_or_else(|| Error::new(ErrorCode::NotReady, text));
        let call: Call<CommandOptions> = Call::new(endpoint, command, payload, Reply::read);
        match self.timeout {
            Some(limit) => call.timeout(limit),
            None => call,
        }
    }

    /// Sends a message without an answer, or queues it, bounded by `max_queued`, until registered.
    ///
    /// # Errors
    /// `NOT_STARTED` before `connect` and after `disconnect`, `TOO_LARGE`, `ARGUMENT_INVALID`, also for a
    /// [`Raw`] with byte strings, which [`emit_raw`](Self::emit_raw) takes; `OVERLOADED` while
    /// `limits.max_send_queue_bytes` wait to be sent: see [`flushed`](Self::flushed).
    pub fn emit(&self, message: &(impl Serialize + ?Sized)) -> Result<(), Error> {
        self.emit_raw(written(message)?)
    }

    /// Sends a message as it is, blobs included.
    ///
    /// # Errors
    /// Those of [`emit`](Self::emit).
    pub fn emit_raw(&self, message: Raw) -> Result<(), Error> {
        self.emit_as("", message)
    }

    /// Sends a part of a stream that nobody has asked for, such as a log: the control plane knows it by
    /// `stream_id` and reads each part by itself. It goes in the form that the control plane's generation
    /// takes, waits until that is known, and is lost with its connection.
    ///
    /// # Errors
    /// Those of [`emit`](Self::emit). That a control plane of the first generation takes no such streams
    /// is told among the [`events`](Self::events), with `UNSUPPORTED`.
    pub fn emit_stream(&self, stream_id: &str, chunk: impl Into<Bytes>) -> Result<(), Error> {
        let part = written(&Part { stream_id, chunk: Blob { is_one: true, num: 0 } })?;
        self.emit_as(STREAM, part.with_blobs(vec![chunk.into()]))
    }

    /// Ends such a stream; `failure` says why it did, if it failed.
    ///
    /// # Errors
    /// Those of [`emit`](Self::emit).
    pub fn end_stream(&self, stream_id: &str, failure: Option<&str>) -> Result<(), Error> {
        self.emit_as(STREAM, written(&End { stream_id, end: true, message: failure })?)
    }

    fn emit_as(&self, name: &str, message: Raw) -> Result<(), Error> {
        let session = self.slot.session()?;
        let blobs = message.blobs().len();
        let largest = message.blobs().iter().map(Bytes::len).max().unwrap_or(0);
        let size = message.as_str().len().max(largest) as u64;
        if let Some(max) = session.max_message().filter(|max| size > *max) {
            let text = format!("a message of {size} bytes; the control plane takes at most {max}");
            return Err(Error::new(ErrorCode::TooLarge, text));
        }
        if blobs > moorline_core::words::MAX_ATTACHMENTS {
            let max = moorline_core::words::MAX_ATTACHMENTS;
            let text = format!("a message with {blobs} byte strings; it may hold {max}");
            return Err(Error::new(ErrorCode::TooLarge, text));
        }
        self.pace.emit(session.endpoint(), ["", name], Raw::empty_object, message)
    }

    /// Waits until everything emitted so far has left this process, which may be long after a lost
    /// connection.
    ///
    /// # Errors
    /// `NOT_STARTED` when not connected, `STOPPED` when the session ends before.
    pub async fn flushed(&self) -> Result<(), Error> {
        let session = self.slot.session()?;
        self.pace.flushed(session.endpoint(), "", Raw::empty_object()).await
    }

    /// Handles a command from here on, connected or not; a handler of the same command is replaced.
    ///
    /// The payload and what is returned are any types of serde, or [`Raw`], or a [`Reply`]. A
    /// [`Failure::rejected`] is an answer that says no.
    pub fn register_handler<P, R, F, Fut>(&self, command: &str, handler: F)
    where
        P: DeserializeOwned + Send + 'static,
        R: IntoReply + 'static,
        F: Fn(P, WorkContext) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<R, Failure>> + Send + 'static,
    {
        lock(&self.application.handlers).insert(command.to_owned(), erased(handler));
        self.slot.tell(offer(command));
    }

    /// Handles a command no longer; what runs goes on. Unknown commands are ignored.
    pub fn unregister_handler(&self, command: &str) {
        if lock(&self.application.handlers).remove(command).is_some() {
            self.slot.tell(Command::Work(WorkCommand::Unhandle { key: command.to_owned() }));
        }
    }

    /// Returns what happens to the daemon from here on.
    #[must_use]
    pub fn events(&self) -> Events {
        Events::new(&self.application)
    }

    /// Returns the messages of the control plane from here on. They are asked for while somebody has
    /// such a value: drop it when they are no longer wanted.
    #[must_use]
    pub fn messages(&self) -> Messages {
        let messages = Messages::new(&self.application, &self.slot);
        self.slot.tell(listen());
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
        let Ok(session) = self.slot.session() else { return Ok(()) };
        let payload = Raw::from_value(&Password { password })
            .map_err(|e| Error::caused(ErrorCode::Internal, "the password", e))?;
        session.submit_soon(Command::Emit { name: String::from("$password"), payload })
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
        let session = self.slot.session()?;
        session.endpoint().snapshot().await
    }

    /// Returns what the I/O thread of the present session has done, counted; zeros without one.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.slot.session().map(|session| session.counters()).unwrap_or_default()
    }

    /// A token is good for one enrollment: later sessions use the password that it returned.
    fn learn(&self) {
        if let Some(password) = self.application.take_enrolled() {
            let mut options = lock(&self.options);
            options.daemon_password = password;
            options.enrollment.enabled = false;
        }
    }
}

/// A part of a stream whose bytes are the first blob.
#[derive(Serialize)]
struct Part<'a> {
    stream_id: &'a str,
    chunk: Blob,
}

/// Stands for the first blob.
#[derive(Serialize)]
struct Blob {
    #[serde(rename = "_placeholder")]
    is_one: bool,
    num: usize,
}

#[derive(Serialize)]
struct End<'a> {
    stream_id: &'a str,
    end: bool,
    message: Option<&'a str>,
}

impl fmt::Debug for DaemonClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DaemonClient").field("is_ready", &self.is_ready()).finish_non_exhaustive()
    }
}
