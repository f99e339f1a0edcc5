//! The beacon dialect: workers and dispatchers of an Ultravisor control plane.
//!
//! Source: `ultravisor-beacon` 1.0.5 and `ultravisor` 1.3.24.

#[cfg(test)]
pub(crate) mod bench;
#[cfg(feature = "server")]
pub(crate) mod coordinator;
mod dispatcher;
pub(crate) mod options;
pub(crate) mod wire;
pub(crate) mod words;
mod worker;

pub(crate) use dispatcher::BeaconDispatcher;
pub(crate) use worker::{BeaconWorker, check_handler};
