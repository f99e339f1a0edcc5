//! A script in the place of sockets, HTTP, store and clock: whole endpoints in virtual time, for tests.
//!
//! Only with the cargo feature `scripted`, which no package has. Everything between the application and
//! the machine is the real thing: crossing, inbox, drive loop, event queue. What the machine asks for is
//! written down instead of performed; what happens to it, and when, the script says. Lines are those of
//! recordings, see [`moorline_core::trace`].

use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use moorline_core::trace::{Opening, Told, read_told, write_output};
use moorline_core::{Error, Event, Input, Instant, Now, Output};

use crate::clock::Clock;
use crate::drive::Shared;
use crate::handle::Handle;
use crate::inbox::{Arrival, Inbox};

/// The script's end of one endpoint.
///
/// Each line is one turn: [`begin`](Self::begin) it, let the application carry out its command if it is
/// one, then [`end`](Self::end) it.
pub struct ScriptedIo {
    script: Arc<Script>,
    inbox: Arc<Inbox>,
}

impl ScriptedIo {
    /// Opens a role whose I/O thread is led by a script.
    ///
    /// # Errors
    /// Those of [`Handle::open`].
    pub fn open(opening: &Opening) -> Result<(Handle, Self), Error> {
        let Opening { dialect, role, options, host, seed, .. } = opening;
        let opened = moorline_core::open(dialect, role, options, host, *seed)?;
        let script = Arc::<Script>::default();
        let mut shared = Shared::new(Arc::clone(&script) as Arc<dyn Clock>);
        shared.script = Some(Arc::clone(&script));
        let inbox = Arc::clone(&shared.inbox);
        Ok((Handle::start(opened.endpoint, &opened.runtime, shared)?, Self { script, inbox }))
    }

    /// Begins a turn: it is the line's time from now on, and its input or timeout is on the way. Returns
    /// whether the line is a command, which is the application's to give.
    ///
    /// # Errors
    /// `ARGUMENT_INVALID` if it is no line of a recording.
    pub fn begin(&self, line: &str) -> Result<bool, Error> {
        let (now, told) = read_told(line)?;
        self.script.lock().now = now;
        let step = match told {
            Told::Input(input) => Step::Input(input),
            Told::Timeout => Step::Timeout,
            _ => return Ok(true),
        };
        self.inbox.arrive(Arrival::Scripted(step));
        Ok(false)
    }

    /// Waits until everything that was begun or submitted is done, and returns what came of it: lines of
    /// what the machine asked for, lines of events that were handed to the application, each in order,
    /// and a last line with the machine's next deadline.
    pub fn end(&self) -> String {
        let mut state = self.script.lock();
        state.asked += 1;
        let turn = state.asked;
        drop(state);
        self.inbox.arrive(Arrival::Scripted(Step::End));
        let mut state = self.script.lock();
        while state.ended < turn && !state.is_over {
            state = self.script.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let next = state.next.map_or_else(|| String::from("null"), |at| at.as_millis().to_string());
        let (actions, events) =
            (std::mem::take(&mut state.actions), std::mem::take(&mut state.events));
        format!("{actions}{events}{{\"turn\":{{\"next\":{next}}}}}\n")
    }
}

impl fmt::Debug for ScriptedIo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScriptedIo").finish_non_exhaustive()
    }
}

/// What the script has for the drive loop.
pub(crate) enum Step {
    /// Goes to the machine as it is.
    Input(Input),
    /// The alarm rings.
    Timeout,
    /// The turn in which this arrives is the last one of a line.
    End,
}

/// What the drive loop and the script share.
#[derive(Default)]
pub(crate) struct Script {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    now: Now,
    actions: String,
    events: String,
    next: Option<Instant>,
    rings: bool,
    /// How often the end of a line was asked for, arrived, and came.
    asked: u64,
    arrived: u64,
    ended: u64,
    is_over: bool,
}

impl Script {
    /// Writes down what would be performed.
    pub(crate) fn perform(&self, output: &Output) {
        let line = write_output(output);
        let mut state = self.lock();
        state.actions.push_str(&line);
        state.actions.push('\n');
    }

    /// Writes down what the application is told.
    pub(crate) fn tell(&self, event: &Event) {
        let line = write_output(&Output::Event(event.clone()));
        let mut state = self.lock();
        state.events.push_str(&line);
        state.events.push('\n');
    }

    /// Lets the alarm ring in this turn.
    pub(crate) fn ring(&self) {
        self.lock().rings = true;
    }

    /// Tells whether the alarm rings, once.
    pub(crate) fn has_rung(&self) -> bool {
        std::mem::take(&mut self.lock().rings)
    }

    /// The running turn is the last one of a line.
    pub(crate) fn arrive(&self) {
        self.lock().arrived += 1;
    }

    /// A turn is over.
    pub(crate) fn turn_over(&self, next: Option<Instant>) {
        let mut state = self.lock();
        state.next = next;
        state.ended = state.arrived;
        drop(state);
        self.changed.notify_all();
    }

    /// There are no more turns.
    pub(crate) fn over(&self) {
        self.lock().is_over = true;
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clock for Script {
    fn now(&self) -> Now {
        self.lock().now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAR: u64 = 1_000_000_000;

    fn opened() -> (Handle, ScriptedIo) {
        ScriptedIo::open(&Opening {
            dialect: String::from("beacon"),
            role: String::from("worker"),
            options: String::from(r#"{"server_url":"http://hub.test","name":"w"}"#),
            host: String::from("h"),
            seed: [1; 32],
        })
        .unwrap()
    }

    #[test]
    fn the_machine_asks_the_script_and_the_script_answers() {
        let (handle, io) = opened();
        assert_eq!(io.end(), "{\"turn\":{\"next\":null}}\n");
        let start = format!(r#"{{"at":[{FAR},6],"command":["start",0,null]}}"#);
        assert!(io.begin(&start).unwrap());
        handle.submit_text(r#"[["start",0,null]]"#).unwrap();
        let said = io.end();
        assert!(said.starts_with(r#"{"out":{"kind":"http_call","http":2,"#), "{said}");
        let reply = r#""in":{"kind":"http_replied","http":2,"error":["CONNECT_FAILED","no"]}"#;
        assert!(!io.begin(&format!(r#"{{"at":[{FAR},6],{reply}}}"#)).unwrap());
        let said = io.end();
        let (lost, turn) = said.trim_end().split_once('\n').unwrap();
        assert!(lost.contains(r#""event":"lost""#) && turn.starts_with("{\"turn\""), "{said}");
        let mut events = String::new();
        handle.events().drain(&mut events);
        assert!(events.contains(r#""event":"lost""#), "{events}");
    }

    #[test]
    fn time_passes_when_the_script_says_so() {
        let (handle, io) = opened();
        io.begin(&format!(r#"{{"at":[{FAR},6],"command":["start",0,null]}}"#)).unwrap();
        handle.submit_text(r#"[["start",0,null]]"#).unwrap();
        io.end();
        let reply = r#""in":{"kind":"http_replied","http":2,"error":["CONNECT_FAILED","no"]}"#;
        io.begin(&format!(r#"{{"at":[{FAR},6],{reply}}}"#)).unwrap();
        let said = io.end();
        let next = said.split("\"next\":").last().unwrap().trim_end().trim_end_matches("}}");
        let next: u64 = next.parse().unwrap();
        io.begin(&format!(r#"{{"at":[{},6],"timeout":true}}"#, next - 1)).unwrap();
        assert_eq!(io.end(), format!("{{\"turn\":{{\"next\":{next}}}}}\n"));
        io.begin(&format!(r#"{{"at":[{next},6],"timeout":true}}"#)).unwrap();
        assert!(io.end().starts_with(r#"{"out":{"kind":"http_call""#));
    }

    #[test]
    fn nothing_waits_for_a_thread_that_has_ended() {
        let (handle, io) = opened();
        handle.close();
        assert!(io.end().contains(r#""event":"ended","error":{"code":"STOPPED""#));
        assert_eq!(io.end(), "{\"turn\":{\"next\":null}}\n");
        let (handle, io) = opened();
        handle.submit_text(r#"[["stop",0,{"drain_ms":0}]]"#).unwrap();
        assert!(io.end().contains(r#""event":"ended""#));
        assert_eq!(io.end(), "{\"turn\":{\"next\":null}}\n");
        assert!(io.begin("nonsense").is_err());
    }
}
