//! A consumer in the place of the recorded one: told what the provider sent and what its application
//! did, it must say what the original said.

use moorline_core::{
    CloseCause, Command, ConnId, ConnInput, Content, DialAddress, Endpoint, Error, ErrorCode,
    Event, Frame, Input, Now, Output, PeerCommand, PeerEvent, Recipients, SessionEvent,
};
use moorline_tests::scripts;
use serde_json::{Value, json};

use crate::lines::{self, Line};

/// When the recording begins, in the machine's time.
const BEGIN: u64 = 100_000;
/// Messages that the original takes for the protocol's own and stumbles over.
const STUMBLES: &[&str] = &["PROVIDER_HEARTBEAT|"];

struct Replay {
    machine: Box<dyn Endpoint + Send>,
    now: u64,
    /// The connection of the machine, and that of the recording.
    dialed: Option<ConnId>,
    number: u64,
    is_open: bool,
    is_left: bool,
    wanted: Vec<Value>,
    said: Vec<Value>,
    told: Vec<Value>,
    wanted_told: Vec<Value>,
}

/// Replays a transcript against a consumer with these options.
pub(crate) fn replay(name: &str, options: &Value) {
    let mut options = options.clone();
    options["host"] = json!("127.0.0.1");
    let options = options.to_string();
    let opened = scripts::open("netcluster", "netcluster", "consumer", &options, "h", [7; 32]);
    let mut replay = Replay {
        machine: opened.expect("a consumer").endpoint,
        now: BEGIN,
        dialed: None,
        number: 0,
        is_open: false,
        is_left: false,
        wanted: Vec::new(),
        said: Vec::new(),
        told: Vec::new(),
        wanted_told: Vec::new(),
    };
    replay.command(Command::Start);
    for line in &lines::read(name) {
        if STUMBLES.contains(&line.text()) {
            break;
        }
        replay.line(line);
    }
    assert_eq!(replay.said, replay.wanted, "{name}");
    assert_eq!(replay.told, replay.wanted_told, "{name}");
}

impl Replay {
    fn line(&mut self, line: &Line) {
        self.advance(BEGIN + line.t.round() as u64);
        match (line.dir.as_str(), line.kind.as_str()) {
            ("c2s", "http") => {
                let url = line.text().split(' ').nth(1).expect("a request line");
                self.wanted.push(json!(["dial", url]));
                self.number = line.conn.unwrap_or_default();
                (self.is_open, self.is_left) = (false, false);
            }
            ("s2c", "http") => match line.status() {
                Some(101) => self.opened(),
                Some(status) => self.closed(CloseCause::Refused { status }),
                None => panic!("{line:?}"),
            },
            ("s2c", "tcp") if line.text().starts_with("error") && !self.is_left => {
                self.closed(CloseCause::Failed(ErrorCode::ConnectFailed.into()));
            }
            ("s2c", "tcp") if self.is_open && !self.is_left => {
                self.closed(CloseCause::Failed(ErrorCode::ConnectionLost.into()));
            }
            ("s2c", "ws") => self.heard(line),
            ("c2s", "ws") => self.says(line),
            ("consumer", "event") => self.event(line),
            _ => {}
        }
    }

    fn opened(&mut self) {
        self.is_open = true;
        let conn = self.dialed.expect("a dial");
        self.input(ConnInput::Opened { conn });
    }

    fn heard(&mut self, line: &Line) {
        if !self.is_open {
            // The recording begins behind the handshake.
            self.wanted.push(json!(["dial", "/connect"]));
            self.wanted_told.push(json!(["open"]));
            self.opened();
        }
        let conn = self.dialed.expect("a dial");
        let frame = match line.op.as_str() {
            "text" => Frame::Text(String::from_utf8(line.payload()).expect("UTF-8").into()),
            "binary" => Frame::Binary(line.payload().into()),
            "ping" => Frame::Ping(line.payload().into()),
            "close" if self.is_left => return,
            "close" => {
                let (code, reason) = (line.code.unwrap_or(1_005), line.text().to_owned());
                return self.closed(CloseCause::Remote { code, reason });
            }
            _ => return,
        };
        self.input(ConnInput::Received { conn, frame });
    }

    /// The consumer said it: its application, unless the protocol did.
    fn says(&mut self, line: &Line) {
        match line.op.as_str() {
            // The driver answers, and not all of it was said by a consumer.
            "pong" | "ping" | "cont" | "binary" => {}
            "close" if self.is_left => {}
            "close" => {
                self.is_left = true;
                // Said by the raw socket, past the original's API.
                if line.code.is_none() {
                    self.wanted.push(json!(["close", 1_005]));
                    self.command(Command::Stop { drain_ms: 0 });
                } else {
                    let (code, reason) = (line.code.unwrap_or(1_005), line.text().to_owned());
                    self.closed(CloseCause::Remote { code, reason });
                }
            }
            _ if line.text() == "PONG" => self.wanted.push(json!(["text", "PONG"])),
            _ => {
                self.wanted.push(json!(["text", line.text()]));
                let content = Content::from(line.text());
                let to = Recipients::Link;
                let send = PeerCommand::Send { call: None, to, content, compress: false };
                self.command(Command::Peer(send));
            }
        }
    }

    fn event(&mut self, line: &Line) {
        let (name, rest) = line.event();
        match name {
            "open" | "disconnect" | "close" => self.wanted_told.push(line.data.clone()),
            "message" => {
                // Bytes are the application's to decode.
                let text = rest[0].as_str().unwrap_or_default();
                self.wanted_told.push(json!(["message", text]));
            }
            // Nobody listens: there is no connection to see.
            "error_handler" if self.number == 0 => {
                self.wanted.push(json!(["dial", "/connect"]));
                self.closed(CloseCause::Failed(Error::from(ErrorCode::ConnectFailed)));
            }
            _ => {}
        }
    }

    fn closed(&mut self, cause: CloseCause) {
        self.is_left = true;
        let Some(conn) = self.dialed else { return };
        self.input(ConnInput::Closed { conn, cause });
    }

    fn command(&mut self, command: Command) {
        self.machine.handle_command(command, clock(self.now)).expect("a command");
        self.drain();
    }

    fn input(&mut self, input: ConnInput) {
        self.machine.handle_input(Input::Conn(input), clock(self.now));
        self.drain();
    }

    fn advance(&mut self, to: u64) {
        while let Some(due) = self.machine.poll_timeout().filter(|due| due.at.as_millis() <= to) {
            self.now = due.at.as_millis();
            self.machine.handle_timeout(clock(self.now));
            self.drain();
        }
        self.now = self.now.max(to);
    }

    fn drain(&mut self) {
        while let Some(output) = self.machine.poll_output() {
            match output {
                Output::Dial { conn, target } => {
                    self.dialed = Some(conn);
                    let DialAddress::WebSocket { url, .. } = target.address else {
                        panic!("no WebSocket")
                    };
                    let path = url.strip_prefix("ws://127.0.0.1:8080").expect("the place");
                    self.said.push(json!(["dial", path]));
                }
                Output::Send { frame: Frame::Text(text), .. } => {
                    self.said.push(json!(["text", text.to_string()]));
                }
                Output::Close { code, .. } => self.said.push(json!(["close", code])),
                Output::Event(event) => self.tell(event),
                _ => {}
            }
        }
    }

    fn tell(&mut self, event: Event) {
        match event {
            Event::Session(SessionEvent::Ready { .. }) => self.told.push(json!(["open"])),
            Event::Session(SessionEvent::Ended { error: Some(_) }) => {
                // It closes with the code of the disconnect before.
                let mut last = self.told.last().cloned().unwrap_or_default();
                last[0] = json!("close");
                self.told.push(last);
            }
            Event::Peer(PeerEvent::Closed { code, reason, .. }) => {
                self.told.push(json!(["disconnect", code, reason]));
            }
            Event::Peer(PeerEvent::Received { content, .. }) => {
                let text = String::from_utf8_lossy(content.as_bytes());
                self.told.push(json!(["message", text]));
            }
            _ => {}
        }
    }
}

fn clock(now: u64) -> Now {
    Now::new(now, 1_795_000_000_000 + now)
}
