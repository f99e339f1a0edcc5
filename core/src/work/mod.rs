//! Work of any dialect: who handles it, how much at once, and what became of it.
//!
//! Nothing here knows a wire. A [`Dispatcher`] matches items to handlers and keeps deadlines, its
//! [`slots`] bound concurrency, the [`Outbox`] keeps outcomes until the control plane has them.

mod dispatcher;
mod handlers;
mod outbox;
mod slots;

pub(crate) use dispatcher::{Dispatcher, Inbound, Offer, Settled};
pub(crate) use handlers::Handlers;
pub(crate) use outbox::{Entry, Outbox, Removed, from_record};
