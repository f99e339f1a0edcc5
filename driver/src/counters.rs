//! What the I/O thread did, counted: how many reads, writes and doorbells a message costs does not
//! depend on how busy the computer is, so tests can assert it.

use std::sync::atomic::{AtomicU64, Ordering};

use moorline_core::metrics::{self, MetricsPage};

macro_rules! counters {
    ($($(#[$doc:meta])+ $name:ident as $metric:ident,)+) => {
        /// A reading of a handle's counters. They only grow.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
        #[non_exhaustive]
        pub struct Counters {
            $($(#[$doc])+ pub $name: u64,)+
        }

        impl Counters {
            /// Adds them to a page.
            pub(crate) fn measure(&self, page: &mut MetricsPage) {
                $(page.one(&metrics::$metric, self.$name);)+
            }
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
    turns as IO_TURNS,
    /// Frames received on WebSocket connections.
    frames_in as IO_FRAMES_RECEIVED,
    /// Frames sent on WebSocket connections.
    frames_out as IO_FRAMES_SENT,
    /// Reads of a transport that returned data.
    reads as IO_READS,
    /// Writes to a transport that took data.
    writes as IO_WRITES,
    /// HTTP requests that clients sent us.
    requests_in as IO_REQUESTS_RECEIVED,
    /// HTTP requests that we sent.
    requests_out as IO_REQUESTS_SENT,
    /// Transactions that the store synced.
    syncs as IO_SYNCS,
    /// Events handed to the application.
    events as IO_EVENTS,
    /// Times the application's doorbell was rung.
    doorbells as IO_DOORBELLS,
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
