//! Messages of a control plane that are no commands.

use std::sync::{Arc, Mutex, Weak};

use moorline_core::{Command, Raw, WorkCommand};
use serde::Serialize;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use crate::application::Application;
use crate::endpoint::{Session, lock};

/// The key under which an application asks for messages.
const MESSAGES: &str = "*";

/// Where a daemon keeps its present session.
pub(super) type Live = Mutex<Option<Arc<Session>>>;

/// The messages of the control plane that are no commands, from the call of
/// [`messages`](super::DaemonClient::messages) on; answers to our own commands are among them.
///
/// A reader that falls 1,024 messages behind loses the oldest; [`missed`](Self::missed) counts them.
#[derive(Debug)]
pub struct Messages {
    receiver: broadcast::Receiver<Raw>,
    missed: u64,
    application: Weak<Application>,
    live: Weak<Live>,
}

impl Messages {
    pub(super) fn new(application: &Arc<Application>, live: &Arc<Live>) -> Self {
        let receiver = application.messages.subscribe();
        let (application, live) = (Arc::downgrade(application), Arc::downgrade(live));
        Self { receiver, missed: 0, application, live }
    }

    /// Waits for the next message; `None` when every client of the daemon is gone.
    pub async fn next(&mut self) -> Option<Raw> {
        loop {
            match self.receiver.recv().await {
                Ok(message) => return Some(message),
                Err(RecvError::Lagged(count)) => self.missed += count,
                Err(RecvError::Closed) => return None,
            }
        }
    }

    /// Returns how many messages this reader was too slow for.
    #[must_use]
    pub const fn missed(&self) -> u64 {
        self.missed
    }
}

impl Drop for Messages {
    fn drop(&mut self) {
        let (Some(application), Some(live)) = (self.application.upgrade(), self.live.upgrade())
        else {
            return;
        };
        if application.messages.receiver_count() > 1 {
            return;
        }
        let session = lock(&live).clone();
        if let Some(session) = session {
            // A session that has ended tells nobody anything.
            let _ = session
                .submit_soon(Command::Work(WorkCommand::Unhandle { key: String::from(MESSAGES) }));
        }
    }
}

/// Asks for messages.
pub(super) fn listen() -> Command {
    #[derive(Serialize)]
    struct Meta {
        messages: bool,
    }
    let meta = Raw::from_value(&Meta { messages: true }).unwrap_or_else(|_| Raw::empty_object());
    Command::Work(WorkCommand::Handle { key: String::from(MESSAGES), meta })
}
