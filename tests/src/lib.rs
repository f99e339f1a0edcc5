//! What the tests of Moorline share.

pub mod transcript;
