//! Who is connected to a listener, and how many more may come.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The connections of one listener.
pub(super) struct Crowd {
    max_connections: usize,
    max_unadmitted: usize,
    counts: Mutex<Counts>,
}

#[derive(Default)]
struct Counts {
    connections: usize,
    /// By address; clients of a Unix socket have none.
    unadmitted: HashMap<Option<IpAddr>, usize>,
}

impl Crowd {
    /// Makes an empty crowd.
    pub(super) fn new(max_connections: usize, max_unadmitted: usize) -> Arc<Self> {
        Arc::new(Self { max_connections, max_unadmitted, counts: Mutex::default() })
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection's place among the limits; given back on drop.
pub(super) struct Place {
    crowd: Arc<Crowd>,
    address: Option<IpAddr>,
    admitted: AtomicBool,
}

impl Place {
    /// Takes a place for a client at `address`; `None` if there is none.
    pub(super) fn take(crowd: &Arc<Crowd>, address: Option<IpAddr>) -> Option<Self> {
        let mut counts = crowd.lock();
        let unadmitted = counts.unadmitted.get(&address).copied().unwrap_or(0);
        if counts.connections >= crowd.max_connections || unadmitted >= crowd.max_unadmitted {
            return None;
        }
        counts.connections += 1;
        counts.unadmitted.insert(address, unadmitted + 1);
        Some(Self { crowd: Arc::clone(crowd), address, admitted: AtomicBool::new(false) })
    }

    /// Whether the client is no stranger any more.
    pub(super) fn is_admitted(&self) -> bool {
        self.admitted.load(Ordering::Relaxed)
    }

    /// A whole request came, or the machine let the client in: no longer a stranger.
    pub(super) fn admit(&self) {
        if !self.admitted.swap(true, Ordering::Relaxed) {
            self.leave_strangers(&mut self.crowd.lock());
        }
    }

    fn leave_strangers(&self, counts: &mut Counts) {
        if let Some(count) = counts.unadmitted.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                counts.unadmitted.remove(&self.address);
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.crowd.lock();
        counts.connections -= 1;
        if !self.is_admitted() {
            self.leave_strangers(&mut counts);
        }
    }
}
