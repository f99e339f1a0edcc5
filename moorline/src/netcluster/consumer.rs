//! Consumers: one connection to a provider, which comes back by itself.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use moorline_core::options::{ConsumerOptions, OptionValue as _, ParameterOption};
use moorline_core::{Command, PeerEvent, Raw, Recipients, Secret};

use super::{Content, Outcome, deliver, message, role};
use crate::application::Application;
use crate::endpoint::{Listener, Role, Session};
use crate::{Counters, Error, Events};

static CONSUMER: Role = role("consumer");

/// A consumer. Dropping it closes the connection.
#[derive(Debug)]
pub struct Consumer {
    application: Arc<Application>,
    session: Session,
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
        self.session.submit_soon(message(None, Recipients::Link, content.into(), false))
    }

    /// Sends a message and waits for its outcome.
    ///
    /// # Errors
    /// `NOT_READY` while there is no connection, `ARGUMENT_INVALID` for a message that the protocol keeps
    /// for itself, `TOO_LARGE`, `CONNECTION_LOST` if it waited until then.
    pub async fn deliver(&self, content: impl Into<Content>) -> Result<Outcome, Error> {
        deliver(self.session.endpoint(), Recipients::Link, content.into()).await
    }

    /// Tells whether there is a connection.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.session.is_ready()
    }

    /// Returns what happens to the connection from here on.
    #[must_use]
    pub fn events(&self) -> Events {
        Events::new(&self.application)
    }

    /// Waits until the consumer is over.
    ///
    /// # Errors
    /// `AUTHENTICATION_FAILED` if the provider refused it, or why it was lost when all attempts to come
    /// back were used up.
    pub async fn ended(&self) -> Result<(), Error> {
        self.session.ended().await
    }

    /// Lets what was sent leave for `limit`, then closes.
    ///
    /// # Errors
    /// `DRAIN_TIMEOUT` if the provider had not read it, or why else the consumer ended.
    pub async fn drain(self, limit: Duration) -> Result<(), Error> {
        self.session.drain(limit).await
    }

    /// Returns the state as JSON: link, heartbeat, counters.
    ///
    /// # Errors
    /// `STOPPED` after the end.
    pub async fn snapshot(&self) -> Result<Raw, Error> {
        self.session.endpoint().snapshot().await
    }

    /// Returns what the I/O thread has done, counted.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.session.counters()
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
        Ok(Consumer { application, session })
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
