//! What clients cost that have not said who they are. A process of its own: its memory is counted.

#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "tests may panic, and figures are to be read"
)]

use std::alloc::System;
use std::fs::Permissions;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use moorline_driver::Handle;
use moorline_driver::core::Command;
use rustls::crypto::ring;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use tempfile::TempDir;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// So many that what the process holds beside them does not matter, within the usual limit of descriptors.
const STRANGERS: usize = 200;
/// The most that one may cost, in bytes.
const BOUND: usize = 8_000;
/// The same after a TLS handshake: the rest is the TLS library's.
const TLS_BOUND: usize = 10_000;

/// A hub that takes in as many strangers from one address as there are.
struct Hub {
    _handle: Handle,
    address: String,
    tls: Option<Arc<ClientConfig>>,
    _folder: Option<TempDir>,
}

impl Hub {
    fn open() -> Self {
        let (handle, address) = start(&serde_json::json!({}));
        Self { _handle: handle, address, tls: None, _folder: None }
    }

    fn secured() -> Self {
        let folder = TempDir::new().unwrap();
        let own = rcgen::generate_simple_self_signed([String::from("127.0.0.1")]).unwrap();
        let write = |name, text: String| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
            path
        };
        let cert = write("cert.pem", own.cert.pem());
        let key = write("key.pem", own.signing_key.serialize_pem());
        let (handle, address) = start(&serde_json::json!({"cert_file": cert, "key_file": key}));
        let mut roots = RootCertStore::empty();
        roots.add(own.cert.der().clone()).unwrap();
        let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self { _handle: handle, address, tls: Some(Arc::new(tls)), _folder: Some(folder) }
    }

    /// Returns what each of a crowd costs after its first words, in bytes.
    fn cost(&self, say: impl Fn(&mut TcpStream)) -> usize {
        let warm = self.crowd(STRANGERS / 3, &say);
        let before = allocated();
        let crowd = self.crowd(STRANGERS, &say);
        let each = allocated().saturating_sub(before) / STRANGERS;
        drop((warm, crowd));
        each
    }

    fn crowd(&self, count: usize, say: impl Fn(&mut TcpStream)) -> Vec<TcpStream> {
        let crowd = (0..count)
            .map(|_| {
                let mut stranger = TcpStream::connect(&self.address).unwrap();
                say(&mut stranger);
                stranger
            })
            .collect();
        // Whoever comes after them is answered after they were listened to.
        self.ask();
        crowd
    }

    fn ask(&self) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let asked = format!("GET /status HTTP/1.1\r\nhost: {}\r\n\r\n", self.address);
        let mut status = [0; 12];
        match &self.tls {
            None => {
                stream.write_all(asked.as_bytes()).unwrap();
                stream.read_exact(&mut status).unwrap();
            }
            Some(tls) => {
                let mut stream = StreamOwned::new(client(tls), stream);
                stream.write_all(asked.as_bytes()).unwrap();
                stream.read_exact(&mut status).unwrap();
            }
        }
        assert_eq!(&status, b"HTTP/1.1 200");
    }

    /// Does the handshake and forgets what this end needed for it.
    fn shake(&self, stranger: &mut TcpStream) {
        let mut tls = client(self.tls.as_ref().unwrap());
        while tls.is_handshaking() {
            tls.complete_io(stranger).unwrap();
        }
    }
}

fn client(tls: &Arc<ClientConfig>) -> ClientConnection {
    ClientConnection::new(Arc::clone(tls), "127.0.0.1".try_into().unwrap()).unwrap()
}

fn start(runtime: &serde_json::Value) -> (Handle, String) {
    let options = serde_json::json!({
        "listen": "127.0.0.1:0", "max_unadmitted_per_address": 10_000, "runtime": runtime,
    });
    let handle = Handle::open("beacon", "hub", &options.to_string()).unwrap();
    let (ring, rung) = channel();
    handle.events().set_doorbell(move || {
        // The test may have ended.
        let _ = ring.send(());
    });
    handle.submit(vec![Command::Start]).unwrap();
    let mut text = String::new();
    loop {
        rung.recv_timeout(Duration::from_secs(10)).unwrap();
        handle.events().drain(&mut text);
        if let Some((_, rest)) = text.split_once("127.0.0.1:") {
            let port: String = rest.chars().take_while(char::is_ascii_digit).collect();
            return (handle, format!("127.0.0.1:{port}"));
        }
    }
}

/// The bytes that the process has allocated and not given back.
fn allocated() -> usize {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated - stats.bytes_deallocated
}

#[test]
fn a_stranger_costs_less_than_8_kb() {
    let hub = Hub::open();
    let pad = "x".repeat(2_000);
    for (what, words) in [
        ("silent", String::new()),
        ("with half a head", "POST / HTTP/1.1\r\nhost: h\r\ncontent-".to_owned()),
        ("with 2 kB of a head", format!("GET / HTTP/1.1\r\nhost: h\r\nx: {pad}")),
        (
            "with 2 kB of a body",
            format!("POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 3000\r\n\r\n{pad}"),
        ),
    ] {
        let each = hub.cost(|stranger| stranger.write_all(words.as_bytes()).unwrap());
        println!("a stranger {what}: {each} bytes");
        assert!(each <= BOUND, "{what}: {each}");
    }
    let hub = Hub::secured();
    let each = hub.cost(|_| {});
    println!("a silent stranger where TLS is spoken: {each} bytes");
    assert!(each <= BOUND, "{each}");
    let each = hub.cost(|stranger| hub.shake(stranger));
    println!("a stranger that is silent after its handshake: {each} bytes");
    assert!(each <= TLS_BOUND, "{each}");
}
