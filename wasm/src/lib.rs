//! Moorline for browsers: a machine for a JavaScript driver to drive.
//!
//! ```text
//!   WebSocket, fetch, setTimeout ──inputs──▶ Machine ──actions──▶ driver.ts
//!   application              ──commands──▶         ──events───▶ application
//! ```
//!
//! Nothing here waits or calls JavaScript. After each call the driver performs `actions()`, asks
//! `deadline()` when to call `timeout()`, and lets the application take `events()`.

mod actions;
mod events;
mod machine;
mod open;
#[cfg(feature = "scripted")]
mod scripted;
mod store;

pub use machine::Machine;
