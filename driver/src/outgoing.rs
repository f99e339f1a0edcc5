//! What is to be written to a byte stream: it leaves in one vectored write per turn.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::AsyncWrite;

use crate::io::Io;

/// Where collected frames are written without waiting for the turn's flush.
pub(crate) const WRITE_BUFFER: usize = 128 * 1024;
/// Payloads from this size on are written from where they lie; smaller ones are gathered.
pub(crate) const SHARED: usize = 1024;
/// The first room for what is gathered.
const GATHERED: usize = 1024;
/// The most parts of one write.
const MAX_PARTS: usize = 64;

/// What is to be written. Holds nothing once it is.
#[derive(Default)]
pub(crate) struct Outgoing {
    parts: VecDeque<Bytes>,
    /// Small payloads, and what stands around large ones.
    gathered: BytesMut,
    length: usize,
}

impl Outgoing {
    /// Returns how many bytes wait.
    pub(crate) const fn len(&self) -> usize {
        self.length
    }

    /// Returns how many bytes are held beside payloads of others.
    #[cfg(test)]
    pub(crate) fn held(&self) -> usize {
        self.parts.capacity() + self.gathered.capacity()
    }

    /// Adds what `write` writes.
    pub(crate) fn gather(&mut self, write: impl FnOnce(&mut BytesMut)) {
        if self.gathered.capacity() == 0 {
            self.gathered.reserve(GATHERED);
        }
        let before = self.gathered.len();
        write(&mut self.gathered);
        self.length += self.gathered.len() - before;
    }

    /// Adds a payload.
    pub(crate) fn add(&mut self, payload: Bytes) {
        self.length += payload.len();
        if payload.len() < SHARED {
            self.gathered.extend_from_slice(&payload);
        } else {
            self.seal();
            self.parts.push_back(payload);
        }
    }

    /// Writes all of it.
    pub(crate) fn poll_write(&mut self, io: &mut Io, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.length > 0 {
            let mut slices = [IoSlice::new(&[]); MAX_PARTS];
            let parts = self.parts.iter().map(Bytes::as_ref);
            let parts = parts.chain((!self.gathered.is_empty()).then_some(self.gathered.as_ref()));
            let mut count = 0;
            for (slice, part) in slices.iter_mut().zip(parts) {
                *slice = IoSlice::new(part);
                count += 1;
            }
            let slices = slices.get(..count).unwrap_or(&slices);
            let written = ready!(Pin::new(&mut *io).poll_write_vectored(cx, slices))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.advance(written);
        }
        *self = Self::default();
        Pin::new(io).poll_flush(cx)
    }

    fn seal(&mut self) {
        if !self.gathered.is_empty() {
            self.parts.push_back(self.gathered.split().freeze());
        }
    }

    fn advance(&mut self, mut written: usize) {
        self.length = self.length.saturating_sub(written);
        while let Some(part) = self.parts.front_mut() {
            if written < part.len() {
                part.advance(written);
                return;
            }
            written -= part.len();
            self.parts.pop_front();
        }
        self.gathered.advance(written.min(self.gathered.len()));
    }
}
