//! Commands of VOLT daemons to the application at a hub: each runs as a task and is answered once.

use std::collections::HashMap;
use std::convert::Infallible;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use moorline_core::{Outcome, Raw, WorkId};
use serde::Deserialize;
use tokio::sync::oneshot;

use crate::desk::Desk;
use crate::volt::{Answering, Failure, Handler, Reply, complete, rejected};

/// One command of a VOLT daemon as its handler at a hub sees it. Cheap to clone.
#[derive(Clone)]
pub struct DaemonContext(Arc<Facts>);

struct Facts {
    command: String,
    meta: Meta,
    blobs: Vec<Bytes>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Meta {
    team_cluster_id: String,
    request_id: String,
}

impl DaemonContext {
    /// Returns the command's name.
    #[must_use]
    pub fn command(&self) -> &str {
        &self.0.command
    }

    /// Returns the id of the daemon that asks.
    #[must_use]
    pub fn team_cluster_id(&self) -> &str {
        &self.0.meta.team_cluster_id
    }

    /// Returns the daemon's id of the request. Daemons choose it: it need not be unique.
    #[must_use]
    pub fn request_id(&self) -> &str {
        &self.0.meta.request_id
    }

    /// Returns the byte strings of the payload. Where one belongs, the payload has an object with the
    /// members `_placeholder`, which is true, and `num`, its place in this list.
    #[must_use]
    pub fn blobs(&self) -> &[Bytes] {
        &self.0.blobs
    }
}

impl fmt::Debug for DaemonContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DaemonContext")
            .field("command", &self.command())
            .field("team_cluster_id", &self.team_cluster_id())
            .finish_non_exhaustive()
    }
}

/// What runs. Whoever drops the sender withdraws the command.
type Running = Arc<Mutex<HashMap<WorkId, oneshot::Sender<Infallible>>>>;

/// The handlers of a hub, and what they are at. Dropping it withdraws everything.
pub(crate) struct Answers {
    handlers: HashMap<String, Handler<DaemonContext>>,
    running: Running,
}

impl Answers {
    pub(crate) fn new(handlers: HashMap<String, Handler<DaemonContext>>) -> Self {
        Self { handlers, running: Running::default() }
    }

    pub(crate) fn begin(
        &self,
        work: WorkId,
        command: String,
        payload: Raw,
        meta: &Raw,
        desk: &Arc<Desk>,
    ) {
        // The core hands over no others.
        let Some(handler) = self.handlers.get(&command) else { return };
        let meta = meta.read().unwrap_or_default();
        let blobs = payload.blobs().to_vec();
        let context = DaemonContext(Arc::new(Facts { command, meta, blobs }));
        let (running, withdrawn) = oneshot::channel();
        lock(&self.running).insert(work, running);
        let answering = handler(payload, context.clone());
        let settling = Settling {
            work,
            desk: Arc::clone(desk),
            running: Arc::clone(&self.running),
            context,
            result: None,
        };
        tokio::spawn(settling.settle(answering, withdrawn));
    }

    /// Drops a handler whose answer nobody waits for.
    pub(crate) fn withdraw(&self, work: WorkId) {
        lock(&self.running).remove(&work);
    }
}

impl Drop for Answers {
    fn drop(&mut self) {
        lock(&self.running).clear();
    }
}

/// Answers a command however its handler ends, unless it was withdrawn.
struct Settling {
    work: WorkId,
    desk: Arc<Desk>,
    running: Running,
    context: DaemonContext,
    result: Option<Result<Reply, Failure>>,
}

impl Settling {
    async fn settle(mut self, answering: Answering, withdrawn: oneshot::Receiver<Infallible>) {
        tokio::select! {
            biased;
            _ = withdrawn => {}
            result = answering => self.result = Some(result),
        }
    }

    fn outcome(&self, result: Result<Reply, Failure>) -> Outcome {
        let failure = match result.and_then(Reply::envelope) {
            Ok(value) => return Outcome::Done { value, log: Raw::empty_list() },
            Err(failure) => failure,
        };
        match failure.into_parts() {
            Ok(rejection) => rejected(rejection),
            Err(error) => {
                let (command, daemon) = (self.context.command(), self.context.team_cluster_id());
                tracing::warn!(command, daemon, error, "the handler of a daemon's command failed");
                let message = format!("Handler for command \"{command}\" threw an unhandled error");
                Outcome::Failed { message }
            }
        }
    }
}

impl Drop for Settling {
    fn drop(&mut self) {
        if lock(&self.running).remove(&self.work).is_none() {
            return;
        }
        let result = self.result.take().unwrap_or_else(|| Err(Failure::new("it panicked")));
        self.desk.submit_with_turn(complete(self.work, self.outcome(result)));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
