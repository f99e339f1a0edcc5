//! `moorline wsdaemon` on both ends, real scripts, and a program that asks over the real socket.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
#![cfg(target_os = "linux")]

mod attacks;
mod grounds;
mod pair;
#[path = "../support/mod.rs"]
mod support;

use nix::sys::signal::Signal;
use pair::{Pair, Program, daemon};
use serde_json::json;
use support::{Folder, finish, moorline};

#[test]
fn scripts_run_as_the_originals_do_and_nothing_of_them_is_left() {
    let mut pair = Pair::new(&["--set", "handlers.timeout_ms=5000"]);
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

/// Ids of every kind are given back as they are; commands of every odd shape are passed over.
#[test]
fn what_is_odd_is_answered_or_passed_over() {
    let pair = Pair::new(&[]);
    let mut program = pair.program();
    for id in [json!({"a": [1, {"b": null}]}), json!([[[]]]), json!(1e300), json!("é\u{0}")] {
        assert_eq!(program.ask(&json!({"name": "ok", "id": id})), json!({"status": 0, "id": id}));
    }
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
    assert_eq!(program.ask(&json!({"name": "ok", "id": "end"})), json!({"status": 0, "id": "end"}));
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
