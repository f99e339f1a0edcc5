//! The doorbell: tells the application that events wait, by a callback, a descriptor, or both.

use std::io;
#[cfg(unix)]
use std::io::{Read, Write};
#[cfg(unix)]
use std::os::fd::AsRawFd;
#[cfg(unix)]
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::ffi::callback::Ready;

/// What is rung when the event queue turns from empty to non-empty.
#[derive(Default)]
pub(crate) struct Bell {
    callback: Mutex<Option<Ready>>,
    #[cfg(unix)]
    wire: Mutex<Option<Wire>>,
}

impl Bell {
    /// Rings. Called on the driver's thread.
    pub(crate) fn ring(&self) {
        self.signal();
        // Held during the call: whoever replaces the callback waits until it has returned.
        if let Some(callback) = &*lock(&self.callback) {
            callback.call();
        }
    }

    /// Replaces the callback; afterwards the former one is not called any more.
    pub(crate) fn set_callback(&self, callback: Option<Ready>) {
        *lock(&self.callback) = callback;
    }
}

#[cfg(unix)]
impl Bell {
    /// Returns a descriptor that is readable while events wait.
    pub(crate) fn descriptor(&self) -> io::Result<i32> {
        let mut wire = lock(&self.wire);
        let wire = match &mut *wire {
            Some(wire) => wire,
            none => none.insert(Wire::open()?),
        };
        Ok(wire.reader.as_raw_fd())
    }

    /// Makes the descriptor readable, if there is one.
    pub(crate) fn signal(&self) {
        if let Some(wire) = &mut *lock(&self.wire) {
            // A full wire is readable already.
            let _ = wire.writer.write(&[1]);
        }
    }

    /// Makes the descriptor unreadable until the next ring.
    pub(crate) fn clear(&self) {
        if let Some(wire) = &mut *lock(&self.wire) {
            let mut bytes = [0; 64];
            while matches!(wire.reader.read(&mut bytes), Ok(n) if n == bytes.len()) {}
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

/// A pair of connected descriptors; neither end blocks.
#[cfg(unix)]
struct Wire {
    reader: UnixStream,
    writer: UnixStream,
}

#[cfg(unix)]
impl Wire {
    fn open() -> io::Result<Self> {
        let (reader, writer) = UnixStream::pair()?;
        reader.set_nonblocking(true)?;
        writer.set_nonblocking(true)?;
        Ok(Self { reader, writer })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_cleared_descriptor_stays_quiet_until_the_next_ring() {
        let bell = Bell::default();
        bell.descriptor().unwrap();
        let is_readable = |bell: &Bell| {
            let wire = lock(&bell.wire);
            let reader = wire.as_ref().unwrap().reader.try_clone().unwrap();
            (&reader).read(&mut [0; 1]).is_ok()
        };
        bell.ring();
        bell.ring();
        bell.clear();
        assert!(!is_readable(&bell));
        bell.ring();
        assert!(is_readable(&bell));
    }
}
