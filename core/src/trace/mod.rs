//! The flight recorder: what a machine was told and what it said, as JSON lines that can be replayed.
//!
//! ```text
//! {"trace":1,"dialect":"beacon","role":"worker","host":"h","seed":"…","options":{…}}
//! {"at":[5,1795246617005],"command":["start",0,null]}
//! {"out":{"kind":"dial",…}}
//! {"at":[9,1795246617009],"in":{"kind":"opened","conn":2}}
//! {"at":[30009,1795246647009],"timeout":true}
//! ```
//!
//! Secrets are numbered as they appear and written as `[redacted 0]`, `[redacted 1]` and so on: the
//! recording shows which are equal, and nothing else. A replay makes its lines in the same way, so that
//! a machine that behaves the same says the same, byte for byte.

mod record;
mod redact;

use serde::Deserialize;

use crate::api::command::{Command, parse_batch};
use crate::api::metrics::MetricsPage;
use crate::base::entropy::Seed;
use crate::base::error::{self, Error};
use crate::base::json::object::Object;
use crate::base::time::{Deadline, Now};
use crate::machine::{Endpoint, Input, Machine, Output};
use crate::open::{Opened, open};
use crate::trace::redact::Redactor;

/// How a machine was opened: the first line of a recording.
#[derive(Clone, Debug)]
pub struct Header<'a> {
    /// The dialect.
    pub dialect: &'a str,
    /// The role.
    pub role: &'a str,
    /// The options as JSON text, secrets and all; they are redacted before they are written.
    pub options: &'a str,
    /// The operating system's host name.
    pub host: &'a str,
    /// The seed.
    pub seed: Seed,
}

/// Takes the recorder's lines, each with its line feed.
pub type Sink = Box<dyn FnMut(&str) + Send>;

/// A machine that is recorded. It behaves as the machine inside.
pub struct Recorder {
    inner: Box<dyn Endpoint + Send>,
    redactor: Redactor,
    sink: Sink,
}

impl Recorder {
    /// Wraps a machine that was just opened and writes the header.
    #[must_use]
    pub fn new(inner: Box<dyn Endpoint + Send>, header: &Header<'_>, sink: Sink) -> Self {
        let role = crate::open::find(header.dialect, header.role);
        let redactor = Redactor::hiding(role.is_some_and(|role| role.hides_queries));
        Self::with(redactor, inner, header, sink)
    }

    /// Wraps a machine as [`new`](Self::new) does and writes secrets as they are: for scripts of tests,
    /// whose secrets are none.
    #[must_use]
    pub fn revealing(inner: Box<dyn Endpoint + Send>, header: &Header<'_>, sink: Sink) -> Self {
        Self::with(Redactor::revealing(), inner, header, sink)
    }

    fn with(
        redactor: Redactor,
        inner: Box<dyn Endpoint + Send>,
        header: &Header<'_>,
        sink: Sink,
    ) -> Self {
        let mut recorder = Self { inner, redactor, sink };
        let role = crate::open::find(header.dialect, header.role);
        let names = role.map_or_else(Vec::new, |row| redact::secret_names(&(row.fields)()));
        let options = recorder.redactor.fields(header.options, &names);
        let first = Object::new()
            .number("trace", 1)
            .text("dialect", header.dialect)
            .text("role", header.role)
            .text("host", header.host)
            .text("seed", &hex::encode(header.seed))
            .text("options", &options);
        recorder.write(&first.end());
        recorder
    }

    fn write(&mut self, line: &str) {
        (self.sink)(&format!("{line}\n"));
    }

    fn stamped(&mut self, now: Now, what: &str, body: &str) {
        let line =
            format!("{{\"at\":[{},{}],\"{what}\":{body}}}", now.mono.as_millis(), now.unix.0);
        self.write(&line);
    }
}

impl Machine for Recorder {
    fn handle_input(&mut self, input: Input, now: Now) {
        let body = record::input(&input, &mut self.redactor);
        self.stamped(now, "in", &body);
        self.inner.handle_input(input, now);
    }

    fn handle_timeout(&mut self, now: Now) {
        self.stamped(now, "timeout", "true");
        self.inner.handle_timeout(now);
    }

    fn poll_output(&mut self) -> Option<Output> {
        let output = self.inner.poll_output()?;
        let line = output_line(&output, &mut self.redactor);
        self.write(&line);
        Some(output)
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        self.inner.poll_timeout()
    }
}

impl Endpoint for Recorder {
    fn handle_command(&mut self, command: Command, now: Now) -> Result<(), Error> {
        let body = record::command(&command, &mut self.redactor);
        self.stamped(now, "command", &body);
        self.inner.handle_command(command, now)
    }

    fn snapshot(&self, now: Now) -> String {
        self.inner.snapshot(now)
    }

    fn why_not_ready(&self) -> Option<&'static str> {
        self.inner.why_not_ready()
    }

    fn measure(&mut self, page: &mut MetricsPage, now: Now) {
        self.inner.measure(page, now);
    }
}

/// Writes an output as a line of a recording, secrets as they are.
#[must_use]
pub fn write_output(output: &Output) -> String {
    output_line(output, &mut Redactor::revealing())
}

/// How a machine was opened, read from the first line of a recording.
#[derive(Clone, Debug, Deserialize)]
pub struct Opening {
    /// The dialect.
    pub dialect: String,
    /// The role.
    pub role: String,
    /// The options as JSON text.
    pub options: String,
    /// The operating system's host name.
    pub host: String,
    /// The seed.
    #[serde(with = "hex::serde")]
    pub seed: Seed,
}

/// Reads the first line of a recording.
///
/// # Errors
/// `ARGUMENT_INVALID` for any other text.
pub fn read_opening(line: &str) -> Result<Opening, Error> {
    #[derive(Deserialize)]
    struct FirstLine {
        #[serde(rename = "trace")]
        _version: u32,
        #[serde(flatten)]
        opening: Opening,
    }
    let line: FirstLine = serde_json::from_str(line).map_err(|e| invalid(1, e))?;
    Ok(line.opening)
}

/// What a line of a recording tells a machine.
#[derive(Clone, Debug)]
pub enum Told {
    /// An input of its driver.
    Input(Input),
    /// A command of its application.
    Command(Command),
    /// A deadline has passed.
    Timeout,
}

/// Reads a line that tells a machine something, and when.
///
/// # Errors
/// `ARGUMENT_INVALID` for any other text.
pub fn read_told(line: &str) -> Result<(Now, Told), Error> {
    told(line).map_err(|problem| error::invalid(format!("not a line of a recording: {problem}")))
}

/// Returns the outputs of a recording, line by line.
pub fn outputs(recording: &str) -> impl Iterator<Item = &str> {
    recording.lines().filter(|line| line.starts_with(OUT))
}

/// Opens a fresh machine as the recording says, tells it all that was told, and returns the lines of
/// its outputs. They equal [`outputs`] of the recording as long as the machine behaves the same.
///
/// # Errors
/// `ARGUMENT_INVALID` naming the line that is not of a recording; the errors of
/// [`open`](crate::open()).
pub fn replay(recording: &str) -> Result<Vec<String>, Error> {
    let mut lines = recording.lines();
    let first = read_opening(lines.next().unwrap_or_default())?;
    let Opened { endpoint: mut machine, .. } =
        open(&first.dialect, &first.role, &first.options, &first.host, first.seed)?;
    let role = crate::open::find(&first.dialect, &first.role);
    let mut redactor = Redactor::hiding(role.is_some_and(|role| role.hides_queries));
    redactor.meet(&first.options);
    let mut said = Vec::new();
    for (index, line) in lines.enumerate() {
        if line.starts_with(OUT) {
            continue;
        }
        // What the machine had said in secret comes back to it as it was said.
        let line = redactor.restore(line);
        redactor.meet(&line);
        let (now, what) = told(&line).map_err(|problem| invalid(index + 2, problem))?;
        match what {
            Told::Input(input) => machine.handle_input(input, now),
            Told::Command(command) => {
                // Misuse was misuse then, too; its report is the driver's.
                let _ = machine.handle_command(command, now);
            }
            Told::Timeout => machine.handle_timeout(now),
        }
        while let Some(output) = machine.poll_output() {
            said.push(output_line(&output, &mut redactor));
        }
    }
    Ok(said)
}

const OUT: &str = "{\"out\":";

fn output_line(output: &Output, redactor: &mut Redactor) -> String {
    format!("{OUT}{}}}", record::output(output, redactor))
}

fn told(line: &str) -> Result<(Now, Told), String> {
    let line: Line<'_> = serde_json::from_str(line).map_err(|e| e.to_string())?;
    let what = if let Some(input) = line.input {
        Told::Input(record::read_input(input)?)
    } else if let Some(command) = line.command {
        let batch = parse_batch(&format!("[{}]", command.get())).map_err(|e| e.to_string())?;
        Told::Command(batch.into_iter().next().ok_or("there is no command")?)
    } else if line.timeout {
        Told::Timeout
    } else {
        return Err("it tells nothing".into());
    };
    Ok((Now::new(line.at.0, line.at.1), what))
}

#[derive(Deserialize)]
struct Line<'a> {
    at: (u64, u64),
    #[serde(rename = "in", borrow)]
    input: Option<&'a serde_json::value::RawValue>,
    #[serde(borrow)]
    command: Option<&'a serde_json::value::RawValue>,
    #[serde(default)]
    timeout: bool,
}

fn invalid(line: usize, problem: impl std::fmt::Display) -> Error {
    error::invalid(format!("line {line} of the recording: {problem}"))
}

#[cfg(test)]
mod tests {
    use crate::api::event::SessionEvent;
    use crate::machine::{ConnInput, HttpInput, ServerInput};
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::api::event::Event;
    use crate::base::ids::{HttpId, ListenId};
    use crate::base::store::{StoreReply, StoreRequest};
    use crate::dialect::beacon::bench::Bench;
    use crate::net::{Headers, HttpRequest, HttpResponse, Method};

    #[test]
    fn a_worker_is_replayed_byte_for_byte_without_its_secrets() {
        let (mut bench, recording) = recorded(
            "worker",
            r#"{"name":"w","password":"hunter2","join_secret":"open sesame","heartbeat_interval_ms":1000}"#,
        );
        bench.handle("Echo/Say");
        bench.command(Command::Start).unwrap();
        let (http, _) = bench.asked();
        let mut response = HttpResponse::json(200, r#"{"LoggedIn":true,"SessionID":"c00kie"}"#);
        response.headers.push("set-cookie", "SessionID=c00kie; Path=/; HttpOnly");
        bench.input(Input::Http(HttpInput::Replied { http, result: Ok(response) }));
        let conn = bench.dialed();
        bench.input(Input::Conn(ConnInput::Opened { conn }));
        bench.say(conn, r#"{"EventType":"BeaconRegistered","BeaconID":"bcn-1"}"#);
        bench.rest();
        bench.push(conn, "wi-1", 1);
        let (work, _) = bench.work();
        bench.done(work, r#"{"z":1.0,"a":"é\"\n"}"#);
        bench.pass(2_000);
        bench.cut(conn);
        bench.pass(60_000);

        let recording = recording.lock().unwrap().clone();
        for secret in ["hunter2", "open sesame", "c00kie"] {
            assert!(!recording.contains(secret), "{secret} shows");
        }
        let wanted: Vec<_> = outputs(&recording).collect();
        assert!(wanted.len() > 10);
        assert_eq!(replay(&recording).unwrap(), wanted);
    }

    #[test]
    fn a_hub_is_replayed_with_the_sessions_that_it_gave_out() {
        let (mut bench, recording) = recorded(
            "hub",
            r#"{"listen":"127.0.0.1:0","access":"secured","join_secret":"j","users":[{"name":"ada","password":"pw-ada"}]}"#,
        );
        bench.command(Command::Start).unwrap();
        while let Some(output) = bench.next() {
            if let Output::Store {
                store,
                request: StoreRequest::Load { .. } | StoreRequest::Find { .. },
            } = output
            {
                let reply = StoreReply::Loaded(Vec::new());
                bench.input(Input::Stored { store, result: Ok(reply) });
            } else if let Output::Listen { listen, .. } = output {
                listening(&mut bench, listen);
            }
        }
        let login = r#"{"UserName":"ada","Password":"pw-ada"}"#;
        let cookie = ask(&mut bench, 1, Method::Post, "/1.0/Authenticate", login, None);
        let session = cookie.split(';').next().unwrap().to_owned();
        assert!(session.starts_with("SessionID="), "{session}");
        ask(&mut bench, 3, Method::Get, "/Beacon", "", Some(&session));
        bench.rest();

        let recording = recording.lock().unwrap().clone();
        assert!(!recording.contains("pw-ada"));
        assert!(!recording.contains(session.trim_start_matches("SessionID=")));
        let wanted: Vec<_> = outputs(&recording).collect();
        assert_eq!(replay(&recording).unwrap(), wanted);
        assert!(wanted.iter().any(|line| line.contains(r#""http":3,"status":200"#)), "{wanted:#?}");
    }

    #[test]
    fn what_is_no_recording_is_refused_by_line() {
        assert!(replay("").is_err());
        let first = r#"{"trace":1,"dialect":"beacon","role":"worker","host":"h","seed":"00","options":"{}"}"#;
        assert!(replay(first).is_err());
        let first = first.replace("\"00\"", &format!("\"{}\"", "00".repeat(32)));
        assert_eq!(replay(&first).unwrap(), Vec::<String>::new());
        let error = replay(&format!("{first}\nnonsense")).unwrap_err();
        assert!(error.message().contains("line 2"), "{error}");
    }

    #[test]
    fn a_script_tells_another_machine_the_same_with_its_secrets() {
        let options = r#"{"name":"w","password":"hunter2"}"#;
        let opened = open("beacon", "worker", options, "host-a", [7; 32]).unwrap();
        let header =
            Header { dialect: "beacon", role: "worker", options, host: "host-a", seed: [7; 32] };
        let recording = Arc::new(Mutex::new(String::new()));
        let lines = Arc::clone(&recording);
        let sink = Box::new(move |line: &str| lines.lock().unwrap().push_str(line));
        let mut recorder = Recorder::revealing(opened.endpoint, &header, sink);
        recorder.handle_command(Command::Start, Now::new(5, 6)).unwrap();
        while recorder.poll_output().is_some() {}
        recorder.handle_timeout(Now::new(60_000, 60_001));
        while recorder.poll_output().is_some() {}

        let recording = recording.lock().unwrap().clone();
        assert!(recording.contains("hunter2"));
        let mut script = recording.lines().filter(|line| !line.starts_with(OUT));
        let Opening { dialect, role, options, host, seed } =
            read_opening(script.next().unwrap()).unwrap();
        let mut again = open(&dialect, &role, &options, &host, seed).unwrap().endpoint;
        let mut said = Vec::new();
        for line in script {
            match read_told(line).unwrap() {
                (now, Told::Input(input)) => again.handle_input(input, now),
                (now, Told::Command(command)) => again.handle_command(command, now).unwrap(),
                (now, Told::Timeout) => again.handle_timeout(now),
            }
            while let Some(output) = again.poll_output() {
                said.push(write_output(&output));
            }
        }
        assert!(said.len() > 1);
        assert_eq!(said, outputs(&recording).collect::<Vec<_>>());
        assert!(read_told(r#"{"at":[1,2]}"#).is_err());
        assert!(read_opening(r#"{"at":[1,2]}"#).is_err());
    }

    fn recorded(role: &str, options: &str) -> (Bench, Arc<Mutex<String>>) {
        let mut bench = Bench::open(role, options);
        let recording = Arc::new(Mutex::new(String::new()));
        let lines = Arc::clone(&recording);
        let header = Header { dialect: "beacon", role, options, host: "host-a", seed: [7; 32] };
        let inner = std::mem::replace(&mut bench.machine, idle());
        let sink = Box::new(move |line: &str| lines.lock().unwrap().push_str(line));
        bench.machine = Box::new(Recorder::new(inner, &header, sink));
        (bench, recording)
    }

    fn idle() -> Box<dyn Endpoint + Send> {
        Bench::open("worker", "{}").machine
    }

    fn listening(bench: &mut Bench, listen: ListenId) {
        let address = String::from("127.0.0.1:1");
        bench.input(Input::Server(ServerInput::Listening { listen, address }));
    }

    /// Asks the hub and returns the cookie of its answer.
    fn ask(
        bench: &mut Bench,
        http: u64,
        method: Method,
        url: &str,
        body: &str,
        cookie: Option<&str>,
    ) -> String {
        let mut headers = Headers::new().with("content-type", "application/json");
        if let Some(cookie) = cookie {
            headers.push("cookie", cookie);
        }
        let body = bytes::Bytes::from(body.to_owned());
        let request = HttpRequest { method, url: url.into(), headers, body };
        let remote = String::from("127.0.0.1:9");
        bench.input(Input::Server(ServerInput::Asked { http: HttpId(http), request, remote }));
        bench.pass(1_000);
        for output in bench.rest() {
            if let Output::HttpReply { response, .. } = output {
                return response.headers.first("set-cookie").unwrap_or_default().to_owned();
            }
            assert!(!matches!(output, Output::Event(Event::Session(SessionEvent::Ended { .. }))));
        }
        panic!("no answer to {url}")
    }
}
