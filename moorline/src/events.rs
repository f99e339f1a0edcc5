//! What an application learns besides work and replies.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;

use crate::application::Application;
use crate::subscription::{Read, Subscription};
use crate::{Error, Transport};

/// Something that happened to a role.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// It is registered, for the first time or again; a hub listens.
    Ready {
        /// Our id at the control plane, or the address listened on.
        id: String,
        /// What carries frames.
        transport: Transport,
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

/// The events of a role, from the call of its method `events` on: a [`Stream`] that ends with the role.
///
/// A reader that falls 256 events behind loses the oldest and is told how many.
#[derive(Debug)]
pub struct Events(Subscription<Event>);

impl Events {
    pub(crate) fn new(application: &Application) -> Self {
        Self(Subscription::new(&application.events))
    }

    /// Waits for the next event; `None` when the role is gone.
    pub async fn next(&mut self) -> Option<Event> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }
}

impl Stream for Events {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        self.0.poll_read(cx).map(|read| {
            Some(match read? {
                Read::Value(event) => event,
                Read::Missed(count) => Event::Missed(count),
            })
        })
    }
}
