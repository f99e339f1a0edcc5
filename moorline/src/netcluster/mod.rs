//! network-cluster: a provider, and consumers that exchange messages with it, text or bytes.
//!
//! ```
//! use moorline::netcluster::{Consumer, Provider};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), moorline::Error> {
//! let provider = Provider::builder()
//!     .port(0)
//!     .parameter("key", "secret")
//!     .on_message(|consumer, message| drop(consumer.send(message)))
//!     .start()
//!     .await?;
//! let (sender, mut messages) = tokio::sync::mpsc::unbounded_channel();
//! let consumer = Consumer::builder("127.0.0.1", provider.port())
//!     .parameter("key", "secret")
//!     .on_message(move |message| drop(sender.send(message)))
//!     .connect()
//!     .await?;
//!
//! consumer.send("hello")?;
//! assert_eq!(messages.recv().await, Some("hello".into()));
//! # Ok(())
//! # }
//! ```
//!
//! What differs from the original is in `docs/netcluster.md`.

mod consumer;
mod provider;

pub use consumer::{Consumer, ConsumerBuilder};
pub use moorline_core::Content;
pub use provider::{Connection, Provider, ProviderBuilder};

pub use crate::request::{Pair, Request};

use std::sync::Arc;

use moorline_core::{CallId, Command, Outcome as WorkOutcome, PeerCommand, Recipients};

use crate::endpoint::{Endpoint, Role};
use crate::{Error, ErrorCode};

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// It was handed to the network.
    Sent,
    /// It waits behind others, and will be sent.
    Queued,
    /// There was no room for it.
    Dropped,
}

/// A role that has no work.
const fn role(name: &'static str) -> Role {
    Role {
        dialect: "netcluster",
        name,
        wire_id: "",
        unhandled: "",
        drops_withdrawn: false,
        takes_reports: false,
        drains_when_dropped: false,
        outcome: |_, _| (WorkOutcome::Cancelled, None),
    }
}

fn message(call: Option<CallId>, to: Recipients, content: Content, compress: bool) -> Command {
    Command::Peer(PeerCommand::Send { call, to, content, compress })
}

/// Sends a message and waits for its outcome.
async fn deliver(
    endpoint: &Arc<Endpoint>,
    to: Recipients,
    content: Content,
) -> Result<Outcome, Error> {
    let outcome = endpoint.call(|call| message(Some(call), to, content, false)).await?;
    match outcome.read::<&str>() {
        Ok("sent") => Ok(Outcome::Sent),
        Ok("queued") => Ok(Outcome::Queued),
        Ok("dropped") => Ok(Outcome::Dropped),
        Ok(_) | Err(_) => Err(Error::new(ErrorCode::Internal, "an unknown outcome of a message")),
    }
}
