//! The driver against transports on loopback, with a puppet in place of a protocol machine.

#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm, reason = "tests may panic")]
#![allow(clippy::print_stdout, reason = "some figures are to be read")]

mod autobahn;
mod deflate;
mod events;
mod frames;
mod health;
mod http;
mod limits;
mod proxy;
mod rig;
mod store;
mod streams;
mod time;
mod tls;
#[cfg(unix)]
mod unix;
#[cfg(target_os = "linux")]
mod weight;
