//! The login before the first call, and again when the session has expired.

use crate::api::event::Event;
use crate::api::event::SessionEvent;
use crate::base::error::{Error, ErrorCode};
use crate::base::time::{Instant, Now};
use crate::dialect::beacon::dispatcher::{BeaconDispatcher, Purpose};
use crate::dialect::beacon::wire::{LoginAnswer, error_text, login};
use crate::machine::DRIVER_SLACK_MS;
use crate::net::{HttpResponse, cookies};

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
        match self {
            Self::Retry(at) => Some(*at),
            Self::Asking | Self::Done => None,
        }
    }
}

impl BeaconDispatcher {
    pub(super) fn log_in(&mut self) {
        self.login = Login::Asking;
        let request = login(&self.origin, &self.credentials);
        self.ask(Purpose::Login, request, self.options.http_timeout_ms);
    }

    pub(super) fn logged_in(&mut self, result: Result<HttpResponse, Error>, now: Now) {
        let error = match result {
            Ok(response) if response.status < 400 => {
                let answer = serde_json::from_slice::<LoginAnswer>(response.bytes()).ok();
                let refusal = answer.filter(|answer| !answer.logged_in);
                if let Some(refusal) = refusal {
                    // Peer: an open hub refuses every login and takes calls all the same.
                    let said = refusal.error.unwrap_or_default();
                    let error = Error::new(ErrorCode::AuthenticationFailed, said);
                    self.event(Event::Session(SessionEvent::Notice { error }));
                }
                self.credentials.keep(cookies::first(&response));
                self.login = Login::Done;
                self.logins += 1;
                self.login_backoff =
                    crate::parts::backoff::Backoff::new(self.options.reconnect.clone());
                self.ready();
                self.send_all(now);
                return;
            }
            Ok(response) => Error::new(ErrorCode::AuthenticationFailed, error_text(&response)),
            Err(error) => error,
        };
        self.last_error = Some(error.clone());
        match self.login_backoff.next(&mut self.entropy) {
            Some(retry_ms) => {
                self.login = Login::Retry(now.mono.after(retry_ms));
                let attempt = self.login_backoff.attempt();
                self.event(Event::Session(SessionEvent::Lost { reason: error, retry_ms, attempt }));
            }
            None => {
                let open: Vec<_> = self.calls.keys().copied().collect();
                for call in open {
                    self.settle(call, Err(error.clone()));
                }
                self.end(error, now);
            }
        }
    }

    /// Returns what the driver is told about the time for a call with so much time left.
    pub(super) const fn exchange_ms(left_ms: u64) -> u64 {
        left_ms.saturating_add(DRIVER_SLACK_MS)
    }
}
