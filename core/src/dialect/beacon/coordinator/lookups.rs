//! Outcomes that somebody asks for: what is not in memory comes from the store.

use std::sync::Arc;

use super::item::Waiter;
use super::records::{RESULTS, read_result};
use super::requests::{Answer, response, unknown_item};
use super::results::{Finished, Kept};
use super::{Client, Coordinator, wire};
use crate::base::error::{Error, ErrorCode};
use crate::base::store::{StoreReply, StoreRequest};
use crate::base::time::Now;
use crate::machine::Output;

/// Who wants an outcome, and what for.
#[derive(Debug)]
pub(super) enum Want {
    /// To see it.
    Show(Client),
    /// To have it for an order under the same key.
    Answer(Waiter, Ordered),
    /// To know of it for an order under the same key, for which nobody waits.
    Enqueued(Client, Ordered),
}

/// What an order under a known key names: capability and action.
pub(super) type Ordered = (String, String);

impl Coordinator {
    /// Shows the outcome of an item, or where it is.
    pub(super) fn show_result(&mut self, hash: &str, client: Client, now: Now) {
        if self.results.find(hash).is_some() {
            return self.look_up(hash, Want::Show(client), now);
        }
        let answer = match self.find_shown(hash).and_then(|id| self.items.get(id)) {
            Some(item) => Ok(wire::unfinished(item, self.is_reserved(item))),
            None => Err(unknown_item(hash)),
        };
        self.tell(client, answer);
    }

    /// Finds an outcome for whoever wants it, now or when the store has answered.
    pub(super) fn look_up(&mut self, hash: &str, want: Want, now: Now) {
        let kept = self.results.find(hash);
        let whole = kept.map(|Kept { whole, .. }| whole.clone());
        let Some(None) = whole else {
            return self.found(hash, whole.flatten().as_deref(), want, now);
        };
        let store = self.journal.number();
        self.lookups.insert(store, (hash.into(), want));
        let (space, from) = (RESULTS, hash.to_owned());
        let request = StoreRequest::Find { space, from, limit: 1, bytes: usize::MAX };
        self.promise(Output::Store { store, request });
    }

    /// Takes what the store has answered.
    pub(super) fn looked_up(
        &mut self,
        hash: &Arc<str>,
        want: Want,
        result: Result<StoreReply, Error>,
        now: Now,
    ) {
        match result {
            Ok(StoreReply::Loaded(records)) => {
                let record = records.first().filter(|(key, _)| **key == **hash);
                let done = record.and_then(|(key, bytes)| read_result(key, bytes));
                self.found(hash, done.as_ref(), want, now);
            }
            Ok(StoreReply::Committed) | Err(_) => {
                self.not_found(want, 503, ErrorCode::Overloaded, "The store is not available.");
            }
        }
    }

    /// Answers those who still wait for the store.
    pub(super) fn end_lookups(&mut self) {
        for (_, want) in std::mem::take(&mut self.lookups).into_values() {
            self.not_found(want, 503, ErrorCode::Stopped, "The hub is going away.");
        }
    }

    fn found(&mut self, hash: &str, done: Option<&Finished>, want: Want, now: Now) {
        let Some(done) = done else {
            let (status, text) = (404, format!("Work item [{hash}] not found."));
            return self.not_found(want, status, ErrorCode::RemoteError, &text);
        };
        let is_other = |(capability, action): &Ordered| {
            (&*done.capability, &done.action) != (capability.as_str(), action)
        };
        match &want {
            Want::Answer(_, ordered) | Want::Enqueued(_, ordered) if is_other(ordered) => {
                let text = "The idempotency key was used for other work.";
                return self.not_found(want, 409, ErrorCode::ArgumentInvalid, text);
            }
            Want::Answer(..) | Want::Enqueued(..) | Want::Show(_) => {}
        }
        match want {
            Want::Show(client) => self.tell(client, Ok(wire::result(done))),
            Want::Answer(waiter, _) => self.answer(waiter, done, now),
            Want::Enqueued(client, _) => {
                let Finished { run_id, hash, enqueued, priority, ending, .. } = done;
                let text = wire::enqueued(run_id, hash, ending.name(), *enqueued, *priority);
                self.tell(client, Ok(text));
            }
        }
    }

    fn not_found(&mut self, want: Want, status: u16, code: ErrorCode, text: &str) {
        match want {
            Want::Show(client) | Want::Enqueued(client, _) => {
                self.tell(client, Err((status, wire::error(text))));
            }
            Want::Answer(waiter, _) => self.turn_away(waiter, status, code, text),
        }
    }

    fn tell(&mut self, client: Client, answer: Answer) {
        match client {
            Client::Http(http) => self.reply(http, response(answer)),
            Client::Call(call) => self.settle(call, answer),
        }
    }
}
