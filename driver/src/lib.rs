//! Moorline for Rust: workers, dispatchers and hubs that survive every kind of disconnect.
//!
//! ```
//! use moorline::{Dispatcher, Hub, Worker};
//! use serde_json::{Value, json};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), moorline::Error> {
//! let hub = Hub::builder().listen("127.0.0.1:0").start().await?;
//! let worker = Worker::builder(&hub.url())
//!     .name("greeter")
//!     .handle("Greet/Hello", |settings: Value, _work| async move {
//!         Ok(json!({ "Text": format!("Hello, {}!", settings["Name"].as_str().unwrap_or("you")) }))
//!     })
//!     .connect()
//!     .await?;
//!
//! let dispatcher = Dispatcher::connect(&hub.url()).await?;
//! let reply = dispatcher.call("Greet/Hello", &json!({ "Name": "Ada" })).await?;
//! assert_eq!(reply.outputs::<Value>()?["Text"], "Hello, Ada!");
//! # drop((worker, dispatcher));
//! # Ok(())
//! # }
//! ```
//!
//! Daemons of VOLT team clusters are in [`volt`]. The guides are `docs/rust.md` and
//! `docs/volt-rust.md`. Everything protocol lives in [`core`]; this crate performs what its
//! machines ask for. Bindings of other languages use [`Handle`] and [`EventQueue`].

mod api;
mod body;
mod clock;
mod connect;
mod counters;
mod dial;
#[cfg(unix)]
mod doorbell;
mod drive;
mod events;
mod fragments;
mod handle;
mod http_client;
mod inbox;
mod io;
mod io_thread;
mod links;
mod listen;
mod proxy;
mod recording;
mod store;
mod tls;
mod ws;

pub use api::volt;
pub use api::{
    Call, DaemonCall, DaemonContext, DaemonReply, Dispatcher, DispatcherBuilder, EnrollmentToken,
    Failure, Hub, HubBuilder, Reply, Report, WorkContext, Worker, WorkerBuilder,
};
pub use clock::{Clock, SystemClock};
pub use counters::Counters;
#[cfg(unix)]
pub use doorbell::Doorbell;
pub use events::{Drained, EventQueue, Frequent};
pub use handle::Handle;
pub use moorline_core as core;
pub use moorline_core::{Error, ErrorCode, Raw, Withdrawal};
