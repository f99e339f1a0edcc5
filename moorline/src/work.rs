//! What a handler gets and gives.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use moorline_core::WorkCommand;
use moorline_core::{Command, Outcome, Raw, Withdrawal, WorkId};
use serde::Serialize;
use tokio::sync::watch;

use crate::desk::Desk;

/// The most log lines that one work item keeps; later ones are dropped.
const MAX_LINES: usize = 10_000;

/// Why a handler failed: the message that the caller sees.
///
/// Every error of the standard kind converts into it, so `?` works in handlers.
pub struct Failure(String);

impl Failure {
    /// Makes a failure with a message of your own.
    #[must_use]
    pub fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }

    pub(crate) fn into_message(self) -> String {
        self.0
    }
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Progress of a work item.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Report {
    /// How much is done, in per cent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub percent: Option<f64>,
    /// What is being done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The number of the present step, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<u64>,
    /// How many steps there are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_steps: Option<u64>,
}

/// One work item as its handler sees it. Cheap to clone.
#[derive(Clone)]
pub struct WorkContext {
    item: Arc<Item>,
}

struct Item {
    desk: Arc<Desk>,
    work: WorkId,
    key: String,
    meta: Raw,
    deadline: Option<Instant>,
    log: Mutex<Vec<String>>,
    withdrawn: watch::Receiver<Option<Withdrawal>>,
}

impl WorkContext {
    pub(crate) fn new(
        desk: &Arc<Desk>,
        work: WorkId,
        key: String,
        meta: Raw,
        timeout_ms: Option<u64>,
        withdrawn: watch::Receiver<Option<Withdrawal>>,
    ) -> Self {
        let limit = timeout_ms.map(Duration::from_millis);
        let deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
        let desk = Arc::clone(desk);
        let log = Mutex::default();
        Self { item: Arc::new(Item { desk, work, key, meta, deadline, log, withdrawn }) }
    }

    /// Returns the item's number, unique in this worker.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.item.work.0
    }

    /// Returns the handler key, such as `Echo/Say`.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.item.key
    }

    /// Returns the envelope without the payload, such as `WorkItemHash`.
    #[must_use]
    pub fn meta(&self) -> &Raw {
        &self.item.meta
    }

    /// Returns when the item expires; `None` without a limit.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.item.deadline
    }

    /// Tells why the item is no longer wanted; `None` while it is.
    #[must_use]
    pub fn withdrawal(&self) -> Option<Withdrawal> {
        *self.item.withdrawn.borrow()
    }

    /// Waits until the item is no longer wanted: its outcome would be ignored.
    pub async fn cancelled(&self) -> Withdrawal {
        let mut withdrawn = self.item.withdrawn.clone();
        let why = withdrawn.wait_for(Option::is_some).await.ok().and_then(|why| *why);
        match why {
            Some(why) => why,
            // The worker is gone, and with it whoever could withdraw the item.
            None => std::future::pending().await,
        }
    }

    /// Reports progress. What cannot be delivered is dropped: progress is not an outcome.
    pub fn progress(&self, report: &Report) {
        if let Ok(report) = Raw::from_value(report) {
            let work = self.item.work;
            let _ =
                self.item.desk.submit(vec![Command::Work(WorkCommand::Progress { work, report })]);
        }
    }

    /// Adds a line to the log that goes with the outcome; at most 10 000 lines are kept.
    pub fn log(&self, line: impl Into<String>) {
        let mut log = self.item.log.lock().unwrap_or_else(PoisonError::into_inner);
        if log.len() < MAX_LINES {
            log.push(line.into());
        }
    }

    /// Settles the item as its handler ended.
    pub(crate) fn settle(&self, result: Result<Raw, Failure>) {
        let outcome = match (self.withdrawal(), result) {
            (Some(_), _) => Outcome::Cancelled,
            (None, Err(failure)) => Outcome::Failed { message: failure.into_message() },
            (None, Ok(value)) => {
                let mut log = self.item.log.lock().unwrap_or_else(PoisonError::into_inner);
                let lines = std::mem::take(&mut *log);
                let log = Raw::from_value(&lines).unwrap_or_else(|_| Raw::empty_list());
                Outcome::Done { value, log }
            }
        };
        let work = self.item.work;
        self.item.desk.submit_with_turn(Command::Work(WorkCommand::Complete { work, outcome }));
    }
}

impl fmt::Debug for WorkContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkContext")
            .field("id", &self.item.work)
            .field("key", &self.item.key)
            .finish_non_exhaustive()
    }
}
