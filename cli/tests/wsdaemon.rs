//! `moorline wsdaemon` on both ends, real scripts, and a program that asks over the real socket.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
#![cfg(target_os = "linux")]

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use support::{Folder, Running, finish, moorline, start};

/// A server and a client, each with its folder. Programs ask at the client; scripts run at the server.
struct Pair {
    folders: [Folder; 2],
    server: Running,
    client: Running,
}

const SCRIPTS: [(&str, &str); 12] = [
    ("ok", "#!/bin/sh\necho \"args=$# first=$1\"\n"),
    ("fail3", "#!/bin/sh\nexit 3\n"),
    ("sig", "#!/bin/sh\nkill -9 $$\n"),
    ("noshebang", "exit 7\n"),
    ("sub/inner", "#!/bin/sh\nexit 5\n"),
    ("stdin", "#!/bin/sh\ncat >/dev/null\nexit 4\n"),
    ("env", "#!/bin/sh\n[ -z \"$DAEMON_TEST_SECRET\" ] && [ \"$KEPT\" = yes ]\n"),
    ("big", "#!/bin/sh\nhead -c 50000000 /dev/zero | tr '\\0' x\n"),
    ("slow", "#!/bin/sh\ntrap '' TERM\nwhile :; do sleep 1; done\n"),
    ("child", "#!/bin/sh\nsleep 600 &\nexit 6\n"),
    ("mask", "#!/bin/sh\nexec grep -q '^SigBlk:.0*$' /proc/self/status\n"),
    ("gone", "#!/bin/sh\nexit 0\n"),
];

fn write_script(folder: &Folder, name: &str, text: &str) {
    let path = folder.path("scripts").join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
}

fn daemon(folder: &Folder, more: &[&str]) -> Running {
    let prefix = folder.path("").to_str().unwrap().to_owned();
    // Tests may run in a container, where the daemons would share one port.
    let mut arguments = vec!["wsdaemon", "--prefix", &prefix, "--set", "local.tcp_address="];
    arguments.extend(more);
    let mut command = moorline(&arguments);
    start(command.env("DAEMON_TEST_SECRET", "s3cr3t").env("KEPT", "yes"))
}

impl Pair {
    fn new(server_options: &[&str]) -> Self {
        let folders = [Folder::new(), Folder::new()];
        let [here, there] = &folders;
        for (name, text) in SCRIPTS {
            write_script(here, name, text);
        }
        write_script(here, "noexec", "#!/bin/sh\nexit 0\n");
        let no_exec = here.path("scripts/noexec");
        std::fs::set_permissions(no_exec, PermissionsExt::from_mode(0o644)).unwrap();
        symlink("/bin/echo", here.path("scripts/linked-out")).unwrap();
        symlink("ok", here.path("scripts/linked-in")).unwrap();
        here.pipe("scripts/pipe");
        here.write("config.json", r#"{"mode":"server","port":3006}"#);
        let mut options =
            vec!["--set", "listen=127.0.0.1:0", "--set", r#"scripts.environment=["KEPT"]"#];
        options.extend(server_options);
        let mut server = daemon(here, &options);
        let address = server.line_with("listening on").rsplit(' ').next().unwrap().to_owned();
        // A script that is taken away, or changed into a link, after the start.
        std::fs::remove_file(here.path("scripts/gone")).unwrap();
        symlink("/bin/true", here.path("scripts/gone")).unwrap();
        let port = address.rsplit(':').next().unwrap();
        let config = format!(r#"{{"mode":"client","proxy":"127.0.0.1","port":{port}}}"#);
        there.write("config.json", &config);
        let mut client = daemon(there, &[]);
        client.line_with("connected to");
        Self { folders, server, client }
    }

    fn program(&self) -> Program {
        Program::at(&self.folders[1].path("ws-daemon.sock"))
    }
}

struct Program(BufReader<UnixStream>);

impl Program {
    /// Connects, as soon as the socket is there.
    fn at(path: &Path) -> Self {
        let deadline = Instant::now() + Duration::from_secs(60);
        let stream = loop {
            match UnixStream::connect(path) {
                Ok(stream) => break stream,
                Err(e) => assert!(Instant::now() < deadline, "{}: {e}", path.display()),
            }
            std::thread::yield_now();
        };
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Self(BufReader::new(stream))
    }

    fn say(&mut self, text: &str) {
        self.0.get_mut().write_all(text.as_bytes()).unwrap();
    }

    fn hear(&mut self) -> Value {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line:?}"))
    }

    fn ask(&mut self, request: &Value) -> Value {
        self.say(&request.to_string());
        self.hear()
    }
}

#[test]
fn scripts_run_as_the_originals_do_and_nothing_of_them_is_left() {
    let mut pair = Pair::new(&["--set", "handlers.timeout_ms=700"]);
    let mut program = pair.program();
    for (name, status) in [
        ("ok", json!(0)),
        ("fail3", json!(3)),
        ("sig", json!(null)),
        ("noshebang", json!(7)),
        ("sub/inner", json!(5)),
        ("stdin", json!(4)),
        ("env", json!(0)),
        ("big", json!(0)),
        ("child", json!(6)),
        ("mask", json!(0)),
        ("linked-in", json!(0)),
        ("slow", json!(-3)),
        ("gone", json!(-1)),
    ] {
        let answer = program.ask(&json!({"name": name, "id": name, "params": {"k": [1]}}));
        assert_eq!(answer, json!({"status": status, "id": name}));
    }
    pair.server.line_with("args=1 first={\"k\":[1]}");
    pair.server.line_with("output cut here");
    program.say(r#"{"name":"ok"}"#);
    assert_eq!(program.hear(), json!({"status": 0}));
    pair.server.line_with("args=1 first=undefined");
    // Two in one write, one in two writes.
    program.say("{\"name\":\"ok\",\"id\":1}\n{\"name\":\"fail3\",\"id\":2}\n{\"na");
    program.say("me\":\"ok\",\"id\":3}");
    let mut statuses =
        [program.hear(), program.hear(), program.hear()].map(|answer| answer.to_string());
    statuses.sort();
    assert_eq!(
        statuses,
        [r#"{"id":1,"status":0}"#, r#"{"id":2,"status":3}"#, r#"{"id":3,"status":0}"#]
    );

    for daemon in [pair.client, pair.server] {
        daemon.signal(Signal::SIGTERM);
        let (status, seen) = daemon.wait();
        assert_eq!(status.code(), Some(0), "{seen}");
        assert!(!seen.contains("s3cr3t"), "{seen}");
    }
    for folder in &pair.folders {
        assert!(!folder.path("ws-daemon.sock").exists());
    }
}

/// What an attacker on the network, or a program here, may send: each is refused or bounded, and the
/// daemons go on.
#[test]
fn hostile_requests_run_nothing_and_stop_nothing() {
    let pair = Pair::new(&[]);
    let secret = pair.folders[0].write("outside", "#!/bin/sh\ntouch ran\n");
    std::fs::set_permissions(&secret, PermissionsExt::from_mode(0o755)).unwrap();
    let long = "a".repeat(100_000);
    let names = [
        json!("../../../../../bin/echo"),
        json!("/bin/echo"),
        json!(""),
        json!("."),
        json!(".."),
        json!("../outside"),
        json!(secret),
        json!("noexec"),
        json!("sub"),
        json!("sub/"),
        json!("sub//inner"),
        json!("sub/./inner"),
        json!("sub/../ok"),
        json!("./ok"),
        json!("ok/"),
        json!("ok/."),
        json!("ok\u{0}"),
        json!("ok\u{0}/../x"),
        json!("OK"),
        json!("ok "),
        json!(" ok"),
        json!("ok\n"),
        json!("ok;id"),
        json!("$(id)"),
        json!("`id`"),
        json!("%6fk"),
        json!("%2e%2e/outside"),
        json!("..\\outside"),
        json!("linked-out"),
        json!("pipe"),
        json!("missing"),
        json!("undefined"),
        json!("constructor"),
        json!("__proto__"),
        json!("\u{202e}ko"),
        json!("ｏｋ"),
        json!(["ok"]),
        json!({"a": 1}),
        json!(5),
        json!(null),
        json!(true),
        json!(long),
    ];
    let mut program = pair.program();
    for (id, name) in names.iter().enumerate() {
        let answer = program.ask(&json!({"name": name, "id": id, "params": "x"}));
        assert_eq!(answer, json!({"status": -1, "id": id}), "{name}");
    }
    // An argument that the system does not take; ids of every kind; no name at all.
    let huge = "x".repeat(140_000);
    assert_eq!(program.ask(&json!({"name": "ok", "params": huge}))["status"], -1);
    for id in [json!({"a": [1, {"b": null}]}), json!([[[]]]), json!(1e300), json!("é\u{0}")] {
        assert_eq!(program.ask(&json!({"name": "ok", "id": id})), json!({"status": 0, "id": id}));
    }
    assert_eq!(program.ask(&json!({"id": 1})), json!({"status": -1, "id": 1}));
    // Commands of every odd shape are passed over; the link stays up.
    for odd in [
        json!({"name": "&cmd"}),
        json!({"name": "&cmd", "params": 5}),
        json!({"name": "&cmd", "params": {"code": 5}}),
        json!({"name": "&cmd", "params": {"code": "STATUS"}}),
        json!({"name": "&cmd", "params": {"code": "PAUSE", "data": 9}}),
        json!({"name": "+cmd", "params": {"code": "PAUSE", "data": "x"}}),
        json!({"name": "+cmd", "params": {"code": "NOPE"}}),
        json!([]),
        json!(5),
        json!(null),
    ] {
        program.say(&format!("{odd}\n"));
    }
    // More at once than may run and wait: each is answered.
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
    // Programs that speak something else are let go; others are not disturbed.
    let deep = format!("{{\"name\":\"ok\",\"params\":{}{}}}", "[".repeat(5_000), "]".repeat(5_000));
    let http = "POST / HTTP/1.1\r\nHost: x\r\n\r\n{\"name\":\"ok\"}";
    for garbage in [http, "not json", "]", "\u{0}", "{\"name\":}", &deep] {
        let mut other = pair.program();
        other.say(garbage);
        other.0.get_ref().shutdown(Shutdown::Write).unwrap();
        let mut rest = Vec::new();
        other.0.read_to_end(&mut rest).unwrap();
        assert!(rest.is_empty(), "{garbage:?}");
    }
    assert_eq!(program.ask(&json!({"name": "ok", "id": "end"})), json!({"status": 0, "id": "end"}));
    assert!(!pair.folders[0].path("ran").exists() && !Path::new("ran").exists());
    let mode = pair.folders[1].path("ws-daemon.sock").metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_socket_left_behind_is_taken_over_and_a_live_one_is_not() {
    let folder = Folder::new();
    let config = r#"{"mode":"client","proxy":"127.0.0.1","port":9}"#;
    folder.write("config.json", config);
    let left = std::os::unix::net::UnixListener::bind(folder.path("ws-daemon.sock")).unwrap();
    drop(left);
    let mut first = daemon(&folder, &["--drain-timeout", "10ms"]);
    first.line_with("link lost");
    Program::at(&folder.path("ws-daemon.sock"));
    let mut second = daemon(&folder, &[]);
    second.line_with("link lost");
    Program::at(&folder.path("ws-daemon0.sock"));
    // Asked while the server is away, and never answered: told at the end.
    let mut program = Program::at(&folder.path("ws-daemon.sock"));
    program.say(r#"{"name":"ok","id":"x"}"#);
    program.say(r#"{"name":"+cmd","params":{"code":"STATUS","data":"heard"}}"#);
    assert_eq!(program.hear(), json!("heard"));
    first.signal(Signal::SIGTERM);
    assert_eq!(program.hear(), json!({"status": -4, "id": "x"}));
}

#[test]
fn configurations_that_cannot_work_say_so() {
    for (config, named) in [
        (None, "config.json"),
        (Some(""), "is empty"),
        (Some(r#"{"mode":"both"}"#), "mode: must be client or server"),
        (Some(r#"{"mode":"client","proxy":"h"}"#), "port: a client needs"),
    ] {
        let folder = Folder::new();
        if let Some(config) = config {
            folder.write("config.json", config);
        }
        let prefix = folder.path("").to_str().unwrap().to_owned();
        let ended = finish(&mut moorline(&["wsdaemon", "--prefix", &prefix]));
        assert!(ended.code == Some(2) && ended.err.contains(named), "{ended:?}");
    }
    let folder = Folder::new();
    folder.write("config.json", r#"{"mode":"server"}"#);
    let prefix = folder.path("").to_str().unwrap().to_owned();
    let arguments = ["wsdaemon", "--prefix", &prefix, "--set", "listen=0.0.0.0:0"];
    let ended = finish(&mut moorline(&arguments));
    assert!(ended.err.contains("beyond loopback"), "{ended:?}");
    folder.write("setup.sh", "exit 9\n");
    let ended = finish(&mut moorline(&["wsdaemon", "--prefix", &prefix, "--run-setup"]));
    assert!(ended.code == Some(1) && ended.err.contains("setup.sh failed"), "{ended:?}");
}
