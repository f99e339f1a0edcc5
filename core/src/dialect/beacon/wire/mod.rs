//! Field names of the beacon wire, spelled here and nowhere else.
//!
//! Reading borrows from the frame and keeps the user's parts as slices of it; writing copies them into
//! one buffer a frame. No payload is ever parsed.

mod calls;
mod read;
mod write;

pub(crate) use calls::{
    OrderAnswer, Subject, cancellation, command, dispatch_answer, keyed_run, order, stream_error,
};
pub(crate) use read::{
    HubFrame, LoginAnswer, PollAnswer, RecordAnswer, Text, WireItem, count, error_text, number,
    text, whole,
};
pub(crate) use write::{
    Authorship, farewell, heartbeat, item_meta, login, outcome, poll, progress, registration,
};

/// Values of `EventType`.
pub(crate) mod event {
    pub(crate) const REGISTERED: &str = "BeaconRegistered";
    pub(crate) const REJECTED: &str = "BeaconRejected";
    pub(crate) const DEREGISTERED: &str = "Deregistered";
    pub(crate) const WORK: &str = "WorkItem";
    pub(crate) const TAKEN: &str = "WorkTaken";
    pub(crate) const CANCEL: &str = "WorkCancel";
}
