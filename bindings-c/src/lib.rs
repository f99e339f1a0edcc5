//! Moorline for C: the narrow surface of `moorline` behind a C ABI.
//!
//! Exported functions take references, boxes and the argument types of [`ffi`], so that every
//! `unsafe` block of the project is in that folder; what the C side owes is said under `Safety` of
//! each function. A body runs inside [`ffi::panic::guard`]: it cannot unwind into C.

#![allow(unsafe_code, reason = "an exported name is unsafe by itself: it could clash with another")]
#![allow(unreachable_pub, reason = "exported functions are reached by the linker")]

mod bell;
mod ffi;

// The header has the functions in this order.
mod handle;

mod commands;

mod events;

mod status;

#[cfg(feature = "scripted")]
mod scripted;
