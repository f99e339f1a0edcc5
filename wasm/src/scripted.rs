//! A script in the place of all that happens outside, for tests.
//!
//! Actions still go to the JavaScript driver, whose WebSockets, exchanges and timers are the test's. What
//! a machine in a page is answered by itself (store, lag) the script answers, and no deadline is seen but when the script lets the alarm ring.

use moorline_core::trace::{Told, read_opening, read_told, write_output};
use moorline_core::{DialAddress, Endpoint, Event, Output};
use wasm_bindgen::prelude::wasm_bindgen;

use crate::machine::{Machine, thrown};

/// What a machine has said since the script looked last.
#[derive(Default)]
pub(crate) struct Script {
    actions: String,
    events: String,
    /// Whether the alarm rings in this turn.
    pub(crate) rings: bool,
}

impl Script {
    /// Writes down an event that the machine itself does not know of.
    pub(crate) fn tell(&mut self, event: &Event) {
        self.say(&Output::Event(event.clone()));
    }

    /// Writes down an output. Returns whether JavaScript has a part in it.
    pub(crate) fn say(&mut self, output: &Output) -> bool {
        let part =
            if matches!(output, Output::Event(_)) { &mut self.events } else { &mut self.actions };
        part.push_str(&write_output(output));
        part.push('\n');
        if let Output::Dial { target, .. } = output {
            matches!(target.address, DialAddress::WebSocket { .. })
        } else {
            !matches!(output, Output::Store { .. } | Output::ProbeHost | Output::Listen { .. })
        }
    }

    /// Takes what was said, and what comes next.
    fn take(&mut self, endpoint: &dyn Endpoint) -> String {
        self.rings = false;
        let next = endpoint.poll_timeout().map(|deadline| deadline.at.as_millis());
        let next = next.map_or_else(|| String::from("null"), |at| at.to_string());
        let (actions, events) =
            (std::mem::take(&mut self.actions), std::mem::take(&mut self.events));
        format!("{actions}{events}{{\"turn\":{{\"next\":{next}}}}}\n")
    }
}

#[wasm_bindgen]
impl Machine {
    /// Opens a role with host and seed of a script's first line. A line that tells it an input, or that
    /// the alarm rings, may be submitted in the place of a turn.
    ///
    /// # Errors
    /// Those of [`open`](Self::open).
    pub fn scripted(dialect: &str, role: &str, options: &str, first: &str) -> Result<Self, String> {
        let first = read_opening(first).map_err(thrown)?;
        // Stores and files are the script's.
        let opened = moorline_core::open(dialect, role, options, &first.host, first.seed);
        let mut machine = opened.map(Self::of).map_err(thrown)?;
        machine.script = Some(Script::default());
        Ok(machine)
    }

    /// Takes the lines of what came of a turn; see `ScriptedIo` of the native driver.
    pub fn said(&mut self) -> String {
        let endpoint = self.endpoint.as_ref();
        self.script.as_mut().map_or_else(String::new, |script| script.take(endpoint))
    }
}

impl Machine {
    /// Takes a line of the script that came as a turn; tells whether it was one.
    pub(crate) fn take_line(&mut self, line: &str) -> bool {
        let Some(script) = self.script.as_mut().filter(|_| line.starts_with('{')) else {
            return false;
        };
        match read_told(line) {
            Ok((now, Told::Input(input))) => {
                self.endpoint.handle_input(input, now);
                self.turn(now);
            }
            Ok((_, Told::Timeout)) => script.rings = true,
            Ok((_, Told::Command(_))) | Err(_) => return false,
        }
        true
    }
}
