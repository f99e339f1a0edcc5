//! How the attacks are made, and what they are made on.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt, chown, symlink};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use moorline_attack::wire::{self, Said, Socket, frame};
use serde_json::{Value, json};

use crate::pair::{Pair, Program, daemon};
use crate::support::{Folder, Running};

/// What is done, and what it must come to.
pub(crate) enum Attack {
    /// A program asks for this name, written as JSON: nothing of it is offered.
    Name(&'static str),
    /// A program sends this request and is answered so.
    Request(&'static str, &'static str),
    /// A program sends this and is let go without a word.
    Sent(fn() -> Vec<u8>),
    /// A stranger asks the server so, its address given: one of these statuses. 0 is an end without one.
    Asked(fn(&str) -> Vec<u8>, &'static [u16]),
    /// The same at a server that wants a token.
    Guessed(fn(&str) -> Vec<u8>, &'static [u16]),
    /// A client sends this: the connection ends with one of these codes.
    Framed(fn() -> Vec<u8>, &'static [u16]),
    /// A client says this: it is answered so, or not at all, and may go on.
    Said(&'static str, &'static str),
    /// A server sends this to a client of ours, which leaves and comes back.
    Served(fn() -> Vec<u8>),
    /// A server answers the upgrade of a client of ours so; it comes back.
    Answered(&'static str),
    /// A script of this text is asked for and comes to this status.
    Script(&'static str, &'static str),
    /// Something else.
    Done(fn(&Grounds)),
}

/// What is attacked.
pub(crate) struct Grounds {
    pair: Pair,
    /// A server that wants a token, and its address.
    guarded: (Folder, Running, String),
    /// A client of ours that attackers serve.
    served: (Folder, Running, TcpListener),
    /// What the scripts came to, by name.
    statuses: Value,
}

/// The most memory that a daemon may ever have held.
const MEMORY: u64 = 160 << 20;

const LIMITS: [&str; 6] = [
    "--set",
    "limits.max_message_bytes=1048576",
    "--set",
    "limits.max_send_queue_bytes=4194304",
    "--set",
    "asks.max_queued_bytes=4194304",
];

const REQUEST: &str = r#"{"name":"ok","id":"alive"}"#;

fn status(data: &str) -> String {
    format!(r#"{{"name":"&cmd","params":{{"code":"STATUS","data":{data}}}}}"#)
}

impl Grounds {
    pub(crate) fn new<'a>(scripts: impl Iterator<Item = (&'a str, &'a str)>) -> Self {
        let offered: Vec<_> = scripts
            .map(|(what, text)| (format!("attacks/{what}"), format!("#!/bin/sh\n{text}\n")))
            .collect();
        let server_options = [&LIMITS[..], &["--set", "handlers.timeout_ms=5000"]].concat();
        let pair = Pair::with(&server_options, &LIMITS, &offered);
        let outside = pair.folders[0].write("outside", "#!/bin/sh\ntouch ran\n");
        std::fs::set_permissions(outside, PermissionsExt::from_mode(0o755)).unwrap();
        let statuses = run_all(&pair, &offered);
        Self { pair, guarded: guarded(), served: served(), statuses }
    }

    /// The daemons go on: a script is run, for a program and for clients.
    pub(crate) fn check(&self, what: &str) {
        let answer = self.pair.program().ask(&json!({"name": "ok", "id": what}));
        assert_eq!(answer, json!({"status": 0, "id": what}));
    }

    /// Nothing ran that should not have, and nothing grew.
    pub(crate) fn leave(self) {
        let [here, there] = &self.pair.folders;
        none_is_left(here.path("scripts/attacks").to_str().unwrap());
        assert!(!here.path("ran").exists() && !there.path("ran").exists());
        assert!(!Path::new("ran").exists());
        for daemon in [&self.pair.server, &self.pair.client, &self.guarded.1, &self.served.1] {
            let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.id())).unwrap();
            let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
            let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
            assert!(peak * 1_024 < MEMORY, "{peak} KiB");
        }
    }

    fn client(&self) -> Socket {
        Socket::open(&self.pair.address, "/").unwrap()
    }
}

impl Attack {
    pub(crate) fn make(&self, grounds: &Grounds, what: &str) {
        let Grounds { pair, guarded, served, statuses } = grounds;
        match *self {
            Self::Name(name) => {
                let mut program = pair.program();
                program.say(&format!(r#"{{"name":{name},"id":7,"params":"x"}}"#));
                assert_eq!(program.hear(), json!({"status": -1, "id": 7}), "{what}");
            }
            Self::Request(request, answer) => {
                let mut program = pair.program();
                program.say(request);
                assert_eq!(program.line(), format!("{answer}\n"), "{what}");
            }
            Self::Sent(bytes) => {
                let program = pair.program();
                let mut stream = program.0.get_ref();
                // It may have been let go before it had said everything.
                let _ = stream.write_all(&bytes());
                let _ = stream.shutdown(Shutdown::Write);
                assert_eq!(rest(stream), 0, "{what}");
            }
            Self::Asked(bytes, wanted) => asked(&pair.address, bytes, wanted, what),
            Self::Guessed(bytes, wanted) => asked(&guarded.2, bytes, wanted, what),
            Self::Framed(bytes, wanted) => {
                let mut client = grounds.client();
                let _ = client.stream().write_all(&bytes());
                let code = client.end().unwrap();
                assert!(wanted.contains(&code), "{what}: {code}");
            }
            Self::Said(text, answer) => {
                let mut client = grounds.client();
                client.say(text).unwrap();
                if !answer.is_empty() {
                    assert_eq!(client.read(), Ok(Said::Text(status(answer))), "{what}");
                }
                goes_on(&mut client, what);
            }
            Self::Served(bytes) => {
                let mut server = Socket::accept(&served.2).unwrap();
                goes_on(&mut server, what);
                let _ = server.stream().write_all(&bytes());
                server.end().unwrap();
                goes_on(&mut Socket::accept(&served.2).unwrap(), what);
            }
            Self::Answered(answer) => {
                let (mut stream, _) = served.2.accept().unwrap();
                wire::head(&mut stream).unwrap();
                stream.write_all(answer.as_bytes()).unwrap();
                goes_on(&mut Socket::accept(&served.2).unwrap(), what);
            }
            Self::Script(_, wanted) => {
                assert_eq!(statuses[what].to_string(), wanted, "{what}");
            }
            Self::Done(attack) => attack(grounds),
        }
    }
}

/// The other side runs a script for us, and has said nothing before.
fn goes_on(socket: &mut Socket, what: &str) {
    socket.say(REQUEST).unwrap();
    assert_eq!(socket.read(), Ok(Said::Text(status(r#"{"status":0,"id":"alive"}"#))), "{what}");
}

/// Reads to the end and returns how much that was.
fn rest(mut stream: impl std::io::Read) -> usize {
    let mut bytes = Vec::new();
    // Whoever did not read everything may be reset.
    let end = stream.read_to_end(&mut bytes);
    assert!(!end.is_err_and(|e| e.kind() == std::io::ErrorKind::WouldBlock), "no end");
    bytes.len()
}

fn asked(address: &str, bytes: fn(&str) -> Vec<u8>, wanted: &[u16], what: &str) {
    let mut stream = wire::connect(address).unwrap();
    let _ = stream.write_all(&bytes(address));
    let head = wire::head(&mut stream).unwrap_or_default();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    assert!(wanted.contains(&status), "{what}: {head:?}");
}

/// Waits until no process has a command line with that: who did not end when asked is killed 5 s later.
fn none_is_left(part: &str) {
    let deadline = Instant::now() + Duration::from_secs(60);
    let is_left = |process: std::fs::DirEntry| {
        let line = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(part)
    };
    while std::fs::read_dir("/proc").unwrap().flatten().any(is_left) {
        assert!(Instant::now() < deadline, "{part} is left");
        std::thread::yield_now();
    }
}

/// Asks for all scripts at once; what they started ends with them.
fn run_all(pair: &Pair, scripts: &[(String, String)]) -> Value {
    let mut program = pair.program();
    for (name, _) in scripts {
        program.say(&json!({"name": name, "id": name}).to_string());
    }
    let mut statuses = json!({});
    for _ in scripts {
        let answer = program.hear();
        let name = answer["id"].as_str().unwrap().trim_start_matches("attacks/").to_owned();
        statuses[name] = answer["status"].clone();
    }
    none_is_left("sleep\u{0}86397");
    statuses
}

fn guarded() -> (Folder, Running, String) {
    let folder = Folder::new();
    let token = folder.write("token", "s3cret");
    folder.write("config.json", r#"{"mode":"server"}"#);
    let options = ["--set", "listen=127.0.0.1:0", "--token-file", &token];
    let mut daemon = daemon(&folder, &options);
    let address = daemon.line_with("listening on").rsplit(' ').next().unwrap().to_owned();
    (folder, daemon, address)
}

fn served() -> (Folder, Running, TcpListener) {
    let folder = Folder::new();
    crate::pair::write_script(&folder, "ok", "#!/bin/sh\n");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    folder
        .write("config.json", &format!(r#"{{"mode":"client","proxy":"127.0.0.1","port":{port}}}"#));
    // It waits as long as other attacks take.
    let options =
        ["reconnect.base_delay_ms=10", "reconnect.max_delay_ms=50", "connect_timeout_ms=600000"];
    let daemon = daemon(&folder, &options.map(|option| ["--set", option]).concat());
    (folder, daemon, listener)
}

pub(crate) fn long_name(grounds: &Grounds) {
    let answer = grounds.pair.program().ask(&json!({"name": "a".repeat(500_000), "id": 1}));
    assert_eq!(answer, json!({"status": -1, "id": 1}));
}

pub(crate) fn huge_argument(grounds: &Grounds) {
    let answer = grounds.pair.program().ask(&json!({"name": "ok", "params": "x".repeat(140_000)}));
    assert_eq!(answer, json!({"status": -1}));
}

/// More at once than may run and wait: each is answered.
pub(crate) fn flood(grounds: &Grounds) {
    let mut program = grounds.pair.program();
    for id in 0..600 {
        program.say(&json!({"name": "fail3", "id": id}).to_string());
    }
    let mut counts = [0, 0];
    for _ in 0..600 {
        match program.hear()["status"].as_i64() {
            Some(3) => counts[0] += 1,
            Some(-5) => counts[1] += 1,
            other => panic!("{other:?}"),
        }
    }
    assert!(counts[0] >= 272, "16 run, 256 wait: {counts:?}");
}

pub(crate) fn held_open(grounds: &Grounds) {
    let mut program = grounds.pair.program();
    program.say(r#"{"name":"ok","id":"#);
    grounds.check("beside half a request");
    program.say("1}");
    assert_eq!(program.hear(), json!({"status": 0, "id": 1}));
}

pub(crate) fn left_early(grounds: &Grounds) {
    for id in 0..20 {
        grounds.pair.program().say(&json!({"name": "ok", "id": id}).to_string());
    }
}

/// 64 MiB of answers are asked for, and none is read.
pub(crate) fn never_reads(grounds: &Grounds) {
    let program = grounds.pair.program();
    let mut stream = program.0.get_ref();
    let request = json!({"name": "missing", "id": "x".repeat(32 << 10)}).to_string();
    // Sooner or later nobody listens any more, or nobody keeps the answers.
    let sent = (0..2_000).take_while(|_| stream.write_all(request.as_bytes()).is_ok()).count();
    let _ = stream.shutdown(Shutdown::Write);
    assert!(rest(stream) < request.len() * 1_000, "{sent} were taken");
}

pub(crate) fn crowd(grounds: &Grounds) {
    let path = grounds.pair.folders[1].path("ws-daemon.sock");
    let crowd: Vec<_> = (0..200).map(|_| UnixStream::connect(&path).unwrap()).collect();
    let mut outside = grounds.pair.program();
    outside.say(REQUEST);
    drop(crowd);
    assert_eq!(outside.hear(), json!({"status": 0, "id": "alive"}));
}

/// Only where the test may be somebody else; the permissions are looked at everywhere.
pub(crate) fn stranger(grounds: &Grounds) {
    let folder = grounds.pair.folders[1].path("");
    let socket = folder.join("ws-daemon.sock");
    assert_eq!(socket.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    if std::fs::metadata("/proc/self").unwrap().uid() != 0 {
        return;
    }
    // Nothing but the socket's own permissions is in the way.
    std::fs::set_permissions(&folder, PermissionsExt::from_mode(0o755)).unwrap();
    let connect = "import socket, sys\n\
                   try: socket.socket(socket.AF_UNIX).connect(sys.argv[1])\n\
                   except PermissionError: sys.exit(7)";
    let mut python = Command::new("python3");
    let status = python.args(["-c", connect]).arg(socket).uid(65_534).gid(65_534).status().unwrap();
    std::fs::set_permissions(&folder, PermissionsExt::from_mode(0o700)).unwrap();
    assert_eq!(status.code(), Some(7));
}

/// As many half requests as one address may have; who comes then is served when they are gone.
pub(crate) fn half_asked(grounds: &Grounds) {
    let half = |_| {
        let mut stream = wire::connect(&grounds.pair.address).unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nhost:").unwrap();
        stream
    };
    let all: Vec<TcpStream> = (0..100).map(half).collect();
    grounds.check("beside half requests");
    drop(all);
    goes_on(&mut grounds.client(), "behind half requests");
}

pub(crate) fn half_framed(grounds: &Grounds) {
    let mut client = grounds.client();
    let bytes = frame(1, REQUEST.as_bytes(), true);
    let (one, two) = bytes.split_at(9);
    client.stream().write_all(one).unwrap();
    goes_on(&mut grounds.client(), "beside half a frame");
    client.stream().write_all(two).unwrap();
    client.hear("alive").unwrap();
}

pub(crate) fn pings(grounds: &Grounds) {
    let client = grounds.client();
    // Whether it is let go or not: what waits for it is bounded.
    let _ = client.stream().write_all(&frame(9, &[0; 125], true).repeat(100_000));
}

pub(crate) fn never_reads_frames(grounds: &Grounds) {
    let mut client = grounds.client();
    let request = json!({"name": "missing", "id": "x".repeat(32 << 10)}).to_string();
    let sent = (0..2_000).take_while(|_| client.say(&request).is_ok()).count();
    let _ = client.send(8, &[3, 232]);
    client.end().unwrap();
    assert!(sent > 100, "{sent}");
}

/// Beyond some guesses even the right one is refused, unseen.
pub(crate) fn guesses(grounds: &Grounds) {
    let address = &grounds.guarded.2;
    let ask = |token: &str| {
        let bearer = format!("Bearer {token}");
        let fields = [
            ("host", address.as_str()),
            ("authorization", bearer.as_str()),
            ("upgrade", "websocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("connection", "upgrade"),
        ];
        let fields = fields.map(|(name, value)| format!("{name}: {value}\r\n")).concat();
        let mut stream = wire::connect(address).unwrap();
        write!(stream, "GET / HTTP/1.1\r\n{fields}\r\n").unwrap();
        wire::head(&mut stream).unwrap()
    };
    let refused = (0..1_000).position(|guess| ask(&format!("guess-{guess}")).contains(" 429 "));
    assert!(refused.is_some_and(|guess| guess < 900), "{refused:?}");
    assert!(ask("s3cret").contains(" 429 "));
}

/// A daemon whose socket's place is taken, and what its programs find instead.
fn beside(place: impl FnOnce(&Path), name: &str) -> (Folder, Running) {
    let folder = Folder::new();
    folder.write("config.json", r#"{"mode":"client","proxy":"127.0.0.1","port":9}"#);
    place(&folder.path("ws-daemon.sock"));
    let mut daemon = daemon(&folder, &[]);
    daemon.line_with("link lost");
    let mut program = Program::at(&folder.path(name));
    program.say(r#"{"name":"+cmd","params":{"code":"STATUS","data":"here"}}"#);
    assert_eq!(program.hear(), json!("here"));
    (folder, daemon)
}

pub(crate) fn file_in_place(_: &Grounds) {
    let (folder, _daemon) = beside(|path| std::fs::write(path, "kept").unwrap(), "ws-daemon0.sock");
    assert_eq!(std::fs::read_to_string(folder.path("ws-daemon.sock")).unwrap(), "kept");
}

pub(crate) fn folder_in_place(_: &Grounds) {
    let (folder, _daemon) = beside(|path| std::fs::create_dir(path).unwrap(), "ws-daemon0.sock");
    assert!(folder.path("ws-daemon.sock").is_dir());
}

pub(crate) fn link_in_place(_: &Grounds) {
    let target = |path: &Path| -> PathBuf { path.with_file_name("config.json") };
    let (folder, _daemon) = beside(|path| symlink(target(path), path).unwrap(), "ws-daemon0.sock");
    assert!(folder.path("ws-daemon.sock").is_symlink());
    assert!(std::fs::read_to_string(folder.path("config.json")).unwrap().contains("client"));
}

pub(crate) fn foreign_in_place(_: &Grounds) {
    let mut foreign = None;
    let (folder, _daemon) =
        beside(|path| foreign = Some(UnixListener::bind(path).unwrap()), "ws-daemon0.sock");
    let mut program = UnixStream::connect(folder.path("ws-daemon.sock")).unwrap();
    program.write_all(b"x").unwrap();
    // Whoever asked whether it lives has said nothing.
    let heard = foreign.unwrap().incoming().flatten().find_map(|stream| {
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut byte = [0];
        (&stream).read(&mut byte).is_ok_and(|count| count > 0).then_some(byte[0])
    });
    assert_eq!(heard, Some(b'x'));
}

pub(crate) fn stale_in_place(_: &Grounds) {
    let leave = |path: &Path| {
        drop(UnixListener::bind(path).unwrap());
        if std::fs::metadata("/proc/self").unwrap().uid() == 0 {
            chown(path, Some(65_534), Some(65_534)).unwrap();
        }
    };
    let (folder, _daemon) = beside(leave, "ws-daemon.sock");
    let own = folder.path("config.json").metadata().unwrap().uid();
    assert_eq!(folder.path("ws-daemon.sock").metadata().unwrap().uid(), own);
}

pub(crate) fn open_folder(_: &Grounds) {
    let folder = Folder::new();
    folder.write("config.json", r#"{"mode":"client","proxy":"127.0.0.1","port":9}"#);
    std::fs::create_dir(folder.path("scripts")).unwrap();
    std::fs::set_permissions(folder.path("scripts"), PermissionsExt::from_mode(0o777)).unwrap();
    daemon(&folder, &[]).line_with("others may write here");
}
