//! What an application says and hears: commands, events, options.

pub mod command;
pub mod event;
pub mod metrics;
pub(crate) mod options;
pub(crate) mod words;
