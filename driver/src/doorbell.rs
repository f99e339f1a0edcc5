//! A doorbell that event loops can wait for: a descriptor that becomes readable.

#[cfg(any(target_os = "linux", target_os = "android"))]
pub use eventfd::Doorbell;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub use pair::Doorbell;

#[cfg(any(target_os = "linux", target_os = "android"))]
mod eventfd {
    use std::io;
    use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

    use nix::sys::eventfd::{EfdFlags, EventFd};

    /// A pollable doorbell. Rung any number of times, it is readable until it is cleared.
    #[derive(Debug)]
    pub struct Doorbell(EventFd);

    impl Doorbell {
        /// Makes a doorbell that is silent.
        ///
        /// # Errors
        /// The operating system's, when no descriptor is left.
        pub fn new() -> io::Result<Self> {
            let flags = EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC;
            Ok(Self(EventFd::from_value_and_flags(0, flags)?))
        }

        /// Makes the descriptor readable. Never waits.
        pub fn ring(&self) {
            // It fails only when it has been rung 2⁶⁴ times: it is readable then.
            let _ = self.0.write(1);
        }

        /// Makes the descriptor silent. Call before draining events, so that none is missed.
        pub fn clear(&self) {
            // It fails only when it is silent already.
            let _ = self.0.read();
        }
    }

    impl AsFd for Doorbell {
        fn as_fd(&self) -> BorrowedFd<'_> {
            self.0.as_fd()
        }
    }

    impl AsRawFd for Doorbell {
        fn as_raw_fd(&self) -> RawFd {
            self.0.as_fd().as_raw_fd()
        }
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod pair {
    use std::io::{self, Read, Write};
    use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
    use std::os::unix::net::UnixStream;

    /// A pollable doorbell. Rung any number of times, it is readable until it is cleared.
    #[derive(Debug)]
    pub struct Doorbell {
        bell: UnixStream,
        button: UnixStream,
    }

    impl Doorbell {
        /// Makes a doorbell that is silent.
        ///
        /// # Errors
        /// The operating system's, when no descriptor is left.
        pub fn new() -> io::Result<Self> {
            let (bell, button) = UnixStream::pair()?;
            bell.set_nonblocking(true)?;
            button.set_nonblocking(true)?;
            Ok(Self { bell, button })
        }

        /// Makes the descriptor readable. Never waits.
        pub fn ring(&self) {
            // It fails only when the pair is full: it is readable then.
            let _ = (&self.button).write(&[1]);
        }

        /// Makes the descriptor silent. Call before draining events, so that none is missed.
        pub fn clear(&self) {
            let mut rung = [0; 64];
            while matches!((&self.bell).read(&mut rung), Ok(read) if read == rung.len()) {}
        }
    }

    impl AsFd for Doorbell {
        fn as_fd(&self) -> BorrowedFd<'_> {
            self.bell.as_fd()
        }
    }

    impl AsRawFd for Doorbell {
        fn as_raw_fd(&self) -> RawFd {
            self.bell.as_raw_fd()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

    use super::*;

    #[test]
    fn it_is_readable_from_ring_to_clear() {
        let bell = Doorbell::new().unwrap();
        assert!(!is_readable(&bell));
        bell.ring();
        bell.ring();
        assert!(is_readable(&bell));
        bell.clear();
        assert!(!is_readable(&bell));
    }

    fn is_readable(bell: &Doorbell) -> bool {
        let mut watched = [PollFd::new(bell.as_fd(), PollFlags::POLLIN)];
        poll(&mut watched, PollTimeout::ZERO).unwrap() == 1
    }
}
