//! Messages of a control plane that are no commands.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, Weak};
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use moorline_core::{Command, Raw, WorkCommand};
use serde::Serialize;

use crate::application::Application;
use crate::endpoint::{Session, lock};
use crate::subscription::{Read, Subscription};

/// The key under which an application asks for messages.
const MESSAGES: &str = "*";

/// Where a daemon keeps its present session.
pub(super) type Live = Mutex<Option<Arc<Session>>>;

/// The messages of the control plane that are no commands, from the call of
/// [`messages`](super::DaemonClient::messages) on, as a [`Stream`]; answers to our own commands are
/// among them.
///
/// A reader that falls 1,024 messages behind loses the oldest; [`missed`](Self::missed) counts them.
#[derive(Debug)]
pub struct Messages {
    messages: Subscription<Raw>,
    missed: u64,
    application: Weak<Application>,
    live: Weak<Live>,
}

impl Messages {
    pub(super) fn new(application: &Arc<Application>, live: &Arc<Live>) -> Self {
        let messages = Subscription::new(&application.messages);
        let (application, live) = (Arc::downgrade(application), Arc::downgrade(live));
        Self { messages, missed: 0, application, live }
    }

    /// Waits for the next message; `None` when every client of the daemon is gone.
    pub async fn next(&mut self) -> Option<Raw> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    /// Returns how many messages this reader was too slow for.
    #[must_use]
    pub const fn missed(&self) -> u64 {
        self.missed
    }
}

impl Stream for Messages {
    type Item = Raw;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Raw>> {
        loop {
            match ready!(self.messages.poll_read(cx)) {
                Some(Read::Value(message)) => return Poll::Ready(Some(message)),
                Some(Read::Missed(count)) => self.missed += count,
                None => return Poll::Ready(None),
            }
        }
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
