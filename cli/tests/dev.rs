//! A first try in one process, and a look back at what was recorded.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use nix::sys::signal::Signal;
use support::{Folder, finish, moorline, start};

#[test]
fn a_first_try_has_hub_worker_and_page_and_ends_at_once() {
    let mut dev = start(&mut moorline(&["dev", "--listen", "127.0.0.1:0"]));
    let line = dev.line_with("page      http://");
    let url = line.split_whitespace().last().unwrap().trim_end_matches('/');
    dev.line_with("Ctrl-C");
    let dispatch = |what: &[&str]| {
        let arguments = [&["dispatch"], what, &["--url", url, "--timeout", "30s"]].concat();
        finish(&mut moorline(&arguments))
    };
    let echoed = dispatch(&["Sample/Echo", "--settings", r#"{"Text":"hello"}"#]);
    assert_eq!(echoed.json()["Outputs"]["Text"], "hello");
    let counted = dispatch(&["Sample/Count", "--settings", r#"{"To":1}"#]);
    assert_eq!(counted.json()["Outputs"]["Counted"], 1);
    let failed = dispatch(&["Sample/Fail"]);
    assert_eq!(failed.code, Some(5), "{failed:?}");
    assert!(failed.err.contains("as it was asked to"), "{failed:?}");

    let address = url.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET / HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n").unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).unwrap();
    assert!(page.starts_with("HTTP/1.1 200 OK\r\n") && page.contains("<title>Moorline"), "{page}");

    dev.signal(Signal::SIGINT);
    let (status, lines) = dev.wait();
    assert_eq!(status.code(), Some(0), "{lines}");
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn a_recording_is_replayed_and_one_that_differs_is_told() {
    let folder = Folder::new();
    let file = folder.path("hub.jsonl").display().to_string();
    let set = format!("runtime.trace_file={file}");
    let mut hub = start(&mut moorline(&["hub", "--listen", "127.0.0.1:0", "--set", &set]));
    let line = hub.line_with("listening on ");
    let url = line.rsplit(' ').next().unwrap();
    assert_eq!(finish(&mut moorline(&["status", "--url", url])).code, Some(0));
    hub.signal(Signal::SIGTERM);
    hub.wait();

    let same = finish(&mut moorline(&["replay", &file]));
    assert_eq!(same.code, Some(0), "{same:?}");
    assert!(same.err.contains("the hub of beacon says the same"), "{same:?}");
    let printed = finish(&mut moorline(&["replay", &file, "--print"]));
    assert!(printed.out.lines().count() > 3, "{printed:?}");

    let recording = std::fs::read_to_string(&file).unwrap();
    let other = folder.write("other.jsonl", &recording.replace("\"status\":200", "\"status\":201"));
    let differs = finish(&mut moorline(&["replay", &other]));
    assert_eq!(differs.code, Some(1), "{differs:?}");
    assert!(differs.err.contains("behaves differently from output"), "{differs:?}");
    let none = folder.write("none.jsonl", "hello\n");
    assert_eq!(finish(&mut moorline(&["replay", &none])).code, Some(2));
}
