//! What every role has once it was started: its events, its state, its end.

use moorline_core::Raw;

use crate::endpoint::Session;
use crate::{Counters, Error, Events};

/// A role that was started, as all of them are alike. What each has besides is its own type's; all of them
/// dereference to this.
#[derive(Debug)]
pub struct Started(pub(crate) Session);

impl Started {
    /// Returns what happens to the role from here on.
    #[must_use]
    pub fn events(&self) -> Events {
        Events::new(&self.0.endpoint().application)
    }

    /// Waits until the role is over.
    ///
    /// # Errors
    /// Why it ended, unless by a drain that lost nothing: `AUTHENTICATION_FAILED` if the other side refused
    /// it, or why the link was lost when all attempts to come back were used up.
    pub async fn ended(&self) -> Result<(), Error> {
        self.0.ended().await
    }

    /// Returns the state as JSON: link or listener, ids, counters.
    ///
    /// # Errors
    /// `STOPPED` after the end.
    pub async fn snapshot(&self) -> Result<Raw, Error> {
        self.0.endpoint().snapshot().await
    }

    /// Returns what the I/O thread has done, counted.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.0.counters()
    }
}
