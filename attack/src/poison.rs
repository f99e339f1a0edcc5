//! K1: messages that can never pass, and limits that contradict each other.

use std::io::Write as _;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::process::Arena;
use crate::wire::{Socket, ask};
use crate::{Attack, Told, dispatch, enqueue, expect, field, until};

/// The attacks of this kind.
pub const ATTACKS: &[Attack] = &[
    Attack {
        entry: "K1.1",
        what: "a result of 16,777,190 bytes by a worker of ours",
        memory_mib: 160,
        seconds: 20,
        is_short: true,
        run: result_that_cannot_pass,
    },
    Attack {
        entry: "K1.2",
        what: "settings of 16 MiB less 150 bytes",
        memory_mib: 110,
        seconds: 15,
        is_short: true,
        run: settings_that_cannot_pass,
    },
    Attack {
        entry: "K1.3",
        what: "a result of 20 MiB by a worker of others",
        memory_mib: 90,
        seconds: 15,
        is_short: true,
        run: foreign_result,
    },
    Attack {
        entry: "K1.4",
        what: "a result of 12 MiB with progress every 100 ms",
        memory_mib: 160,
        seconds: 20,
        is_short: false,
        run: result_with_progress,
    },
    Attack {
        entry: "K1.5",
        what: "900 items in flight when the link is cut",
        memory_mib: 110,
        seconds: 60,
        is_short: false,
        run: cut_with_much_in_flight,
    },
    Attack {
        entry: "K1.5",
        what: "300 handlers in one registration",
        memory_mib: 60,
        seconds: 15,
        is_short: true,
        run: many_handlers,
    },
    Attack {
        entry: "K1.4 K1.6",
        what: "options of which one makes the other unreachable",
        memory_mib: 60,
        seconds: 10,
        is_short: true,
        run: contradicting_options,
    },
];

fn result_that_cannot_pass(arena: &Arena) -> Told<String> {
    let hub = arena.hub(&[])?;
    let worker = arena.own_worker(&hub.address, &[])?;
    let answer = dispatch(&hub.address, "Own/Fill", r#"{"Bytes":16777190}"#, 60_000)?;
    expect(answer.body.contains("TOO_LARGE"), format!("{} {:.200}", answer.status, answer.body))?;
    dispatch(&hub.address, "Own/Fill", r#"{"Bytes":10}"#, 10_000)?.expect(200)?;
    expect(hub.log.count("left") == 0, "the worker's link was cut")?;
    worker.lives()?;
    Ok("its item fails with TOO_LARGE, the next one runs, the link stands".to_owned())
}

fn settings_that_cannot_pass(arena: &Arena) -> Told<String> {
    let hub = arena.hub(&[])?;
    let mut worker = Socket::worker(&hub.address, "others", "Pin", 4)?;
    let settings = format!(r#"{{"a":"{}"}}"#, "x".repeat(16 * 1_024 * 1_024 - 150));
    dispatch(&hub.address, "Pin/Any", &settings, 60_000)?.expect(413)?;
    enqueue(&hub.address, "Pin", "")?;
    worker.hear("WorkItemHash")?;
    Ok("413 at the door, the worker gets the next item".to_owned())
}

fn foreign_result(arena: &Arena) -> Told<String> {
    let hub = arena.hub(&[])?;
    let mut worker = Socket::worker(&hub.address, "others", "Pin", 4)?;
    let address = hub.address.clone();
    let caller = thread::spawn(move || dispatch(&address, "Pin/Any", "{}", 30_000));
    let item = worker.hear("WorkItemHash")?;
    let hash = field(&item, "WorkItemHash");
    let large = "x".repeat(20 * 1_024 * 1_024);
    let began = Instant::now();
    // It is cut while it writes.
    let _ = worker.say(&format!(
        r#"{{"Action":"WorkComplete","WorkItemHash":"{hash}","Outputs":{{"a":"{large}"}},"Log":[]}}"#
    ));
    let answer = caller.join().map_err(|_| "the caller panicked")??;
    expect(answer.body.contains("TOO_LARGE"), format!("{} {:.200}", answer.status, answer.body))?;
    let waited = began.elapsed();
    let mut again = Socket::worker(&hub.address, "others", "Pin", 4)?;
    enqueue(&hub.address, "Pin", "")?;
    let next = again.hear("WorkItemHash")?;
    expect(!next.contains(hash), "the item was handed out again")?;
    Ok(format!("that item fails after {:.1} s, never handed out again", waited.as_secs_f64()))
}

fn result_with_progress(arena: &Arena) -> Told<String> {
    let hub = arena.hub(&[])?;
    let _worker = arena.own_worker(&hub.address, &[])?;
    let callers: Vec<_> = (0..2)
        .map(|_| {
            let address = hub.address.clone();
            let settings = r#"{"Bytes":12582912,"EveryMs":100,"Times":10}"#;
            thread::spawn(move || dispatch(&address, "Own/Fill", settings, 60_000))
        })
        .collect();
    for caller in callers {
        let answer = caller.join().map_err(|_| "a caller panicked")??.expect(200)?;
        expect(answer.body.len() > 12_582_912, "the result is cut")?;
    }
    expect(hub.log.count("left") == 0, "the worker's link was cut")?;
    Ok("both results arrive, the link stands".to_owned())
}

fn cut_with_much_in_flight(arena: &Arena) -> Told<String> {
    const ITEMS: usize = 900;
    let hub = arena.hub(&["--set", "enqueue_rate=0"])?;
    let proxy = Proxy::start(&hub.address)?;
    let _worker = arena.own_worker(&proxy.address, &["--slots", "4096"])?;
    let mut hashes = Vec::with_capacity(ITEMS);
    for _ in 0..ITEMS {
        hashes.push(enqueue(&hub.address, "Own", r#","Action":"Hold""#)?);
    }
    let all_run = || {
        let status = ask(&hub.address, "GET", "/Moorline/Status", "").unwrap_or_default();
        status.json()["Queue"]["Running"] == ITEMS
    };
    until("all run", Duration::from_secs(20), all_run)?;
    proxy.cut();
    let log = hub.log.clone();
    until("it is back", Duration::from_secs(20), || log.count("joined") >= 2)?;
    dispatch(&hub.address, "Own/Open", "{}", 20_000)?.expect(200)?;
    for hash in &hashes {
        let path = format!("/Beacon/Work/{hash}/Result");
        let is_done = || {
            let answer = ask(&hub.address, "GET", &path, "").unwrap_or_default();
            answer.body.contains("held")
        };
        until("an item is done", Duration::from_secs(20), is_done)?;
    }
    expect(log.count("PEER_REFUSED") == 0, "its registration was refused")?;
    Ok(format!("it registers again, {ITEMS} of {ITEMS} items are done"))
}

fn many_handlers(arena: &Arena) -> Told<String> {
    let hub = arena.hub(&[])?;
    let _worker = arena.own_worker(&hub.address, &["--handlers", "300"])?;
    let actions = ask(&hub.address, "GET", "/Beacon/Actions", "")?.expect(200)?;
    let known = actions.body.matches("Own/Other").count() + actions.body.matches("\"Other").count();
    expect(known >= 300, format!("{known} actions are known"))?;
    Ok("registered, all 300 are known".to_owned())
}

fn contradicting_options(arena: &Arena) -> Told<String> {
    let pairs = [
        ("hub", "limits.max_message_bytes=268435456", "limits.max_send_queue_bytes"),
        ("hub", "max_queued_bytes=1024", "limits.max_message_bytes"),
        ("hub", "max_connections=10", "max_unadmitted_per_address"),
        ("worker", "limits.max_message_bytes=268435456", "limits.max_send_queue_bytes"),
    ];
    for (role, option, other) in pairs {
        let mut process = match role {
            "worker" => arena.worker("127.0.0.1:1", &["--set", option])?,
            _ => arena.moorline(&[role, "--set", option])?,
        };
        let code = process.end(Duration::from_secs(5))?;
        expect(code == 2, format!("{role} with {option} ends with {code}"))?;
        process.log.wait(other, Duration::from_secs(1))?;
    }
    Ok(format!("{} pairs are refused by both names", pairs.len()))
}

/// Stands between a worker and its hub, and cuts.
struct Proxy {
    address: String,
    open: Arc<Mutex<Vec<TcpStream>>>,
}

impl Proxy {
    fn start(upstream: &str) -> Told<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").map_err(|e| e.to_string())?;
        let address = listener.local_addr().map_err(|e| e.to_string())?.to_string();
        let (open, upstream) = (Arc::<Mutex<Vec<_>>>::default(), upstream.to_owned());
        let pairs = Arc::clone(&open);
        thread::spawn(move || {
            while let Ok((client, _)) = listener.accept() {
                let Ok(server) = TcpStream::connect(&upstream) else { continue };
                for (from, to) in [(&client, &server), (&server, &client)] {
                    let (Ok(mut from), Ok(mut to)) = (from.try_clone(), to.try_clone()) else {
                        continue;
                    };
                    thread::spawn(move || {
                        let _ = std::io::copy(&mut from, &mut to);
                        let _ = to.flush();
                        let _ = to.shutdown(Shutdown::Both);
                    });
                }
                if let Ok(mut pairs) = pairs.lock() {
                    pairs.extend([client, server]);
                }
            }
        });
        Ok(Self { address, open })
    }

    fn cut(&self) {
        let Ok(mut open) = self.open.lock() else { return };
        for stream in open.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}
