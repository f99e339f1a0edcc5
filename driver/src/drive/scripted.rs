//! The drive loop's side of a script, see [`crate::scripted`].

use moorline_core::Now;

use crate::drive::Driver;
use crate::scripted::Step;

impl Driver {
    /// Takes what the script says.
    pub(super) fn scripted(&mut self, step: Step, now: Now) {
        let Some(script) = &self.shared.script else { return };
        match step {
            Step::Input(input) => self.feed(input, now),
            Step::Timeout => script.ring(),
            Step::End => script.arrive(),
        }
    }

    /// Tells whether the script keeps the alarm from ringing in this turn.
    pub(super) fn is_asleep(&self) -> bool {
        self.shared.script.as_ref().is_some_and(|script| !script.has_rung())
    }

    /// Tells the script that a turn is over.
    pub(super) fn turn_over(&self) {
        if let Some(script) = &self.shared.script {
            script.turn_over(self.endpoint.poll_timeout().map(|deadline| deadline.at));
        }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        if let Some(script) = &self.shared.script {
            script.over();
        }
    }
}
