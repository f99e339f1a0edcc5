//! The control plane inside the process, for tests and small installations.

use std::time::Duration;

use moorline_core::{Command, Error, Raw};
use serde::Serialize;

use crate::api::desk::Session;
use crate::api::dispatcher::Ignoring;
use crate::api::settings::Settings;
use crate::counters::Counters;

/// A control plane that runs in this process.
#[derive(Debug)]
pub struct Hub {
    session: Session,
    scheme: &'static str,
}

impl Hub {
    /// Begins to describe a hub.
    #[must_use]
    pub fn builder() -> HubBuilder {
        HubBuilder { settings: Settings::default(), scheme: "http" }
    }

    /// Returns the address it listens on, with the port that was chosen.
    #[must_use]
    pub fn address(&self) -> String {
        self.session.desk.id()
    }

    /// Returns where workers and dispatchers reach it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.address())
    }

    /// Lets running work finish for `limit`, then ends.
    ///
    /// # Errors
    /// `DRAIN_TIMEOUT` if work was still running then, or why else the hub ended.
    pub async fn drain(self, limit: Duration) -> Result<(), Error> {
        self.session.drain(limit).await
    }

    /// Waits until the hub is over.
    pub async fn ended(&self) -> Option<Error> {
        self.session.desk.ended().await
    }

    /// Returns the state as JSON: workers, queue, counters.
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

/// Describes a hub.
#[derive(Debug)]
pub struct HubBuilder {
    settings: Settings,
    scheme: &'static str,
}

impl HubBuilder {
    /// Sets the address to listen on; port 0 takes a free one.
    #[must_use]
    pub fn listen(self, address: &str) -> Self {
        self.option("listen", address)
    }

    /// Presents this certificate: the hub speaks TLS.
    #[must_use]
    pub fn tls(mut self, cert_file: &str, key_file: &str) -> Self {
        self.scheme = "https";
        self.option("runtime.cert_file", cert_file).option("runtime.key_file", key_file)
    }

    /// Sets any option by its path, such as `lease_ms`.
    #[must_use]
    pub fn option(mut self, path: &str, value: impl Serialize) -> Self {
        self.settings.set(path, value);
        self
    }

    /// Starts the hub and waits until it listens.
    ///
    /// # Errors
    /// `CONFIG_INVALID` with every problem of the options, `LISTEN_FAILED`, `STORE_FAILED`.
    pub async fn start(self) -> Result<Hub, Error> {
        let session = Session::open("hub", &self.settings, vec![Command::Start], Ignoring).await?;
        Ok(Hub { session, scheme: self.scheme })
    }
}
