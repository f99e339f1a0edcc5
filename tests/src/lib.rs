//! What the tests of Moorline share.

#![allow(
    clippy::wildcard_enum_match_arm,
    clippy::print_stderr,
    reason = "tests look at a few events of many, and print the case that failed"
)]

pub mod codecs;
pub mod disk;
pub mod scripts;
pub mod sim;
pub mod transcript;
pub mod volt;
