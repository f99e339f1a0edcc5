//! What the recorded transcripts do not show of the VOLT daemon: the deviations that the protocol
//! document wants, step by step, in virtual time.

#![allow(clippy::wildcard_enum_match_arm, reason = "a step is about a few events of many")]

mod commands;
mod generations;
mod heartbeats;
mod life;
mod planes;
mod server;
