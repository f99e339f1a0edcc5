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
//! assert_eq!(reply.data::<Value>()?["Text"], "Hello, Ada!");
//! # drop((worker, dispatcher));
//! # Ok(())
//! # }
//! ```
//!
//! Daemons of VOLT team clusters are in [`volt`], providers and consumers of network-cluster in
//! [`netcluster`], ws-daemons in [`wsdaemon`]. The guides are `docs/rust.md` and
//! `docs/volt-rust.md`. Everything protocol lives in [`core`].
//!
//! Each role owns one I/O thread; events cross to the application's own tokio runtime as values,
//! without JSON in between. Handlers run there as tasks.

mod application;
mod call;
mod calls;
mod dispatcher;
mod endpoint;
mod error;
mod events;
mod handler;
mod hub;
mod messages;
pub mod netcluster;
mod numbers;
mod pace;
mod reply;
mod request;
mod routing;
mod session_slot;
mod started;
mod stream;
mod subscription;
pub mod volt;
mod work;
mod worker;
pub mod wsdaemon;

pub use call::Call;
pub use dispatcher::{Dispatcher, DispatcherBuilder};
pub use error::Error;
pub use events::{Event, Events};
pub use hub::{EnrollmentToken, Hub, HubBuilder};
pub use messages::Messages;
pub use moorline_core as core;
pub use moorline_core::options;
pub use moorline_core::{ErrorCode, Raw, Secret, Transport, Withdrawal};
pub use moorline_driver::Counters;
pub use reply::{Failure, IntoReply, Reply};
pub use started::Started;
pub use stream::ByteSender;
pub use work::{Report, WorkContext};
pub use worker::{Worker, WorkerBuilder};
