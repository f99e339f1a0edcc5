//! The handle: one endpoint on its own I/O thread, commands in, events out.

use std::fmt;
use std::sync::Arc;

use moorline_core::entropy::{Seed, Seeds};
use moorline_core::options::RuntimeOptions;
use moorline_core::trace::Header;
use moorline_core::{Command, Endpoint, Error, ErrorCode, Opened, command, complete};

use crate::clock::{Clock, SystemClock};
use crate::counters::Counters;
use crate::drive::Shared;
use crate::events::{EventQueue, Sink};
use crate::io_thread::IoThread;
use crate::mailbox::Mailbox;
use crate::recording::record;

/// One endpoint driven on its own I/O thread. Cheap to share; every method may be called from any
/// thread and none waits for the network. `Q` is where the application finds its events.
pub struct Handle<Q = EventQueue> {
    thread: IoThread,
    events: Arc<Q>,
}

impl Handle {
    /// Opens `role` of `dialect` with options as JSON text. Connects nothing.
    ///
    /// # Errors
    /// `ROLE_UNKNOWN` or `CONFIG_INVALID`.
    pub fn open(dialect: &str, role: &str, options: &str) -> Result<Self, Error> {
        let (opened, shared) = open_role(dialect, role, options)?;
        Self::start(opened.endpoint, &opened.runtime, shared)
    }

    /// Drives an endpoint that was made by other means, such as one of a test.
    ///
    /// # Errors
    /// `CONFIG_INVALID` for options that cannot work, `INTERNAL` if no thread can be started.
    pub fn drive(
        endpoint: Box<dyn Endpoint + Send>,
        runtime: RuntimeOptions,
    ) -> Result<Self, Error> {
        Self::start(endpoint, &runtime, Shared::new(Arc::new(SystemClock::new())))
    }

    /// Drives an endpoint by a clock of the caller's, such as one that jumps.
    ///
    /// # Errors
    /// Those of [`drive`](Self::drive).
    pub fn drive_with_clock(
        endpoint: Box<dyn Endpoint + Send>,
        runtime: RuntimeOptions,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, Error> {
        Self::start(endpoint, &runtime, Shared::new(clock))
    }

    pub(crate) fn start(
        endpoint: Box<dyn Endpoint + Send>,
        runtime: &RuntimeOptions,
        shared: Shared,
    ) -> Result<Self, Error> {
        let events = EventQueue::new(
            Arc::clone(&shared.clock),
            Arc::clone(&shared.counting),
            Arc::clone(&shared.inbox),
            max_event_bytes(runtime),
        );
        Self::start_with(events, endpoint, runtime, shared)
    }

    /// Hands over one turn of commands as JSON text; see [`moorline_core::command::parse_batch`].
    ///
    /// # Errors
    /// `ARGUMENT_INVALID`, and those of [`submit`](Self::submit).
    pub fn submit_text(&self, batch: &str) -> Result<(), Error> {
        self.thread.check_process()?;
        self.submit(command::parse_batch(batch)?)
    }
}

impl Handle<Mailbox> {
    /// Opens `role` of `dialect` with options as JSON text, for an application in Rust: events come
    /// as values. Connects nothing.
    ///
    /// # Errors
    /// `ROLE_UNKNOWN` or `CONFIG_INVALID`.
    pub fn open_mailbox(dialect: &str, role: &str, options: &str) -> Result<Self, Error> {
        let (Opened { endpoint, runtime, .. }, shared) = open_role(dialect, role, options)?;
        let events = Mailbox::new(
            Arc::clone(&shared.counting),
            Arc::clone(&shared.inbox),
            max_event_bytes(&runtime),
        );
        Self::start_with(events, endpoint, &runtime, shared)
    }
}

impl<Q> Handle<Q> {
    fn start_with(
        events: Q,
        endpoint: Box<dyn Endpoint + Send>,
        runtime: &RuntimeOptions,
        shared: Shared,
    ) -> Result<Self, Error>
    where
        Q: Sink,
    {
        let events = Arc::new(events);
        let sink = Arc::clone(&events) as Arc<dyn Sink>;
        let thread = IoThread::start(endpoint, runtime, sink, shared)?;
        Ok(Self { thread, events })
    }

    /// Hands over commands; they are carried out in order on the I/O thread.
    ///
    /// # Errors
    /// `STOPPED` after the end, `FORKED` in a child process, `OVERLOADED` when the queue is full.
    pub fn submit(&self, commands: Vec<Command>) -> Result<(), Error> {
        self.thread.submit(commands)
    }

    /// Hands over commands and leaves the list empty; leaves it as it is if they are refused.
    ///
    /// # Errors
    /// Those of [`submit`](Self::submit).
    pub fn submit_all(&self, commands: &mut Vec<Command>) -> Result<(), Error> {
        self.thread.submit_all(commands)
    }

    /// Returns the queue of events for the application.
    #[must_use]
    pub fn events(&self) -> &Q {
        &self.events
    }

    /// Returns what the I/O thread has done so far, counted.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.thread.counters()
    }

    /// Ends at once, without drain. Safe to repeat. Returns within a second.
    pub fn close(&self) {
        self.thread.close();
    }

    /// Ends at once, without drain and without waiting for the I/O thread. Says so in the log if the
    /// endpoint had not stopped. Dropping the handle does the same.
    pub fn abandon(&self) {
        self.thread.abandon();
    }
}

impl<Q> fmt::Debug for Handle<Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").finish_non_exhaustive()
    }
}

/// Opens a role and makes what its I/O thread shares.
fn open_role(dialect: &str, role: &str, options: &str) -> Result<(Opened, Shared), Error> {
    let host = gethostname::gethostname();
    let host = host.to_string_lossy();
    let seeds = Seeds { run: seed()?, secrets: seed()? };
    let options = &complete(role, options, &host, std::process::id(), &seeds.run);
    let mut opened = moorline_core::open(dialect, role, options, &host, seeds)?;
    if !opened.runtime.trace_file.is_empty() {
        let header = Header { dialect, role, options, host: &host, seed: seeds.run };
        opened.endpoint = record(
            opened.endpoint,
            &header,
            &opened.runtime.trace_file,
            opened.runtime.max_trace_bytes,
        )?;
    }
    let mut shared = Shared::new(Arc::new(SystemClock::new()));
    shared.scripts = opened.scripts.clone();
    shared.names = [dialect.to_owned(), role.to_owned()];
    Ok((opened, shared))
}

fn max_event_bytes(runtime: &RuntimeOptions) -> usize {
    usize::try_from(runtime.max_event_bytes).unwrap_or(usize::MAX)
}

fn seed() -> Result<Seed, Error> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed)
        .map_err(|e| Error::new(ErrorCode::Internal, format!("no random bytes: {e}")))?;
    Ok(seed)
}
