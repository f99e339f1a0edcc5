//! Where connections lead, where they come from, and what they may carry.

use std::borrow::Cow;

use crate::net::http::Headers;
use crate::net::proxies::Networks;
use crate::net::split::Framing;

/// Where to dial and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DialTarget {
    /// Where it is, and what carries the frames.
    pub address: DialAddress,
    /// Time for all that comes before frames can flow, in milliseconds: name look-up, connection, TLS
    /// and upgrade together.
    pub timeout_ms: u64,
    /// Limits for its frames.
    pub limits: FrameLimits,
    /// Frames by which the peer asks for a sign of life.
    pub pulses: Pulses,
}

/// What is dialed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DialAddress {
    /// A WebSocket.
    WebSocket {
        /// A `ws:` or `wss:` URL.
        url: String,
        /// Extra header fields of the upgrade request.
        headers: Headers,
        /// The compression that is offered; without, none is.
        deflate: Option<Deflate>,
    },
    /// A stream over TCP.
    Tcp {
        /// The host: a name, or an address without brackets.
        host: String,
        /// The port.
        port: u16,
        /// Whether TLS is spoken.
        tls: bool,
        /// How frames are divided.
        framing: Framing,
    },
    /// A stream over a Unix socket.
    Unix {
        /// The socket's file.
        path: String,
        /// How frames are divided.
        framing: Framing,
    },
}

impl DialAddress {
    /// Returns the address as a URL: `ws://host/path`, `tcp://host:port`, `tls://host:port`,
    /// `unix:path`.
    #[must_use]
    pub fn url(&self) -> Cow<'_, str> {
        match self {
            Self::WebSocket { url, .. } => Cow::Borrowed(url),
            Self::Tcp { host, port, tls, .. } => {
                let scheme = if *tls { "tls" } else { "tcp" };
                let (open, close) = if host.contains(':') { ("[", "]") } else { ("", "") };
                Cow::Owned(format!("{scheme}://{open}{host}{close}:{port}"))
            }
            Self::Unix { path, .. } => Cow::Owned(format!("unix:{path}")),
        }
    }

    /// Returns the extra header fields; a stream has none.
    #[must_use]
    pub const fn headers(&self) -> Option<&Headers> {
        if let Self::WebSocket { headers, .. } = self { Some(headers) } else { None }
    }

    /// Returns the compression that is offered.
    #[must_use]
    pub const fn deflate(&self) -> Option<&Deflate> {
        if let Self::WebSocket { deflate, .. } = self { deflate.as_ref() } else { None }
    }

    /// Returns how frames are divided; a WebSocket has its own way.
    #[must_use]
    pub const fn framing(&self) -> Option<Framing> {
        match self {
            Self::WebSocket { .. } => None,
            Self::Tcp { framing, .. } | Self::Unix { framing, .. } => Some(*framing),
        }
    }
}

/// Payloads of frames that reach the machine even while others are held back because the application
/// lags: what the peer asks for a sign of life by, or answers with.
pub type Pulses = &'static [&'static [u8]];

/// Where to listen and what for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenTarget {
    /// HTTP, and the upgrade to WebSocket, over TCP. With a certificate in the driver's options: TLS.
    Http {
        /// The address to bind, such as `127.0.0.1:0`.
        address: String,
        /// Limits for what clients send over HTTP.
        limits: HttpLimits,
        /// Reverse proxies: one address stands for many clients there, and has no bounds of its own.
        proxies: Networks,
        /// Whether an upgrade is answered with the first subprotocol that is offered; else with none.
        echoes_protocol: bool,
    },
    /// Streams over TCP.
    Tcp {
        /// The address to bind, such as `127.0.0.1:0`.
        address: String,
        /// Whether TLS is spoken, with the certificate of the driver's options.
        tls: bool,
        /// How frames are divided.
        framing: Framing,
        /// Limits for who may connect.
        limits: StreamLimits,
    },
    /// Streams over a Unix socket. A file that nobody listens behind is replaced; it is removed when
    /// listening ends.
    Unix {
        /// The socket's file; its folder must exist.
        path: String,
        /// The file's permissions, such as `0o600`.
        mode: u32,
        /// How frames are divided.
        framing: Framing,
        /// Limits for who may connect; all clients count as one address.
        limits: StreamLimits,
    },
}

impl ListenTarget {
    /// Returns the address, with `unix:` before the path of a Unix socket.
    #[must_use]
    pub fn address(&self) -> Cow<'_, str> {
        match self {
            Self::Http { address, .. } | Self::Tcp { address, .. } => Cow::Borrowed(address),
            Self::Unix { path, .. } => Cow::Owned(format!("unix:{path}")),
        }
    }
}

/// Who is at the other end of a Unix socket, as the operating system says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnixPeer {
    /// The user.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// The process, where the system tells.
    pub pid: Option<i32>,
}

/// Limits that a transport enforces on one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameLimits {
    /// The largest message accepted, in bytes. Beyond: the connection fails with `TOO_LARGE`, a
    /// WebSocket is closed with 1009.
    pub max_message: usize,
    /// The most fragments of one message of a WebSocket. Beyond: close 1008.
    pub max_fragments: usize,
    /// The most bytes waiting to be sent. Beyond: the connection fails with `OVERLOADED`.
    pub max_send_queue: usize,
}

impl FrameLimits {
    /// Returns what of these limits whoever has not shown who it is gets: messages of at most `most` bytes,
    /// and as much that waits to be sent.
    pub(crate) fn of_stranger(self, most: usize) -> Self {
        let (max_message, max_send_queue) = (self.max_message, self.max_send_queue);
        Self {
            max_message: max_message.min(most),
            max_send_queue: max_send_queue.min(most),
            ..self
        }
    }
}

/// How messages of a WebSocket are compressed (`permessage-deflate`, RFC 7692) once both sides agree.
///
/// Who dials offers this; who listens grants at most this, and declines what cannot be. A window is
/// the size of what repetitions are looked for in, as a power of two: 9 to 15.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deflate {
    /// The largest window of the side that listens.
    pub server_max_window_bits: u8,
    /// The largest window of the side that dialed.
    pub client_max_window_bits: u8,
    /// Whether the side that listens forgets each message before the next.
    pub server_no_context_takeover: bool,
    /// Whether the side that dialed forgets each message before the next.
    pub client_no_context_takeover: bool,
    /// From how many bytes on whatever is sent is compressed; without, only what
    /// [`SendCompressed`](crate::Output::SendCompressed) sends is.
    pub threshold: Option<usize>,
}

impl Deflate {
    /// What JavaScript's common library, `ws`, offers and does.
    pub(crate) const LIKE_WS: Self = Self {
        server_max_window_bits: 15,
        client_max_window_bits: 15,
        server_no_context_takeover: false,
        client_no_context_takeover: false,
        threshold: Some(1_024),
    };
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
    /// Time for TLS, for a request's head and for its body, in milliseconds each. Beyond: 408 and close. A
    /// body has a second more for each 64 KiB that has come.
    pub request_timeout_ms: u64,
    /// The most connections at once; one address has three quarters of them until it has proved, by
    /// [`SetLimits`](crate::Output::SetLimits), who it is. Beyond: they wait, unread.
    pub max_connections: usize,
    /// The most connections of one address that have neither asked anything nor been let in. Beyond:
    /// they wait, unread.
    pub max_unadmitted_per_address: usize,
    /// The most bytes that all connections hold together: of messages and bodies that have not come in
    /// full, and of what waits to be sent. Beyond: the one that holds most is ended.
    pub max_held: usize,
}

impl HttpLimits {
    /// What connections may hold together where no option says it.
    const MAX_HELD: usize = 268_435_456;

    /// Makes the limits that every server of ours has, with those that its options set.
    pub(crate) fn new(max_body: u64, max_connections: u64, max_unadmitted: u64) -> Self {
        let limit = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
        Self {
            max_head: 16_384,
            max_headers: 64,
            max_body: limit(max_body),
            request_timeout_ms: 10_000,
            max_connections: limit(max_connections),
            max_unadmitted_per_address: limit(max_unadmitted),
            max_held: Self::MAX_HELD,
        }
    }
}

/// Limits that a listener enforces on clients that open streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamLimits {
    /// The most connections at once; one address has three quarters of them until it has proved, by
    /// [`SetLimits`](crate::Output::SetLimits), who it is. Beyond: they wait, unread.
    pub max_connections: usize,
    /// The most connections of one address that have neither asked anything nor been let in. Beyond:
    /// they wait, unread.
    pub max_unadmitted_per_address: usize,
    /// Time for the TLS handshake, in milliseconds. Beyond: closed.
    pub handshake_timeout_ms: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_streams_are_urls_too() {
        let framing = Framing::Lines;
        let tcp = |host: &str, tls| DialAddress::Tcp { host: host.into(), port: 9, tls, framing };
        assert_eq!(tcp("runner.example", false).url(), "tcp://runner.example:9");
        assert_eq!(tcp("2001:db8::1", true).url(), "tls://[2001:db8::1]:9");
        assert_eq!(DialAddress::Unix { path: "/run/x".into(), framing }.url(), "unix:/run/x");
    }
}
