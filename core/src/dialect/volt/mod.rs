//! The VOLT dialect: daemons that a control plane reaches over Socket.IO.
//!
//! Source: `@voltstack/daemon-cluster-client` 1.0.0, `engine.io` 6, `socket.io` 4.8.
//!
//! ```text
//! daemon     registration, heartbeats, commands in both directions, offline queue
//! engine     one Engine.IO session: polling, WebSocket, upgrade, liveness
//! server     the control plane that they register with
//! envelope   what handlers give back, on either side
//! wire       messages as text
//! ```

mod address;
mod daemon;
mod engine;
mod envelope;
pub(crate) mod options;
#[cfg(feature = "server")]
pub(crate) mod server;
mod wire;
pub(crate) mod words;

pub(crate) use daemon::VoltDaemon;
