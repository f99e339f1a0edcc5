//! Events on their way to the application: appended as JSON by the I/O thread, drained in batches.

/// A bounded queue of events as JSON text, with a doorbell.
#[derive(Debug)]
pub struct EventQueue {}

/// What a drain left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// More events wait: drain again after the event loop had its turn. The doorbell stays silent.
    pub more: bool,
    /// The `ended` event has been drained: nothing will follow.
    pub ended: bool,
}

impl EventQueue {
    /// Moves at most 64 KiB of events (at least one) into `out` as one JSON array.
    pub fn drain(&self, out: &mut String) -> Drained {
        out.push_str("[]");
        Drained { more: false, ended: true }
    }

    /// Sets what is called on the I/O thread when the queue turns from empty to non-empty. Called
    /// at once if it is not empty now. It must return quickly and never wait for the host.
    pub fn set_doorbell(&self, ring: impl Fn() + Send + Sync + 'static) {
        let _ = ring;
    }
}
