//! The hub's children: what goes up from them.

use std::collections::BTreeMap;

use super::Hub;
use crate::base::ids::StoreId;
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
    /// Whose request each is, and its number there.
    pub(super) children: BTreeMap<StoreId, (Child, StoreId)>,
}

impl Stores {
    pub(super) const fn next_id(&mut self) -> StoreId {
        let id = StoreId(self.next);
        self.next += 1;
        id
    }
}

impl Hub {
    /// Returns the next output of a child, as it leaves the hub.
    pub(super) fn poll_children(&mut self) -> Option<Output> {
        if let Some(output) = self.coordinator.poll_output() {
            return Some(self.pass(Child::Beacon, output));
        }
        self.volt.poll_output().map(|output| self.pass(Child::Volt, output))
    }

    /// Takes what the children say so far, before the hub goes on.
    pub(super) fn collect(&mut self) {
        while let Some(output) = self.poll_children() {
            self.out.push_back(output);
        }
    }

    /// Numbers requests to the store anew, and lets pages of allowed origins read their answers.
    fn pass(&mut self, child: Child, output: Output) -> Output {
        if let Output::HttpReply { http, response } = output {
            Output::HttpReply { http, response: self.let_read(http, response) }
        } else if let Output::Store { store, request } = output {
            let id = self.stores.next_id();
            self.stores.children.insert(id, (child, store));
            Output::Store { store: id, request }
        } else {
            output
        }
    }
}
