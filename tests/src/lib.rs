//! What the tests of Moorline share.

pub mod sim;
pub mod transcript;
