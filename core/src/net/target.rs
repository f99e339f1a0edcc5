//! Where connections lead and what they may carry.

use crate::net::http::Headers;

/// Where to dial and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DialTarget {
    /// A `ws:` or `wss:` URL.
    pub url: String,
    /// Extra header fields of the upgrade request.
    pub headers: Headers,
    /// Time for name look-up, connection, TLS and upgrade together, in milliseconds.
    pub timeout_ms: u64,
    /// Limits for its frames.
    pub limits: FrameLimits,
    /// A text frame by which the peer asks for a sign of life; empty if it has none. It reaches the
    /// machine even while frames are held back because the application lags.
    pub pulse: &'static str,
}

/// Limits that a transport enforces on one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameLimits {
    /// The largest message accepted, in bytes. Beyond: close 1009.
    pub max_message: usize,
    /// The most fragments of one message. Beyond: close 1008.
    pub max_fragments: usize,
    /// The most bytes waiting to be sent. Beyond: the connection fails with `OVERLOADED`.
    pub max_send_queue: usize,
}

/// Limits that a listener enforces on HTTP clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpLimits {
    /// The largest request head, in bytes. Beyond: 431.
    pub max_head: usize,
    /// The most header fields. Beyond: 431.
    pub max_headers: usize,
    /// The largest request body, in bytes. Beyond: 413.
    pub max_body: usize,
    /// Time to receive a whole request, in milliseconds. Beyond: 408 and close.
    pub request_timeout_ms: u64,
    /// The most connections accepted at once. Beyond: closed at once.
    pub max_connections: usize,
    /// The most connections of one address that are not admitted yet. Beyond: closed at once.
    pub max_unadmitted_per_address: usize,
}
