//! What only the operator's page is told.

use std::sync::Arc;

use super::super::item::Item;
use super::super::results::Finished;
use crate::base::json::object::Object;
use crate::base::time::UnixMillis;

/// The longest error that is shown, in characters.
const MAX_ERROR: usize = 500;

/// One item that waits or runs.
pub(crate) fn work_row(item: &Item, reserved: bool) -> String {
    let order = &item.order;
    let holder = item.holder.as_ref().filter(|_| !item.is_upcoming());
    Object::with_capacity(480)
        .text("Capability", &order.capability)
        .text("Action", &order.action)
        .text("Status", item.status(reserved))
        .text_or_null("Worker", holder.map(|holder| &*holder.name))
        .number("Priority", item.priority)
        .number("Attempt", item.attempt)
        .plain("EnqueuedAt", order.enqueued)
        .plain_or_null("AssignedAt", item.assigned.filter(|_| holder.is_some()))
        .given(item.progress.said(item.last_event), |object, said| object.raw("Progress", &said))
        .given(item.last_error.as_deref(), |object, error| object.text("LastError", &cut(error)))
        .flag("CancelRequested", item.cancel_reason.is_some())
        .end()
}

/// One item that has failed.
pub(crate) fn failure_row(done: &Finished, error: &str) -> String {
    Object::with_capacity(480)
        .text("WorkItemHash", &done.hash)
        .text("Capability", &done.capability)
        .text("Action", &done.action)
        .text_or_null("Worker", done.holder.as_ref().map(|holder| &*holder.name))
        .text("Status", done.ending.name())
        .text("Error", &cut(error))
        .number("Attempt", done.attempt)
        .plain("At", done.finished)
        .end()
}

/// One worker that is gone.
pub(crate) fn away_row(name: &Arc<str>, why: &str, at: UnixMillis) -> String {
    Object::new().text("Name", name).text("Why", &cut(why)).plain("Since", at).end()
}

fn cut(text: &str) -> String {
    let end = text.char_indices().nth(MAX_ERROR).map_or(text.len(), |(end, _)| end);
    let (kept, rest) = text.split_at(end);
    if rest.is_empty() { kept.to_owned() } else { format!("{kept}\u{2026}") }
}
