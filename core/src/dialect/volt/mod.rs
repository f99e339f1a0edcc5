//! The VOLT dialect: daemons that a control plane reaches over Socket.IO.
//!
//! Source: `@voltstack/daemon-cluster-client` 1.0.0 and 1.1.0, and what has followed; `engine.io` 6,
//! `socket.io` 4.8.
//!
//! ```text
//! daemon     registration, heartbeats, commands in both directions, offline queue
//! engine     one Engine.IO session: polling, WebSocket, upgrade, liveness
//! server     the control plane that they register with
//! envelope   what handlers give back, on either side
//! learnt     which generation of the protocol the other side speaks
//! wire       messages as text and bytes
//! ```

mod address;
mod daemon;
mod engine;
mod envelope;
mod learnt;
pub(crate) mod options;
#[cfg(feature = "server")]
pub(crate) mod server;
mod wire;
pub(crate) mod words;

pub(crate) use daemon::VoltPlanes;
