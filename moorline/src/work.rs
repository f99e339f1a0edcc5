//! One work item as its handler sees it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use moorline_core::options::ResponseForm;
use moorline_core::{Command, Raw, Withdrawal, WorkCommand, WorkId};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::watch;

use crate::endpoint::{Endpoint, lock};
use crate::handler::ItemState;

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

/// One work item as its handler sees it: a beacon's item, a command of a VOLT control plane or of a
/// VOLT daemon. Cheap to clone. What a dialect has no word for is empty, and goes nowhere.
#[derive(Clone)]
pub struct WorkContext {
    item: Arc<Item>,
}

struct Item {
    endpoint: Arc<Endpoint>,
    work: WorkId,
    key: String,
    meta: Raw,
    blobs: Vec<Bytes>,
    deadline: Option<Instant>,
    log: Mutex<Vec<String>>,
    state: watch::Receiver<ItemState>,
}

impl WorkContext {
    /// Makes the context of an item and what tells it what becomes of the item.
    pub(crate) fn new(
        endpoint: &Arc<Endpoint>,
        work: WorkId,
        key: String,
        meta: Raw,
        timeout_ms: Option<u64>,
        payload: &Raw,
    ) -> (Self, watch::Sender<ItemState>) {
        let limit = timeout_ms.map(Duration::from_millis);
        let deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
        let (sender, state) = watch::channel(ItemState::default());
        let item = Item {
            endpoint: Arc::clone(endpoint),
            work,
            key,
            meta,
            blobs: payload.blobs().to_vec(),
            deadline,
            log: Mutex::default(),
            state,
        };
        (Self { item: Arc::new(item) }, sender)
    }

    /// Returns the item's number, unique in this session.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.item.work.0
    }

    /// Returns the handler key: `Echo/Say` of a beacon's item, the name of a command.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.item.key
    }

    /// Returns the other side's id of the item, such as its hash or the id of its request. It chooses
    /// it: it need not be unique.
    #[must_use]
    pub fn wire_id(&self) -> String {
        let id: Raw = self.member(self.item.endpoint.role.wire_id).unwrap_or_else(Raw::null);
        id.read().unwrap_or_else(|_| id.as_str().to_owned())
    }

    /// Returns who asks, where a server has several peers: at a hub the team cluster id of the daemon.
    #[must_use]
    pub fn peer(&self) -> Option<String> {
        self.member("team_cluster_id")
    }

    /// Returns the envelope without the payload, as a JSON object.
    #[must_use]
    pub fn meta(&self) -> &Raw {
        &self.item.meta
    }

    /// Returns the byte strings of the payload. Where one belongs, the payload has an object with the
    /// members `_placeholder`, which is true, and `num`, its place in this list.
    #[must_use]
    pub fn blobs(&self) -> &[Bytes] {
        &self.item.blobs
    }

    /// Returns the form in which the other side wants its answer.
    #[must_use]
    pub fn response_form(&self) -> ResponseForm {
        let word: String = self.member("response_type").unwrap_or_default();
        let forms = [ResponseForm::Buffer, ResponseForm::Stream];
        forms.into_iter().find(|form| form.as_str() == word).unwrap_or(ResponseForm::Json)
    }

    /// Returns when the item expires; `None` without a limit.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.item.deadline
    }

    /// Returns why the item is no longer wanted; `None` while it is.
    #[must_use]
    pub fn withdrawal(&self) -> Option<Withdrawal> {
        self.item.state.borrow().withdrawn
    }

    /// Waits until the item is no longer wanted, and says why: its outcome would be ignored. Meant for
    /// `select!`: a handler that does not wait for this runs to its end for nothing. At a hub, a
    /// handler whose item is withdrawn is dropped where it waits.
    pub async fn cancelled(&self) -> Withdrawal {
        let mut state = self.item.state.clone();
        let withdrawn = state.wait_for(|state| state.withdrawn.is_some()).await;
        match withdrawn.ok().and_then(|state| state.withdrawn) {
            Some(why) => why,
            // Settled, or the session is gone, and with it whoever could withdraw the item.
            None => std::future::pending().await,
        }
    }

    /// Reports progress. What cannot be delivered is dropped: progress is not an outcome.
    pub fn progress(&self, report: &Report) {
        if !self.item.endpoint.role.takes_reports {
            return;
        }
        if let Ok(report) = Raw::from_value(report) {
            let work = self.item.work;
            let _ = self
                .item
                .endpoint
                .submit(vec![Command::Work(WorkCommand::Progress { work, report })]);
        }
    }

    /// Adds a line to the log that goes with the outcome. A log that makes the outcome too large is left
    /// out, with a line that says so.
    pub fn log(&self, line: impl Into<String>) {
        lock(&self.item.log).push(line.into());
    }

    /// Takes the log as a JSON list.
    pub(crate) fn take_log(&self) -> Raw {
        let lines = std::mem::take(&mut *lock(&self.item.log));
        Raw::from_value(&lines).unwrap_or_else(|_| Raw::empty_list())
    }

    pub(crate) fn endpoint(&self) -> &Arc<Endpoint> {
        &self.item.endpoint
    }

    pub(crate) fn work_id(&self) -> WorkId {
        self.item.work
    }

    pub(crate) fn state(&self) -> watch::Receiver<ItemState> {
        self.item.state.clone()
    }

    pub(crate) fn wants_stream(&self) -> bool {
        self.response_form() == ResponseForm::Stream
    }

    /// Waits until nobody waits for the outcome: the item is withdrawn, or the session is gone.
    pub(crate) async fn unwanted(&self) {
        let _ = self.state().wait_for(|state| state.withdrawn.is_some()).await;
    }

    fn member<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        let mut members: BTreeMap<String, Raw> = self.item.meta.read().ok()?;
        members.remove(name)?.read().ok()
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
