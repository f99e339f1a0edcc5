//! The hub's child: what goes up from it.

use std::collections::BTreeMap;

use super::Hub;
use crate::base::ids::StoreId;
use crate::base::store::StoreRequest;
use crate::machine::{Machine as _, Output};

/// Whose request to the store it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Child {
    Beacon,
    Volt,
}

/// Numbers requests to the store: every child has numbers of its own.
#[derive(Debug, Default)]
pub(super) struct Stores {
    next: u64,
    children: BTreeMap<StoreId, (Child, StoreId)>,
}

impl Stores {
    pub(super) const fn next_id(&mut self) -> StoreId {
        let id = StoreId(self.next);
        self.next += 1;
        id
    }

    /// Returns whose request was answered, and its number there.
    pub(super) fn take(&mut self, store: StoreId) -> Option<(Child, StoreId)> {
        self.children.remove(&store)
    }
}

impl Hub {
    /// Passes on what a child asks of the store.
    pub(super) fn ask_store(&mut self, child: Child, store: StoreId, request: StoreRequest) {
        let id = self.stores.next_id();
        self.stores.children.insert(id, (child, store));
        self.out.push_back(Output::Store { store: id, request });
    }

    /// Takes what the control plane of daemons wants done.
    pub(super) fn collect_volt(&mut self) {
        while let Some(output) = self.volt.poll_output() {
            if let Output::HttpReply { http, response } = output {
                self.reply(http, response);
            } else if let Output::Store { store, request } = output {
                self.ask_store(Child::Volt, store, request);
            } else {
                self.out.push_back(output);
            }
        }
    }
}
