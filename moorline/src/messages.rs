//! Messages of a control plane that are no commands.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use moorline_core::{Command, Raw, WorkCommand};
use serde::Serialize;

use crate::application::Application;
use crate::session_slot::SessionSlot;
use crate::subscription::{Read, Subscription};

/// The key under which an application asks for messages.
const MESSAGES: &str = "*";

/// The messages of the control plane that are no commands, from the call of
/// [`messages`](crate::volt::DaemonClient::messages) on, as a [`Stream`]; answers to our own commands are
/// among them.
///
/// A reader that falls 1,024 messages behind loses the oldest; [`missed`](Self::missed) counts them.
#[derive(Debug)]
pub struct Messages {
    messages: Subscription<Raw>,
    missed: u64,
    application: Weak<Application>,
    slot: Weak<SessionSlot>,
}

impl Messages {
    pub(crate) fn new(application: &Arc<Application>, slot: &Arc<SessionSlot>) -> Self {
        let messages = Subscription::new(&application.messages);
        let (application, slot) = (Arc::downgrade(application), Arc::downgrade(slot));
        Self { messages, missed: 0, application, slot }
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
        let (Some(application), Some(slot)) = (self.application.upgrade(), self.slot.upgrade())
        else {
            return;
        };
        if application.messages.receiver_count() <= 1 {
            slot.tell(Command::Work(WorkCommand::Unhandle { key: String::from(MESSAGES) }));
        }
    }
}

/// Asks for messages.
pub(crate) fn listen() -> Command {
    #[derive(Serialize)]
    struct Meta {
        messages: bool,
    }
    let meta = Raw::from_value(&Meta { messages: true }).unwrap_or_else(|_| Raw::empty_object());
    Command::Work(WorkCommand::Handle { key: String::from(MESSAGES), meta })
}
