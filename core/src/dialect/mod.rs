//! What makes one wire protocol differ from another: a codec and a table of numbers.
//!
//! A dialect turns frames and HTTP answers into [`Meaning`]s and what a session has to say
//! ([`Outgoing`]) into [`Parcel`]s. It has no timers, no retries and no tables of its own: those exist
//! once, in `session` and `work`.

#[cfg(feature = "beacon")]
pub(crate) mod beacon;
#[cfg(feature = "volt")]
pub(crate) mod volt;

use bytestring::ByteString;

use crate::api::command::Outcome;
use crate::api::event::Withdrawal;
use crate::api::options::{LimitOptions, OutboxOptions, ReconnectOptions};
use crate::base::error::Error;
use crate::base::json::Raw;
use crate::net::target::DialTarget;
use crate::net::{Frame, HttpRequest, HttpResponse};
use crate::parts::credentials::Credentials;
use crate::parts::handlers::Handlers;
use crate::parts::work::Inbound;

/// A wire protocol, seen from the side that dials.
pub(crate) trait Dialect {
    /// Returns the dialect's numbers and choices, options applied.
    fn policy(&self) -> &Policy;

    /// Checks what an application says about a handler.
    ///
    /// # Errors
    /// `ARGUMENT_INVALID` if it is not of this dialect's shape.
    fn check_handler(&self, meta: &Raw) -> Result<(), Error>;

    /// Returns the step before a dial: first with `None`, then with the answer to the step before.
    fn preflight(
        &mut self,
        last: Option<Result<HttpResponse, Error>>,
        credentials: &mut Credentials,
    ) -> Preflight;

    /// Returns where to dial.
    fn target(&self, credentials: &Credentials) -> DialTarget;

    /// Puts into words what the session has to say; `None` if this wire has no words for it.
    fn encode(
        &mut self,
        what: Outgoing<'_>,
        carrier: Transport,
        credentials: &Credentials,
    ) -> Option<Parcel>;

    /// Understands a frame.
    fn decode(&mut self, frame: &Frame, out: &mut Vec<Meaning>);

    /// Understands the answer to an HTTP request that [`encode`](Self::encode) made.
    fn decode_reply(&mut self, asked: &Asked, response: &HttpResponse, out: &mut Vec<Meaning>);
}

/// What carries frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    /// A dialed WebSocket connection.
    WebSocket,
    /// HTTP requests.
    Polling,
}

impl Transport {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::WebSocket => "websocket",
            Self::Polling => "polling",
        }
    }
}

/// Numbers and choices of a dialect, options applied.
#[derive(Clone, Debug)]
pub(crate) struct Policy {
    /// The dialect's name.
    pub(crate) dialect: &'static str,
    /// The role's name.
    pub(crate) role: &'static str,
    /// Our name at the control plane.
    pub(crate) name: String,
    /// The transport to try first.
    pub(crate) first: Transport,
    /// The transport to fall back to while the first fails.
    pub(crate) fallback: Option<Transport>,
    /// Delays between attempts.
    pub(crate) reconnect: ReconnectOptions,
    /// Time for a connection.
    pub(crate) connect_timeout_ms: u64,
    /// Time for the peer to confirm the registration.
    pub(crate) registration_timeout_ms: u64,
    /// Time for one HTTP exchange.
    pub(crate) http_timeout_ms: u64,
    /// How often to ask for work while there is none, when polling.
    pub(crate) poll_interval_ms: u64,
    /// How often to try the first transport again while on the fallback.
    pub(crate) upgrade_interval_ms: u64,
    /// How often to send a heartbeat.
    pub(crate) heartbeat_interval_ms: u64,
    /// Heartbeats stop when the application hangs for so long; 0 never stops them.
    pub(crate) max_stall_ms: u64,
    /// A lost link withdraws running items.
    pub(crate) withdraw_on_loss: bool,
    /// How often to ping a connection.
    pub(crate) ping_interval_ms: u64,
    /// How often a running item sends a sign of life.
    pub(crate) life_sign_interval_ms: u64,
    /// How long outcomes may wait for a ping that gathers evidence for many of them.
    pub(crate) evidence_delay_ms: u64,
    /// After how many heartbeats to ask the peer whether it still knows us; 0 never asks.
    pub(crate) verify_every_beats: u32,
    /// The most work items run at once.
    pub(crate) max_concurrent: usize,
    /// The most work items waiting for a slot.
    pub(crate) max_waiting: usize,
    /// Bounds of the outbox.
    pub(crate) outbox: OutboxOptions,
    /// Whether outcomes are put into the store.
    pub(crate) is_durable: bool,
    /// Limits of the link.
    pub(crate) limits: LimitOptions,
}

/// The step before a dial.
#[derive(Debug)]
pub(crate) enum Preflight {
    /// Make this request and come back with its answer.
    Ask(HttpRequest),
    /// Go on; the application should know about the error, if any.
    Go(Option<Error>),
    /// This attempt has failed.
    Fail(Error),
}

/// What a session has to say.
#[derive(Debug)]
pub(crate) enum Outgoing<'a> {
    /// Announce us.
    Registration {
        /// What we offer.
        handlers: &'a Handlers,
        /// Items that we hold or whose outcome is on its way, with their attempts.
        held: &'a [(ByteString, u32)],
    },
    /// Ask for work.
    Poll,
    /// Tell that we are alive.
    Heartbeat {
        /// How long the application has left its events unread.
        host_lag_ms: u64,
        /// Work items running.
        in_flight: usize,
        /// Whether we take no more work.
        is_draining: bool,
    },
    /// Ask whether we are still known.
    Verify,
    /// Report progress of an item; `None` is a mere sign of life.
    Progress {
        /// The item.
        wire: &'a str,
        /// Its attempt.
        attempt: u32,
        /// What the handler reports.
        report: Option<&'a Raw>,
    },
    /// Report how an item ended.
    Outcome {
        /// The item.
        wire: &'a str,
        /// Its attempt.
        attempt: u32,
        /// How it ended.
        outcome: &'a Outcome,
    },
    /// Say goodbye.
    Farewell,
}

/// What was said, ready to go.
#[derive(Debug)]
pub(crate) enum Parcel {
    /// A frame for the connection.
    Frame(Frame),
    /// A request over HTTP.
    Http(HttpRequest),
}

/// What an HTTP request was for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// A step before the dial.
    Preflight,
    /// A registration.
    Registration,
    /// Work.
    Poll,
    /// A heartbeat.
    Heartbeat,
    /// Whether we are still known.
    Verify,
    /// Nothing: progress of an item.
    Progress,
    /// To take the outcome of the item with this wire id.
    Outcome(ByteString),
    /// Nothing: a farewell.
    Farewell,
}

/// What a frame or an HTTP answer means.
#[derive(Debug)]
pub(crate) enum Meaning {
    /// We are registered.
    Registered {
        /// Under this id, if it was said.
        id: Option<String>,
        /// Whether the peer acknowledges outcomes by [`Meaning::Taken`].
        acks: bool,
    },
    /// We were refused, for this reason.
    Rejected(String),
    /// The peer has forgotten us: register again.
    Unregistered,
    /// The session with which we asked is not valid (any more).
    Unauthorized,
    /// A work item.
    Work(Box<Inbound>),
    /// There is no work.
    NoWork,
    /// What we asked was done.
    Alive,
    /// The outcome of an item was taken, or finally refused.
    Taken {
        /// The item.
        wire: ByteString,
        /// `None` if taken; why it was refused otherwise.
        refusal: Option<String>,
    },
    /// An item is no longer wanted.
    Withdraw {
        /// The item.
        wire: ByteString,
        /// Why.
        why: Withdrawal,
    },
    /// The peer could not do what we asked.
    Failed(Error),
    /// Nothing that this dialect knows.
    Noise,
}
