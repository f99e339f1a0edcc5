//! VOLT daemons of a hub: commands to them, messages, enrollment.

use std::collections::HashMap;
use std::future::IntoFuture;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use moorline_core::{CallCommand, PeerEvent, WorkEvent};
use moorline_core::{Command, Error, ErrorCode, Event, PeerId, Raw};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::daemon_work::Answers;
use crate::desk::{Desk, OnPart, Role};

/// Takes a message of a daemon: its team cluster id, and the message.
pub(crate) type OnMessage = Box<dyn FnMut(&str, Raw) + Send>;

/// One command to a daemon that is about to be sent. Await it; drop the future to give it up.
///
/// A command is sent once. When the daemon is lost meanwhile it fails with `NOT_READY`, and whether
/// it was carried out is unknown.
pub struct DaemonCall<'a> {
    pub(crate) desk: &'a Arc<Desk>,
    pub(crate) command: String,
    pub(crate) payload: Result<Raw, Error>,
    pub(crate) options: Map<String, Value>,
    pub(crate) on_part: Option<OnPart>,
}

impl DaemonCall<'_> {
    /// Sets the time for the answer; 30 s if it is not set. A daemon that is not registered is waited
    /// for, within this time and the option `volt.registration_wait_ms`.
    #[must_use]
    pub fn timeout(mut self, limit: Duration) -> Self {
        let millis = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX).max(1);
        self.options.insert("timeout_ms".to_owned(), Value::from(millis));
        self
    }

    /// Asks for bytes at once: [`DaemonReply::body`].
    #[must_use]
    pub fn buffer(mut self) -> Self {
        self.options.insert("response_type".to_owned(), Value::from("buffer"));
        self
    }

    /// Asks for bytes in parts, and takes each as it comes. The future ends with the stream.
    #[must_use]
    pub fn stream(mut self, mut take: impl FnMut(Bytes) + Send + 'static) -> Self {
        self.options.insert("response_type".to_owned(), Value::from("stream"));
        self.on_part = Some(Box::new(move |part| {
            #[derive(Deserialize)]
            #[serde(rename_all = "PascalCase")]
            struct Chunk {
                binary_data: String,
            }
            // The first part is the head of the answer.
            let Ok(chunk) = part.read::<Chunk>() else { return };
            if let Ok(bytes) = STANDARD.decode(chunk.binary_data) {
                take(bytes.into());
            }
        }));
        self
    }
}

impl<'a> IntoFuture for DaemonCall<'a> {
    type Output = Result<DaemonReply, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        let Self { desk, command: name, payload, options, on_part } = self;
        Box::pin(async move {
            let payload = payload?;
            let options = Raw::from_value(&options)
                .map_err(|e| Error::new(ErrorCode::ArgumentInvalid, e.to_string()))?;
            let command = |call| Command::Call(CallCommand::Make { call, name, payload, options });
            desk.call(command, on_part).await.map(DaemonReply)
        })
    }
}

impl std::fmt::Debug for DaemonCall<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DaemonCall").field("command", &self.command).finish_non_exhaustive()
    }
}

/// What a daemon answered.
#[derive(Clone, Debug)]
pub struct DaemonReply(Raw);

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Parts<T> {
    status: u16,
    data: Option<T>,
    body: Option<String>,
    #[serde(default)]
    headers: HashMap<String, String>,
}

impl DaemonReply {
    fn parts<T: DeserializeOwned>(&self) -> Result<Parts<T>, Error> {
        self.0.read().map_err(|e| {
            Error::new(ErrorCode::ArgumentInvalid, format!("the answer is of another shape: {e}"))
        })
    }

    /// Returns the status that the handler gave; 200 if it gave none.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.parts::<serde::de::IgnoredAny>().map_or(200, |parts| parts.status)
    }

    /// Returns the headers that the handler gave, if they are texts.
    #[must_use]
    pub fn headers(&self) -> HashMap<String, String> {
        self.parts::<serde::de::IgnoredAny>().map(|parts| parts.headers).unwrap_or_default()
    }

    /// Reads the value; `None` if the handler returned none.
    ///
    /// # Errors
    /// `ARGUMENT_INVALID` if it is of another shape than `T`.
    pub fn data<T: DeserializeOwned>(&self) -> Result<Option<T>, Error> {
        self.parts().map(|parts| parts.data)
    }

    /// Returns the bytes of a buffer; `None` if the handler returned none.
    #[must_use]
    pub fn body(&self) -> Option<Bytes> {
        let body = self.parts::<serde::de::IgnoredAny>().ok()?.body?;
        STANDARD.decode(body).ok().map(Bytes::from)
    }

    /// Returns the whole answer: an object with `Status`, and `Headers`, `Data` and `Body` if there
    /// are any. Bytes inside `Data` are its blobs.
    #[must_use]
    pub fn raw(&self) -> &Raw {
        &self.0
    }
}

/// A token with which a daemon enrolls, once.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct EnrollmentToken {
    /// The id by which it is revoked.
    #[serde(rename = "TokenID")]
    pub id: String,
    /// The daemon that it enrolls.
    #[serde(rename = "TeamClusterID")]
    pub team_cluster_id: String,
    /// What people call the daemon.
    pub name: String,
    /// The token itself, for the daemon's option `enrollment_token`.
    pub token: String,
    /// Until when it is good, as ISO-8601.
    pub expires: String,
}

impl std::fmt::Debug for EnrollmentToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EnrollmentToken")
            .field("id", &self.id)
            .field("team_cluster_id", &self.team_cluster_id)
            .finish_non_exhaustive()
    }
}

/// What a token is asked for.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct NewToken<'a> {
    #[serde(rename = "TeamClusterID")]
    pub(crate) cluster: &'a str,
    pub(crate) name: &'a str,
    pub(crate) expires_ms: u64,
}

/// What the application takes of daemons: messages and commands.
pub(crate) struct Inbound {
    pub(crate) take: Option<OnMessage>,
    pub(crate) names: HashMap<PeerId, String>,
    pub(crate) answers: Answers,
}

impl Role for Inbound {
    fn handle(&mut self, event: Event, desk: &Arc<Desk>) {
        match event {
            Event::Peer(PeerEvent::Joined { peer, name }) => {
                self.names.insert(peer, name);
            }
            Event::Peer(PeerEvent::Left { peer, .. }) => {
                self.names.remove(&peer);
            }
            Event::Peer(PeerEvent::Message { peer: Some(peer), payload }) => {
                if let (Some(take), Some(name)) = (&mut self.take, self.names.get(&peer)) {
                    take(name, payload);
                }
            }
            Event::Work(WorkEvent::Assigned { work, key, payload, meta, .. }) => {
                self.answers.begin(work, key, payload, &meta, desk);
            }
            Event::Work(WorkEvent::Withdrawn { work, .. }) => self.answers.withdraw(work),
            Event::Session(_)
            | Event::Call(_)
            | Event::Peer(PeerEvent::Message { .. })
            | Event::Work(WorkEvent::Drained { .. })
            | Event::Work(WorkEvent::BeatAsked { .. }) => {}
        }
    }
}
