//! The drive loop: one endpoint on one thread.
//!
//! ```text
//! take what arrived → commands, replies, frames → machine until drained → due timers
//!   → hand events up and ring the doorbell once → flush once → wait
//! ```
//!
//! The machine is touched by this thread alone. No code of the application runs here, and nothing here
//! waits for the application.

mod health;
mod perform;
#[cfg(feature = "scripted")]
mod scripted;

use std::collections::{HashMap, VecDeque};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use moorline_core::health::Health;
use moorline_core::options::{RuntimeOptions, ScriptOptions};
use moorline_core::{CallEvent, ConnInput, SessionEvent};
use moorline_core::{
    Command, ConnId, Deadline, Endpoint, Error, ErrorCode, Event, HttpId, Input, Now, Raw,
};
#[cfg(unix)]
use moorline_core::{WorkCommand, WorkEvent};
use tokio::time::Sleep;

use crate::body::{Asker, PartsWriter};
use crate::clock::{Clock, LONGEST_SLEEP};
use crate::connect::Connector;
use crate::counters::Counting;
use crate::events::Sink;
use crate::http_client::HttpClient;
use crate::inbox::{Batch, Inbox};
use crate::links::{Links, Look};
use crate::listen::Listeners;
#[cfg(unix)]
use crate::scripts::Scripts;
use crate::store::{self, Store};
use crate::tls::Tls;

/// The most frames of one turn.
const MAX_FRAMES: usize = 256;
/// The most frame bytes of one turn.
const MAX_FRAME_BYTES: usize = 256 * 1024;
/// The pause after a machine did nothing at its deadline: a defect must not occupy a core.
const SPIN_PAUSE_MS: u64 = 100;
/// How long connections may take to part after the end.
const PARTING: Duration = Duration::from_millis(250);

/// What an I/O thread shares with its handle.
pub(crate) struct Shared {
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) counting: Arc<Counting>,
    pub(crate) scripts: ScriptOptions,
    /// What it drives: dialect and role.
    pub(crate) names: [String; 2],
    #[cfg(feature = "scripted")]
    pub(crate) script: Option<Arc<crate::scripted::Script>>,
}

impl Shared {
    /// Makes what one I/O thread shares.
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            inbox: Arc::default(),
            clock,
            counting: Arc::default(),
            scripts: ScriptOptions::default(),
            names: Default::default(),
            #[cfg(feature = "scripted")]
            script: None,
        }
    }
}

/// One endpoint and everything that performs its outputs.
pub(crate) struct Driver {
    endpoint: Box<dyn Endpoint + Send>,
    sink: Arc<dyn Sink>,
    shared: Shared,
    connector: Arc<Connector>,
    links: Links,
    http: HttpClient,
    listeners: Listeners,
    store: Box<dyn Store>,
    #[cfg(unix)]
    scripts: Scripts,
    health: Option<Box<Health>>,
    answers: HashMap<HttpId, Asker>,
    parts: HashMap<HttpId, PartsWriter>,
    inputs: VecDeque<Input>,
    events: Vec<Event>,
    outputs: u64,
    idle_until: Option<moorline_core::Instant>,
    frames_out: usize,
    is_probing: bool,
    has_ended: bool,
}

impl Driver {
    /// Makes a driver.
    ///
    /// # Errors
    /// `CONFIG_INVALID` for options that cannot work.
    pub(crate) fn new(
        endpoint: Box<dyn Endpoint + Send>,
        runtime: &RuntimeOptions,
        sink: Arc<dyn Sink>,
        shared: Shared,
    ) -> Result<Self, Error> {
        let inbox = &shared.inbox;
        let counting = &shared.counting;
        let tls = Arc::new(Tls::new(runtime)?);
        let connector = Connector::new(runtime, Arc::clone(&tls), Arc::clone(counting))?;
        let connector = Arc::new(connector);
        Ok(Self {
            endpoint,
            sink,
            links: Links::new(Arc::clone(inbox))?,
            http: HttpClient::new(Arc::clone(&connector), Arc::clone(inbox), Arc::clone(counting)),
            listeners: Listeners::new(Arc::clone(inbox), tls, Arc::clone(counting)),
            store: store::open(&runtime.store_path, inbox, counting),
            connector,
            #[cfg(unix)]
            scripts: Scripts::list(&shared.scripts, inbox)?,
            health: health::open(runtime, &shared)?,
            shared,
            answers: HashMap::new(),
            parts: HashMap::new(),
            inputs: VecDeque::new(),
            events: Vec::new(),
            outputs: 0,
            idle_until: None,
            frames_out: 0,
            is_probing: false,
            has_ended: false,
        })
    }

    /// Runs until the machine has ended or the handle is closed.
    pub(crate) async fn run(mut self) {
        let mut batch = Batch::default();
        let mut alarm = Alarm::new();
        #[cfg(unix)]
        self.offer_scripts();
        self.listen_for_health();
        while !self.has_ended {
            self.shared.inbox.take(&mut batch);
            if batch.close {
                let error = Error::new(ErrorCode::Stopped, "closed without a drain");
                let now = self.shared.clock.now();
                self.tell(Event::Session(SessionEvent::Ended { error: Some(error) }));
                self.hand_up(now);
                return;
            }
            self.turn(&mut batch);
            if self.shared.inbox.has_arrived() {
                // However much arrives: sockets, dials and timers of this thread get their turn too.
                tokio::task::yield_now().await;
                continue;
            }
            let wake_at = self.wake_at();
            let now = self.shared.clock.now();
            let inbox = &self.shared.inbox;
            let rest = wake_at.map(|at| Duration::from_millis(at.since(now.mono)));
            tokio::select! {
                biased;
                () = std::future::poll_fn(|cx| inbox.poll_arrived(cx)) => {}
                () = alarm.wait(rest) => {}
            }
        }
        self.part().await;
    }

    fn turn(&mut self, batch: &mut Batch) {
        self.shared.counting.turns.tick();
        let now = self.shared.clock.now();
        for command in batch.commands.drain(..) {
            self.command(command, now);
        }
        for arrival in batch.arrivals.drain(..) {
            self.arrived(arrival, now);
        }
        self.read(&mut batch.ready, now);
        self.time_out(now);
        self.hand_up(now);
        self.flush(now);
        #[cfg(feature = "scripted")]
        self.turn_over();
    }

    /// Offers the scripts before anything is asked of them.
    #[cfg(unix)]
    fn offer_scripts(&mut self) {
        let now = self.shared.clock.now();
        for offer in self.scripts.offers() {
            if let Err(error) = self.endpoint.handle_command(offer, now) {
                self.tell(Event::Session(SessionEvent::Notice { error }));
            }
        }
    }

    /// Runs the work of a script; tells whether the event was about any.
    #[cfg(unix)]
    fn is_of_script(&mut self, event: &Event) -> bool {
        if let Event::Work(WorkEvent::Assigned { work, key, payload, .. }) = event {
            self.scripts.begin(*work, key, payload)
        } else if let Event::Work(WorkEvent::Withdrawn { work, .. }) = event {
            self.scripts.withdraw(*work)
        } else {
            false
        }
    }

    fn command(&mut self, command: Command, now: Now) {
        #[cfg(unix)]
        if let Command::Work(WorkCommand::Handle { key, .. }) = &command {
            self.scripts.leave(key);
        } else if let Command::Work(WorkCommand::Complete { work, .. }) = &command {
            self.scripts.settled(*work);
        }
        if let Some(health) = &mut self.health {
            health.command(&command, now);
        }
        let call = command.call();
        if let Command::Snapshot { call } = command {
            let text = self.endpoint.snapshot(now);
            let result = Raw::parse(text)
                .map_err(|e| Error::new(ErrorCode::Internal, format!("the snapshot: {e}")));
            self.tell(Event::Call(CallEvent::Done { call, result }));
            return;
        }
        if let Err(error) = self.endpoint.handle_command(command, now) {
            let event = match call {
                Some(call) => Event::Call(CallEvent::Done { call, result: Err(error) }),
                None => Event::Session(SessionEvent::Notice { error }),
            };
            self.tell(event);
        }
        self.settle(now);
    }

    /// Reads the connections that are ready, up to the bounds of a turn.
    fn read(&mut self, ready: &mut Vec<ConnId>, now: Now) {
        let hold = self.sink.is_full();
        self.http.gate.set(hold);
        if !hold {
            self.links.resume();
        }
        let (mut frames, mut bytes) = (0, 0);
        for conn in ready.drain(..) {
            self.links.wake(conn);
            loop {
                if frames >= MAX_FRAMES || bytes >= MAX_FRAME_BYTES {
                    self.links.look_again(conn);
                    break;
                }
                match self.links.look(conn, hold, now.mono) {
                    Look::Frame(frame) => {
                        frames += 1;
                        bytes += frame.len();
                        self.feed(Input::Conn(ConnInput::Received { conn, frame }), now);
                    }
                    Look::Ended(cause) => {
                        self.feed(Input::Conn(ConnInput::Closed { conn, cause }), now);
                        break;
                    }
                    Look::Unwanted(length) => {
                        frames += 1;
                        bytes += length;
                    }
                    Look::Nothing => break,
                }
            }
        }
        self.shared.counting.frames_in.add(frames);
    }

    fn time_out(&mut self, now: Now) {
        #[cfg(feature = "scripted")]
        if self.is_asleep() {
            return;
        }
        let mut closed = Vec::new();
        self.links.expire(now.mono, &mut closed);
        for (conn, cause) in closed {
            self.feed(Input::Conn(ConnInput::Closed { conn, cause }), now);
        }
        if self.endpoint.poll_timeout().is_none_or(|deadline| deadline.at > now.mono) {
            return;
        }
        for conn in self.links.unread() {
            self.feed(Input::Conn(ConnInput::Held { conn }), now);
        }
        if self.is_probing {
            let millis = self.sink.lag(now.mono);
            self.is_probing = millis > 0;
            self.feed(Input::HostLag { millis }, now);
        }
        self.idle_until = None;
        let before = self.outputs;
        self.endpoint.handle_timeout(now);
        self.settle(now);
        if self.outputs == before
            && let Some(Deadline { at, why }) = self.endpoint.poll_timeout()
            && at <= now.mono
        {
            tracing::error!(why = why.as_str(), "the machine did nothing at its deadline");
            self.idle_until = Some(now.mono.after(SPIN_PAUSE_MS));
            debug_assert!(false, "the machine did nothing at its deadline {why:?}");
        }
    }

    fn feed(&mut self, input: Input, now: Now) {
        self.endpoint.handle_input(input, now);
        self.settle(now);
    }

    /// Performs outputs until the machine is drained and every immediate answer is taken in.
    fn settle(&mut self, now: Now) {
        loop {
            while let Some(output) = self.endpoint.poll_output() {
                self.outputs += 1;
                self.perform(output, now);
            }
            let Some(input) = self.inputs.pop_front() else { return };
            self.endpoint.handle_input(input, now);
        }
    }

    fn tell(&mut self, event: Event) {
        if let Some(health) = &mut self.health {
            health.event(&event, self.shared.clock.now());
        }
        #[cfg(unix)]
        if self.is_of_script(&event) {
            return;
        }
        #[cfg(feature = "scripted")]
        if let Some(script) = &self.shared.script {
            script.tell(&event);
        }
        if matches!(event, Event::Session(SessionEvent::Ended { .. })) {
            self.has_ended = true;
            // Before the application learns it: what it hands over from then on is refused.
            self.shared.inbox.seal();
        }
        self.events.push(event);
    }

    /// Hands what the machine has told to the application, all at once; tells whether it was anything.
    fn hand_up(&mut self, now: Now) -> bool {
        if self.events.is_empty() {
            return false;
        }
        self.shared.counting.events.add(self.events.len());
        self.sink.deliver(&mut self.events);
        self.sink.ring(now.mono);
        true
    }

    fn flush(&mut self, now: Now) {
        let mut news = Vec::new();
        while self.links.flush(&mut news) {
            for input in news.drain(..) {
                self.feed(input, now);
            }
        }
        self.shared.counting.frames_out.add(std::mem::take(&mut self.frames_out));
        self.hand_up(now);
    }

    fn wake_at(&self) -> Option<moorline_core::Instant> {
        let machine = self.endpoint.poll_timeout().map(|deadline| deadline.at);
        let wake_at = [machine, self.links.expiry()].into_iter().flatten().min()?;
        Some(self.idle_until.map_or(wake_at, |idle| wake_at.max(idle)))
    }

    /// Lets what was sent last reach its peers, for a short while.
    async fn part(&mut self) {
        let parting = async {
            let mut batch = Batch::default();
            while !self.links.is_empty() {
                self.shared.inbox.take(&mut batch);
                if batch.close {
                    return;
                }
                let now = self.shared.clock.now();
                for conn in batch.ready.drain(..) {
                    self.links.wake(conn);
                    for looks in 1..=MAX_FRAMES {
                        match self.links.look(conn, false, now.mono) {
                            Look::Frame(_) | Look::Unwanted(_) if looks == MAX_FRAMES => {
                                self.links.look_again(conn);
                            }
                            Look::Frame(_) | Look::Unwanted(_) => {}
                            Look::Ended(_) | Look::Nothing => break,
                        }
                    }
                }
                batch = Batch::default();
                while self.links.flush(&mut Vec::new()) {}
                let inbox = &self.shared.inbox;
                std::future::poll_fn(|cx| inbox.poll_arrived(cx)).await;
            }
        };
        if tokio::time::timeout(PARTING, parting).await.is_err() {
            tracing::debug!("connections were dropped at the end");
        }
    }
}

/// One timer that is set anew only when it must ring earlier.
struct Alarm {
    sleep: Pin<Box<Sleep>>,
    is_over: bool,
}

impl Alarm {
    fn new() -> Self {
        Self { sleep: Box::pin(tokio::time::sleep(Duration::ZERO)), is_over: true }
    }

    /// Waits for `rest`, or less; for ever without one.
    async fn wait(&mut self, rest: Option<Duration>) {
        let Some(rest) = rest else { return std::future::pending().await };
        let at = tokio::time::Instant::now() + rest.min(LONGEST_SLEEP);
        if self.is_over || at < self.sleep.deadline() {
            self.sleep.as_mut().reset(at);
            self.is_over = false;
        }
        self.sleep.as_mut().await;
        self.is_over = true;
    }
}
