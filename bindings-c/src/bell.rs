//! The bell: tells the application that events wait, by a callback, a descriptor, or both.

use std::io;
#[cfg(unix)]
use std::os::fd::AsRawFd;
#[cfg(unix)]
use std::sync::OnceLock;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::ffi::callback::Ready;

/// What is rung when the event queue turns from empty to non-empty.
#[derive(Default)]
pub(crate) struct Bell {
    callback: Mutex<Option<Ready>>,
    #[cfg(unix)]
    doorbell: OnceLock<moorline_driver::Doorbell>,
}

impl Bell {
    /// Rings. Called on the driver's thread.
    pub(crate) fn ring(&self) {
        self.signal();
        // Held during the call: whoever replaces the callback waits until it has returned.
        if let Some(callback) = &*self.callback() {
            callback.call();
        }
    }

    /// Replaces the callback; afterwards the former one is not called any more.
    pub(crate) fn set_callback(&self, callback: Option<Ready>) {
        *self.callback() = callback;
    }

    fn callback(&self) -> MutexGuard<'_, Option<Ready>> {
        self.callback.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(unix)]
impl Bell {
    /// Returns a descriptor that is readable while events wait.
    pub(crate) fn descriptor(&self) -> io::Result<i32> {
        if let Some(doorbell) = self.doorbell.get() {
            return Ok(doorbell.as_raw_fd());
        }
        let doorbell = moorline_driver::Doorbell::new()?;
        Ok(self.doorbell.get_or_init(|| doorbell).as_raw_fd())
    }

    /// Makes the descriptor readable, if there is one.
    pub(crate) fn signal(&self) {
        if let Some(doorbell) = self.doorbell.get() {
            doorbell.ring();
        }
    }

    /// Makes the descriptor silent until the next ring.
    pub(crate) fn clear(&self) {
        if let Some(doorbell) = self.doorbell.get() {
            doorbell.clear();
        }
    }
}

#[cfg(not(unix))]
impl Bell {
    pub(crate) fn descriptor(&self) -> io::Result<i32> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(crate) fn signal(&self) {}

    pub(crate) fn clear(&self) {}
}
