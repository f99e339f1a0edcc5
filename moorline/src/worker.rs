//! Workers: handlers for the work of a control plane.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use moorline_core::options::{OptionValue as _, WorkerOptions};
use moorline_core::{Command, Outcome, Raw, Secret, WorkCommand, words};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::application::Application;
use crate::endpoint::{Listener, Role, Session};
use crate::handler::{Given, Handler, erased};
use crate::{Error, ErrorCode, Failure, IntoReply, Reply, Started, WorkContext};

pub(crate) static WORKER: Role = Role {
    dialect: "beacon",
    name: "worker",
    wire_id: words::subject::WORK_ITEM,
    unhandled: "No handler takes ",
    drops_withdrawn: false,
    takes_reports: true,
    drains_when_dropped: true,
    outcome,
};

/// Writes the outcome of an item. The caller sees why a handler failed.
fn outcome(work: &WorkContext, result: Given) -> (Outcome, Option<Error>) {
    let outcome = match (work.withdrawal(), result.and_then(Reply::only_data)) {
        (Some(_), _) => Outcome::Cancelled,
        (None, Ok(value)) => Outcome::Done { value, log: work.take_log() },
        (None, Err(failure)) => {
            let source = failure.source().map(tracing::field::debug);
            tracing::warn!(
                handler = work.key(),
                wire_id = work.wire_id(),
                error = failure.message(),
                source,
                "a handler failed"
            );
            Outcome::Failed { message: failure.message().to_owned() }
        }
    };
    (outcome, None)
}

/// Returns the commands that offer every handler, each with what is said of it.
pub(crate) fn offers(
    role: &Role,
    application: &Application,
    metas: &HashMap<String, Map<String, Value>>,
) -> Result<Vec<Command>, Error> {
    let mut commands = application.offers();
    for command in &mut commands {
        let Command::Work(WorkCommand::Handle { key, meta }) = command else { continue };
        if let Some(described) = metas.get(key) {
            *meta = Raw::from_value(described)
                .map_err(|e| Error::caused(ErrorCode::ConfigInvalid, "a description", e))?;
        }
        moorline_core::check_handler(role.dialect, role.name, key, meta)?;
    }
    Ok(commands)
}

/// A worker at a control plane: it takes work items, runs handlers and returns their outcomes, through
/// every kind of disconnect. Made by [`Worker::builder`].
///
/// Dropping it drains for 30 seconds in the background, as long as the runtime lives: running work may finish.
/// [`drain`](Self::drain) waits for that, and ends with zero at once.
#[derive(Debug)]
pub struct Worker {
    started: Started,
}

impl Worker {
    /// Begins to describe a worker for the control plane at `server_url`.
    #[must_use]
    pub fn builder(server_url: &str) -> WorkerBuilder {
        let mut options = WorkerOptions::default();
        server_url.clone_into(&mut options.server_url);
        WorkerBuilder { options, handlers: HashMap::new(), metas: HashMap::new() }
    }

    /// Returns the id that the control plane gave to this worker.
    #[must_use]
    pub fn id(&self) -> String {
        self.started.0.id()
    }

    /// Refuses new work, lets running work finish for `limit`, delivers its outcomes, says farewell.
    ///
    /// # Errors
    /// `DRAIN_TIMEOUT` if work was still running then, or why else the session ended.
    pub async fn drain(self, limit: Duration) -> Result<(), Error> {
        self.started.0.drain(limit).await
    }
}

impl Deref for Worker {
    type Target = Started;

    fn deref(&self) -> &Started {
        &self.started
    }
}

/// Describes a worker. Every option has a default; see the table of worker options.
pub struct WorkerBuilder {
    options: WorkerOptions,
    handlers: HashMap<String, Handler>,
    metas: HashMap<String, Map<String, Value>>,
}

impl WorkerBuilder {
    /// Sets the worker's name, unique in the fleet.
    #[must_use]
    pub fn name(self, name: &str) -> Self {
        self.options(|options| name.clone_into(&mut options.name))
    }

    /// Sets who logs in.
    #[must_use]
    pub fn login(self, user_name: &str, password: &str) -> Self {
        self.options(|options| {
            user_name.clone_into(&mut options.user_name);
            options.password = Secret::new(password);
        })
    }

    /// Sets the secret that lets the worker join a secured control plane.
    #[must_use]
    pub fn join_secret(self, secret: &str) -> Self {
        self.options(|options| options.join_secret = Secret::new(secret))
    }

    /// Sets how many work items run at once; 1 unless set.
    #[must_use]
    pub fn max_concurrent(self, count: u64) -> Self {
        self.options(|options| options.max_concurrent = count)
    }

    /// Keeps outcomes that nobody has taken yet in a SQLite file, across the end of the process.
    #[must_use]
    pub fn store_path(self, path: &str) -> Self {
        self.options(|options| path.clone_into(&mut options.runtime.store_path))
    }

    /// Sets any option; a name that is none does not compile. Values are checked when the worker connects,
    /// all at once, with their paths.
    #[must_use]
    pub fn options(mut self, set: impl FnOnce(&mut WorkerOptions)) -> Self {
        set(&mut self.options);
        self
    }

    /// Offers a handler under `key`, such as `Echo/Say`. Its payload and its reply are any types of
    /// serde, or [`Raw`] to leave them as they are. A failure is the caller's error message.
    #[must_use]
    pub fn handle<P, R, F, Fut>(mut self, key: &str, handler: F) -> Self
    where
        P: DeserializeOwned + Send + 'static,
        R: IntoReply + 'static,
        F: Fn(P, WorkContext) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<R, Failure>> + Send + 'static,
    {
        self.handlers.insert(key.to_owned(), erased(handler));
        self
    }

    /// Describes a handler to the control plane.
    #[must_use]
    pub fn describe(self, key: &str, description: &str) -> Self {
        self.meta(key, "description", Value::from(description))
    }

    /// Publishes the settings that a handler takes, as a JSON list of
    /// `{Name, DataType, Required, Description}`.
    #[must_use]
    pub fn settings_schema(self, key: &str, schema: Value) -> Self {
        self.meta(key, "settings_schema", schema)
    }

    /// Connects and waits until the worker is registered. While the control plane is away it keeps
    /// trying; bound the wait by a time-out of your own.
    ///
    /// # Errors
    /// `CONFIG_INVALID` with every problem of the options, `ARGUMENT_INVALID` for the key of a handler, or why
    /// the control plane refused.
    pub async fn connect(self) -> Result<Worker, Error> {
        let Self { options, handlers, metas } = self;
        let application = Arc::new(Application::new(handlers, None));
        let mut commands = offers(&WORKER, &application, &metas)?;
        commands.push(Command::Start);
        let options = options.describe();
        let session =
            Session::open(&WORKER, &options, commands, &application, Listener::None).await?;
        Ok(Worker { started: Started(session) })
    }

    fn meta(mut self, key: &str, name: &str, value: Value) -> Self {
        self.metas.entry(key.to_owned()).or_default().insert(name.to_owned(), value);
        self
    }
}

impl fmt::Debug for WorkerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkerBuilder").field("name", &self.options.name).finish_non_exhaustive()
    }
}
