//! The unit that a connection delivers.

use std::fmt;

use bytes::Bytes;
use bytestring::ByteString;

use crate::base::content::Content;

/// The unit that a connection delivers.
#[derive(Clone, PartialEq, Eq)]
pub enum Frame {
    /// Text: UTF-8, checked by the transport.
    Text(ByteString),
    /// Bytes.
    Binary(Bytes),
    /// A WebSocket ping. The driver answers it by itself; the machine sees it as a sign of life.
    Ping(Bytes),
    /// A WebSocket pong.
    Pong(Bytes),
}

impl Frame {
    /// Returns the payload's length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Binary(bytes) | Self::Ping(bytes) | Self::Pong(bytes) => bytes.len(),
        }
    }

    /// Tells whether the payload is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl From<Content> for Frame {
    fn from(content: Content) -> Self {
        match content {
            Content::Text(text) => Self::Text(text),
            Content::Bytes(bytes) => Self::Binary(bytes),
        }
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self {
            Self::Text(_) => "Text",
            Self::Binary(_) => "Binary",
            Self::Ping(_) => "Ping",
            Self::Pong(_) => "Pong",
        };
        write!(f, "{kind}({} bytes)", self.len())
    }
}
