//! Field names of the beacon wire, spelled here and nowhere else.
//!
//! Reading borrows from the frame and keeps the user's parts as slices of it; writing copies them into
//! one buffer a frame. No payload is ever parsed.

mod calls;
mod read;
mod write;

use crate::base::error::{Error, ErrorCode};

pub(crate) use calls::{
    ListPart, Subject, cancellation, command, dispatch_answer, keyed_run, order, stream_error,
};
pub(crate) use read::{
    HubAnswer, HubFrame, LoginAnswer, RecordAnswer, Text, WireCancel, WireExtension, WireItem,
    away_for, away_until, count, error_text, login_answer, number, plain_settings, stay_away, text,
    whole,
};
pub(crate) use write::{
    Authorship, Page, cancel_heard, cancelled, farewell, heartbeat, item_meta, login, outcome,
    poll, progress, registration,
};

/// What the text of a failure begins with where the code is meant for programs too.
const TOO_LARGE: &str = "TOO_LARGE: ";

/// Writes the text of a failure by `TOO_LARGE`.
pub(crate) fn too_large(problem: &str) -> String {
    format!("{TOO_LARGE}{problem}")
}

/// Reads the error that an item ended with; `code` is that of other texts.
pub(crate) fn failure(code: ErrorCode, text: &str) -> Error {
    text.strip_prefix(TOO_LARGE)
        .map_or_else(|| Error::new(code, text), |text| Error::new(ErrorCode::TooLarge, text))
}

/// Values of `EventType`.
pub(crate) mod event {
    pub(crate) const REGISTERED: &str = "BeaconRegistered";
    pub(crate) const REJECTED: &str = "BeaconRejected";
    pub(crate) const DEREGISTERED: &str = "Deregistered";
    pub(crate) const WORK: &str = "WorkItem";
    pub(crate) const TAKEN: &str = "WorkTaken";
    pub(crate) const CANCEL: &str = "WorkCancel";
    /// What hubs of others say. Source: `ultravisor` 1.3.27.
    pub(crate) const FOREIGN_CANCEL: &str = "Cancel";
}
