//! A descriptor that an event loop can watch: readable from a ring until it is cleared.

use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;

/// The doorbell of one handle.
#[derive(Debug)]
pub(crate) struct Doorbell {
    near: UnixStream,
    far: UnixStream,
}

impl Doorbell {
    /// Makes a silent doorbell.
    pub(crate) fn new() -> io::Result<Self> {
        let (near, far) = UnixStream::pair()?;
        near.set_nonblocking(true)?;
        far.set_nonblocking(true)?;
        Ok(Self { near, far })
    }

    /// Makes the descriptor readable. Never waits.
    pub(crate) fn ring(&self) {
        // A full buffer is a doorbell that rings already.
        let _ = (&self.far).write(&[1]);
    }

    /// Makes the descriptor unreadable until the next ring.
    pub(crate) fn clear(&self) {
        let mut rings = [0; 64];
        while matches!((&self.near).read(&mut rings), Ok(count) if count == rings.len()) {}
    }

    /// Returns the descriptor to watch.
    pub(crate) fn descriptor(&self) -> i32 {
        self.near.as_raw_fd()
    }
}
