//! Drives the machines of Moorline on tokio: it performs what they ask for and knows no protocol.
//!
//! A [`Handle`] is one endpoint on an I/O thread of its own: commands in, events out. Bindings of
//! other languages take events as JSON from an [`EventQueue`], Rust takes them as values from a
//! [`Mailbox`]. Programs in Rust add the package `moorline`.

mod body;
mod clock;
mod connect;
mod counters;
mod dial;
#[cfg(unix)]
mod doorbell;
mod drive;
mod events;
mod handle;
mod http_client;
mod inbox;
mod io;
mod io_thread;
mod links;
mod listen;
mod mailbox;
mod outgoing;
#[cfg(unix)]
pub mod process;
mod proxy;
mod reach;
mod recording;
#[cfg(feature = "scripted")]
mod scripted;
#[cfg(unix)]
mod scripts;
mod store;
mod stream;
mod tls;
mod transport;
mod ws;

pub use clock::{Clock, SystemClock};
pub use counters::Counters;
#[cfg(unix)]
pub use doorbell::Doorbell;
pub use events::{Drained, EventQueue, Frequent};
pub use handle::Handle;
pub use mailbox::Mailbox;
pub use moorline_core as core;
pub use reach::{Hop, Reached, reach};
#[cfg(feature = "scripted")]
pub use scripted::ScriptedIo;
pub use store::{backup as backup_store, restore as restore_store};
