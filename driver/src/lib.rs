//! Moorline for Rust: drives the machines of `moorline-core` on tokio.

mod events;
mod handle;

pub use events::{Drained, EventQueue};
pub use handle::Handle;
pub use moorline_core as core;
