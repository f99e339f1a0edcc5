//! Moorline for Rust: drives the machines of `moorline-core` on tokio.

mod api;
mod body;
mod clock;
mod connect;
mod counters;
mod dial;
#[cfg(unix)]
mod doorbell;
mod drive;
mod events;
mod fragments;
mod handle;
mod http_client;
mod inbox;
mod io;
mod links;
mod listen;
mod proxy;
mod recording;
mod store;
mod tls;
mod ws;

pub use api::{
    Call, Dispatcher, DispatcherBuilder, Failure, Hub, HubBuilder, Reply, Report, WorkContext,
    Worker, WorkerBuilder,
};
pub use clock::{Clock, SystemClock};
pub use counters::Counters;
#[cfg(unix)]
pub use doorbell::Doorbell;
pub use events::{Drained, EventQueue};
pub use handle::Handle;
pub use moorline_core as core;
