//! A daemon and a server that a test leads by the hand.

use moorline_core::{CallCommand, CallEvent, SessionEvent, WorkCommand, WorkEvent};
use moorline_core::{CallId, Command, Error, Event, Frame, Outcome, Raw, WorkId};
use moorline_tests::volt::{Daemon, Told};
use serde_json::{Value, json};

/// A daemon on a WebSocket, its server, and what each has said.
pub(crate) struct Scene {
    pub(crate) daemon: Daemon,
    pub(crate) session: usize,
    sids: u64,
}

impl Scene {
    /// Starts a daemon; `options` beside the common ones.
    pub(crate) fn new(options: &Value) -> Self {
        let mut all = json!({
            "control_socket_url": "ws://volt.test",
            "team_cluster_id": "c",
            "daemon_password": "pw",
            "transport": "websocket",
            "heartbeat": {"enabled": false},
            "reconnect": {"jitter_percent": 0},
        });
        for (key, value) in options.as_object().expect("options") {
            all[key.as_str()] = value.clone();
        }
        let mut daemon = Daemon::new(&all.to_string(), 5, 0);
        let meta = Raw::empty_object;
        daemon
            .command(Command::Work(WorkCommand::Handle { key: "h".into(), meta: meta() }))
            .expect("a handler");
        daemon.command(Command::Start).expect("a start");
        Self { daemon, session: 0, sids: 0 }
    }

    /// A daemon that is registered.
    pub(crate) fn ready(options: &Value) -> Self {
        let mut scene = Self::new(options);
        scene.registers();
        scene
    }

    /// The session that is asked for opens.
    pub(crate) fn opens(&mut self) {
        let mut told = std::iter::from_fn(|| self.daemon.told());
        let Some(Told::Asked { session, .. }) = told.find(|it| !matches!(it, Told::Left { .. }))
        else {
            panic!("no session")
        };
        self.session = session;
        self.sids += 1;
        self.daemon.open(
            session,
            &format!(
                "0{{\"sid\":\"s{}\",\"upgrades\":[],\"pingInterval\":3000000,\"pingTimeout\":500000,\
                 \"maxPayload\":20000}}",
                self.sids
            ),
        );
        assert_eq!(self.said(), ["40"]);
    }

    /// The session that is asked for opens and the namespace is joined.
    pub(crate) fn joins(&mut self) {
        self.opens();
        self.say("40{\"sid\":\"j\"}");
    }

    /// The session that is asked for opens and the registration is confirmed.
    pub(crate) fn registers(&mut self) {
        self.joins();
        assert_eq!(self.said().len(), 1, "the registration");
        self.confirm();
    }

    /// The server confirms; returns what the application learns beside that.
    pub(crate) fn confirm(&mut self) -> Vec<Event> {
        self.confirm_with("{\"teamClusterId\":\"c\"}")
    }

    /// The server confirms with these words.
    pub(crate) fn confirm_with(&mut self, argument: &str) -> Vec<Event> {
        self.say(&format!("42[\"team-cluster-daemon:registered\",{argument}]"));
        let mut events = self.events();
        assert!(
            matches!(events.first(), Some(Event::Session(SessionEvent::Ready { .. }))),
            "{events:?}"
        );
        events.split_off(1)
    }

    pub(crate) fn say(&mut self, text: &str) {
        self.daemon.say(self.session, [Frame::Text(text.into())]);
    }

    /// The server asks for a command.
    pub(crate) fn ask(&mut self, request: &str, form: &str) -> WorkId {
        let message = json!({
            "type": "command", "requestId": request, "command": "h", "responseType": form,
        });
        self.say(&format!("42[\"team-cluster-daemon:message\",{message}]"));
        match &self.events()[..] {
            [Event::Work(WorkEvent::Assigned { work, .. })] => *work,
            other => panic!("{other:?}"),
        }
    }

    /// Returns the frames that the daemon has said since.
    pub(crate) fn frames(&mut self) -> Vec<Frame> {
        std::iter::from_fn(|| self.daemon.told())
            .filter_map(|told| match told {
                Told::Said { frame, .. } => Some(frame),
                Told::Left { .. } => None,
                other => panic!("{other:?}"),
            })
            .collect()
    }

    /// Returns what the daemon has said since.
    pub(crate) fn said(&mut self) -> Vec<String> {
        self.frames()
            .into_iter()
            .map(|frame| match frame {
                Frame::Text(text) => text.to_string(),
                _ => String::from("bytes"),
            })
            .collect()
    }

    /// Returns the messages that the daemon has said since.
    pub(crate) fn messages(&mut self) -> Vec<Value> {
        let said = self.said();
        let event = |text: &String| -> Value {
            let (_, message): (String, Value) = serde_json::from_str(&text[2..]).expect("an event");
            message
        };
        said.iter().map(event).collect()
    }

    /// Returns what the application has learned since.
    pub(crate) fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.daemon.event()).collect()
    }

    pub(crate) fn pass(&mut self, millis: u64) {
        let until = self.daemon.now() + millis;
        self.daemon.pass_to(until);
    }

    /// Lets time pass to the next deadline and returns how long that took.
    pub(crate) fn next_deadline(&mut self) -> u64 {
        let before = self.daemon.now();
        let at = self.daemon.deadline().expect("a deadline");
        self.daemon.pass_to(at);
        at - before
    }

    pub(crate) fn cut(&mut self) {
        self.daemon.end(self.session, None);
    }

    pub(crate) fn done(&mut self, work: WorkId, envelope: &str) -> Result<(), Error> {
        let value = raw(envelope);
        let outcome = Outcome::Done { value, log: Raw::empty_list() };
        self.daemon.command(Command::Work(WorkCommand::Complete { work, outcome }))
    }

    pub(crate) fn call(&mut self, call: u64, timeout_ms: u64) -> Result<(), Error> {
        let options = raw(&format!("{{\"timeout_ms\":{timeout_ms}}}"));
        let (call, payload) = (CallId(call), Raw::absent());
        self.daemon.command(Command::Call(CallCommand::Make {
            call,
            name: "jobs.list".into(),
            payload,
            options,
        }))
    }

    pub(crate) fn emit(&mut self, payload: &str) -> Result<(), Error> {
        let payload = raw(payload);
        self.daemon.command(Command::Emit { name: String::new(), payload })
    }

    pub(crate) fn stop(&mut self, drain_ms: u64) {
        self.daemon.command(Command::Stop { drain_ms }).expect("a stop");
    }
}

pub(crate) fn raw(text: &str) -> Raw {
    Raw::parse(text.to_owned()).unwrap_or_else(|e| panic!("{e}: {text}"))
}

/// Codes of the errors among events, in order; `lost` and `ended` by these words.
pub(crate) fn brief(events: &[Event]) -> Vec<String> {
    events
        .iter()
        .map(|event| match event {
            Event::Session(SessionEvent::Notice { error }) => error.code().name().to_owned(),
            Event::Session(SessionEvent::Lost { reason, retry_ms, .. }) => {
                format!("lost: {} {retry_ms}", reason.message())
            }
            Event::Session(SessionEvent::Ended { error: None }) => String::from("ended"),
            Event::Session(SessionEvent::Ended { error: Some(error) }) => {
                format!("ended: {}", error.message())
            }
            Event::Call(CallEvent::Done { result: Ok(_), .. }) => String::from("answered"),
            Event::Call(CallEvent::Done { result: Err(error), .. }) => {
                format!("call {}", error.code().name())
            }
            Event::Work(WorkEvent::Withdrawn { why, .. }) => format!("withdrawn {}", why.as_str()),
            Event::Work(WorkEvent::Drained { chunks, .. }) => format!("drained {chunks}"),
            Event::Session(SessionEvent::Draining { .. }) => String::from("draining"),
            Event::Session(SessionEvent::Ready { .. }) => String::from("ready"),
            Event::Work(WorkEvent::BeatAsked { .. }) => String::from("beat asked"),
            other => format!("{other:?}"),
        })
        .collect()
}
