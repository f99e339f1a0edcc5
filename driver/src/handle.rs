//! The handle: one endpoint on its own I/O thread, commands in, events out.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::ThreadId;
use std::time::Duration;

use moorline_core::options::RuntimeOptions;
use moorline_core::trace::Header;
use moorline_core::{Command, Endpoint, Error, ErrorCode, Event, Opened, command};

use crate::clock::{Clock, SystemClock};
use crate::counters::{Counters, Counting};
use crate::drive::{Driver, Shared};
use crate::events::{EventQueue, Sink};
use crate::inbox::{Inbox, MAX_COMMANDS, Rejected};
use crate::recording::record;

/// How long [`Handle::close`] waits for the I/O thread.
const CLOSE_WAIT: Duration = Duration::from_secs(1);

/// One endpoint driven on its own I/O thread. Cheap to share; every method may be called from any
/// thread and none waits for the network.
pub struct Handle {
    thread: IoThread,
    events: Arc<EventQueue>,
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

    fn start(
        endpoint: Box<dyn Endpoint + Send>,
        runtime: &RuntimeOptions,
        shared: Shared,
    ) -> Result<Self, Error> {
        let events = Arc::new(EventQueue::new(
            Arc::clone(&shared.clock),
            Arc::clone(&shared.counting),
            Arc::clone(&shared.inbox),
            usize::try_from(runtime.max_event_bytes).unwrap_or(usize::MAX),
        ));
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

    /// Hands over one turn of commands as JSON text; see [`moorline_core::command::parse_batch`].
    ///
    /// # Errors
    /// `ARGUMENT_INVALID`, and those of [`submit`](Self::submit).
    pub fn submit_text(&self, batch: &str) -> Result<(), Error> {
        self.thread.check_process()?;
        self.submit(command::parse_batch(batch)?)
    }

    /// Returns the queue of events for the application.
    #[must_use]
    pub fn events(&self) -> &EventQueue {
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
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").finish_non_exhaustive()
    }
}

/// The I/O thread of one endpoint, as its owner sees it.
pub(crate) struct IoThread {
    inbox: Arc<Inbox>,
    counting: Arc<Counting>,
    finished: Arc<Finished>,
    thread: ThreadId,
    process: u32,
    is_closed: AtomicBool,
}

impl IoThread {
    /// Starts the thread.
    pub(crate) fn start(
        endpoint: Box<dyn Endpoint + Send>,
        runtime: &RuntimeOptions,
        sink: Arc<dyn Sink>,
        shared: Shared,
    ) -> Result<Self, Error> {
        let inbox = Arc::clone(&shared.inbox);
        let counting = Arc::clone(&shared.counting);
        let clock = Arc::clone(&shared.clock);
        let told = Arc::clone(&sink);
        let driver = Driver::new(endpoint, runtime, sink, shared)?;
        let finished = Arc::new(Finished::default());
        let ending = Ending { inbox: Arc::clone(&inbox), finished: Arc::clone(&finished) };
        let tokio = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(4)
            .build()
            .map_err(|e| Error::new(ErrorCode::Internal, format!("no I/O runtime: {e}")))?;
        let body = move || {
            let _ending = ending;
            block_signals();
            if catch_unwind(AssertUnwindSafe(|| tokio.block_on(driver.run()))).is_err() {
                let now = clock.now().mono;
                let error = Error::new(ErrorCode::Internal, "the I/O thread panicked");
                told.deliver(Event::Ended { error: Some(error) }, now);
                told.ring(now);
            }
            tokio.shutdown_background();
        };
        let thread = std::thread::Builder::new()
            .name(String::from("moorline-io"))
            .spawn(body)
            .map_err(|e| Error::new(ErrorCode::Internal, format!("no I/O thread: {e}")))?;
        Ok(Self {
            inbox,
            counting,
            finished,
            thread: thread.thread().id(),
            process: std::process::id(),
            is_closed: AtomicBool::new(false),
        })
    }

    /// Hands over commands.
    pub(crate) fn submit(&self, commands: Vec<Command>) -> Result<(), Error> {
        self.check_process()?;
        self.inbox.submit(commands).map_err(|rejected| match rejected {
            Rejected::Closed => ErrorCode::Stopped.into(),
            Rejected::Full => {
                let message = format!("more than {MAX_COMMANDS} commands wait");
                Error::new(ErrorCode::Overloaded, message)
            }
        })
    }

    /// Returns what the thread has done, counted.
    pub(crate) fn counters(&self) -> Counters {
        self.counting.read()
    }

    /// Ends the thread at once and waits for it a little.
    pub(crate) fn close(&self) {
        // A child's copy of the locks may be held for ever by a thread that it does not have.
        if self.check_process().is_err() {
            return;
        }
        self.is_closed.store(true, Ordering::Relaxed);
        self.inbox.close();
        if std::thread::current().id() != self.thread {
            self.finished.wait(CLOSE_WAIT);
        }
    }

    /// Ends the thread at once without waiting for it; says so if it was still at work.
    pub(crate) fn abandon(&self) {
        if self.check_process().is_err() || self.inbox.is_sealed() {
            return;
        }
        if !self.is_closed.swap(true, Ordering::Relaxed) {
            tracing::warn!("dropped without stop: the connection is closed at once");
            self.inbox.close();
        }
    }

    fn check_process(&self) -> Result<(), Error> {
        if self.process == std::process::id() { Ok(()) } else { Err(ErrorCode::Forked.into()) }
    }
}

impl Drop for IoThread {
    fn drop(&mut self) {
        self.abandon();
    }
}

/// Seals the inbox and tells whoever waits, however the thread ends.
struct Ending {
    inbox: Arc<Inbox>,
    finished: Arc<Finished>,
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.inbox.shut();
        self.finished.set();
    }
}

#[derive(Default)]
struct Finished {
    done: Mutex<bool>,
    changed: Condvar,
}

impl Finished {
    fn set(&self) {
        *self.done.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_all();
    }

    fn wait(&self, limit: Duration) {
        let done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.changed.wait_timeout_while(done, limit, |done| !*done);
        drop(waited);
    }
}

/// Signals belong to the application's threads.
fn block_signals() {
    #[cfg(unix)]
    if let Err(error) = nix::sys::signal::SigSet::all().thread_block() {
        tracing::debug!(%error, "signals not blocked on the I/O thread");
    }
}

/// Opens a role and makes what its I/O thread shares.
pub(crate) fn open_role(
    dialect: &str,
    role: &str,
    options: &str,
) -> Result<(Opened, Shared), Error> {
    let host = gethostname::gethostname();
    let (host, seed) = (host.to_string_lossy(), seed()?);
    let mut opened = moorline_core::open(dialect, role, options, &host, seed)?;
    if !opened.runtime.trace_file.is_empty() {
        let header = Header { dialect, role, options, host: &host, seed };
        opened.endpoint = record(opened.endpoint, &header, &opened.runtime.trace_file)?;
    }
    Ok((opened, Shared::new(Arc::new(SystemClock::new()))))
}

fn seed() -> Result<moorline_core::entropy::Seed, Error> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed)
        .map_err(|e| Error::new(ErrorCode::Internal, format!("no random bytes: {e}")))?;
    Ok(seed)
}

#[cfg(test)]
mod tests {
    use moorline_core::{Deadline, Input, Machine, Now, Output};

    use super::*;

    #[test]
    fn in_a_child_process_every_call_fails_at_once_and_nothing_hangs() {
        let shared = Shared::new(Arc::new(SystemClock::new()));
        let queue = EventQueue::new(
            Arc::clone(&shared.clock),
            Arc::clone(&shared.counting),
            Arc::clone(&shared.inbox),
            1_000_000,
        );
        let runtime = RuntimeOptions::default();
        let inbox = Arc::clone(&shared.inbox);
        let mut thread =
            IoThread::start(Box::new(Idle), &runtime, Arc::new(queue), shared).unwrap();
        // A child has another process id, and nobody to unlock what was locked when it was made.
        thread.process = 0;
        let _locked = inbox.hold();
        let error = thread.submit(vec![Command::Start]).unwrap_err();
        assert_eq!(error.code(), ErrorCode::Forked);
        thread.close();
        drop(thread);
    }

    struct Idle;

    impl Machine for Idle {
        fn handle_input(&mut self, _: Input, _: Now) {}
        fn handle_timeout(&mut self, _: Now) {}
        fn poll_output(&mut self) -> Option<Output> {
            None
        }
        fn poll_timeout(&self) -> Option<Deadline> {
            None
        }
    }

    impl Endpoint for Idle {
        fn handle_command(&mut self, _: Command, _: Now) -> Result<(), Error> {
            Ok(())
        }
        fn snapshot(&self, _: Now) -> String {
            String::from("{}")
        }
    }
}
