//! A VOLT cluster daemon: handlers for the control plane's commands, commands to it, messages both ways.
//!
//! ```no_run
//! use moorline::volt::{CommandContext, DaemonClient};
//! use serde_json::{Value, json};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), moorline::Error> {
//! let daemon = DaemonClient::builder("wss://volt.example", "cluster-abc123")
//!     .daemon_password("secret")
//!     .include_credentials(true)
//!     .handle("jobs.run", |job: Value, _: CommandContext| async move {
//!         Ok(json!({ "started": job["id"] }))
//!     })
//!     .connect()
//!     .await?;
//!
//! let jobs: Option<Vec<Value>> = daemon.send_command("jobs.list", &json!({ "page": 1 })).await?;
//! println!("{} jobs", jobs.map_or(0, |jobs| jobs.len()));
//! # Ok(())
//! # }
//! ```
//!
//! Errors are [`Error`](crate::Error); [`client_code`] tells what the original daemon client calls one.

mod builder;
mod client;
mod command;
mod context;
mod events;
mod reply;
mod role;
mod stream;

pub use builder::DaemonBuilder;
pub(super) use builder::erased;
pub use client::DaemonClient;
pub use command::{RawCommand, SendCommand};
pub use context::{CommandContext, ResponseType};
pub use events::{DaemonEvent, Events, Messages};
pub use moorline_core::words::volt_code as client_code;
pub use reply::{Failure, IntoReply, Rejection, Reply};
pub(super) use role::{Answering, Handler, complete, rejected};
pub use stream::ByteSender;
