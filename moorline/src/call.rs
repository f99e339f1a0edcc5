//! Calls to the other side, as futures that make them.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use moorline_core::options::{CallOptions, CommandOptions, OptionValue, ResponseForm};
use moorline_core::{CallCommand, Command, Raw};
use serde::{Deserialize, Serialize};

use crate::endpoint::{Endpoint, OnPart, Waiting};
use crate::reply::Reply;
use crate::{Error, ErrorCode, numbers};

/// Longer than what every language can count to is as good as for ever.
const LONGEST_MS: u64 = (1 << 53) - 1;

/// A call that is made when it is awaited first; dropping it cancels the call. `O` are the options
/// that such a call takes.
#[must_use = "a call is made when it is awaited"]
pub struct Call<O = CallOptions> {
    state: State,
    name: String,
    payload: Raw,
    options: Option<Box<O>>,
    on_part: Option<OnPart>,
    read: fn(Raw) -> Reply,
}

enum State {
    Prepared(Arc<Endpoint>),
    Refused(Error),
    Made(Waiting),
    Taken,
}

impl<O: OptionValue + Default> Call<O> {
    pub(crate) fn new(
        endpoint: Result<Arc<Endpoint>, Error>,
        name: &str,
        payload: Result<Raw, Error>,
        read: fn(Raw) -> Reply,
    ) -> Self {
        let (state, payload) = match (endpoint, payload) {
            (Ok(endpoint), Ok(payload)) => (State::Prepared(endpoint), payload),
            (Err(error), _) | (_, Err(error)) => (State::Refused(error), Raw::absent()),
        };
        Self { state, name: name.to_owned(), payload, options: None, on_part: None, read }
    }

    /// Sets any option of the call; a name that is none does not compile. Values are checked when the
    /// call is made.
    pub fn options(mut self, set: impl FnOnce(&mut O)) -> Self {
        set(self.options.get_or_insert_default());
        self
    }

    fn make(&mut self, endpoint: &Arc<Endpoint>) -> Result<Waiting, Error> {
        let name = std::mem::take(&mut self.name);
        let payload = std::mem::replace(&mut self.payload, Raw::absent());
        let options = match &self.options {
            None => Raw::empty_object(),
            Some(options) => Raw::parse(options.describe())
                .map_err(|e| Error::caused(ErrorCode::ArgumentInvalid, "the options", e))?,
        };
        let command = |call| Command::Call(CallCommand::Make { call, name, payload, options });
        endpoint.begin_call(command, self.on_part.take())
    }
}

impl Call<CallOptions> {
    /// Sets the time for everything: queueing, work and retries.
    pub fn timeout(self, limit: Duration) -> Self {
        // Zero stands for the default.
        self.options(|options| options.timeout_ms = millis(limit).max(1))
    }

    /// Sets the key under which the control plane runs this work once, however often it is asked.
    pub fn idempotency_key(self, key: &str) -> Self {
        self.options(|options| key.clone_into(&mut options.idempotency_key))
    }

    /// Prefers the worker that had earlier work of the same key.
    pub fn affinity(self, key: &str) -> Self {
        self.options(|options| key.clone_into(&mut options.affinity_key))
    }

    /// Calls a command of this VOLT daemon instead of the action of a worker. It is sent once: when
    /// the daemon is lost meanwhile it fails with `NOT_READY`, and whether it was carried out is
    /// unknown. A daemon that is not registered is waited for, within the time of the call and the
    /// option `volt.registration_wait_ms` of the hub.
    pub fn daemon(self, team_cluster_id: &str) -> Self {
        self.options(|options| team_cluster_id.clone_into(&mut options.team_cluster_id))
    }

    /// Asks a daemon for bytes at once: [`Reply::body`].
    pub fn buffer(self) -> Self {
        self.options(|options| options.response_type = ResponseForm::Buffer)
    }

    /// Asks a daemon for bytes in parts, and takes each as it comes. The future ends with the stream.
    pub fn stream(mut self, mut take: impl FnMut(Bytes) + Send + 'static) -> Self {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Chunk {
            binary_data: String,
        }
        self.on_part = Some(Box::new(move |part| {
            // The first part is the head of the answer.
            let Ok(chunk) = part.read::<Chunk>() else { return };
            if let Ok(bytes) = STANDARD.decode(chunk.binary_data) {
                take(bytes.into());
            }
        }));
        self.options(|options| options.response_type = ResponseForm::Stream)
    }

    /// Takes the work's progress while it runs.
    pub fn on_progress(mut self, take: impl FnMut(Raw) + Send + 'static) -> Self {
        self.on_part = Some(Box::new(take));
        self.options(|options| options.stream = true)
    }
}

impl Call<CommandOptions> {
    /// Sets the time for the answer; that of the daemon unless set, zero gives up at once.
    pub fn timeout(self, limit: Duration) -> Self {
        self.options(|options| options.timeout_ms = millis(limit))
    }
}

impl<O: OptionValue + Default> Future for Call<O> {
    type Output = Result<Reply, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let read = self.read;
        if let State::Made(waiting) = &mut self.state {
            return Pin::new(waiting).poll(cx).map(|result| result.map(read));
        }
        let mut waiting = match std::mem::replace(&mut self.state, State::Taken) {
            State::Prepared(endpoint) => match self.make(&endpoint) {
                Ok(waiting) => waiting,
                Err(error) => return Poll::Ready(Err(error)),
            },
            State::Refused(error) => return Poll::Ready(Err(error)),
            State::Made(_) | State::Taken => return Poll::Ready(Err(ErrorCode::Stopped.into())),
        };
        let polled = Pin::new(&mut waiting).poll(cx);
        if polled.is_pending() {
            self.state = State::Made(waiting);
        }
        polled.map(|result| result.map(read))
    }
}

impl<O> fmt::Debug for Call<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Writes a payload.
///
/// # Errors
/// `ARGUMENT_INVALID`.
pub(crate) fn written(payload: &(impl Serialize + ?Sized)) -> Result<Raw, Error> {
    numbers::json(payload).map_err(|e| Error::caused(ErrorCode::ArgumentInvalid, "the payload", e))
}

/// Counts milliseconds as options do.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).map_or(LONGEST_MS, |millis| millis.min(LONGEST_MS))
}
