//! Moorline's protocol machines.
//!
//! This crate decides everything that goes on a wire and performs nothing: no sockets, files, clocks,
//! randomness, threads or logging. A driver feeds [`Input`]s and the application's [`Command`]s to an
//! [`Endpoint`], drains [`Output`]s and calls back at [`Deadline`]s.
//!
//! Features: `beacon`, `volt`, `netcluster` and `server` (the hub, and the VOLT side of it), all in `full`,
//! which is the default. A page that speaks one dialect carries that one.
//!
//! ```text
//! base ◀─ net, api ◀─ machine ◀─ parts ◀─ dialect/* ◀─ hub ◀─ open, trace, health
//! ```

// What parts are for depends on the roles that a build has.
#![cfg_attr(not(feature = "full"), allow(dead_code, unused_imports, unused_macros))]

mod api;
mod base;
mod dialect;
pub mod health;
#[cfg(feature = "server")]
mod hub;
mod machine;
mod net;
mod open;
mod parts;
pub mod trace;

pub use api::command::{self, CallCommand, Command, Outcome, PeerCommand, Recipients, WorkCommand};
pub use api::event::{
    self, CallEvent, Event, HeartbeatSign, PeerEvent, SessionEvent, Transport, Withdrawal,
    WorkEvent,
};
pub use api::metrics;
pub use base::content::Content;
pub use base::entropy;
pub use base::error::{self, Error, ErrorCode, Fault};
pub use base::ids::{CallId, ConnId, HttpId, ListenId, PeerId, StoreId, WorkId};
pub use base::json::{self, Raw};
pub use base::secret::Secret;
pub use base::store;
pub use base::time::{self, Deadline, Instant, Now, UnixMillis, Why};
#[cfg(feature = "server")]
pub use hub::Hub;
pub use machine::{
    CloseCause, ConnInput, Endpoint, HttpInput, Input, Machine, Output, ServerInput,
};
pub use net::target::{
    Deflate, DialAddress, DialTarget, FrameLimits, HttpLimits, ListenTarget, Pulses, StreamLimits,
    UnixPeer,
};
pub use net::{
    Frame, Framing, HeaderValue, Headers, HttpBody, HttpRequest, HttpResponse, Method, Networks,
};
pub use open::{Opened, check_handler, complete, open};

/// What transports carry: frames of a connection, requests and answers of HTTP.
pub mod frame {
    pub use crate::net::{
        Frame, Framing, HeaderValue, Headers, HttpBody, HttpRequest, HttpResponse, Method, Splitter,
    };
    #[doc(hidden)]
    pub use crate::net::{engineio, socketio};
}

/// Options of every role and command, and how tables of options are declared.
pub mod options {
    pub use crate::api::options::*;
    #[cfg(feature = "beacon")]
    pub use crate::dialect::beacon::options::{
        CallOptions, DispatcherOptions, WorkerOptions, WorkerTransport,
    };
    #[cfg(feature = "netcluster")]
    pub use crate::dialect::netcluster::options::{
        ConsumerOptions, ParameterOption, ProviderAuthOptions, ProviderHeartbeatOptions,
        ProviderOptions, ProviderSslOptions, ProviderWsOptions,
    };
    #[cfg(feature = "volt")]
    pub use crate::dialect::volt::options::{
        BeatMode, CommandOptions, DaemonChannel, DaemonOptions, DaemonTransport, EnrollmentOptions,
        OnAlreadyEnrolled, PlaneOptions, VoltHeartbeatOptions,
    };
    #[cfg(feature = "wsdaemon")]
    pub use crate::dialect::wsdaemon::options as wsdaemon;
    pub use crate::open::{Describe, Groups, ROLES, Role, find};
}

/// Words of the wires that application code spells too.
pub mod words {
    pub use crate::api::words::{WireLimit, WordTable};
    #[cfg(feature = "beacon")]
    pub use crate::dialect::beacon::words::subject;
    #[cfg(feature = "volt")]
    pub use crate::dialect::volt::words::*;
    #[cfg(feature = "wsdaemon")]
    pub use crate::dialect::wsdaemon::words::order;
    pub use crate::net::socketio::MAX_ATTACHMENTS;
    pub use crate::open::WORDS;
}
