//! The control plane inside the process, for tests and small installations.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use moorline_core::options::{CallOptions, HubOptions, OptionValue as _, VoltCredential};
use moorline_core::{CallCommand, Command, Raw, Secret, words};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Map;

use crate::application::{Application, offer};
use crate::call::{millis, written};
use crate::endpoint::{Listener, OnMessage, Role, Session};
use crate::handler::{Handler, erased};
use crate::pace::Pace;
use crate::volt::outcome;
use crate::{Call, Error, ErrorCode, Failure, IntoReply, Reply, Started, WorkContext};

static HUB: Role = Role {
    dialect: "beacon",
    name: "hub",
    wire_id: "request_id",
    unhandled: "Unknown daemon server command: ",
    drops_withdrawn: true,
    takes_reports: false,
    drains_when_dropped: false,
    outcome,
};

/// A control plane that runs in this process.
#[derive(Debug)]
pub struct Hub {
    started: Started,
    scheme: &'static str,
    pace: Arc<Pace>,
}

impl Hub {
    /// Begins to describe a hub.
    #[must_use]
    pub fn builder() -> HubBuilder {
        HubBuilder {
            options: HubOptions::default(),
            scheme: "http",
            on_message: None,
            handlers: HashMap::new(),
        }
    }

    /// Returns the address it listens on, with the port that was chosen.
    #[must_use]
    pub fn address(&self) -> String {
        self.started.0.id()
    }

    /// Returns where workers and dispatchers reach it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.address())
    }

    /// Prepares a command to the VOLT daemon `team_cluster_id`. Await it to send it.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use moorline::{Hub, volt::DaemonClient};
    /// # use serde_json::{Value, json};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), moorline::Error> {
    /// let hub = Hub::builder().listen("127.0.0.1:0").start().await?;
    /// let token = hub.create_token("cluster-abc123", "rack 7", Duration::from_secs(3_600)).await?;
    /// let daemon = DaemonClient::builder(&hub.url(), "cluster-abc123")
    ///     .enroll(&hub.url(), &token.token, "")
    ///     .handle("jobs.list", |_: Value, _| async { Ok(json!([7])) })
    ///     .connect()
    ///     .await?;
    ///
    /// let reply = hub.call_daemon("cluster-abc123", "jobs.list", &json!({})).await?;
    /// assert_eq!(reply.data::<Value>()?, json!([7]));
    /// # drop(daemon);
    /// # Ok(())
    /// # }
    /// ```
    pub fn call_daemon(
        &self,
        team_cluster_id: &str,
        command: &str,
        payload: &(impl Serialize + ?Sized),
    ) -> Call {
        self.prepare(team_cluster_id, command, written(payload))
    }

    /// Prepares a command whose payload, blobs included, goes out as it is; [`Raw::absent`] sends none.
    /// [`Reply::raw`](crate::Reply::raw) is the answer in the same form.
    pub fn call_daemon_raw(&self, team_cluster_id: &str, command: &str, payload: Raw) -> Call {
        self.prepare(team_cluster_id, command, Ok(payload))
    }

    fn prepare(&self, id: &str, command: &str, payload: Result<Raw, Error>) -> Call {
        let endpoint = Ok(Arc::clone(self.started.0.endpoint()));
        Call::new(endpoint, command, payload, Reply::read_parts).daemon(id)
    }

    /// Sends a message to the VOLT daemon `team_cluster_id`. What becomes of it is not told; a
    /// daemon that is not registered gets none.
    ///
    /// # Errors
    /// `ARGUMENT_INVALID` if it cannot be written as JSON, also for a [`Raw`] with byte strings, which
    /// [`send_to_daemon_raw`](Self::send_to_daemon_raw) takes; `OVERLOADED` while
    /// `limits.max_send_queue_bytes` wait for this daemon: see [`flushed`](Self::flushed); `STOPPED` after
    /// the end.
    pub fn send_to_daemon(
        &self,
        team_cluster_id: &str,
        message: &(impl Serialize + ?Sized),
    ) -> Result<(), Error> {
        self.send_to_daemon_raw(team_cluster_id, written(message)?)
    }

    /// Sends a message as it is, blobs included.
    ///
    /// # Errors
    /// Those of [`send_to_daemon`](Self::send_to_daemon), and `TOO_LARGE` for too many byte strings.
    pub fn send_to_daemon_raw(&self, team_cluster_id: &str, message: Raw) -> Result<(), Error> {
        let (blobs, max) = (message.blobs().len(), words::MAX_ATTACHMENTS);
        if blobs > max {
            let text = format!("a message with {blobs} byte strings; it may hold {max}");
            return Err(Error::new(ErrorCode::TooLarge, text));
        }
        let options = || daemon_options(team_cluster_id);
        self.pace.emit(self.started.0.endpoint(), [team_cluster_id; 2], options, message)
    }

    /// Waits until everything that was sent to the VOLT daemon `team_cluster_id` has left this process.
    ///
    /// # Errors
    /// `NOT_READY` when it is not registered, or is lost before: then nobody knows. `NO_WORKER` for an
    /// unknown daemon, `STOPPED` after the end.
    pub async fn flushed(&self, team_cluster_id: &str) -> Result<(), Error> {
        let options = daemon_options(team_cluster_id);
        self.pace.flushed(self.started.0.endpoint(), team_cluster_id, options).await
    }

    /// Makes a token with which the VOLT daemon `team_cluster_id` enrolls, once; `name` is what
    /// people call it, empty takes the id. It is good for `lifetime`, or for the option
    /// `volt.token_ttl_ms` if that is zero.
    ///
    /// # Errors
    /// `ARGUMENT_INVALID` for an id or name that is too long, `OVERLOADED` when there are too many.
    pub async fn create_token(
        &self,
        team_cluster_id: &str,
        name: &str,
        lifetime: Duration,
    ) -> Result<EnrollmentToken, Error> {
        let expires_ms = millis(lifetime);
        let new = NewToken { cluster: team_cluster_id, name, expires_ms };
        let answer = self.administer("$enroll", &new).await?;
        answer.read().map_err(|e| Error::caused(ErrorCode::Internal, "the token", e))
    }

    /// Makes a token worthless.
    ///
    /// # Errors
    /// `NO_WORKER` if there is none of this id.
    pub async fn revoke_token(&self, id: &str) -> Result<(), Error> {
        self.administer("$revoke", &serde_json::json!({ (words::subject::TOKEN): id }))
            .await
            .map(drop)
    }

    /// Returns every VOLT daemon as JSON: a list of objects as in `docs/wire-extensions.md`.
    ///
    /// # Errors
    /// `STOPPED` after the end.
    pub async fn daemons(&self) -> Result<Raw, Error> {
        self.administer("$daemons", &Map::new()).await
    }

    async fn administer(&self, name: &str, body: &impl Serialize) -> Result<Raw, Error> {
        let (name, payload) = (name.to_owned(), written(body)?);
        let options = Raw::empty_object();
        let command = |call| Command::Call(CallCommand::Make { call, name, payload, options });
        self.started.0.endpoint().call(command).await
    }

    /// Lets running work finish for `limit`, then ends.
    ///
    /// # Errors
    /// `DRAIN_TIMEOUT` if work was still running then, or why else the hub ended.
    pub async fn drain(self, limit: Duration) -> Result<(), Error> {
        self.started.0.drain(limit).await
    }
}

impl Deref for Hub {
    type Target = Started;

    fn deref(&self) -> &Started {
        &self.started
    }
}

fn daemon_options(team_cluster_id: &str) -> Raw {
    let mut options = CallOptions::default();
    team_cluster_id.clone_into(&mut options.team_cluster_id);
    Raw::parse(options.describe()).unwrap_or_else(|_| Raw::empty_object())
}

/// Tells whether a command may have a handler. The core would only give notice, which nobody awaits.
fn takes_handler(command: &str) -> bool {
    (1..=256).contains(&command.len()) && !matches!(command, "*" | words::HEARTBEAT)
}

/// Describes a hub.
pub struct HubBuilder {
    options: HubOptions,
    scheme: &'static str,
    on_message: Option<OnMessage>,
    handlers: HashMap<String, Handler>,
}

impl fmt::Debug for HubBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HubBuilder").field("listen", &self.options.listen).finish_non_exhaustive()
    }
}

impl HubBuilder {
    /// Sets the address to listen on; port 0 takes a free one.
    #[must_use]
    pub fn listen(self, address: &str) -> Self {
        self.options(|options| address.clone_into(&mut options.listen))
    }

    /// Presents this certificate: the hub speaks TLS.
    #[must_use]
    pub fn tls(mut self, cert_file: &str, key_file: &str) -> Self {
        self.scheme = "https";
        self.options(|options| {
            cert_file.clone_into(&mut options.runtime.cert_file);
            key_file.clone_into(&mut options.runtime.key_file);
        })
    }

    /// Keeps queue, results and daemons in a SQLite file, across the end of the process.
    #[must_use]
    pub fn store_path(self, path: &str) -> Self {
        self.options(|options| path.clone_into(&mut options.runtime.store_path))
    }

    /// Lets the VOLT daemon `team_cluster_id` register with a password that is agreed beforehand; all
    /// others enroll.
    #[must_use]
    pub fn daemon(self, team_cluster_id: &str, password: &str) -> Self {
        let mut daemon = VoltCredential::default();
        team_cluster_id.clone_into(&mut daemon.team_cluster_id);
        daemon.password = Secret::new(password);
        self.options(|options| options.volt.daemons.push(daemon))
    }

    /// Takes the messages of VOLT daemons: all that are neither commands nor answers to ours. It is
    /// given the team cluster id and the message, and must not block.
    #[must_use]
    pub fn on_daemon_message(mut self, take: impl FnMut(&str, Raw) + Send + 'static) -> Self {
        self.on_message = Some(Box::new(take));
        self
    }

    /// Answers the command `command` of VOLT daemons. What a handler returns is any type of serde, or a
    /// [`Reply`] without a stream. A [`Failure::rejected`] is the daemon's to see; any other is told to
    /// [`Hub::events`], and the daemon learns only that there was one. Handlers run as tasks on the
    /// runtime that starts the hub; one whose daemon is lost, or whose time is up, is dropped.
    /// `runtime.heartbeat` is the hub's own.
    ///
    /// ```
    /// # use moorline::{Hub, WorkContext, volt::DaemonClient};
    /// # use serde_json::{Value, json};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), moorline::Error> {
    /// let hub = Hub::builder()
    ///     .listen("127.0.0.1:0")
    ///     .daemon("lab", "secret")
    ///     .handle_daemon("jobs.list", |page: Value, work: WorkContext| async move {
    ///         Ok(json!({ "of": work.peer(), "page": page["page"] }))
    ///     })
    ///     .start()
    ///     .await?;
    /// # let daemon = DaemonClient::builder(&hub.url(), "lab").daemon_password("secret").connect().await?;
    /// # let jobs: Value = daemon.send_command("jobs.list", &json!({ "page": 1 })).await?.data()?;
    /// # assert_eq!(jobs, json!({ "of": "lab", "page": 1 }));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn handle_daemon<P, R, F, Fut>(mut self, command: &str, handler: F) -> Self
    where
        P: DeserializeOwned + Send + 'static,
        R: IntoReply + 'static,
        F: Fn(P, WorkContext) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<R, Failure>> + Send + 'static,
    {
        self.handlers.insert(command.to_owned(), erased(handler));
        self
    }

    /// Sets any option; a name that is none does not compile. Values are checked when the hub starts,
    /// all at once, with their paths.
    #[must_use]
    pub fn options(mut self, set: impl FnOnce(&mut HubOptions)) -> Self {
        set(&mut self.options);
        self
    }

    /// Starts the hub and waits until it listens.
    ///
    /// # Errors
    /// `CONFIG_INVALID` with every problem of the options, `LISTEN_FAILED`, `STORE_FAILED`,
    /// `ARGUMENT_INVALID` for a command that cannot have a handler.
    pub async fn start(self) -> Result<Hub, Error> {
        let cannot = |name: &&String| !takes_handler(name);
        if let Some(name) = self.handlers.keys().find(cannot) {
            let text = format!("the command {name:?} of daemons cannot have a handler");
            return Err(Error::new(ErrorCode::ArgumentInvalid, text));
        }
        let application = Arc::new(Application::new(self.handlers, None));
        let mut commands = application.offers();
        commands.extend(self.on_message.as_ref().map(|_| offer("*")));
        commands.push(Command::Start);
        let options = self.options.describe();
        let listener = self.on_message.map_or(Listener::None, Listener::Messages);
        let session = Session::open(&HUB, &options, commands, &application, listener).await?;
        let pace = Pace::new(self.options.limits.max_send_queue_bytes);
        Ok(Hub { started: Started(session), scheme: self.scheme, pace })
    }
}

/// A token with which a daemon enrolls, once.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct EnrollmentToken {
    /// The id by which it is revoked.
    #[serde(rename = "TokenID")]
    pub id: String,
    /// The daemon that it enrolls.
    #[serde(rename = "TeamClusterID")]
    pub team_cluster_id: String,
    /// What people call the daemon.
    pub name: String,
    /// The token itself, for the daemon's option `enrollment_token`.
    pub token: String,
    /// Until when it is good, as ISO-8601.
    pub expires: String,
}

impl fmt::Debug for EnrollmentToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EnrollmentToken")
            .field("id", &self.id)
            .field("team_cluster_id", &self.team_cluster_id)
            .finish_non_exhaustive()
    }
}

/// What a token is asked for.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct NewToken<'a> {
    #[serde(rename = "TeamClusterID")]
    cluster: &'a str,
    name: &'a str,
    expires_ms: u64,
}
