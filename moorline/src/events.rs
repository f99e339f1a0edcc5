//! What an application learns besides work and replies.

use std::time::Duration;

use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use crate::Error;

/// Something that happened to a role.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// It is registered, for the first time or again; a hub listens.
    Ready {
        /// Our id at the control plane, or the address listened on.
        id: String,
        /// What carries frames: `websocket`, `polling` or `listener`.
        transport: &'static str,
    },
    /// The link is down; the role tries again by itself.
    Lost {
        /// Why.
        reason: Error,
        /// The time until the next attempt.
        retry: Duration,
        /// The number of the next attempt, from 1.
        attempt: u32,
    },
    /// A peer registered at this server.
    PeerJoined {
        /// Its name.
        name: String,
    },
    /// A peer is gone.
    PeerLeft {
        /// Its name.
        name: String,
        /// Why.
        reason: String,
    },
    /// A drain began, or made progress.
    Draining {
        /// Work items still running.
        in_flight: usize,
        /// Outcomes not yet taken by the control plane.
        outbox: usize,
    },
    /// Something went wrong in the background, and needs no answer.
    Notice(Error),
    /// The session is over.
    Ended {
        /// Why, unless by a stop that lost nothing.
        error: Option<Error>,
    },
    /// The reader was too slow: so many events are lost to it.
    Missed(u64),
}

/// The events of a role, from the call of its method `events` on.
///
/// A reader that falls 256 events behind loses the oldest and is told how many.
#[derive(Debug)]
pub struct Events(pub(crate) broadcast::Receiver<Event>);

impl Events {
    /// Waits for the next event; `None` when the role is gone.
    pub async fn next(&mut self) -> Option<Event> {
        match self.0.recv().await {
            Ok(event) => Some(event),
            Err(RecvError::Lagged(count)) => Some(Event::Missed(count)),
            Err(RecvError::Closed) => None,
        }
    }
}
