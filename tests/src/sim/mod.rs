//! Virtual-time simulation: endpoints joined by a network that delays, cuts, half-opens and refuses,
//! with processes that die and disks that keep what was synced.
//!
//! A [`World`] advances from one event to the next; nothing waits. Everything random comes from the
//! world's seed, so a printed seed is the whole case.

mod brief;
mod network;
mod node;
mod transport;
mod world;

pub use node::{NodeId, Process};
pub use world::{Fault, Seen, World};
