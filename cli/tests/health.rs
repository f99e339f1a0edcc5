//! Probes and metrics of the commands that run on.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use support::{moorline, start};

fn get(address: &str, path: &str) -> String {
    let deadline = Instant::now() + Duration::from_secs(30);
    let mut stream = loop {
        match TcpStream::connect(address) {
            Ok(stream) => break stream,
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
        std::thread::yield_now();
    };
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_hub_answers_at_its_address_and_at_a_port_of_its_own() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let port = free.port().to_string();
    let mut hub = start(&mut moorline(&["hub", "--listen", "127.0.0.1:0", "--health", &port]));
    let greeting = hub.line_with("listening on http://");
    let own = greeting.rsplit('/').next().unwrap();
    for address in [own, &free.to_string()] {
        assert!(get(address, "/live").ends_with("\r\n\r\nlive\n"), "{address}");
        let page = get(address, "/metrics");
        assert!(page.contains("\nmoorline_hub_workers{state=\"online\"} 0\n"), "{page}");
    }
}
