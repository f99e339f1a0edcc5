//! One run: a daemon, a server of changing moods, an application, and time.

use moorline_core::{CallCommand, ConnInput, WorkCommand, WorkEvent};
use moorline_core::{
    CallId, CloseCause, Command, ConnId, Event, Frame, Input, Outcome, Raw, WorkId,
};
use moorline_tests::volt::{Daemon, Network, Told};
use serde_json::{Value, json};

use crate::checks::Checks;
use crate::moves::{About, HANDSHAKES, Mood, Move, PACKETS};

/// The options that runs differ in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting {
    pub(crate) transport: &'static str,
    pub(crate) in_namespace: bool,
    pub(crate) base_ms: u64,
    pub(crate) max_ms: u64,
    pub(crate) jitter_percent: u64,
    pub(crate) max_attempts: u64,
    pub(crate) reconnects: bool,
    pub(crate) interval_ms: u64,
    pub(crate) asks: bool,
    pub(crate) with_ack: bool,
    pub(crate) max_queued: u64,
    pub(crate) connect_timeout_ms: u64,
    pub(crate) registration_timeout_ms: u64,
    pub(crate) seed: u8,
}

impl Setting {
    /// What stands before a packet's content.
    pub(crate) const fn prefix(self) -> &'static str {
        if self.in_namespace { "/control," } else { "" }
    }

    fn options(self) -> String {
        json!({
            "control_socket_url":
                if self.in_namespace { "ws://volt.test/control" } else { "ws://volt.test" },
            "team_cluster_id": "c",
            "daemon_password": "pw",
            "transport": self.transport,
            "heartbeat": {"interval_ms": self.interval_ms, "asks": self.asks},
            "register_with_ack": self.with_ack,
            "max_queued": self.max_queued,
            "max_queued_bytes": 100_000,
            "max_concurrent": 4,
            "connect_timeout_ms": self.connect_timeout_ms,
            "registration_timeout_ms": self.registration_timeout_ms,
            "reconnect_enabled": self.reconnects,
            "reconnect": {
                "base_delay_ms": self.base_ms,
                "max_delay_ms": self.max_ms,
                "jitter_percent": self.jitter_percent,
                "max_attempts": self.max_attempts,
            },
        })
        .to_string()
    }
}

pub(crate) struct Run {
    setting: Setting,
    daemon: Daemon,
    checks: Checks,
    moods: [Mood; 5],
    session: Option<usize>,
    sids: u64,
    calls: u64,
    requests: u64,
}

const PING_MS: u64 = 25_000 + 20_000;

/// Plays moves, then stops the daemon; returns what did not hold.
pub(crate) fn play(setting: Setting, moves: &[Move]) -> Vec<String> {
    let options = setting.options();
    Run::new(setting, Daemon::new(&options, setting.seed, 1_000)).play(moves)
}

/// Plays moves with a flight recorder; returns the recording.
pub(crate) fn record(setting: Setting, moves: &[Move]) -> String {
    let options = setting.options();
    let mut run = Run::new(setting, Daemon::recorded(&options, setting.seed, 1_000));
    for doing in moves {
        run.act(doing);
        run.rest();
    }
    run.daemon.recording()
}

impl Run {
    fn new(setting: Setting, mut daemon: Daemon) -> Self {
        let checks = Checks::new(setting, 1_000);
        for (key, meta) in [("h", "{}"), ("stream", "{}"), ("*", "{\"messages\":true}")] {
            let meta = Raw::parse(meta).expect("JSON");
            daemon
                .command(Command::Work(WorkCommand::Handle { key: key.into(), meta }))
                .expect("a handler");
        }
        daemon.command(Command::Start).expect("a start");
        let mut run = Self {
            setting,
            daemon,
            checks,
            moods: [Mood::Kind; 5],
            session: None,
            sids: 0,
            calls: 0,
            requests: 0,
        };
        run.rest();
        run
    }

    fn play(mut self, moves: &[Move]) -> Vec<String> {
        for doing in moves {
            self.act(doing);
            self.rest();
            if !self.checks.broken.is_empty() {
                self.checks.broken.push(format!("after {doing:?}"));
                return self.checks.broken;
            }
        }
        self.finish()
    }

    const fn mood(&self, about: About) -> Mood {
        self.moods[about as usize]
    }

    fn act(&mut self, doing: &Move) {
        let daemon = &mut self.daemon;
        match doing {
            Move::Wait(millis) => self.wait(*millis),
            Move::Suspend(millis) => {
                daemon.suspend(*millis);
                self.act(if millis % 2 == 0 {
                    &Move::Emit(5)
                } else {
                    &Move::Ask("nobody", "json")
                });
            }
            Move::Confirm => self.event("[\"team-cluster-daemon:registered\",{}]"),
            Move::Mood(about, mood) => self.moods[*about as usize] = *mood,
            Move::Network { is_up, web_sockets } => {
                let is_slow = daemon.network.is_slow;
                daemon.network = Network { is_up: *is_up, web_sockets: *web_sockets, is_slow };
            }
            Move::Slow(is_slow) => {
                daemon.network.is_slow = *is_slow;
                self.checks.is_slow |= *is_slow;
            }
            Move::Ping => self.ping(),
            Move::Cut => self.end(None),
            Move::CloseWith(code) => self.end(Some(*code)),
            Move::Dismiss => self.packet(&format!("41{}", self.setting.prefix())),
            Move::Packet(index) => self.packet(PACKETS[*index]),
            Move::Text(text) => self.packet(text),
            Move::Bytes(bytes) => self.say(Frame::Binary(bytes.clone().into())),
            Move::Poll(status, body) => {
                if let Some(session) = self.session {
                    if body.contains(&b'2') {
                        self.alive(session);
                    }
                    self.daemon.answer_poll(session, *status, body.clone());
                }
            }
            Move::Ask(name, form) => {
                self.requests += 1;
                let id = self.requests;
                self.event(&format!(
                    "[\"team-cluster-daemon:message\",{{\"type\":\"command\",\"requestId\":\"q{id}\",\
                     \"command\":\"{name}\",\"responseType\":\"{form}\",\"payload\":{{}}}}]"
                ));
            }
            Move::Call(timeout_ms) => self.call(*timeout_ms),
            Move::Cancel(call) => {
                let _ = daemon.command(Command::Call(CallCommand::Cancel { call: CallId(*call) }));
            }
            Move::Emit(size) => {
                let text = json!({"type": "x", "text": "x".repeat(*size)}).to_string();
                let payload = Raw::parse(text).expect("JSON");
                let _ = daemon.command(Command::Emit { name: String::new(), payload });
            }
            Move::Password => {
                let payload = Raw::parse("{\"password\":\"next\"}").expect("JSON");
                let _ = daemon.command(Command::Emit { name: "$password".into(), payload });
            }
            Move::Handle(true) => {
                let meta = Raw::empty_object();
                let _ =
                    daemon.command(Command::Work(WorkCommand::Handle { key: "h".into(), meta }));
            }
            Move::Handle(false) => {
                let _ = daemon.command(Command::Work(WorkCommand::Unhandle { key: "h".into() }));
            }
            Move::Complete(work, kind) => self.complete(WorkId(*work), *kind),
            Move::Progress(work, kind) => {
                let report = ["{\"open\":{}}", "{\"chunk\":\"AAAA\"}", "{\"chunk\":\"\"}", "7"];
                let report = Raw::parse(report[usize::from(kind % 4)]).expect("JSON");
                let _ = daemon
                    .command(Command::Work(WorkCommand::Progress { work: WorkId(*work), report }));
            }
            Move::Start => {
                let _ = daemon.command(Command::Start);
            }
            Move::Stop(u64::MAX) => {}
            Move::Stop(drain_ms) => self.stop(*drain_ms),
        }
    }

    /// Lets time pass, deadline by deadline; the server attends to each.
    fn wait(&mut self, millis: u64) {
        let until = self.daemon.now() + millis;
        self.daemon.release();
        self.attend();
        let mut steps = 0;
        // A long time with a quick heartbeat is many steps; the rest of it is left out.
        while self.daemon.step(until) && steps < 200 {
            steps += 1;
            self.attend();
        }
        self.attend();
    }

    /// Everything that is due happens, and what must hold is looked at.
    fn rest(&mut self) {
        self.attend();
        for _ in 0..100 {
            let now = self.daemon.now();
            if !self.daemon.step(now) {
                break;
            }
            self.attend();
        }
        let (now, state) = (self.daemon.now(), self.daemon.snapshot());
        let (deadline, open) = (self.daemon.deadline(), self.daemon.open_transports());
        if deadline.is_some_and(|at| at <= now) {
            self.checks.broke(7, now, "a deadline that stays due");
        }
        self.checks.at_rest(now, &state, deadline, open);
        let faults: Vec<String> = self.daemon.faults().to_vec();
        for fault in faults {
            self.checks.broke(3, now, fault);
        }
    }

    fn attend(&mut self) {
        loop {
            let now = self.daemon.now();
            if let Some(told) = self.daemon.told() {
                self.told(told);
            } else if let Some(event) = self.daemon.event() {
                self.checks.happened(&event, now);
                if let Event::Work(WorkEvent::BeatAsked { beat }) = event {
                    let kind = match self.mood(About::Beats) {
                        Mood::Kind | Mood::Dismissing => 0,
                        Mood::Silent => continue,
                        Mood::Refusing | Mood::Cutting => 1,
                        Mood::Odd(_) => 3,
                    };
                    self.complete(beat, kind);
                }
            } else {
                return;
            }
        }
    }

    fn told(&mut self, told: Told) {
        let now = self.daemon.now();
        match told {
            Told::Asked { session, .. } => self.opens(session),
            Told::Said { session, frame: Frame::Text(text) } => {
                self.checks.said(session, Some(&text), now);
                self.hears(session, &text);
            }
            Told::Said { session, .. } => self.checks.said(session, None, now),
            Told::Left { session } => {
                if self.session == Some(session) {
                    self.session = None;
                }
            }
            Told::Http { http, .. } => self.daemon.answer(http, None),
        }
    }

    fn opens(&mut self, session: usize) {
        self.sids += 1;
        let upgrades = if self.setting.transport == "upgrade" { "\"websocket\"" } else { "" };
        let good = format!(
            "0{{\"sid\":\"s{}\",\"upgrades\":[{upgrades}],\"pingInterval\":25000,\
             \"pingTimeout\":20000,\"maxPayload\":10000}}",
            self.sids
        );
        self.session = Some(session);
        let silent_at = self.daemon.now() + PING_MS;
        self.checks.sessions.entry(session).or_default().silent_at = silent_at;
        match self.mood(About::Opening) {
            Mood::Kind => self.daemon.open(session, &good),
            Mood::Silent => {}
            Mood::Refusing => self.daemon.refuse(session),
            Mood::Odd(index) => {
                self.checks.sessions.entry(session).or_default().silent_at = u64::MAX;
                self.daemon.open(session, HANDSHAKES[index % HANDSHAKES.len()]);
            }
            Mood::Cutting | Mood::Dismissing => self.daemon.end(session, Some(1001)),
        }
    }

    /// The server hears a packet, and does what its mood is.
    fn hears(&mut self, session: usize, text: &str) {
        let prefix = self.setting.prefix();
        let rest = text.strip_prefix("42").map(|rest| rest.strip_prefix(prefix).unwrap_or(rest));
        if text.starts_with("40") {
            let good = format!("40{prefix}{{\"sid\":\"j\"}}");
            let bad = format!("44{prefix}{{\"message\":\"no\"}}");
            self.react(session, self.mood(About::Joining), &good, &bad);
        } else if rest.is_some_and(|rest| rest.contains("team-cluster-daemon:register\"")) {
            let good = format!("42{prefix}[\"team-cluster-daemon:registered\",{{}}]");
            let bad = format!("42{prefix}[\"error\",{{\"code\":\"no\"}}]");
            self.react(session, self.mood(About::Registering), &good, &bad);
        } else if let Some(rest) = rest {
            let event: Value = serde_json::from_str(rest).expect("events are JSON");
            if event[1]["type"] != "command" {
                return;
            }
            let mood = self.mood(About::Commands);
            if event[1]["command"] == "runtime.heartbeat"
                && matches!(mood, Mood::Kind | Mood::Refusing)
            {
                self.checks.beat_answered(session);
            }
            let answer = |ok: bool| {
                format!(
                    "42{prefix}[\"team-cluster-daemon:message\",{{\"type\":\"response\",\
                     \"requestId\":{},\"ok\":{ok},\"status\":200}}]",
                    event[1]["requestId"]
                )
            };
            self.react(session, mood, &answer(true), &answer(false));
        }
    }

    fn react(&mut self, session: usize, mood: Mood, good: &str, bad: &str) {
        if self.session != Some(session) {
            return;
        }
        match mood {
            Mood::Kind => self.packet(good),
            Mood::Silent => {}
            Mood::Refusing => self.packet(bad),
            Mood::Odd(index) => self.packet(PACKETS[index]),
            Mood::Cutting => self.end(None),
            Mood::Dismissing => self.packet(&format!("41{}", self.setting.prefix())),
        }
    }

    fn event(&mut self, event: &str) {
        self.packet(&format!("42{}{event}", self.setting.prefix()));
    }

    fn packet(&mut self, text: &str) {
        let Some(session) = self.session else { return };
        if text.starts_with("44") {
            self.checks.refused = true;
        }
        let prefix = self.setting.prefix();
        if text.starts_with(&format!("42{prefix}[\"team-cluster-daemon:registered\",")) {
            self.checks.confirmed(session);
        }
        if text.starts_with('2') && text.len() == 1 {
            return self.ping();
        }
        if text.split('\u{1e}').any(|part| part.starts_with('2')) {
            // A ping with a content is one, too, wherever it stands in a polling body.
            self.alive(session);
        }
        self.say(Frame::Text(text.into()));
    }

    fn ping(&mut self) {
        if let Some(session) = self.session {
            self.alive(session);
            self.say(Frame::Text("2".into()));
        }
    }

    fn alive(&mut self, session: usize) {
        let seen = self.checks.sessions.entry(session).or_default();
        if seen.silent_at != u64::MAX {
            seen.silent_at = self.daemon.now() + PING_MS;
        }
    }

    fn say(&mut self, frame: Frame) {
        if let Some(session) = self.session.filter(|it| self.daemon.is_open(*it)) {
            self.daemon.say(session, [frame]);
        }
    }

    fn end(&mut self, code: Option<u16>) {
        if let Some(session) = self.session.take() {
            self.daemon.end(session, code);
        }
    }

    fn call(&mut self, timeout_ms: u64) {
        self.calls += 1;
        let call = CallId(self.calls);
        let until = self.daemon.now().saturating_add(timeout_ms);
        self.checks.calls.insert(call, until);
        let options = Raw::parse(format!("{{\"timeout_ms\":{timeout_ms}}}")).expect("JSON");
        let payload = Raw::absent();
        let command =
            Command::Call(CallCommand::Make { call, name: "jobs.list".into(), payload, options });
        if self.daemon.command(command).is_err() {
            self.checks.calls.remove(&call);
        }
    }

    fn complete(&mut self, work: WorkId, kind: u8) {
        self.checks.works.remove(&work);
        let values = ["{\"seq\":1}", "{\"data\":{}}", "{\"body\":\"AAA=\"}", "7", "null"];
        let outcome = match kind % 7 {
            0..=4 => Outcome::Done {
                value: Raw::parse(values[usize::from(kind % 5)]).expect("JSON"),
                log: Raw::empty_list(),
            },
            5 => Outcome::Failed { message: "thrown".into() },
            _ => Outcome::Cancelled,
        };
        let _ = self.daemon.command(Command::Work(WorkCommand::Complete { work, outcome }));
    }

    fn stop(&mut self, drain_ms: u64) {
        let until = self.daemon.now().saturating_add(drain_ms);
        if self.daemon.command(Command::Stop { drain_ms }).is_ok() {
            let before = self.checks.stop_until.unwrap_or(u64::MAX);
            self.checks.stop_until = Some(before.min(until));
        }
    }

    /// Stops the daemon; it ends, and nothing happens any more.
    fn finish(mut self) -> Vec<String> {
        self.stop(0);
        self.rest();
        self.wait(1_001);
        self.rest();
        let now = self.daemon.now();
        if !self.checks.ended {
            self.checks.broke(7, now, "no end");
        }
        for conn in 0..20 {
            let conn = ConnId(conn);
            let frame = Frame::Text("42[\"team-cluster-daemon:registered\",{}]".into());
            self.daemon.input(Input::Conn(ConnInput::Opened { conn }));
            self.daemon.input(Input::Conn(ConnInput::Received { conn, frame }));
            self.daemon.input(Input::Conn(ConnInput::Closed { conn, cause: CloseCause::Local }));
        }
        self.call(10);
        self.wait(1_000_000_000);
        self.rest();
        self.checks.broken
    }
}
