//! Frames and messages as bytes, without a socket: fuzzed and tested alone.

pub(crate) mod decoder;
pub(crate) mod head;
pub(crate) mod mask;
mod room;
mod text;

/// How much is kept of the beginning of a message that is too large.
pub(crate) const BEGINNING: usize = 256;
