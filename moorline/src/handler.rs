//! Handlers: each item runs as a task and is settled once, however its handler ends.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use moorline_core::{Command, Outcome, Raw, Withdrawal, WorkCommand, WorkId};
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tracing::field::Empty;
use tracing::{Instrument as _, Span};

use crate::endpoint::{Endpoint, lock};
use crate::reply::{Failure, IntoReply, Reply};
use crate::stream::deliver;
use crate::work::WorkContext;

/// What a handler gives.
pub(crate) type Given = Result<Reply, Failure>;

/// A handler at work.
type Answering = Pin<Box<dyn Future<Output = Given> + Send>>;

/// An application's function, whatever types it takes and gives.
pub(crate) type Handler = Arc<dyn Fn(Raw, WorkContext) -> Answering + Send + Sync>;

/// Makes a handler of an application's function.
pub(crate) fn erased<P, R, F, Fut>(handler: F) -> Handler
where
    P: DeserializeOwned + Send + 'static,
    R: IntoReply + 'static,
    F: Fn(P, WorkContext) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<R, Failure>> + Send + 'static,
{
    let handler = Arc::new(handler);
    Arc::new(move |payload: Raw, work| {
        let handler = Arc::clone(&handler);
        Box::pin(async move {
            let read = if payload.is_absent() { Raw::null().read() } else { payload.read() };
            let payload =
                read.map_err(|e| Failure::caused("the payload does not fit the handler", e))?;
            Ok(handler(payload, work).await?.into_reply())
        })
    })
}

/// What becomes of a running item.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ItemState {
    pub(crate) withdrawn: Option<Withdrawal>,
    /// How many parts of its stream have left.
    pub(crate) drained: u64,
}

type Items = HashMap<WorkId, watch::Sender<ItemState>>;

/// The items whose handlers run; `None` when the session is gone.
pub(crate) struct Running(Mutex<Option<Items>>);

impl Default for Running {
    fn default() -> Self {
        Self(Mutex::new(Some(Items::new())))
    }
}

impl Running {
    /// Runs the handler of an item.
    pub(crate) fn begin(&self, item: (WorkContext, watch::Sender<ItemState>), payload: Raw) {
        let (work, state) = item;
        let endpoint = Arc::clone(work.endpoint());
        let mut settling = Settling { work: work.clone(), is_settled: false };
        let Some(handler) = endpoint.application.handler(work.key()) else {
            // It was withdrawn while the item was on its way.
            let text = format!("{}{}", endpoint.role.unhandled, work.key());
            return settling.settle(Err(Failure::rejected(404, text)));
        };
        match &mut *lock(&self.0) {
            Some(items) => items.insert(work.work_id(), state),
            None => {
                settling.is_settled = true;
                return;
            }
        };
        let span = span(&work);
        tokio::spawn(settling.run(handler(payload, work)).instrument(span));
    }

    /// Tells a handler what becomes of its item.
    pub(crate) fn amend(&self, work: WorkId, amend: impl FnOnce(&mut ItemState)) {
        let items = lock(&self.0);
        if let Some(state) = items.as_ref().and_then(|items| items.get(&work)) {
            state.send_modify(amend);
        }
    }

    /// Makes the payload of a heartbeat.
    pub(crate) fn make_beat(&self, endpoint: &Arc<Endpoint>, work: WorkId) {
        let Some(maker) = &endpoint.application.beat else { return };
        let (maker, endpoint) = (Arc::clone(maker), Arc::clone(endpoint));
        // A task of its own: what panics in it is an answer as well.
        let making = tokio::spawn(async move { maker().await });
        tokio::spawn(async move {
            let outcome = match making.await {
                Ok(Ok(value)) => Outcome::Done { value, log: Raw::empty_list() },
                Ok(Err(failure)) => Outcome::Failed { message: failure.message().to_owned() },
                Err(panicked) => Outcome::Failed { message: panicked.to_string() },
            };
            endpoint.submit_with_turn(Command::Work(WorkCommand::Complete { work, outcome }));
        });
    }

    /// Lets go of every item: the session is gone.
    pub(crate) fn close(&self) {
        *lock(&self.0) = None;
    }

    fn remove(&self, work: WorkId) {
        if let Some(items) = &mut *lock(&self.0) {
            items.remove(&work);
        }
    }
}

/// Makes the span around an item's handler.
fn span(work: &WorkContext) -> Span {
    let span = tracing::info_span!(
        target: "moorline::work",
        "work",
        dialect = work.endpoint().role.dialect,
        handler = work.key(),
        work = work.id(),
        wire_id = Empty,
    );
    if !span.is_disabled() {
        span.record("wire_id", work.wire_id());
    }
    span
}

/// Settles an item however its handler ends.
struct Settling {
    work: WorkContext,
    is_settled: bool,
}

impl Settling {
    async fn run(mut self, answering: Answering) {
        let result = tokio::select! {
            biased;
            () = self.work.unwanted(), if self.work.endpoint().role.drops_withdrawn => {
                // Nobody waits for the outcome.
                self.is_settled = true;
                return;
            }
            result = answering => result,
        };
        match result {
            Ok(mut reply) if reply.is_stream() && self.work.wants_stream() => {
                match reply.take_stream() {
                    Ok((opening, parts)) => {
                        let outcome = deliver(&self.work, opening, parts).await;
                        self.complete(outcome);
                    }
                    Err(failure) => self.settle(Err(failure)),
                }
            }
            result => self.settle(result),
        }
    }

    fn settle(&mut self, result: Given) {
        let endpoint = Arc::clone(self.work.endpoint());
        let (outcome, told) = (endpoint.role.outcome)(&self.work, result);
        if let Some(error) = told {
            tracing::warn!(%error, "a handler failed");
            endpoint.tell(crate::Event::Notice(error));
        }
        self.complete(outcome);
    }

    fn complete(&mut self, outcome: Outcome) {
        self.is_settled = true;
        let work = self.work.work_id();
        self.work
            .endpoint()
            .submit_with_turn(Command::Work(WorkCommand::Complete { work, outcome }));
    }
}

impl Drop for Settling {
    fn drop(&mut self) {
        self.work.endpoint().running.remove(self.work.work_id());
        if !self.is_settled {
            self.settle(Err(Failure::new("the handler panicked")));
        }
    }
}
