//! What the hub holds for what waits: a waiting item is small, and keeps nothing of the message that it
//! came in but itself.

#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm, reason = "tests may panic")]

use bytes::Bytes;
use moorline_core::store::{StoreReply, StoreRequest};
use moorline_core::{
    Command, ConnId, ConnInput, Endpoint, Frame, Headers, HttpId, HttpRequest, Input, Method, Now,
    Output, ServerInput,
};

const NOW: Now = Now::new(1_000, 1_795_000_000_000);

/// One test: what the process holds is measured as a whole.
#[test]
fn what_waits_is_held_alone() {
    let mut hub = Hub::new(r#"{"max_queued":1000000,"enqueue_rate":0}"#);
    let item = r#"{"Capability":"Pin","Settings":{"Text":"0123456789"}}"#;
    hub.enqueue(item.to_owned());
    let (before, items) = (resident(), 40_000);
    for _ in 0..items {
        hub.enqueue(item.to_owned());
    }
    let each = (resident() - before) / items;
    println!("a waiting item with 21 bytes of settings: {each} bytes");
    assert!(each <= 1_024 + 21, "{each}");
    assert_eq!(hub.refused, 0);

    let before = resident();
    let junk = "j".repeat(4_000_000);
    for _ in 0..100 {
        hub.enqueue(format!(r#"{{"Capability":"Pin","Settings":{{}},"Junk":"{junk}"}}"#));
    }
    let grown = resident().saturating_sub(before);
    println!("100 items of 2 bytes in messages of 4 MB: {grown} bytes");
    assert!(grown < 40_000_000, "{grown}");

    let before = resident();
    let conn = ConnId(1);
    hub.input(Input::Server(ServerInput::Offered {
        conn,
        request: request("/", Bytes::new()),
        remote: REMOTE.into(),
    }));
    hub.say(
        conn,
        r#"{"Action":"BeaconRegister","Name":"w","Capabilities":["Pin"],"MaxConcurrent":1}"#,
    );
    for _ in 0..100 {
        let hash = std::mem::take(&mut hub.pushed);
        hub.say(conn, &format!(
            r#"{{"Action":"WorkComplete","WorkItemHash":"{hash}","Outputs":{{"a":1}},"Log":[],"Junk":"{junk}"}}"#
        ));
    }
    assert!(!hub.pushed.is_empty());
    let grown = resident().saturating_sub(before);
    println!("100 outcomes of 7 bytes in messages of 4 MB: {grown} bytes");
    assert!(grown < 40_000_000, "{grown}");
}

struct Hub {
    machine: Box<dyn Endpoint + Send>,
    next: u64,
    refused: usize,
    /// The hash of the latest item that was pushed.
    pushed: String,
}

const REMOTE: &str = "127.0.0.1:1";

fn request(url: &str, body: Bytes) -> HttpRequest {
    HttpRequest { method: Method::Post, url: url.into(), headers: Headers::new(), body }
}

impl Hub {
    fn new(options: &str) -> Self {
        let machine = moorline_core::open("beacon", "hub", options, "host", [1; 32]).unwrap();
        let machine = machine.endpoint;
        let mut hub = Self { machine, next: 2, refused: 0, pushed: String::new() };
        hub.machine.handle_command(Command::Start, NOW).unwrap();
        hub.drain();
        hub
    }

    fn enqueue(&mut self, body: String) {
        self.next += 2;
        self.input(Input::Server(ServerInput::Asked {
            http: HttpId(self.next),
            request: request("/Beacon/Work/Enqueue", body.into()),
            remote: REMOTE.into(),
        }));
    }

    fn say(&mut self, conn: ConnId, text: &str) {
        let frame = Frame::Text(text.to_owned().into());
        self.input(Input::Conn(ConnInput::Received { conn, frame }));
    }

    fn input(&mut self, input: Input) {
        self.machine.handle_input(input, NOW);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.machine.poll_output() {
            let input = match output {
                Output::Listen { listen, .. } => {
                    Input::Server(ServerInput::Listening { listen, address: "127.0.0.1:1".into() })
                }
                Output::Store { store, request } => {
                    let reply = match request {
                        StoreRequest::Load { .. } | StoreRequest::Find { .. } => {
                            StoreReply::Loaded(Vec::new())
                        }
                        StoreRequest::Commit { .. } => StoreReply::Committed,
                    };
                    Input::Stored { store, result: Ok(reply) }
                }
                Output::HttpReply { response, .. } => {
                    self.refused += usize::from(response.status != 200);
                    continue;
                }
                Output::Send { frame: Frame::Text(text), .. } => {
                    if let Some((_, rest)) = text.split_once(r#""WorkItemHash":""#) {
                        rest.split('"').next().unwrap().clone_into(&mut self.pushed);
                    }
                    continue;
                }
                _ => continue,
            };
            self.machine.handle_input(input, NOW);
        }
    }
}

/// The process's resident memory, in bytes.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/statm").unwrap();
    status.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4_096
}
