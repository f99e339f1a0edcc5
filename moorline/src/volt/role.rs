//! The daemon's part of the events: commands to their handlers, news to whoever listens.

use std::collections::HashMap;
use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use moorline_core::{Command, Error, ErrorCode, Event, Outcome, Raw, Secret, WorkId};
use moorline_core::{PeerEvent, SessionEvent, WorkCommand, WorkEvent};
use serde::Serialize;
use tokio::sync::{broadcast, oneshot, watch};

use super::context::{CommandContext, Course, ResponseType};
use super::events::DaemonEvent;
use super::reply::{Failure, Rejection, Reply};
use super::stream::deliver;
use crate::desk::{Desk, Role};

/// The key under which an application asks for messages.
pub(super) const MESSAGES: &str = "*";

const MAX_EVENTS: usize = 256;
const MAX_MESSAGES: usize = 1_024;

pub(crate) type Answering = Pin<Box<dyn Future<Output = Result<Reply, Failure>> + Send>>;
pub(crate) type Handler<C = CommandContext> = Arc<dyn Fn(Raw, C) -> Answering + Send + Sync>;
type Making = Pin<Box<dyn Future<Output = Result<Raw, Failure>> + Send>>;
pub(super) type BeatMaker = Arc<dyn Fn() -> Making + Send + Sync>;

/// What outlives a session: handlers and listeners.
pub(super) struct Board {
    pub(super) handlers: Mutex<HashMap<String, Handler>>,
    pub(super) events: broadcast::Sender<DaemonEvent>,
    pub(super) messages: broadcast::Sender<Raw>,
    pub(super) beat: Option<BeatMaker>,
    pub(super) enrolled: Mutex<Option<Secret>>,
}

impl Board {
    pub(super) fn new(handlers: HashMap<String, Handler>, beat: Option<BeatMaker>) -> Self {
        Self {
            handlers: Mutex::new(handlers),
            events: broadcast::channel(MAX_EVENTS).0,
            messages: broadcast::channel(MAX_MESSAGES).0,
            beat,
            enrolled: Mutex::default(),
        }
    }

    /// Returns the commands that precede a start.
    pub(super) fn greeting(&self) -> Vec<Command> {
        let handlers = lock(&self.handlers);
        let mut commands: Vec<_> = handlers.keys().map(|key| offer(key)).collect();
        if self.messages.receiver_count() > 0 {
            commands.push(listen());
        }
        commands
    }

    fn tell(&self, event: DaemonEvent) {
        // Nobody has to listen.
        let _ = self.events.send(event);
    }
}

impl fmt::Debug for Board {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Board").finish_non_exhaustive()
    }
}

/// Offers a handler.
pub(super) fn offer(key: &str) -> Command {
    Command::Work(WorkCommand::Handle { key: key.to_owned(), meta: Raw::empty_object() })
}

/// Asks for messages.
pub(super) fn listen() -> Command {
    #[derive(Serialize)]
    struct Meta {
        messages: bool,
    }
    let meta = Raw::from_value(&Meta { messages: true }).unwrap_or_else(|_| Raw::empty_object());
    Command::Work(WorkCommand::Handle { key: String::from(MESSAGES), meta })
}

/// What a client may ask of a session without asking the core.
#[derive(Debug, Default)]
pub(super) struct Gauge {
    is_ready: AtomicBool,
    is_muted: AtomicBool,
    max_message: AtomicU64,
}

impl Gauge {
    pub(super) fn is_ready(&self) -> bool {
        self.is_ready.load(Ordering::Acquire)
    }

    /// From here on nobody is told anything.
    pub(super) fn mute(&self) {
        self.is_muted.store(true, Ordering::Release);
        self.is_ready.store(false, Ordering::Release);
    }

    fn is_muted(&self) -> bool {
        self.is_muted.load(Ordering::Acquire)
    }

    /// Returns the most bytes of a message, if the control plane says so.
    pub(super) fn max_message(&self) -> Option<u64> {
        Some(self.max_message.load(Ordering::Acquire)).filter(|max| *max > 0)
    }
}

/// One session's part.
pub(super) struct Daemon {
    pub(super) board: Arc<Board>,
    pub(super) gauge: Arc<Gauge>,
    pub(super) connecting: Option<oneshot::Sender<Result<(), Error>>>,
    pub(super) running: Running,
}

pub(super) type Running = Arc<Mutex<HashMap<WorkId, watch::Sender<Course>>>>;

impl Daemon {
    fn connected(&mut self, result: Result<(), Error>) {
        if let Some(connecting) = self.connecting.take() {
            // Whoever connects may have given up.
            let _ = connecting.send(result);
        }
    }

    fn report(&self, error: Error) {
        if !self.gauge.is_muted() {
            self.board.tell(DaemonEvent::Error(error));
        }
    }

    fn begin(&self, work: WorkId, key: String, payload: Raw, meta: &Raw, desk: &Arc<Desk>) {
        let Some(handler) = lock(&self.board.handlers).get(&key).cloned() else {
            // It was withdrawn while the command was on its way.
            let unknown = Rejection::new(404, format!("Unknown daemon command: {key}"));
            return desk.submit_with_turn(complete(work, rejected(unknown)));
        };
        let (course, seen) = watch::channel(Course::default());
        lock(&self.running).insert(work, course);
        let context = CommandContext::new(key, meta, payload.blobs().to_vec(), seen);
        let settling = Settling {
            work,
            desk: Arc::clone(desk),
            board: Arc::clone(&self.board),
            gauge: Arc::clone(&self.gauge),
            running: Arc::clone(&self.running),
            context: context.clone(),
            outcome: None,
        };
        let answering = handler(payload, context);
        tokio::spawn(settling.settle(answering));
    }

    fn make_beat(&self, work: WorkId, desk: &Arc<Desk>) {
        let Some(maker) = &self.board.beat else { return };
        let (making, desk) = (maker(), Arc::clone(desk));
        tokio::spawn(async move {
            let outcome = match making.await {
                Ok(value) => Outcome::Done { value, log: Raw::empty_list() },
                Err(failure) => Outcome::Failed { message: format!("{failure:?}") },
            };
            desk.submit_with_turn(complete(work, outcome));
        });
    }
}

impl Role for Daemon {
    fn observe(&mut self, event: &Event) {
        let is_muted = self.gauge.is_muted();
        match event {
            Event::Session(SessionEvent::Ready { transport, max_message, .. }) if !is_muted => {
                self.gauge.max_message.store(max_message.unwrap_or(0), Ordering::Release);
                self.gauge.is_ready.store(true, Ordering::Release);
                self.board.tell(DaemonEvent::Connected { transport });
                self.connected(Ok(()));
            }
            Event::Session(SessionEvent::Lost { reason, retry_ms, .. }) if !is_muted => {
                self.gauge.is_ready.store(false, Ordering::Release);
                let retry = Duration::from_millis(*retry_ms);
                let reason = reason.message().to_owned();
                self.board.tell(DaemonEvent::Disconnected { reason, retry });
            }
            Event::Session(SessionEvent::Notice { error }) => {
                let is_attempt = matches!(
                    error.code(),
                    ErrorCode::ConnectFailed | ErrorCode::RegistrationFailed
                );
                if is_attempt {
                    self.connected(Err(error.clone()));
                }
                self.report(error.clone());
            }
            Event::Session(SessionEvent::Ended { error }) => {
                self.gauge.is_ready.store(false, Ordering::Release);
                if let Some(error) =
                    error.as_ref().filter(|it| it.code() != ErrorCode::EnrollmentFailed)
                {
                    self.report(error.clone());
                }
                let disconnected = "disconnected before the daemon was registered";
                let error = error.clone();
                self.connected(Err(
                    error.unwrap_or_else(|| Error::new(ErrorCode::ConnectFailed, disconnected))
                ));
            }
            Event::Session(SessionEvent::Ready { .. })
            | Event::Session(SessionEvent::Lost { .. })
            | Event::Session(SessionEvent::Draining { .. })
            | Event::Session(SessionEvent::Enrolled { .. })
            | Event::Call(_)
            | Event::Work(_)
            | Event::Peer(_) => {}
        }
    }

    fn handle(&mut self, event: Event, desk: &Arc<Desk>) {
        match event {
            Event::Work(WorkEvent::Assigned { work, key, payload, meta, .. }) => {
                if !self.gauge.is_muted() {
                    self.begin(work, key, payload, &meta, desk);
                }
            }
            Event::Work(WorkEvent::Withdrawn { work, why }) => {
                if let Some(course) = lock(&self.running).get(&work) {
                    course.send_modify(|course| course.withdrawn = Some(why));
                }
            }
            Event::Work(WorkEvent::Drained { work, chunks }) => {
                if let Some(course) = lock(&self.running).get(&work) {
                    course.send_modify(|course| course.drained = chunks);
                }
            }
            Event::Peer(PeerEvent::Message { payload, .. }) => {
                if !self.gauge.is_muted() {
                    // The last reader may just have left.
                    let _ = self.board.messages.send(payload);
                }
            }
            Event::Work(WorkEvent::BeatAsked { beat }) => self.make_beat(beat, desk),
            Event::Session(SessionEvent::Enrolled { password }) => {
                *lock(&self.board.enrolled) = Some(password)
            }
            Event::Session(SessionEvent::Ready { .. })
            | Event::Session(SessionEvent::Lost { .. })
            | Event::Session(SessionEvent::Notice { .. })
            | Event::Session(SessionEvent::Draining { .. })
            | Event::Session(SessionEvent::Ended { .. })
            | Event::Call(_)
            | Event::Peer(PeerEvent::Joined { .. })
            | Event::Peer(PeerEvent::Left { .. }) => {}
        }
    }
}

/// Settles a command however its handler ends.
struct Settling {
    work: WorkId,
    desk: Arc<Desk>,
    board: Arc<Board>,
    gauge: Arc<Gauge>,
    running: Running,
    context: CommandContext,
    outcome: Option<Outcome>,
}

impl Settling {
    async fn settle(mut self, answering: Answering) {
        let outcome = match answering.await {
            Ok(reply) => self.answer(reply).await,
            Err(failure) => self.failed(failure),
        };
        self.outcome = Some(outcome);
    }

    async fn answer(&self, mut reply: Reply) -> Outcome {
        let parts = reply.parts.take();
        if let (Some(parts), ResponseType::Stream) = (parts, self.context.response_type()) {
            return match reply.opening() {
                Ok(opening) => {
                    let course = self.context.course();
                    deliver(&self.desk, self.work, opening, parts, course).await
                }
                Err(failure) => self.failed(failure),
            };
        }
        match reply.envelope() {
            Ok(value) => Outcome::Done { value, log: Raw::empty_list() },
            Err(failure) => self.failed(failure),
        }
    }

    fn failed(&self, failure: Failure) -> Outcome {
        match failure.into_parts() {
            Ok(rejection) => rejected(rejection),
            Err(message) => {
                if self.context.withdrawal().is_none() && !self.gauge.is_muted() {
                    let command = self.context.command();
                    let text = format!(
                        "Handler for command \"{command}\" threw an unhandled error: {message}"
                    );
                    let error = Error::new(ErrorCode::HandlerFailed, text);
                    self.board.tell(DaemonEvent::Error(error));
                }
                Outcome::Failed { message }
            }
        }
    }
}

impl Drop for Settling {
    fn drop(&mut self) {
        lock(&self.running).remove(&self.work);
        let outcome = self.outcome.take();
        let outcome = outcome.unwrap_or_else(|| self.failed(Failure::new("it panicked")));
        self.desk.submit_with_turn(complete(self.work, outcome));
    }
}

pub(crate) const fn complete(work: WorkId, outcome: Outcome) -> Command {
    Command::Work(WorkCommand::Complete { work, outcome })
}

pub(crate) fn rejected(Rejection { status, message }: Rejection) -> Outcome {
    #[derive(Serialize)]
    struct Envelope {
        reject: Reject,
    }
    #[derive(Serialize)]
    struct Reject {
        status: u16,
        message: String,
    }
    match Raw::from_value(&Envelope { reject: Reject { status, message } }) {
        Ok(value) => Outcome::Done { value, log: Raw::empty_list() },
        Err(error) => Outcome::Failed { message: error.to_string() },
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
