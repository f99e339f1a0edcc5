//! Dispatchers: calls to the workers of a control plane.

use std::collections::HashMap;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use moorline_core::options::{DispatcherOptions, OptionValue as _};
use moorline_core::{Command, Secret};
use serde::Serialize;

use crate::application::Application;
use crate::call::written;
use crate::endpoint::{Listener, Role, Session};
use crate::worker::WORKER;
use crate::{Call, Error, Reply, Started};

/// It has no handlers.
static DISPATCHER: Role = Role { name: "dispatcher", ..WORKER };

/// Asks a control plane to run work and waits for the results. While the control plane is away a call
/// is tried again under one idempotency key, until its deadline; it settles exactly once.
#[derive(Debug)]
pub struct Dispatcher {
    started: Started,
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
    pub fn call(&self, name: &str, payload: &(impl Serialize + ?Sized)) -> Call {
        let endpoint = Ok(Arc::clone(self.started.0.endpoint()));
        let read = if name.starts_with('$') { Reply::read } else { Reply::read_parts };
        Call::new(endpoint, name, written(payload), read)
    }

    /// Ends after the calls under way have settled, at most after `limit`.
    ///
    /// # Errors
    /// `DRAIN_TIMEOUT` if calls were still waiting then.
    pub async fn drain(self, limit: Duration) -> Result<(), Error> {
        self.started.0.drain(limit).await
    }
}

impl Deref for Dispatcher {
    type Target = Started;

    fn deref(&self) -> &Started {
        &self.started
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
        let application = Arc::new(Application::new(HashMap::new(), None));
        let (options, commands) = (self.options.describe(), vec![Command::Start]);
        let session =
            Session::open(&DISPATCHER, &options, commands, &application, Listener::None).await?;
        Ok(Dispatcher { started: Started(session) })
    }
}
