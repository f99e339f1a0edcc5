//! The login before the first call, and again when the session has expired.

use crate::api::event::SessionEvent;
use crate::base::error::{Error, ErrorCode};
use crate::base::time::{Instant, Now};
use crate::dialect::beacon::dispatcher::{BeaconDispatcher, Purpose};
use crate::dialect::beacon::wire::{LoginAnswer, login, login_answer};
use crate::net::{HttpResponse, cookies};
use crate::parts::backoff::Backoff;

/// Where the login stands.
#[derive(Debug)]
pub(super) enum Login {
    /// It is under way.
    Asking,
    /// It failed, and is tried again.
    Retry(Instant),
    /// It is done, or not wanted.
    Done,
}

impl Login {
    pub(super) const fn is_done(&self) -> bool {
        matches!(self, Self::Done)
    }

    pub(super) const fn retry_at(&self) -> Option<Instant> {
        if let Self::Retry(at) = self { Some(*at) } else { None }
    }
}

impl BeaconDispatcher {
    pub(super) fn log_in(&mut self) {
        self.login = Login::Asking;
        let request = login(&self.origin, &self.credentials, None);
        self.ask(Purpose::Login, request, self.options.http_timeout_ms);
    }

    pub(super) fn logged_in(&mut self, result: Result<HttpResponse, Error>, now: Now) {
        let after_ms = result.as_ref().ok().and_then(HttpResponse::retry_after).unwrap_or(0);
        let answer = result.and_then(|response| Ok((login_answer(&response)?, response)));
        let error = match answer {
            Ok((LoginAnswer { logged_in, error }, response)) => {
                // Peer: an open hub refuses every login and takes calls all the same.
                if !logged_in {
                    let said = error.unwrap_or_default();
                    let error = Error::new(ErrorCode::AuthenticationFailed, said);
                    self.event(SessionEvent::Notice { error });
                }
                self.credentials.keep(cookies::first(&response));
                self.login = Login::Done;
                self.logins += 1;
                self.login_backoff = Backoff::new(self.options.reconnect.clone());
                self.ready();
                self.send_all(now);
                return;
            }
            Err(error) => error,
        };
        self.last_error = Some(error.clone());
        match self.login_backoff.next(&mut self.entropy) {
            Some(retry_ms) => {
                let retry_ms = retry_ms.max(after_ms);
                self.login = Login::Retry(now.mono.after(retry_ms));
                let attempt = self.login_backoff.attempt;
                self.event(SessionEvent::Lost { reason: error, retry_ms, attempt });
            }
            None => {
                self.settle_all(&error);
                self.life.end(Some(error), now, &mut self.outputs);
            }
        }
    }
}
