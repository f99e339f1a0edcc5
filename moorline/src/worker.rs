//! Workers: handlers for the work of a control plane.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use moorline_core::options::WorkerOptions;
use moorline_core::{Command, Error, ErrorCode, Event, Raw, Secret, Withdrawal, WorkId};
use moorline_core::{WorkCommand, WorkEvent};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use tokio::sync::watch;

use crate::desk::{Desk, Role, Session};
use crate::work::{Failure, WorkContext};
use moorline_driver::Counters;

type Running = Pin<Box<dyn Future<Output = Result<Raw, Failure>> + Send>>;
type Handler = Arc<dyn Fn(Raw, WorkContext) -> Running + Send + Sync>;

/// A worker at a control plane: it takes work items, runs handlers and returns their outcomes, through
/// every kind of disconnect. Made by [`Worker::builder`].
///
/// Dropping it closes the connection at once; [`drain`](Self::drain) lets running work finish.
#[derive(Debug)]
pub struct Worker {
    session: Session,
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
        self.session.desk.id()
    }

    /// Refuses new work, lets running work finish for `limit`, delivers its outcomes, says farewell.
    ///
    /// # Errors
    /// `DRAIN_TIMEOUT` if work was still running then, or why else the session ended.
    pub async fn drain(self, limit: Duration) -> Result<(), Error> {
        self.session.drain(limit).await
    }

    /// Waits until the session is over.
    ///
    /// # Errors
    /// Why it ended, unless by a drain that lost nothing.
    pub async fn ended(&self) -> Result<(), Error> {
        self.session.desk.ended().await
    }

    /// Returns the state as JSON: link, ids, counters, running work.
    ///
    /// # Errors
    /// `STOPPED` after the end.
    pub async fn snapshot(&self) -> Result<Raw, Error> {
        self.session.desk.snapshot().await
    }

    /// Returns what the I/O thread has done, counted.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.session.desk.counters()
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
    /// serde, or [`Raw`] to leave them as they are. An error is the caller's error message.
    #[must_use]
    pub fn handle<P, R, F, Fut>(mut self, key: &str, handler: F) -> Self
    where
        P: DeserializeOwned + Send + 'static,
        R: Serialize + 'static,
        F: Fn(P, WorkContext) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<R, Failure>> + Send + 'static,
    {
        let handler = Arc::new(handler);
        let erased: Handler = Arc::new(move |payload, context| {
            let handler = Arc::clone(&handler);
            Box::pin(async move {
                let payload = payload.read().map_err(|e| {
                    Failure::new(format!("the payload does not fit the handler: {e}"))
                })?;
                let reply = handler(payload, context).await?;
                Raw::from_value(&reply)
                    .map_err(|e| Failure::new(format!("the reply cannot be written as JSON: {e}")))
            })
        });
        self.handlers.insert(key.to_owned(), erased);
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
    /// `CONFIG_INVALID` with every problem of the options, or why the control plane refused.
    pub async fn connect(self) -> Result<Worker, Error> {
        let Self { options, handlers, metas } = self;
        let mut commands = Vec::with_capacity(handlers.len() + 1);
        for key in handlers.keys() {
            let meta = match metas.get(key) {
                Some(meta) => Raw::from_value(meta)
                    .map_err(|e| Error::new(ErrorCode::ConfigInvalid, e.to_string()))?,
                None => Raw::empty_object(),
            };
            commands.push(Command::Work(WorkCommand::Handle { key: key.clone(), meta }));
        }
        commands.push(Command::Start);
        let bench = Bench { handlers, running: Arc::default() };
        let session = Session::open("worker", &options, commands, bench).await?;
        Ok(Worker { session })
    }

    fn meta(mut self, key: &str, name: &str, value: Value) -> Self {
        self.metas.entry(key.to_owned()).or_default().insert(name.to_owned(), value);
        self
    }
}

impl std::fmt::Debug for WorkerBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WorkerBuilder").field("name", &self.options.name).finish_non_exhaustive()
    }
}

type Withdrawals = Mutex<HashMap<WorkId, watch::Sender<Option<Withdrawal>>>>;

/// Where handlers run.
struct Bench {
    handlers: HashMap<String, Handler>,
    running: Arc<Withdrawals>,
}

impl Role for Bench {
    fn handle(&mut self, event: Event, desk: &Arc<Desk>) {
        match event {
            Event::Work(WorkEvent::Assigned { work, key, payload, timeout_ms, meta }) => {
                let Some(handler) = self.handlers.get(&key) else {
                    tracing::error!(key, "work for a handler that was never offered");
                    return;
                };
                let (withdraw, withdrawn) = watch::channel(None);
                lock(&self.running).insert(work, withdraw);
                let context = WorkContext::new(desk, work, key, meta, timeout_ms, withdrawn);
                let settling = Settling {
                    work,
                    context: Some(context.clone()),
                    running: self.running.clone(),
                };
                let running = handler(payload, context);
                tokio::spawn(async move { settling.settle(running.await) });
            }
            Event::Work(WorkEvent::Withdrawn { work, why }) => {
                if let Some(withdraw) = lock(&self.running).get(&work) {
                    withdraw.send_replace(Some(why));
                }
            }
            Event::Session(_)
            | Event::Call(_)
            | Event::Peer(_)
            | Event::Work(WorkEvent::Drained { .. })
            | Event::Work(WorkEvent::BeatAsked { .. }) => {}
        }
    }
}

/// Settles a work item however its handler ends.
struct Settling {
    work: WorkId,
    context: Option<WorkContext>,
    running: Arc<Withdrawals>,
}

impl Settling {
    fn settle(mut self, result: Result<Raw, Failure>) {
        if let Some(context) = self.context.take() {
            context.settle(result);
        }
    }
}

impl Drop for Settling {
    fn drop(&mut self) {
        lock(&self.running).remove(&self.work);
        if let Some(context) = self.context.take() {
            context.settle(Err(Failure::new("the handler panicked")));
        }
    }
}

fn lock(
    running: &Withdrawals,
) -> std::sync::MutexGuard<'_, HashMap<WorkId, watch::Sender<Option<Withdrawal>>>> {
    running.lock().unwrap_or_else(PoisonError::into_inner)
}
