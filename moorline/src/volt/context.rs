//! What a handler knows about its command besides the payload.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use moorline_core::{Raw, Withdrawal};
use serde::Deserialize;
use tokio::sync::watch;

/// What becomes of a running command.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Course {
    pub(super) withdrawn: Option<Withdrawal>,
    /// How many parts of its stream have left.
    pub(super) drained: u64,
}

/// What the control plane wants back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum ResponseType {
    /// Data.
    Json,
    /// A body.
    Buffer,
    /// A stream.
    Stream,
}

/// One command of the control plane as its handler sees it. Cheap to clone.
#[derive(Clone)]
pub struct CommandContext {
    facts: Arc<Facts>,
    course: watch::Receiver<Course>,
}

struct Facts {
    command: String,
    meta: Meta,
    blobs: Vec<Bytes>,
}

#[derive(Deserialize)]
struct Meta {
    request_id: Raw,
    response_type: ResponseType,
}

impl CommandContext {
    pub(super) fn new(
        command: String,
        meta: &Raw,
        blobs: Vec<Bytes>,
        course: watch::Receiver<Course>,
    ) -> Self {
        let meta = meta.read().unwrap_or_else(|_| Meta {
            request_id: Raw::null(),
            response_type: ResponseType::Json,
        });
        Self { facts: Arc::new(Facts { command, meta, blobs }), course }
    }

    /// Returns the command's name.
    #[must_use]
    pub fn command(&self) -> &str {
        &self.facts.command
    }

    /// Returns the control plane's id of the request.
    #[must_use]
    pub fn request_id(&self) -> String {
        self.facts.meta.request_id.read().unwrap_or_else(|_| String::from("?"))
    }

    /// Returns the byte strings of the payload. Where one belongs, the payload has an object with the
    /// members `_placeholder`, which is true, and `num`, its place in this list.
    #[must_use]
    pub fn blobs(&self) -> &[Bytes] {
        &self.facts.blobs
    }

    /// Returns what the control plane wants back.
    #[must_use]
    pub fn response_type(&self) -> ResponseType {
        self.facts.meta.response_type
    }

    /// Returns why the answer is no longer wanted, `None` while it is.
    #[must_use]
    pub fn withdrawal(&self) -> Option<Withdrawal> {
        self.course.borrow().withdrawn
    }

    /// Waits until the answer is no longer wanted, because the connection that asked is gone, and says
    /// why. Meant for `select!`: a handler that does not wait for this runs to its end for nothing.
    pub async fn cancelled(&self) -> Withdrawal {
        let mut course = self.course.clone();
        let withdrawn = course.wait_for(|course| course.withdrawn.is_some()).await;
        match withdrawn.ok().and_then(|course| course.withdrawn) {
            Some(why) => why,
            // The command is settled: nobody is left to withdraw it.
            None => std::future::pending().await,
        }
    }

    pub(super) fn course(&self) -> watch::Receiver<Course> {
        self.course.clone()
    }
}

impl fmt::Debug for CommandContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CommandContext")
            .field("command", &self.facts.command)
            .finish_non_exhaustive()
    }
}
