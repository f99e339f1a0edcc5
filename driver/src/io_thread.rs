//! The I/O thread: its start, its end, and what becomes of it in a child process.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::ThreadId;
use std::time::Duration;

use moorline_core::SessionEvent;
use moorline_core::options::RuntimeOptions;
use moorline_core::{Command, Endpoint, Error, ErrorCode, Event};

use crate::counters::{Counters, Counting};
use crate::drive::{Driver, Shared};
use crate::events::Sink;
use crate::inbox::{Inbox, MAX_COMMANDS, Rejected};

/// How long [`IoThread::close`] waits for the thread.
const CLOSE_WAIT: Duration = Duration::from_secs(1);

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
                told.deliver(&mut vec![Event::Session(SessionEvent::Ended { error: Some(error) })]);
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
    pub(crate) fn submit(&self, mut commands: Vec<Command>) -> Result<(), Error> {
        self.submit_all(&mut commands)
    }

    /// Hands over commands and leaves the list empty; leaves it as it is if they are refused.
    pub(crate) fn submit_all(&self, commands: &mut Vec<Command>) -> Result<(), Error> {
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

    /// Refuses a child process, whose copy of the locks may be held for ever by a thread that it does
    /// not have.
    pub(crate) fn check_process(&self) -> Result<(), Error> {
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

#[cfg(test)]
mod tests {
    use moorline_core::{Deadline, Input, Machine, Now, Output};

    use super::*;
    use crate::clock::SystemClock;
    use crate::events::EventQueue;

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
