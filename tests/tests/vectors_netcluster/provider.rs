//! A provider in the place of the recorded one: told what the consumers sent and what its application
//! did, it must say what the original said.

use std::collections::BTreeMap;

use bytes::Bytes;
use moorline_core::{
    CloseCause, Command, ConnId, ConnInput, Content, Endpoint, Error, ErrorCode, Event, Frame,
    Headers, HttpBody, HttpRequest, Input, ListenId, Method, Now, Output, PeerCommand, PeerEvent,
    PeerId, Recipients, ServerInput,
};
use moorline_tests::scripts;
use serde_json::{Map, Value, json};

use crate::lines::{self, Line};

/// When the recording begins, in the machine's time.
const BEGIN: u64 = 100_000;
/// How far our timers may be from the original's, in milliseconds.
const TOLERANCE: u64 = 150;
/// The same for silence, which the original looks for every four seconds.
const ROUND: u64 = 4_100;

/// What is said on a connection, and when.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Said {
    Admitted,
    Refused(u16, String),
    Text(String),
    Binary(Vec<u8>),
    Closed(Option<u16>, String),
    Cut,
}

#[derive(Default)]
pub(crate) struct Conn {
    wanted: Vec<(u64, Said)>,
    pub(crate) said: Vec<(u64, Said)>,
    wanted_pings: Vec<u64>,
    pings: Vec<u64>,
    end: Option<u64>,
    /// The other side has said farewell, or is gone.
    is_left: bool,
    fragments: usize,
}

pub(crate) struct Replay {
    pub(crate) machine: Box<dyn Endpoint + Send>,
    pub(crate) options: String,
    pub(crate) now: u64,
    pub(crate) conns: BTreeMap<u64, Conn>,
    wanted: Vec<Value>,
    pub(crate) told: Vec<Value>,
    max_payload: usize,
    /// The recorded consumer answers pings of WebSocket: ours are answered when they come.
    answers_pings: bool,
    pongs: Vec<ConnId>,
}

/// Replays a transcript against a provider with these options.
pub(crate) fn replay(name: &str, options: &Value) {
    let lines = lines::read(name);
    let mut options = options.clone();
    options["heartbeat"]["awaits_greet"] = json!(true);
    options["allow_reserved"] = json!(true);
    let interval = options["heartbeat"]["interval"].as_u64().unwrap_or(30_000);
    let options = options.to_string();
    // The original's timer began when the provider was made.
    let cycle = lines.iter().find(|line| line.text().starts_with("HEARTBEAT_CYCLE"));
    let start = cycle.map_or(BEGIN, |line| at(line.t) - interval);
    let mut replay = Replay::new(options, start);
    replay.answers_pings = lines.iter().any(|line| line.dir == "c2s" && line.op == "pong");
    replay.start();
    // While there was no provider the recorder answered in its place.
    let is_recorders = |line: &Line| {
        let mut errors = lines.iter().filter(|it| it.text().starts_with("error "));
        line.conn.is_some() && errors.any(|it| it.conn == line.conn)
    };
    for line in lines.iter().filter(|line| !is_recorders(line)) {
        replay.line(line);
    }
    replay.check(name);
}

pub(crate) fn open(options: &str) -> Box<dyn Endpoint + Send> {
    let opened = scripts::open("netcluster", "netcluster", "provider", options, "h", [7; 32]);
    opened.expect("a provider").endpoint
}

fn at(t: f64) -> u64 {
    BEGIN + t.round() as u64
}

impl Replay {
    pub(crate) fn new(options: String, now: u64) -> Self {
        Self {
            machine: open(&options),
            options,
            now,
            conns: BTreeMap::new(),
            wanted: Vec::new(),
            told: Vec::new(),
            max_payload: 32_768,
            answers_pings: false,
            pongs: Vec::new(),
        }
    }

    pub(crate) fn start(&mut self) {
        self.command(Command::Start);
        let address = String::from("127.0.0.1:8080");
        self.input(Input::Server(ServerInput::Listening { listen: ListenId(0), address }));
    }

    fn line(&mut self, line: &Line) {
        self.advance(at(line.t));
        let number = line.conn.unwrap_or_else(|| self.latest());
        match (line.dir.as_str(), line.kind.as_str()) {
            ("c2s", "http") => {
                self.conns.entry(number).or_default();
                self.offer(number, line.text());
            }
            ("s2c", "http") => match line.status() {
                Some(101) => {
                    self.want(number, Said::Admitted);
                    self.peer(PeerCommand::Admit { peer: peer(number) });
                }
                Some(status) => {
                    self.want(number, Said::Refused(status, String::from("Unauthorized")));
                    self.peer(PeerCommand::Refuse { peer: peer(number) });
                }
                None => panic!("{line:?}"),
            },
            ("c2s", "ws") => self.heard(number, line),
            ("s2c", "ws") => self.says(number, line),
            ("c2s", "tcp") if line.text() == "fin" => self.gone(number),
            ("provider", "event") => self.event(line),
            _ => {}
        }
    }

    fn latest(&self) -> u64 {
        self.conns.keys().next_back().copied().unwrap_or_default()
    }

    fn want(&mut self, number: u64, said: Said) {
        let now = self.now;
        self.conns.entry(number).or_default().wanted.push((now, said));
    }

    pub(crate) fn offer(&mut self, number: u64, head: &str) {
        let mut lines = head.split("\r\n");
        let url = lines.next().and_then(|line| line.split(' ').nth(1)).expect("a request line");
        let mut headers = Headers::new();
        for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
            headers.push(name, value);
        }
        let request =
            HttpRequest { method: Method::Get, url: url.into(), headers, body: Bytes::new() };
        let (conn, remote) = (conn(number), String::from("127.0.0.1:49152"));
        self.input(Input::Server(ServerInput::Offered { conn, request, remote }));
    }

    fn heard(&mut self, number: u64, line: &Line) {
        let payload = line.payload();
        let state = self.conns.entry(number).or_default();
        if line.op == "close" {
            let is_ours = std::mem::replace(&mut state.is_left, true) || state.end.is_some();
            let reason = line.text().to_owned();
            let cause = CloseCause::Remote { code: line.code.unwrap_or(1_005), reason };
            if !is_ours {
                self.closed(number, cause);
            }
            return;
        }
        state.fragments += line.len;
        if line.fin == Some(false) {
            return;
        }
        let length = std::mem::take(&mut state.fragments);
        if length > self.max_payload {
            let error = Error::from(ErrorCode::TooLarge);
            return self.closed(number, CloseCause::Exceeded { error, beginning: Bytes::new() });
        }
        if line.op == "text" && line.text().contains('\u{fffd}') {
            // The reason is the original's; the driver's says the same in other words.
            let error = Error::new(ErrorCode::PeerProtocol, "Received invalid UTF-8");
            return self.closed(number, CloseCause::Failed(error));
        }
        let frame = match line.op.as_str() {
            "text" => Frame::Text(String::from_utf8(payload).expect("UTF-8").into()),
            "cont" => Frame::Text("a".repeat(length).into()),
            "binary" => Frame::Binary(payload.into()),
            "ping" => Frame::Ping(payload.into()),
            "pong" => return,
            _ => panic!("{line:?}"),
        };
        self.input(Input::Conn(ConnInput::Received { conn: conn(number), frame }));
    }

    /// The provider said it: its application, unless the protocol did.
    fn says(&mut self, number: u64, line: &Line) {
        let is_text = line.op == "text" && line.enc.is_empty();
        match line.op.as_str() {
            // The driver answers.
            "pong" => {}
            "ping" => {
                let now = self.now;
                self.conns.entry(number).or_default().wanted_pings.push(now);
            }
            "close" if self.conns[&number].is_left => {}
            "close" => {
                let reason: String = line.text().chars().take(123).collect();
                self.want(number, Said::Closed(line.code, reason));
            }
            _ if is_text && line.text().starts_with("PROVIDER_HEARTBEAT|") => {
                self.want(number, Said::Text(line.text().to_owned()));
                self.peer(PeerCommand::Greet { peer: peer(number) });
            }
            _ if is_text && line.text() == "PING" => {
                self.want(number, Said::Text(String::from("PING")));
            }
            _ => {
                let content = if line.op == "text" {
                    Content::Text(String::from_utf8(line.payload()).expect("UTF-8").into())
                } else {
                    Content::Bytes(line.payload().into())
                };
                self.want(number, said(content.clone()));
                let to = Recipients::Peer(peer(number));
                self.peer(PeerCommand::Send { call: None, to, content, compress: false });
            }
        }
    }

    fn gone(&mut self, number: u64) {
        let Some(state) = self.conns.get_mut(&number) else { return };
        if !std::mem::replace(&mut state.is_left, true) && state.end.is_none() {
            self.closed(number, CloseCause::Failed(ErrorCode::ConnectionLost.into()));
        }
    }

    fn closed(&mut self, number: u64, cause: CloseCause) {
        self.conns.entry(number).or_default().is_left = true;
        self.input(Input::Conn(ConnInput::Closed { conn: conn(number), cause }));
    }

    fn event(&mut self, line: &Line) {
        let (name, rest) = line.event();
        let number = self.latest();
        match name {
            "open" => self.wanted.push(json!(["open", rest[0]["ip"], rest[0]["parameters"]])),
            "message" if rest[0].is_object() => {
                self.wanted.push(json!(["bytes", rest[0]["arraybuffer_hex"]]));
            }
            "message" => self.wanted.push(json!(["message", rest[0]])),
            "message length" => self.wanted.push(json!(["length", rest[0]])),
            "handler called" => {
                self.wanted.push(json!(["asked", rest[0]["url"], rest[0]["parameters"]]));
            }
            "close" => {
                self.wanted.push(json!(["close", rest[0], rest[1]]));
                let code = rest[0].as_u64().unwrap_or_default();
                let reason = rest[1].as_str().unwrap_or_default();
                let is_open = self.conns.get(&number).is_some_and(|it| !it.is_left);
                if reason.contains("inactivity") {
                    // The provider's doing: it comes when ours has waited as long.
                    self.conns.entry(number).or_default().is_left = true;
                    return;
                }
                // The application's doing, if nobody else did it.
                if is_open && self.conns[&number].end.is_none() {
                    let peer = peer(number);
                    if code == 1_006 && reason.is_empty() {
                        self.want(number, Said::Cut);
                        self.peer(PeerCommand::Close { peer });
                    } else if code >= 1_000 && code != 1_006 {
                        let (code, reason) = (u16::try_from(code).ok(), reason.to_owned());
                        self.peer(PeerCommand::End { peer, code, reason });
                    }
                }
            }
            "destroy()" => {
                self.command(Command::Stop { drain_ms: 0 });
                // The next one begins anew, on the same port.
                self.machine = open(&self.options);
                self.start();
            }
            _ => {}
        }
    }

    fn peer(&mut self, command: PeerCommand) {
        self.command(Command::Peer(command));
    }

    fn command(&mut self, command: Command) {
        self.machine.handle_command(command, clock(self.now)).expect("a command");
        self.drain();
    }

    fn input(&mut self, input: Input) {
        self.machine.handle_input(input, clock(self.now));
        self.drain();
    }

    fn advance(&mut self, to: u64) {
        while let Some(due) = self.machine.poll_timeout().filter(|due| due.at.as_millis() <= to) {
            self.now = due.at.as_millis();
            self.machine.handle_timeout(clock(self.now));
            self.drain();
            for conn in std::mem::take(&mut self.pongs) {
                self.input(Input::Conn(ConnInput::Received {
                    conn,
                    frame: Frame::Pong(Bytes::new()),
                }));
            }
        }
        self.now = self.now.max(to);
    }

    fn drain(&mut self) {
        while let Some(output) = self.machine.poll_output() {
            let now = self.now;
            match output {
                Output::Admit { conn, .. } => self.say(conn, Said::Admitted),
                Output::Refuse { conn, response } => {
                    let HttpBody::Full(body) = response.body else { panic!("a streamed answer") };
                    let body = String::from_utf8(body.to_vec()).expect("UTF-8");
                    self.say(conn, Said::Refused(response.status, body));
                }
                Output::Send { conn, frame: Frame::Ping(_) } => {
                    self.conns.entry(number(conn)).or_default().pings.push(now);
                    self.pongs.extend(self.answers_pings.then_some(conn));
                }
                Output::Send { conn, frame: Frame::Text(text) } => {
                    self.say(conn, Said::Text(text.to_string()));
                }
                Output::Send { conn, frame: Frame::Binary(bytes) } => {
                    self.say(conn, Said::Binary(bytes.to_vec()));
                }
                Output::Close { conn, code, reason } => {
                    let reason = reason.chars().take(123).collect();
                    let code = Some(code).filter(|code| *code != 1_005);
                    let cut = code == Some(1_006);
                    self.say(conn, if cut { Said::Cut } else { Said::Closed(code, reason) });
                }
                Output::Event(event) => self.tell(event),
                _ => {}
            }
        }
    }

    fn say(&mut self, conn: ConnId, said: Said) {
        let now = self.now;
        let state = self.conns.entry(number(conn)).or_default();
        if matches!(said, Said::Closed(..) | Said::Cut) {
            state.end = Some(now);
        }
        state.said.push((now, said));
    }

    fn tell(&mut self, event: Event) {
        let Event::Peer(event) = event else { return };
        let told = match event {
            PeerEvent::Joined { meta, .. } => {
                let meta: Value = meta.read().expect("an object");
                json!(["open", meta["ip"], object(&meta["parameters"])])
            }
            PeerEvent::AdmissionAsked { request, .. } => {
                let request: Value = request.read().expect("an object");
                json!(["asked", request["url"], object(&request["parameters"])])
            }
            PeerEvent::Received { content: Content::Text(text), .. } => {
                json!(["message", text.to_string()])
            }
            PeerEvent::Received { content: Content::Bytes(bytes), .. } => {
                let digits: Vec<_> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
                json!(["bytes", digits.concat()])
            }
            PeerEvent::Closed { peer, code, reason } => {
                let state = peer.and_then(|peer| self.conns.get_mut(&number(ConnId(peer.0))));
                if let Some(state) = state {
                    state.end.get_or_insert(self.now);
                }
                json!(["close", code, reason])
            }
            _ => return,
        };
        self.told.push(told);
    }

    fn check(&self, name: &str) {
        for (number, conn) in &self.conns {
            let named = |list: &[(u64, Said)]| -> Vec<Said> {
                list.iter().map(|(_, said)| said.clone()).collect()
            };
            let mut wanted = conn.wanted.clone();
            // Who is cut off hears nothing.
            let is_cut = matches!(conn.said.last(), Some((_, Said::Cut)));
            if is_cut && !matches!(wanted.last(), Some((_, Said::Cut))) {
                wanted.push((conn.end.unwrap_or_default(), Said::Cut));
            }
            assert_eq!(named(&conn.said), named(&wanted), "{name}, connection {number}");
            for ((said, what), (wanted, _)) in conn.said.iter().zip(&wanted) {
                let late = said.abs_diff(*wanted);
                assert!(late <= TOLERANCE, "{name}, connection {number}: {what:?} by {late} ms");
            }
            let end = conn.end.unwrap_or(u64::MAX);
            for ping in &conn.wanted_pings {
                let is_there = conn.pings.iter().any(|it| it.abs_diff(*ping) <= ROUND);
                assert!(is_there || end - ping <= ROUND, "{name}, connection {number}: {ping}");
            }
            assert!(conn.pings.len() <= conn.wanted_pings.len(), "{name}, connection {number}");
        }
        let told: Vec<Value> = self.told.iter().zip(&self.wanted).map(same_form).collect();
        assert_eq!(told, self.wanted, "{name}");
        assert_eq!(self.told.len(), self.wanted.len(), "{name}: {:?}", self.told);
    }
}

/// Tells the length of a message where the recorder did.
fn same_form((told, wanted): (&Value, &Value)) -> Value {
    if wanted[0] == "length" && told[0] == "message" {
        return json!(["length", told[1].as_str().unwrap_or_default().len()]);
    }
    told.clone()
}

fn said(content: Content) -> Said {
    match content {
        Content::Text(text) => Said::Text(text.to_string()),
        Content::Bytes(bytes) => Said::Binary(bytes.to_vec()),
    }
}

/// Makes an object of names and values; one that stands there twice has a list.
fn object(pairs: &Value) -> Value {
    let mut object = Map::new();
    for pair in pairs.as_array().expect("a list") {
        let name = pair["name"].as_str().expect("a name").to_owned();
        object.insert(name, pair["value"].clone());
    }
    Value::Object(object)
}

fn conn(number: u64) -> ConnId {
    ConnId(number * 2 + 1)
}

fn number(conn: ConnId) -> u64 {
    conn.0 / 2
}

fn peer(number: u64) -> PeerId {
    PeerId(conn(number).0)
}

pub(crate) fn clock(now: u64) -> Now {
    Now::new(now, 1_795_000_000_000 + now)
}
