//! The API of Rust applications: workers, dispatchers and hubs as values with asynchronous methods.
//!
//! Each owns one I/O thread; events cross to the application's own tokio runtime as values, without
//! JSON in between. Handlers run there as tasks.

mod calls;
mod daemon_work;
mod daemons;
mod desk;
mod dispatcher;
mod hub;
mod mailbox;
mod settings;
pub mod volt;
mod work;
mod worker;

pub use daemon_work::DaemonContext;
pub use daemons::{DaemonCall, DaemonReply, EnrollmentToken};
pub use dispatcher::{Call, Dispatcher, DispatcherBuilder, Reply};
pub use hub::{Hub, HubBuilder};
pub use work::{Failure, Report, WorkContext};
pub use worker::{Worker, WorkerBuilder};
