//! What an application gives to a role, and what it listens to: handlers, events, messages. It outlives
//! a session.

use std::collections::HashMap;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use moorline_core::{Command, Raw, Secret, WorkCommand};
use tokio::sync::broadcast;

use crate::endpoint::lock;
use crate::events::Event;
use crate::handler::Handler;
use crate::reply::Failure;

const MAX_EVENTS: usize = 256;
const MAX_MESSAGES: usize = 1_024;

/// Makes the payload of a heartbeat.
pub(crate) type BeatMaker =
    Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Result<Raw, Failure>> + Send>> + Send + Sync>;

/// The handlers and listeners of an application.
pub(crate) struct Application {
    pub(crate) handlers: Mutex<HashMap<String, Handler>>,
    pub(crate) events: broadcast::Sender<Event>,
    pub(crate) messages: broadcast::Sender<Raw>,
    pub(crate) beat: Option<BeatMaker>,
    enrolled: Mutex<Option<Secret>>,
}

impl Application {
    pub(crate) fn new(handlers: HashMap<String, Handler>, beat: Option<BeatMaker>) -> Self {
        Self {
            handlers: Mutex::new(handlers),
            events: broadcast::channel(MAX_EVENTS).0,
            messages: broadcast::channel(MAX_MESSAGES).0,
            beat,
            enrolled: Mutex::default(),
        }
    }

    /// Returns the commands that offer every handler.
    pub(crate) fn offers(&self) -> Vec<Command> {
        lock(&self.handlers).keys().map(|key| offer(key)).collect()
    }

    /// Returns the handler of a key.
    pub(crate) fn handler(&self, key: &str) -> Option<Handler> {
        lock(&self.handlers).get(key).cloned()
    }

    pub(crate) fn tell(&self, event: Event) {
        // Nobody has to listen.
        let _ = self.events.send(event);
    }

    pub(crate) fn tell_message(&self, message: Raw) {
        // The last reader may just have left.
        let _ = self.messages.send(message);
    }

    /// Keeps the password of an enrollment for the next session.
    pub(crate) fn enrolled(&self, password: Secret) {
        *lock(&self.enrolled) = Some(password);
    }

    /// Takes the password of an enrollment.
    pub(crate) fn take_enrolled(&self) -> Option<Secret> {
        lock(&self.enrolled).take()
    }
}

impl fmt::Debug for Application {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Application").finish_non_exhaustive()
    }
}

/// Offers a handler without a description.
pub(crate) fn offer(key: &str) -> Command {
    Command::Work(WorkCommand::Handle { key: key.to_owned(), meta: Raw::empty_object() })
}
