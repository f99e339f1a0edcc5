//! What the I/O thread did, counted: how many reads, writes and doorbells a message costs does not
//! depend on how busy the computer is, so tests can assert it.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[$doc:meta])+ $name:ident,)+) => {
        /// A reading of a handle's counters. They only grow.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
        #[non_exhaustive]
        pub struct Counters {
            $($(#[$doc])+ pub $name: u64,)+
        }

        /// The counters themselves, shared between the I/O thread and its connections.
        #[derive(Debug, Default)]
        pub(crate) struct Counting {
            $(pub(crate) $name: Counter,)+
        }

        impl Counting {
            /// Reads every counter.
            pub(crate) fn read(&self) -> Counters {
                Counters { $($name: self.$name.0.load(Ordering::Relaxed),)+ }
            }
        }
    };
}

counters! {
    /// Turns of the drive loop.
    turns,
    /// Frames received on WebSocket connections.
    frames_in,
    /// Frames sent on WebSocket connections.
    frames_out,
    /// Reads of a transport that returned data.
    reads,
    /// Writes to a transport that took data.
    writes,
    /// HTTP requests that clients sent us.
    requests_in,
    /// HTTP requests that we sent.
    requests_out,
    /// Transactions that the store synced.
    syncs,
    /// Events handed to the application.
    events,
    /// Times the application's doorbell was rung.
    doorbells,
}

/// One counter.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    /// Counts one.
    pub(crate) fn tick(&self) {
        self.add(1);
    }

    /// Counts several.
    pub(crate) fn add(&self, count: usize) {
        self.0.fetch_add(count as u64, Ordering::Relaxed);
    }
}
