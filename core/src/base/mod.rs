//! What everything stands on: time, entropy, secrets, errors, ids, words, stored records, JSON. Imports
//! nobody.

pub(crate) mod content;
pub mod entropy;
pub mod error;
pub(crate) mod ids;
pub mod json;
pub(crate) mod secret;
pub mod store;
pub mod time;
mod words;
