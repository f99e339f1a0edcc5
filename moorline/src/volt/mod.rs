//! A VOLT cluster daemon: handlers for the control plane's commands, commands to it, messages both ways.
//!
//! ```no_run
//! use moorline::volt::DaemonClient;
//! use serde_json::{Value, json};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), moorline::Error> {
//! let daemon = DaemonClient::builder("wss://volt.example", "cluster-abc123")
//!     .daemon_password("secret")
//!     .include_credentials(true)
//!     .handle("jobs.run", |job: Value, _| async move {
//!         Ok(json!({ "started": job["id"] }))
//!     })
//!     .connect()
//!     .await?;
//!
//! let jobs: Vec<Value> = daemon.send_command("jobs.list", &json!({ "page": 1 })).await?.data()?;
//! println!("{} jobs", jobs.len());
//! # Ok(())
//! # }
//! ```
//!
//! Errors are [`Error`](crate::Error); [`client_code`] tells what the original daemon client calls one.

mod builder;
mod client;
mod outcome;

pub use builder::DaemonBuilder;
pub use client::DaemonClient;
pub use moorline_core::words::volt_code as client_code;
pub(crate) use outcome::outcome;
