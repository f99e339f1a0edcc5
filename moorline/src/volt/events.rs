//! What a daemon's application learns besides commands.

use std::sync::{Arc, Weak};
use std::time::Duration;

use moorline_core::WorkCommand;
use moorline_core::{Command, Error, Raw};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use super::client::Live;
use super::role::{Board, MESSAGES};

/// Something that happened to the daemon.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum DaemonEvent {
    /// It is registered, for the first time or again.
    Connected {
        /// What carries frames: `websocket` or `polling`.
        transport: &'static str,
    },
    /// The connection ended otherwise than by `disconnect`; the daemon connects again by itself.
    Disconnected {
        /// One of `transport close`, `transport error`, `ping timeout`, `parse error` and
        /// `io server disconnect`.
        reason: String,
        /// When it tries again.
        retry: Duration,
    },
    /// Something went wrong in the background.
    Error(Error),
    /// The reader was too slow: so many events are lost to it.
    Missed(u64),
}

/// The events of a daemon, from the call of [`events`](super::DaemonClient::events) on.
///
/// A reader that falls 256 events behind loses the oldest and is told how many.
#[derive(Debug)]
pub struct Events(pub(super) broadcast::Receiver<DaemonEvent>);

impl Events {
    /// Waits for the next event; `None` when every client of the daemon is gone.
    pub async fn next(&mut self) -> Option<DaemonEvent> {
        match self.0.recv().await {
            Ok(event) => Some(event),
            Err(RecvError::Lagged(count)) => Some(DaemonEvent::Missed(count)),
            Err(RecvError::Closed) => None,
        }
    }
}

/// The messages of the control plane that are no commands, from the call of
/// [`messages`](super::DaemonClient::messages) on; answers to our own commands are among them.
///
/// A reader that falls 1,024 messages behind loses the oldest; [`missed`](Self::missed) counts them.
#[derive(Debug)]
pub struct Messages {
    receiver: broadcast::Receiver<Raw>,
    missed: u64,
    board: Weak<Board>,
    live: Weak<std::sync::Mutex<Option<Arc<Live>>>>,
}

impl Messages {
    pub(super) fn new(board: &Arc<Board>, live: &Arc<std::sync::Mutex<Option<Arc<Live>>>>) -> Self {
        let receiver = board.messages.subscribe();
        Self { receiver, missed: 0, board: Arc::downgrade(board), live: Arc::downgrade(live) }
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
        let (Some(board), Some(live)) = (self.board.upgrade(), self.live.upgrade()) else { return };
        if board.messages.receiver_count() > 1 {
            return;
        }
        let live = live.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        if let Some(live) = live {
            // A session that has ended tells nobody anything.
            let _ = live
                .desk()
                .submit_soon(Command::Work(WorkCommand::Unhandle { key: String::from(MESSAGES) }));
        }
    }
}
