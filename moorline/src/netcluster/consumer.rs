//! Consumers: one connection to a provider, which comes back by itself.

use std::collections::HashMap;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use moorline_core::options::{ConsumerOptions, OptionValue as _, ParameterOption};
use moorline_core::{Command, PeerEvent, Recipients, Secret};

use super::{Content, Outcome, deliver, message, role};
use crate::application::Application;
use crate::endpoint::{Listener, Role, Session};
use crate::{Error, Started};

static CONSUMER: Role = role("consumer");

/// A consumer. Dropping it closes the connection.
#[derive(Debug)]
pub struct Consumer {
    started: Started,
}

impl Consumer {
    /// Begins to describe a consumer of the provider at `host` and `port`.
    #[must_use]
    pub fn builder(host: &str, port: u16) -> ConsumerBuilder {
        let mut options = ConsumerOptions::default();
        host.clone_into(&mut options.host);
        options.port = u64::from(port);
        ConsumerBuilder { options, on_message: None, on_disconnect: None }
    }

    /// Sends a message; what becomes of it is not told.
    ///
    /// # Errors
    /// `STOPPED` after the end, `OVERLOADED` if too many commands wait.
    pub fn send(&self, content: impl Into<Content>) -> Result<(), Error> {
        self.started.0.submit_soon(message(None, Recipients::Link, content.into(), false))
    }

    /// Sends a message and waits for its outcome.
    ///
    /// # Errors
    /// `NOT_READY` while there is no connection, `ARGUMENT_INVALID` for a message that the protocol keeps
    /// for itself, `TOO_LARGE`, `CONNECTION_LOST` if it waited until then.
    pub async fn deliver(&self, content: impl Into<Content>) -> Result<Outcome, Error> {
        deliver(self.started.0.endpoint(), Recipients::Link, content.into()).await
    }

    /// Tells whether there is a connection.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.started.0.is_ready()
    }

    /// Lets what was sent leave for `limit`, then closes.
    ///
    /// # Errors
    /// `DRAIN_TIMEOUT` if the provider had not read it, or why else the consumer ended.
    pub async fn drain(self, limit: Duration) -> Result<(), Error> {
        self.started.0.drain(limit).await
    }
}

impl Deref for Consumer {
    type Target = Started;

    fn deref(&self) -> &Started {
        &self.started
    }
}

type OnMessage = Box<dyn FnMut(Content) + Send>;
type OnDisconnect = Box<dyn FnMut(u32, &str) + Send>;

/// Describes a consumer.
pub struct ConsumerBuilder {
    options: ConsumerOptions,
    on_message: Option<OnMessage>,
    on_disconnect: Option<OnDisconnect>,
}

impl ConsumerBuilder {
    /// Comes with a parameter.
    #[must_use]
    pub fn parameter(self, name: &str, value: &str) -> Self {
        self.options(|options| options.parameters.push(parameter(name, value)))
    }

    /// Takes messages. It must not block.
    #[must_use]
    pub fn on_message(mut self, take: impl FnMut(Content) + Send + 'static) -> Self {
        self.on_message = Some(Box::new(take));
        self
    }

    /// Is told code and reason whenever a connection ends, or an attempt to open one. It must not block.
    #[must_use]
    pub fn on_disconnect(mut self, take: impl FnMut(u32, &str) + Send + 'static) -> Self {
        self.on_disconnect = Some(Box::new(take));
        self
    }

    /// Sets any option; a name that is none does not compile.
    #[must_use]
    pub fn options(mut self, set: impl FnOnce(&mut ConsumerOptions)) -> Self {
        set(&mut self.options);
        self
    }

    /// Connects, and waits until that is done, however many attempts it takes.
    ///
    /// # Errors
    /// `CONFIG_INVALID` with every problem of the options, `AUTHENTICATION_FAILED` if the provider refuses
    /// the consumer, or why the last attempt failed.
    pub async fn connect(self) -> Result<Consumer, Error> {
        let Self { options, mut on_message, mut on_disconnect } = self;
        let application = Arc::new(Application::new(HashMap::new(), None));
        let listener = Listener::Peers(Box::new(move |_, event| match event {
            PeerEvent::Received { content, .. } => {
                if let Some(take) = &mut on_message {
                    take(content);
                }
            }
            PeerEvent::Closed { code, reason, .. } => {
                if let Some(take) = &mut on_disconnect {
                    take(code, &reason);
                }
            }
            PeerEvent::Message { .. }
            | PeerEvent::Joined { .. }
            | PeerEvent::Left { .. }
            | PeerEvent::AdmissionAsked { .. }
            | PeerEvent::Backlog { .. }
            | PeerEvent::Heartbeat { .. } => {}
        }));
        let (options, commands) = (options.describe(), vec![Command::Start]);
        let session = Session::open(&CONSUMER, &options, commands, &application, listener).await?;
        Ok(Consumer { started: Started(session) })
    }
}

impl fmt::Debug for ConsumerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConsumerBuilder").field("host", &self.options.host).finish_non_exhaustive()
    }
}

pub(super) fn parameter(name: &str, value: &str) -> ParameterOption {
    let mut parameter = ParameterOption::default();
    name.clone_into(&mut parameter.name);
    parameter.value = Secret::new(value);
    parameter
}
