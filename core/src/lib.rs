//! Moorline's protocol machines.
//!
//! This crate decides everything that goes on a wire and performs nothing: no sockets, files, clocks,
//! randomness, threads or logging. A driver feeds [`Input`]s and the application's [`Command`]s to an
//! [`Endpoint`], drains [`Output`]s and calls back at [`Deadline`]s.

pub mod command;
mod dialect;
pub mod entropy;
pub mod error;
pub mod event;
pub mod frame;
mod hub;
pub mod json;
mod machine;
mod open;
pub mod options;
mod secret;
mod server;
mod session;
pub mod store;
pub mod time;
pub mod trace;
pub mod words;
mod work;

pub use command::{Command, Outcome};
pub use error::{Error, ErrorCode, Fault};
pub use event::{Event, Withdrawal};
pub use frame::{Frame, HeaderValue, Headers, HttpBody, HttpRequest, HttpResponse, Method};
pub use hub::Hub;
pub use json::Raw;
pub use machine::{
    CallId, CloseCause, ConnId, DialTarget, Endpoint, FrameLimits, HttpId, HttpLimits, Input,
    ListenId, Machine, Output, PeerId, StoreId, WorkId,
};
pub use open::{Opened, open, open_client};
pub use secret::Secret;
pub use time::{Deadline, Instant, Now, UnixMillis};
