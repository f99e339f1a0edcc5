//! What `runtime.health_listen` answers.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use moorline_driver::Handle;
use moorline_driver::core::Command;

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(10);

/// A port that nobody has.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn worker(port: u16) -> Handle {
    let options = format!(
        r#"{{"name":"w","server_url":"http://127.0.0.1:1","runtime":{{"health_listen":"{port}"}}}}"#
    );
    Handle::open("beacon", "worker", &options).unwrap()
}

fn ask(port: u16, path: &str, more: &str) -> String {
    let deadline = Instant::now() + PATIENCE;
    let mut stream = loop {
        match TcpStream::connect(("127.0.0.1", port)) {
            Ok(stream) => break stream,
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
        std::thread::yield_now();
    };
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let request =
        format!("GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\n{more}connection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// Drains events until one has `text`.
fn told(handle: &Handle, text: &str) -> String {
    let deadline = Instant::now() + PATIENCE;
    let mut all = String::new();
    while !all.contains(text) {
        assert!(Instant::now() < deadline, "{text} is not in {all}");
        handle.events().drain(&mut all);
        std::thread::yield_now();
    }
    all
}

#[test]
fn a_worker_answers_before_it_has_started_and_while_its_link_is_lost() {
    let port = free_port();
    let handle = worker(port);
    assert!(ask(port, "/live", "").starts_with("HTTP/1.1 200 OK\r\n"));
    let answer = ask(port, "/ready", "");
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(answer.ends_with("not ready: it has not started\n"), "{answer}");
    handle.submit(vec![Command::Start]).unwrap();
    told(&handle, r#""event":"lost""#);
    let answer = ask(port, "/ready", "");
    assert!(answer.ends_with("not ready: the link is lost: CONNECT_FAILED\n"), "{answer}");
    let answer = ask(port, "/metrics", "");
    assert!(answer.contains("content-type: text/plain; version=0.0.4"), "{answer}");
    for line in [
        "\nmoorline_build_info{version=\"0.1.0\",dialect=\"beacon\",role=\"worker\"} 1\n",
        "\nmoorline_links_total 0\n",
        "\nmoorline_outbox_items 0\n",
        "\nmoorline_io_frames_received_total 0\n",
    ] {
        assert!(answer.contains(line), "{line} is missing in {answer}");
    }
    handle.close();
}

#[test]
fn nothing_but_three_paths_is_there_and_nothing_reaches_the_machine() {
    let port = free_port();
    let handle = worker(port);
    let upgrade = "upgrade: websocket\r\nsec-websocket-version: 13\r\n\
                   sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n";
    assert!(ask(port, "/", upgrade).starts_with("HTTP/1.1 404 "));
    assert!(ask(port, "/metrics", "origin: https://evil.example\r\n").starts_with("HTTP/1.1 403 "));
    let large = "content-length: 70000\r\nexpect: 100-continue\r\n";
    assert!(ask(port, "/live", large).starts_with("HTTP/1.1 413 "));
    handle.close();
}

#[test]
fn work_goes_on_where_the_address_is_taken() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let handle = worker(taken.local_addr().unwrap().port());
    handle.submit(vec![Command::Start]).unwrap();
    let all = told(&handle, r#""event":"lost""#);
    assert!(all.contains("LISTEN_FAILED"), "{all}");
    handle.close();
}
