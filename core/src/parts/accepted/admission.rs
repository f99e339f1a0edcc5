//! How many connections there are, and how many of an address have not registered.

use std::collections::BTreeMap;

use super::Refusal;

/// Counts of connections.
#[derive(Debug)]
pub(super) struct Admission {
    max_total: u64,
    max_waiting: u64,
    total: u64,
    waiting: BTreeMap<String, u64>,
}

impl Admission {
    pub(super) const fn new(max_total: u64, max_waiting: u64) -> Self {
        Self { max_total, max_waiting, total: 0, waiting: BTreeMap::new() }
    }

    /// Counts a new connection in.
    pub(super) fn enter(&mut self, address: &str) -> Result<(), Refusal> {
        if self.total >= self.max_total {
            return Err(Refusal::Full);
        }
        if self.waiting.get(address).is_some_and(|count| *count >= self.max_waiting) {
            return Err(Refusal::TooManyUnregistered);
        }
        self.total += 1;
        self.dismissed(address);
        Ok(())
    }

    /// Counts a connection as registered.
    pub(super) fn admitted(&mut self, address: &str) {
        if let Some(count) = self.waiting.get_mut(address) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.waiting.remove(address);
            }
        }
    }

    /// Counts a connection as unregistered.
    pub(super) fn dismissed(&mut self, address: &str) {
        *self.waiting.entry(address.to_owned()).or_default() += 1;
    }

    /// Counts a connection out.
    pub(super) fn left(&mut self, address: &str, was_waiting: bool) {
        self.total = self.total.saturating_sub(1);
        if was_waiting {
            self.admitted(address);
        }
    }
}

/// Returns the host part of `host:port`.
pub(crate) fn address(remote: &str) -> &str {
    remote.rsplit_once(':').map_or(remote, |(host, _)| host)
}
