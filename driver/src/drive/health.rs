//! What `runtime.health_listen` answers, without a word to the machine.

use moorline_core::health::Health;
use moorline_core::options::RuntimeOptions;
use moorline_core::{Error, HttpRequest, Now};

use crate::body::{Asker, answer};
use crate::drive::{Driver, Shared};
use crate::listen::HEALTH;

/// Makes what looks on, if it is wanted.
pub(super) fn open(
    runtime: &RuntimeOptions,
    shared: &Shared,
) -> Result<Option<Box<Health>>, Error> {
    let listen = runtime.health_listen.as_str();
    if listen.is_empty() {
        return Ok(None);
    }
    let [dialect, role] = &shared.names;
    Health::new(dialect, role, listen, shared.clock.now()).map(|health| Some(Box::new(health)))
}

impl Driver {
    /// Begins to answer.
    pub(super) fn listen_for_health(&mut self) {
        if let Some(health) = &self.health {
            self.listeners.listen(HEALTH, health.target());
        }
    }

    /// Answers a request: that this thread does so shows that it lives.
    pub(super) fn answer_health(&mut self, request: &HttpRequest, asker: Asker, now: Now) {
        let Some(health) = &self.health else { return };
        let (lag, counters) = (self.sink.lag(now.mono), self.shared.counting.read());
        let more = |page: &mut _| counters.measure(page);
        let response = health.answer(request, &mut *self.endpoint, lag, more, now);
        asker.answer(answer(response).0);
    }
}
