//! The contract between machines and whoever drives them.
//!
//! ```text
//!             Input, Command                 Output (actions and events, one ordered queue)
//!   driver ───────────────────▶ Machine ───────────────────▶ driver ──▶ application
//! ```
//!
//! After every call that takes `&mut self` the driver drains [`Machine::poll_output`] to `None`, then
//! asks [`Machine::poll_timeout`] when to call back. Machines nest by value: a parent forwards inputs
//! by id and takes the earliest deadline of its children.

use bytes::Bytes;

use crate::api::command::Command;
use crate::api::event::{CallEvent, Event};
use crate::api::metrics::MetricsPage;
use crate::api::options::LimitOptions;
use crate::base::error::{Error, ErrorCode};
use crate::base::ids::{ConnId, HttpId, ListenId, StoreId};
use crate::base::store::{StoreReply, StoreRequest};
use crate::base::time::{Deadline, Now};
use crate::net::target::{Deflate, DialTarget, FrameLimits, ListenTarget, Pulses, UnixPeer};
use crate::net::{Frame, HttpRequest, HttpResponse};

/// Everything that a driver drives.
pub trait Machine {
    /// Takes one input. Never fails: a peer's fault is an outcome of the protocol.
    fn handle_input(&mut self, input: Input, now: Now);

    /// Acts on every deadline up to `now`. May be called early, late or twice.
    fn handle_timeout(&mut self, now: Now);

    /// Returns the next output in order, or `None` when drained.
    fn poll_output(&mut self) -> Option<Output>;

    /// Returns when [`handle_timeout`](Self::handle_timeout) wants to be called, and why.
    fn poll_timeout(&self) -> Option<Deadline>;
}

/// A machine that an application holds: the narrow surface of every binding.
pub trait Endpoint: Machine {
    /// Carries out a command of the application.
    ///
    /// # Errors
    /// Misuse that can be known at once. The driver reports it as a
    /// [`CallDone`](crate::CallEvent::Done) when the command has a call id, as a
    /// [`Notice`](crate::SessionEvent::Notice) otherwise.
    fn handle_command(&mut self, command: Command, now: Now) -> Result<(), Error>;

    /// Returns the state as JSON text: link, ids, counters, queues, peers.
    fn snapshot(&self, now: Now) -> String;

    /// Adds what only this machine can measure to a page of metrics.
    fn measure(&mut self, page: &mut MetricsPage, now: Now) {
        let _ = (page, now);
    }

    /// Tells what keeps it from taking work although it has told that it is ready, if anything does.
    fn why_not_ready(&self) -> Option<&'static str> {
        None
    }
}

/// What a driver may take beyond a time limit that it was told, before it is not believed.
pub(crate) const DRIVER_SLACK_MS: u64 = 1_000;

/// What a driver tells a machine.
#[derive(Clone, Debug)]
pub enum Input {
    /// News of a connection, whoever opened it.
    Conn(ConnInput),
    /// News of an HTTP call that we made.
    Http(HttpInput),
    /// News of a listener and of those who come to it.
    Server(ServerInput),
    /// The store answered.
    Stored {
        /// The request.
        store: StoreId,
        /// The answer, or why there is none.
        result: Result<StoreReply, Error>,
    },
    /// How long the application has left its events unread, in milliseconds; 0 when it keeps up.
    /// Answers [`Output::ProbeHost`]; the driver repeats it before a deadline is handled.
    HostLag {
        /// Milliseconds since the doorbell was rung and not answered.
        millis: u64,
    },
}

/// News of a connection.
#[derive(Clone, Debug)]
pub enum ConnInput {
    /// A dial succeeded: the connection delivers frames from here on.
    Opened {
        /// The connection.
        conn: ConnId,
    },
    /// A frame came in.
    Received {
        /// The connection.
        conn: ConnId,
        /// The frame.
        frame: Frame,
    },
    /// Everything that was sent before [`Output::AskSent`] has been handed to the network.
    Sent {
        /// The connection.
        conn: ConnId,
    },
    /// What the other side sent is not read, since the application does not read its events: that
    /// nothing is heard of it means nothing. Repeated before deadlines are handled.
    Held {
        /// The connection.
        conn: ConnId,
    },
    /// A connection ended, or a dial failed. The last input of a connection.
    Closed {
        /// The connection.
        conn: ConnId,
        /// Why.
        cause: CloseCause,
    },
}

impl ConnInput {
    /// Returns the connection that it is about.
    #[must_use]
    pub const fn conn(&self) -> ConnId {
        match self {
            Self::Opened { conn }
            | Self::Received { conn, .. }
            | Self::Sent { conn }
            | Self::Held { conn }
            | Self::Closed { conn, .. } => *conn,
        }
    }
}

/// News of an HTTP call of ours.
#[derive(Clone, Debug)]
pub enum HttpInput {
    /// Our HTTP call was answered or failed. The last input of that exchange.
    Replied {
        /// The exchange.
        http: HttpId,
        /// The answer, or why there is none.
        result: Result<HttpResponse, Error>,
    },
    /// A part of a successful (2xx) answer to a call with `streams`, as soon as it is there.
    /// [`HttpInput::Replied`] follows after the last one.
    Part {
        /// The exchange.
        http: HttpId,
        /// The bytes; where they are cut means nothing.
        bytes: Bytes,
    },
}

/// News of a listener.
#[derive(Clone, Debug)]
pub enum ServerInput {
    /// A listener is bound.
    Listening {
        /// The listener.
        listen: ListenId,
        /// The address, with the port that was chosen, such as `127.0.0.1:54321`; `unix:` and the
        /// path for a Unix socket.
        address: String,
    },
    /// A listener could not be bound.
    ListenFailed {
        /// The listener.
        listen: ListenId,
        /// Why.
        error: Error,
    },
    /// A client asks to upgrade to WebSocket. Answer with [`Output::Admit`] or [`Output::Refuse`].
    Offered {
        /// The connection to be.
        conn: ConnId,
        /// The upgrade request; `url` is path and query.
        request: HttpRequest,
        /// The client's address, such as `127.0.0.1:49152`.
        remote: String,
    },
    /// A client opened a stream. Answer with [`Output::Admit`] or [`Output::Close`].
    Accepted {
        /// The connection to be.
        conn: ConnId,
        /// The listener.
        listen: ListenId,
        /// The client's address, such as `127.0.0.1:49152`; `unix:` and the listener's path for a
        /// Unix socket.
        remote: String,
        /// Who the client is, where the system tells: at Unix sockets.
        credentials: Option<UnixPeer>,
    },
    /// A client asks something over HTTP. Answer with [`Output::HttpReply`].
    Asked {
        /// The exchange.
        http: HttpId,
        /// The request; `url` is path and query.
        request: HttpRequest,
        /// The client's address.
        remote: String,
    },
    /// A client's request had a body that was too large, and was answered 413.
    Exceeded {
        /// The request; of its body the first bytes, at most 256: they may tell what it was about.
        request: HttpRequest,
        /// The client's address.
        remote: String,
    },
    /// The client that asked went away before it was answered in full.
    Gone {
        /// The exchange.
        http: HttpId,
    },
    /// A client reads a streaming answer more slowly than its parts come. Whoever goes on as if it did not
    /// has the client cut off when far more waits.
    Backlog {
        /// The exchange.
        http: HttpId,
        /// Whether so much waits that parts should be left out; told again when little waits.
        is_full: bool,
    },
}

/// Why a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CloseCause {
    /// The other side closed it, with its code and reason.
    Remote {
        /// The WebSocket close code; 1005 if none was sent, as at the end of a stream.
        code: u16,
        /// The reason.
        reason: String,
    },
    /// The server answered the upgrade with another status.
    Refused {
        /// The HTTP status.
        status: u16,
    },
    /// We closed it.
    Local,
    /// It failed: reset, time-out, TLS, limits.
    Failed(Error),
    /// The other side sent a message that is too large.
    Exceeded {
        /// How large it was, and what is allowed.
        error: Error,
        /// Its first bytes, at most 256: they may tell what it was about.
        beginning: Bytes,
    },
}

impl CloseCause {
    /// Returns the cause as an error for the application.
    #[must_use]
    pub fn to_error(&self) -> Error {
        match self {
            Self::Remote { code, reason } => Error::new(
                ErrorCode::ConnectionLost,
                format!("the other side closed the connection with code {code} {reason:?}"),
            ),
            Self::Refused { status } => Error::new(
                ErrorCode::ConnectFailed,
                format!("the server answered the upgrade with status {status}"),
            ),
            Self::Local => Error::new(ErrorCode::ConnectionLost, "closed by this side"),
            Self::Failed(error) | Self::Exceeded { error, .. } => error.clone(),
        }
    }
}

impl From<&LimitOptions> for FrameLimits {
    fn from(options: &LimitOptions) -> Self {
        let size = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
        Self {
            max_message: size(options.max_message_bytes),
            max_fragments: size(options.max_fragments),
            max_send_queue: size(options.max_send_queue_bytes),
        }
    }
}

/// What a machine asks of its driver, in order.
#[derive(Clone, Debug)]
pub enum Output {
    /// Open a connection. Ends in [`ConnInput::Opened`] or [`ConnInput::Closed`].
    Dial {
        /// The connection.
        conn: ConnId,
        /// Where to and how.
        target: DialTarget,
    },
    /// Let in a connection that was offered or accepted. Frames flow at once; no
    /// [`ConnInput::Opened`] follows.
    Admit {
        /// The connection.
        conn: ConnId,
        /// Limits for its frames.
        limits: FrameLimits,
        /// Frames by which the peer asks for a sign of life, or gives one.
        pulses: Pulses,
        /// The compression that a WebSocket is granted if it is asked for; without, none is.
        deflate: Option<Deflate>,
    },
    /// Decline an offered connection.
    Refuse {
        /// The connection.
        conn: ConnId,
        /// The answer to the upgrade request.
        response: HttpResponse,
    },
    /// Change the limits of a connection, such as after registration.
    SetLimits {
        /// The connection.
        conn: ConnId,
        /// Limits from the next frame on.
        limits: FrameLimits,
    },
    /// Send a frame. A stream has no pings and pongs: there they are dropped.
    Send {
        /// The connection.
        conn: ConnId,
        /// The frame.
        frame: Frame,
    },
    /// Send a frame, compressed where that was agreed on. Text and bytes only: a ping is sent as it is.
    SendCompressed {
        /// The connection.
        conn: ConnId,
        /// The frame.
        frame: Frame,
    },
    /// Say when everything sent so far has been handed to the network, by [`ConnInput::Sent`]. Asked
    /// again before the answer, one answer serves both.
    AskSent {
        /// The connection.
        conn: ConnId,
    },
    /// Flush what was sent, then close. Ends in [`ConnInput::Closed`].
    Close {
        /// The connection.
        conn: ConnId,
        /// The WebSocket close code; 1005 says none, 1006 cuts the connection off without a close frame. A
        /// stream says none.
        code: u16,
        /// The reason, at most 123 bytes; a stream says none.
        reason: String,
    },
    /// Make an HTTP call. Ends in [`HttpInput::Replied`].
    HttpCall {
        /// The exchange.
        http: HttpId,
        /// The request.
        request: HttpRequest,
        /// Total time allowed, in milliseconds.
        timeout_ms: u64,
        /// The largest answer body accepted, in bytes; one that comes in parts may be of any size.
        max_body: usize,
        /// Whether the answer's body is wanted as it comes: a driver that can reports a successful
        /// answer in [`HttpInput::Part`]s and closes with a [`HttpBody::Streaming`] reply. A whole
        /// answer is right, too.
        ///
        /// [`HttpBody::Streaming`]: crate::net::HttpBody::Streaming
        streams: bool,
    },
    /// Give up an HTTP call. No [`HttpInput::Replied`] follows.
    HttpCancel {
        /// The exchange.
        http: HttpId,
    },
    /// Answer an HTTP request.
    HttpReply {
        /// The exchange.
        http: HttpId,
        /// The answer.
        response: HttpResponse,
    },
    /// Send a part of a streaming answer.
    HttpPart {
        /// The exchange.
        http: HttpId,
        /// The bytes.
        bytes: Bytes,
    },
    /// End a streaming answer.
    HttpEnd {
        /// The exchange.
        http: HttpId,
    },
    /// Ask the store. Ends in [`Input::Stored`].
    Store {
        /// The request's id.
        store: StoreId,
        /// The request.
        request: StoreRequest,
    },
    /// Bind a listener. Ends in [`ServerInput::Listening`] or [`ServerInput::ListenFailed`].
    Listen {
        /// The listener.
        listen: ListenId,
        /// Where, and what for.
        target: ListenTarget,
    },
    /// Stop accepting; connections that are open stay.
    Unlisten {
        /// The listener.
        listen: ListenId,
    },
    /// Find out whether the application keeps up: ring its doorbell, measure, report
    /// [`Input::HostLag`].
    ProbeHost,
    /// Tell the application.
    Event(Event),
}

impl Output {
    /// Makes what takes the place of a promise whose commit is given up: nobody hears of success.
    #[cfg(feature = "server")]
    pub(crate) fn unkept(self, unavailable: &HttpResponse) -> Self {
        if let Self::HttpReply { http, .. } = self {
            Self::HttpReply { http, response: unavailable.clone() }
        } else if let Self::Event(Event::Call(CallEvent::Done { call, result: Ok(_) })) = self {
            let result =
                Err(Error::new(ErrorCode::Stopped, "the hub ended before this was stored"));
            Self::Event(Event::Call(CallEvent::Done { call, result }))
        } else {
            self
        }
    }
}
