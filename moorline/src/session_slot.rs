//! The present session of a role that is connected and disconnected many times.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use moorline_core::Command;

use crate::application::Application;
use crate::endpoint::{Endpoint, Listener, Role, Session, lock};
use crate::{Error, ErrorCode};

/// Holds a session, or none.
#[derive(Debug, Default)]
pub(crate) struct SessionSlot(Mutex<Option<Arc<Session>>>);

impl SessionSlot {
    /// Opens a role in the place of the present session and waits for its first attempt; `None` if it
    /// was stopped meanwhile. Dropping the future gives up.
    pub(crate) async fn connect(
        &self,
        role: &'static Role,
        options: &str,
        commands: Vec<Command>,
        application: &Arc<Application>,
    ) -> Result<Option<Result<(), Error>>, Error> {
        let session = Session::start(role, options, commands, application, Listener::None)?;
        let session = Arc::new(session);
        let replaced = lock(&self.0).replace(Arc::clone(&session));
        drop(replaced);
        let mut connecting = Connecting { slot: self, session: Some(Arc::clone(&session)) };
        let result = session.first_attempt().await;
        connecting.session = None;
        Ok(result)
    }

    /// Says farewell and waits until that is done; nobody is told anything any more.
    pub(crate) async fn disconnect(&self) {
        let session = lock(&self.0).take();
        if let Some(session) = session {
            session.mute();
            // However the session ended before: it is over.
            let _ = session.drain(Duration::ZERO).await;
        }
    }

    /// Lets what runs finish for `limit`, then says farewell. Where nothing was begun nothing is to be done.
    pub(crate) async fn drain(&self, limit: Duration) -> Result<(), Error> {
        let Ok(session) = self.session() else { return Ok(()) };
        let drained = session.drain(limit).await;
        self.forget(&session);
        drained
    }

    /// Returns the session.
    ///
    /// # Errors
    /// `NOT_STARTED` if there is none.
    pub(crate) fn session(&self) -> Result<Arc<Session>, Error> {
        lock(&self.0).clone().ok_or_else(|| ErrorCode::NotStarted.into())
    }

    /// Returns the endpoint of a session that is ready.
    pub(crate) fn ready(&self) -> Option<Arc<Endpoint>> {
        let session = lock(&self.0);
        session.as_ref().filter(|session| session.is_ready()).map(|it| Arc::clone(it.endpoint()))
    }

    /// Tells a session that is there; a later one is told when it begins.
    pub(crate) fn tell(&self, command: Command) {
        if let Ok(session) = self.session() {
            // It may have ended.
            let _ = session.submit_soon(command);
        }
    }

    fn forget(&self, session: &Arc<Session>) {
        let mut present = lock(&self.0);
        if present.as_ref().is_some_and(|present| Arc::ptr_eq(present, session)) {
            *present = None;
        }
    }
}

/// Gives up when whoever connects does.
struct Connecting<'a> {
    slot: &'a SessionSlot,
    session: Option<Arc<Session>>,
}

impl Drop for Connecting<'_> {
    fn drop(&mut self) {
        let Some(given_up) = self.session.take() else { return };
        given_up.mute();
        self.slot.forget(&given_up);
    }
}
