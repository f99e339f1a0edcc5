//! Commands about peers: those of a server, and the other end of a connection.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, de};

use crate::base::content::Content;
use crate::base::ids::{CallId, PeerId};
use crate::base::json::object::Object;

/// A command about a peer of a server, or about the other end of a connection.
#[derive(Clone, Debug)]
pub enum PeerCommand {
    /// Let in who asked by an [`AdmissionAsked`](crate::PeerEvent::AdmissionAsked).
    Admit {
        /// Who asked.
        peer: PeerId,
    },
    /// Turn away who asked.
    Refuse {
        /// Who asked.
        peer: PeerId,
    },
    /// The application knows of a peer that joined: say what the protocol says first.
    Greet {
        /// The peer.
        peer: PeerId,
    },
    /// Send a message as it is.
    Send {
        /// The call that its outcome settles: `"sent"`, `"queued"` or `"dropped"`. Without one the outcome
        /// is not told.
        call: Option<CallId>,
        /// Who gets it.
        to: Recipients,
        /// The message.
        content: Content,
        /// Whether to compress it, where the connection can.
        compress: bool,
    },
    /// Send a ping of the transport.
    Ping {
        /// The peer.
        peer: PeerId,
        /// Its payload, at most 125 bytes.
        payload: Bytes,
    },
    /// Close a connection in order, behind what was sent.
    End {
        /// The peer.
        peer: PeerId,
        /// The close code, 1000 to 4999; none is said without one.
        code: Option<u16>,
        /// The reason; its first 123 bytes are sent.
        reason: String,
    },
    /// Cut a connection off.
    Close {
        /// The peer.
        peer: PeerId,
    },
}

/// Who gets a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recipients {
    /// The other end of the only connection.
    Link,
    /// A peer of a server.
    Peer(PeerId),
    /// Peers of a server: the message is kept once for all of them.
    Peers(Vec<PeerId>),
}

/// The body of a message: `text`, or `bytes` in base64.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SendBody {
    peer: Option<PeerId>,
    peers: Option<Vec<PeerId>>,
    text: Option<String>,
    bytes: Option<String>,
    #[serde(default)]
    compress: bool,
}

impl SendBody {
    pub(super) fn command<E: de::Error>(self, id: u64) -> Result<PeerCommand, E> {
        let to = match (self.peer, self.peers) {
            (None, None) => Recipients::Link,
            (Some(peer), None) => Recipients::Peer(peer),
            (None, Some(peers)) => Recipients::Peers(peers),
            (Some(_), Some(_)) => return Err(E::custom("one of peer and peers is wanted")),
        };
        let content = match (self.text, self.bytes) {
            (Some(text), None) => Content::Text(text.into()),
            (None, Some(bytes)) => Content::Bytes(decoded(&bytes)?),
            (Some(_), Some(_)) | (None, None) => {
                return Err(E::custom("one of text and bytes is wanted"));
            }
        };
        let call = (id != 0).then_some(CallId(id));
        Ok(PeerCommand::Send { call, to, content, compress: self.compress })
    }
}

/// The body of a ping: `bytes` in base64.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PingBody {
    #[serde(default)]
    bytes: String,
}

impl PingBody {
    pub(super) fn command<E: de::Error>(&self, peer: PeerId) -> Result<PeerCommand, E> {
        Ok(PeerCommand::Ping { peer, payload: decoded(&self.bytes)? })
    }
}

/// The body of an orderly end.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct EndBody {
    pub(super) code: Option<u16>,
    pub(super) reason: String,
}

fn decoded<E: de::Error>(base64: &str) -> Result<Bytes, E> {
    STANDARD
        .decode(base64)
        .map(Bytes::from)
        .map_err(|e| E::custom(format_args!("bytes: a text in base64 is wanted: {e}")))
}

/// Returns name, id and body of a command.
pub(super) fn triple(command: &PeerCommand) -> (&'static str, u64, Option<Object>) {
    match command {
        PeerCommand::Admit { peer } => ("admit", peer.0, None),
        PeerCommand::Refuse { peer } => ("refuse", peer.0, None),
        PeerCommand::Greet { peer } => ("greet", peer.0, None),
        PeerCommand::Close { peer } => ("close", peer.0, None),
        PeerCommand::Ping { peer, payload } => {
            ("ping", peer.0, Some(Object::new().plain("bytes", STANDARD.encode(payload))))
        }
        PeerCommand::End { peer, code, reason } => {
            let body = Object::new().given(*code, |body, code| body.number("code", code));
            ("end", peer.0, Some(body.text("reason", reason)))
        }
        PeerCommand::Send { call, to, content, compress } => {
            let body = match to {
                Recipients::Link => Object::new(),
                Recipients::Peer(peer) => Object::new().number("peer", peer.0),
                Recipients::Peers(peers) => Object::new().value("peers", peers),
            };
            let body = match content {
                Content::Text(text) => body.text("text", text),
                Content::Bytes(bytes) => body.plain("bytes", STANDARD.encode(bytes)),
            };
            let body = body.when(*compress, |body| body.flag("compress", true));
            ("send", call.map_or(0, |call| call.0), Some(body))
        }
    }
}
