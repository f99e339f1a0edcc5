//! How a daemon is described.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use moorline_core::Secret;
use moorline_core::options::{DaemonChannel, DaemonOptions, OptionValue as _};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::client::DaemonClient;
use crate::application::{Application, BeatMaker};
use crate::call::millis;
use crate::handler::{Handler, erased};
use crate::reply::write;
use crate::{Error, Failure, IntoReply, WorkContext};

/// Describes a daemon. Every option has a default; see the table of daemon options.
pub struct DaemonBuilder {
    options: DaemonOptions,
    handlers: HashMap<String, Handler>,
    beat: Option<BeatMaker>,
    timeout: Option<Duration>,
}

impl DaemonBuilder {
    pub(super) fn new(control_socket_url: &str, team_cluster_id: &str) -> Self {
        let mut options = DaemonOptions::default();
        control_socket_url.clone_into(&mut options.control_socket_url);
        team_cluster_id.clone_into(&mut options.team_cluster_id);
        Self { options, handlers: HashMap::new(), beat: None, timeout: None }
    }

    /// Sets the password; may be left out by a daemon that enrolls.
    #[must_use]
    pub fn daemon_password(self, password: &str) -> Self {
        self.options(|options| options.daemon_password = Secret::new(password))
    }

    /// Enrolls with a one-time token at the control plane at `server_url`, once, before the first
    /// connection; tells it `installed_version` if that is not empty.
    #[must_use]
    pub fn enroll(self, server_url: &str, token: &str, installed_version: &str) -> Self {
        self.options(|options| {
            server_url.clone_into(&mut options.server_url);
            options.enrollment_token = Secret::new(token);
            installed_version.clone_into(&mut options.installed_version);
        })
    }

    /// Keeps the password that an enrollment returns in a SQLite file, committed before it is used, so
    /// that the daemon registers again after a restart.
    #[must_use]
    pub fn store_path(self, path: &str) -> Self {
        self.options(|options| path.clone_into(&mut options.runtime.store_path))
    }

    /// Asks the control plane to acknowledge the registration, so that a refusal is known at once.
    /// Recommended; off unless set, because the original does not ask.
    #[must_use]
    pub fn register_with_ack(self, asks: bool) -> Self {
        self.options(|options| options.register_with_ack = asks)
    }

    /// Tells the control plane what the connection is for. Control planes of the first generation refuse
    /// a registration that does; later ones take one that does not for [`DaemonChannel::Control`].
    #[must_use]
    pub fn channel(self, channel: DaemonChannel) -> Self {
        self.options(|options| options.channel = channel)
    }

    /// Sets the time from the end of one heartbeat to the next; 30 s unless set.
    #[must_use]
    pub fn heartbeat_interval(self, interval: Duration) -> Self {
        self.options(|options| options.heartbeat.interval_ms = millis(interval))
    }

    /// Puts id, password and version into each heartbeat. Control planes refuse beats without them; off
    /// unless set, because the original leaves them out.
    #[must_use]
    pub fn include_credentials(self, includes: bool) -> Self {
        self.options(|options| options.heartbeat.include_credentials = includes)
    }

    /// Sets the time for the answers to commands that name none; 30 s unless set. Heartbeats have a
    /// limit of their own.
    #[must_use]
    pub const fn command_timeout(mut self, limit: Duration) -> Self {
        self.timeout = Some(limit);
        self
    }

    /// Makes the payload of each heartbeat. An error skips the beat.
    #[must_use]
    pub fn heartbeat_payload<P, F, Fut>(mut self, make: F) -> Self
    where
        P: Serialize,
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<P, Failure>> + Send + 'static,
    {
        self.beat = Some(Arc::new(move || {
            let making = make();
            Box::pin(async move { write(&making.await?) })
        }));
        self.options(|options| options.heartbeat.asks = true)
    }

    /// Sets any option; a name that is none does not compile. Values are checked when the daemon is built,
    /// all at once, with their paths.
    #[must_use]
    pub fn options(mut self, set: impl FnOnce(&mut DaemonOptions)) -> Self {
        set(&mut self.options);
        self
    }

    /// Handles a command; see [`DaemonClient::register_handler`].
    #[must_use]
    pub fn handle<P, R, F, Fut>(mut self, command: &str, handler: F) -> Self
    where
        P: DeserializeOwned + Send + 'static,
        R: IntoReply + 'static,
        F: Fn(P, WorkContext) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<R, Failure>> + Send + 'static,
    {
        self.handlers.insert(command.to_owned(), erased(handler));
        self
    }

    /// Makes the daemon. Connects nothing.
    ///
    /// # Errors
    /// `CONFIG_INVALID` with every problem of the options.
    pub fn build(self) -> Result<DaemonClient, Error> {
        let Self { options, handlers, beat, timeout } = self;
        // Opened and let go again: the options are checked where they are known.
        moorline_core::open("volt", "daemon", &options.describe(), "", [0; 32])?;
        Ok(DaemonClient::new(options, Application::new(handlers, beat), timeout))
    }

    /// Makes the daemon and connects it. If that fails nothing goes on in the background; to go on
    /// trying, [`build`](Self::build) the daemon and keep it.
    ///
    /// # Errors
    /// Those of [`build`](Self::build) and of [`DaemonClient::connect`].
    pub async fn connect(self) -> Result<DaemonClient, Error> {
        let daemon = self.build()?;
        daemon.connect().await?;
        Ok(daemon)
    }
}

impl fmt::Debug for DaemonBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DaemonBuilder")
            .field("team_cluster_id", &self.options.team_cluster_id)
            .finish_non_exhaustive()
    }
}
