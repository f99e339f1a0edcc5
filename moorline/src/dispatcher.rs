//! Dispatchers: calls to the workers of a control plane.

use std::future::IntoFuture;
use std::pin::Pin;
use std::time::Duration;

use moorline_core::CallCommand;
use moorline_core::options::DispatcherOptions;
use moorline_core::{Command, Error, ErrorCode, Event, Raw, Secret};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::desk::{Desk, OnPart, Role, Session};
use moorline_driver::Counters;

/// Asks a control plane to run work and waits for the results. While the control plane is away a call
/// is tried again under one idempotency key, until its deadline; it settles exactly once.
#[derive(Debug)]
pub struct Dispatcher {
    session: Session,
}

impl Dispatcher {
    /// Connects to the control plane at `server_url` with the default options.
    ///
    /// # Errors
    /// Those of [`DispatcherBuilder::connect`].
    pub async fn connect(server_url: &str) -> Result<Self, Error> {
        Self::builder(server_url).connect().await
    }

    /// Begins to describe a dispatcher for the control plane at `server_url`.
    #[must_use]
    pub fn builder(server_url: &str) -> DispatcherBuilder {
        let mut options = DispatcherOptions::default();
        server_url.clone_into(&mut options.server_url);
        DispatcherBuilder { options }
    }

    /// Prepares a call of `name`, such as `Echo/Say` or an administrative name such as `$status`.
    /// Await it to make it; drop the future to cancel it.
    pub fn call(&self, name: &str, payload: &(impl Serialize + ?Sized)) -> Call<'_> {
        Call {
            dispatcher: self,
            name: name.to_owned(),
            payload: Raw::from_value(payload)
                .map_err(|e| Error::new(ErrorCode::ArgumentInvalid, format!("the payload: {e}"))),
            options: Map::new(),
            on_part: None,
        }
    }

    /// Ends after the calls under way have settled, at most after `limit`.
    ///
    /// # Errors
    /// `DRAIN_TIMEOUT` if calls were still waiting then.
    pub async fn drain(self, limit: Duration) -> Result<(), Error> {
        self.session.drain(limit).await
    }

    /// Waits until the dispatcher is over.
    ///
    /// # Errors
    /// Why it ended, unless by a drain that lost nothing.
    pub async fn ended(&self) -> Result<(), Error> {
        self.session.desk.ended().await
    }

    /// Returns the state as JSON.
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

/// Describes a dispatcher.
#[derive(Debug)]
pub struct DispatcherBuilder {
    options: DispatcherOptions,
}

impl DispatcherBuilder {
    /// Sets who logs in.
    #[must_use]
    pub fn login(self, user_name: &str, password: &str) -> Self {
        self.options(|options| {
            user_name.clone_into(&mut options.user_name);
            options.password = Secret::new(password);
        })
    }

    /// Sets any option; a name that is none does not compile. Values are checked when the dispatcher connects,
    /// all at once, with their paths.
    #[must_use]
    pub fn options(mut self, set: impl FnOnce(&mut DispatcherOptions)) -> Self {
        set(&mut self.options);
        self
    }

    /// Opens the dispatcher and waits until it may call.
    ///
    /// # Errors
    /// `CONFIG_INVALID` with every problem of the options, or why the login failed.
    pub async fn connect(self) -> Result<Dispatcher, Error> {
        let session =
            Session::open("dispatcher", &self.options, vec![Command::Start], Ignoring).await?;
        Ok(Dispatcher { session })
    }
}

/// One call that is about to be made. Await it.
pub struct Call<'a> {
    dispatcher: &'a Dispatcher,
    name: String,
    payload: Result<Raw, Error>,
    options: Map<String, Value>,
    on_part: Option<OnPart>,
}

impl Call<'_> {
    /// Sets the time for everything: queueing, work and retries.
    #[must_use]
    pub fn timeout(self, limit: Duration) -> Self {
        let millis = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        self.option("timeout_ms", Value::from(millis))
    }

    /// Sets the key under which the control plane runs this work once, however often it is asked.
    #[must_use]
    pub fn idempotency_key(self, key: &str) -> Self {
        self.option("idempotency_key", Value::from(key))
    }

    /// Prefers the worker that had earlier work of the same key.
    #[must_use]
    pub fn affinity(self, key: &str) -> Self {
        self.option("affinity_key", Value::from(key))
    }

    /// Takes the work's progress while it runs.
    #[must_use]
    pub fn on_progress(mut self, take: impl FnMut(Raw) + Send + 'static) -> Self {
        self.on_part = Some(Box::new(take));
        self.option("stream", Value::from(true))
    }

    fn option(mut self, name: &str, value: Value) -> Self {
        self.options.insert(name.to_owned(), value);
        self
    }
}

impl<'a> IntoFuture for Call<'a> {
    type Output = Result<Reply, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        let Self { dispatcher, name, payload, options, on_part } = self;
        Box::pin(async move {
            let payload = payload?;
            let options = Raw::from_value(&options)
                .map_err(|e| Error::new(ErrorCode::ArgumentInvalid, e.to_string()))?;
            let command = |call| Command::Call(CallCommand::Make { call, name, payload, options });
            dispatcher.session.desk.call(command, on_part).await.map(Reply)
        })
    }
}

impl std::fmt::Debug for Call<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Call").field("name", &self.name).finish_non_exhaustive()
    }
}

/// What a call returned.
#[derive(Clone, Debug)]
pub struct Reply(Raw);

/// The parts of a work item's result.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Parts<T> {
    outputs: Option<T>,
    #[serde(default)]
    log: Vec<String>,
}

impl Reply {
    /// Reads what the handler returned.
    ///
    /// # Errors
    /// `ARGUMENT_INVALID` if it is of another shape than `T`.
    pub fn outputs<T: DeserializeOwned>(&self) -> Result<T, Error> {
        let parts: Parts<T> = self.read()?;
        parts.outputs.ok_or_else(|| {
            Error::new(ErrorCode::ArgumentInvalid, "the reply is not of a work item: no Outputs")
        })
    }

    /// Returns the lines that the handler logged.
    #[must_use]
    pub fn log(&self) -> Vec<String> {
        let parts: Result<Parts<serde::de::IgnoredAny>, _> = self.0.read();
        parts.map(|parts| parts.log).unwrap_or_default()
    }

    /// Reads the whole reply.
    ///
    /// # Errors
    /// `ARGUMENT_INVALID` if it is of another shape than `T`.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, Error> {
        self.0.read().map_err(|e| {
            Error::new(ErrorCode::ArgumentInvalid, format!("the reply is of another shape: {e}"))
        })
    }

    /// Returns the whole reply as it came.
    #[must_use]
    pub fn raw(&self) -> &Raw {
        &self.0
    }
}

/// A role without events of its own.
pub(crate) struct Ignoring;

impl Role for Ignoring {
    fn handle(&mut self, _: Event, _: &std::sync::Arc<Desk>) {}
}
