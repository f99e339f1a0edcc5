//! One daemon of ours, told what a recorded one was told.

use std::collections::{BTreeMap, VecDeque};

use moorline_core::{
    CloseCause, Command, ConnId, ConnInput, Endpoint, Event, Frame, Headers, HttpRequest, Input,
    ListenId, Method, Now, Outcome, Output, Raw, ServerInput, WorkCommand, WorkEvent, WorkId,
};
use moorline_tests::scripts;
use serde_json::Value;

const SCRIPTS: [&str; 8] = ["ok", "fail3", "sig", "noshebang", "sub/inner", "env", "slow", "bg"];

/// Messages that a server with three clients had forwarded before the recording began.
const TURNS_BEFORE: [(&str, usize); 2] =
    [("16-round-robin-3-clients", 0), ("18-round-robin-after-loss", 7)];

pub(crate) fn read(name: &str) -> Vec<Value> {
    let path = moorline_tests::transcript::vectors().join(format!("wsdaemon/{name}.jsonl"));
    let text = std::fs::read_to_string(&path).expect("a vector is part of the source");
    text.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect()
}

/// What our daemon said and the recording has not matched yet.
#[derive(Debug, PartialEq)]
enum Said {
    /// To a program or daemon, by its name in the recording.
    Text(String, String),
    Close(u16),
}

pub(crate) struct Daemon<'a> {
    name: &'a str,
    who: &'a str,
    different: &'a [&'a str],
    machine: Box<dyn Endpoint>,
    at: u64,
    /// Connections by their names in the recording.
    conns: BTreeMap<String, ConnId>,
    dialed: Option<ConnId>,
    next: u64,
    said: VecDeque<Said>,
    running: Vec<(WorkId, Value)>,
}

impl<'a> Daemon<'a> {
    /// Starts a daemon as the recorded one stood when the recording began.
    pub(crate) fn new(name: &'a str, who: &'a str, different: &'a [&'a str]) -> Self {
        let mode = if who == "server" { "server" } else { "client" };
        let options = format!(
            r#"{{"mode":"{mode}","handlers":{{"answer_unknown":false}},"local":{{"socket_path":"/p/x.sock"}}}}"#
        );
        let opened = scripts::open("wsdaemon", "wsdaemon", "daemon", &options, "host", [7; 32]);
        let mut daemon = Self {
            name,
            who,
            different,
            machine: opened.expect("a role").endpoint,
            at: 0,
            conns: BTreeMap::new(),
            dialed: None,
            next: 1,
            said: VecDeque::new(),
            running: Vec::new(),
        };
        for key in SCRIPTS {
            let (key, meta) = (key.to_owned(), Raw::empty_object());
            daemon.command(Command::Work(WorkCommand::Handle { key, meta }));
        }
        daemon.command(Command::Start);
        daemon
    }

    /// Tells it each line that it was told, and compares each that it said; returns how many those were.
    pub(crate) fn replay(mut self, rows: &[Value]) -> usize {
        self.connect_all(rows);
        let mut said = 0;
        for row in rows {
            if let Some(t) = row["t"].as_f64() {
                self.pass_to(t as u64 + 1_000);
            }
            said += usize::from(self.step(row));
        }
        assert!(self.said.is_empty(), "{}, {}: also said {:?}", self.name, self.who, self.said);
        said
    }

    /// What stood when the recording began: every connection that it does not open itself.
    fn connect_all(&mut self, rows: &[Value]) {
        self.pass_to(500);
        let turns = TURNS_BEFORE.iter().find(|(name, _)| *name == self.name);
        if let Some((_, turns)) = turns.filter(|_| self.who == "server") {
            // In the order in which they came, which the recording does not show.
            for name in ["client0", "client1", "client2", "server"] {
                self.connect(name);
            }
            for _ in 0..*turns {
                self.hear("server", r#"{"name":"&cmd"}"#);
            }
            self.said.clear();
            return;
        }
        let mut names: Vec<String> = Vec::new();
        for row in rows {
            let name = self.conn_name(row);
            let opens =
                row["kind"] == "http" || row["data"] == "<connect>" || row["data"] == "connect";
            if let Some(name) = name.filter(|name| !names.contains(name)) {
                if !opens {
                    self.connect(&name);
                }
                names.push(name);
            }
        }
    }

    /// Returns the name of the connection that a line is about, if it is one of this daemon.
    fn conn_name(&self, row: &Value) -> Option<String> {
        let who = row["who"].as_str().unwrap_or_default();
        if row["kind"] == "unix" {
            let owner = who.split('-').next().unwrap_or_default();
            return (owner == self.who).then(|| who.to_owned());
        }
        let conn = row["conn"].as_u64()?;
        match row["peer"].as_str() {
            Some(peer) if self.who == "server" => Some(peer.to_owned()),
            Some(peer) => (peer == self.who).then(|| format!("conn{conn}")),
            None => Some(format!("conn{conn}")),
        }
    }

    fn step(&mut self, row: &Value) -> bool {
        let Some(name) = self.conn_name(row) else { return false };
        let data = row["data"].as_str().unwrap_or_default();
        let is_up = row["dir"] == "c2s";
        match row["kind"].as_str() {
            Some("unix") if is_up => match data {
                "<connect>" => self.connect(&name),
                "<end>" => self.disconnect(&name, CloseCause::Local),
                text => self.hear(&name, text.trim_end()),
            },
            Some("unix") => {
                if data.starts_with('<') || self.different.contains(&data.trim_end()) {
                    return false;
                }
                return self.expect(Said::Text(name, data.trim_end().to_owned()));
            }
            Some("ws") => {
                let is_ours = is_up == (self.who != "server");
                match (row["op"].as_str(), is_ours) {
                    (Some("text"), false) => self.hear(&name, data),
                    (Some("text"), true) => {
                        self.finish(data);
                        return self.expect(Said::Text(name, data.to_owned()));
                    }
                    (Some("close"), false) if self.conns.contains_key(&name) => {
                        let code = row["code"].as_u64().unwrap_or(1005) as u16;
                        let reason = String::new();
                        self.disconnect(&name, CloseCause::Remote { code, reason });
                    }
                    (Some("close"), true) if self.who != "server" => {
                        return self.expect(Said::Close(row["code"].as_u64().unwrap_or(0) as u16));
                    }
                    _ => {}
                }
            }
            Some("http") if data.starts_with("GET") && self.who == "server" => self.connect(&name),
            Some("http") if data.starts_with("HTTP/1.1 101") && self.who != "server" => {
                self.connect(&name);
            }
            Some("tcp") if data == "fin" && is_up == (self.who == "server") => {
                let lost = CloseCause::Remote { code: 1006, reason: String::new() };
                self.disconnect(&name, lost);
            }
            _ => {}
        }
        false
    }

    fn expect(&mut self, wanted: Said) -> bool {
        let said = self.said.pop_front();
        assert_eq!(said.as_ref(), Some(&wanted), "{}, {} at {} ms", self.name, self.who, self.at);
        true
    }

    /// Ends the script whose status the recording shows now.
    fn finish(&mut self, data: &str) {
        let status: Value = serde_json::from_str(data).unwrap_or_default();
        let status = &status["params"]["data"];
        let found = self.running.iter().position(|(_, id)| *id == status["id"]);
        if let Some(at) = found {
            let (work, _) = self.running.remove(at);
            let value = Raw::from_value(&serde_json::json!({"status": status["status"]}));
            let outcome = Outcome::Done { value: value.expect("a status"), log: Raw::empty_list() };
            self.command(Command::Work(WorkCommand::Complete { work, outcome }));
        }
    }

    fn connect(&mut self, name: &str) {
        let is_program = name.split('-').next() == Some(self.who);
        let conn = match self.dialed.filter(|_| !is_program && self.who != "server") {
            Some(conn) => conn,
            None => {
                self.next += 2;
                ConnId(self.next)
            }
        };
        self.conns.insert(name.to_owned(), conn);
        let remote = String::from("127.0.0.1:9");
        if is_program {
            let (listen, credentials) = (ListenId(1), None);
            let accepted = ServerInput::Accepted { conn, listen, remote, credentials };
            self.input(Input::Server(accepted));
        } else if self.who == "server" {
            let headers = Headers::new().with("host", "127.0.0.1:3006");
            let (method, url) = (Method::Get, String::from("/"));
            let request = HttpRequest { method, url, headers, body: bytes::Bytes::new() };
            self.input(Input::Server(ServerInput::Offered { conn, request, remote }));
        } else {
            assert_eq!(self.dialed.take(), Some(conn), "{} has not dialed", self.who);
            self.input(Input::Conn(ConnInput::Opened { conn }));
        }
    }

    fn disconnect(&mut self, name: &str, cause: CloseCause) {
        if let Some(conn) = self.conns.remove(name) {
            self.input(Input::Conn(ConnInput::Closed { conn, cause }));
        }
    }

    fn hear(&mut self, name: &str, text: &str) {
        let conn = self.conns.get(name).copied();
        let conn = conn.unwrap_or_else(|| panic!("{}: no connection {name}", self.name));
        let frame = Frame::Text(text.to_owned().into());
        self.input(Input::Conn(ConnInput::Received { conn, frame }));
    }

    fn now(&self) -> Now {
        Now::new(self.at, 1_795_000_000_000 + self.at)
    }

    fn pass_to(&mut self, at: u64) {
        while let Some(due) = self.machine.poll_timeout().filter(|due| due.at.as_millis() <= at) {
            self.at = self.at.max(due.at.as_millis());
            self.machine.handle_timeout(self.now());
            self.drain();
        }
        self.at = self.at.max(at);
    }

    fn input(&mut self, input: Input) {
        self.machine.handle_input(input, self.now());
        self.drain();
    }

    fn command(&mut self, command: Command) {
        self.machine.handle_command(command, self.now()).expect("a command of the role");
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.machine.poll_output() {
            match output {
                Output::Dial { conn, .. } => self.dialed = Some(conn),
                Output::Send { conn, frame: Frame::Text(text) } => {
                    let found = self.conns.iter().find(|(_, known)| **known == conn);
                    let name = found.map_or_else(String::new, |(name, _)| name.clone());
                    self.said.push_back(Said::Text(name, text.to_string()));
                }
                Output::Close { code, .. } if self.who != "server" => {
                    self.said.push_back(Said::Close(code));
                }
                Output::Event(Event::Work(WorkEvent::Assigned { work, meta, .. })) => {
                    let meta: Value = serde_json::from_str(meta.as_str()).expect("JSON");
                    self.running.push((work, meta["id"].clone()));
                }
                _ => {}
            }
        }
    }
}
