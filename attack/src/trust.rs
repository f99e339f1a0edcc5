//! K3: trust in what the other side chooses.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::process::Arena;
use crate::wire::{Answer, Socket, ask, ask_with, connect, upgrade};
use crate::{Attack, Told, dispatch, enqueue, expect, field};

/// The attacks of this kind.
pub const ATTACKS: &[Attack] = &[
    Attack {
        entry: "K3.1",
        what: "requests of a page whose name was made to lead to loopback",
        memory_mib: 60,
        seconds: 10,
        is_short: true,
        run: rebound_requests,
    },
    Attack {
        entry: "K3.2",
        what: "a recording is searched for what opens the hub",
        memory_mib: 60,
        seconds: 15,
        is_short: true,
        run: recorded_secrets,
    },
    Attack {
        entry: "K3.3",
        what: "a login speaks for a worker that joined with the secret",
        memory_mib: 60,
        seconds: 15,
        is_short: true,
        run: speaks_for_another,
    },
    Attack {
        entry: "K3.4",
        what: "70 silent connections of one address",
        memory_mib: 60,
        seconds: 15,
        is_short: true,
        run: silent_crowd,
    },
    Attack {
        entry: "K3.4",
        what: "300 strangers that say nothing, 300 with half a request",
        memory_mib: 60,
        seconds: 15,
        is_short: true,
        run: cheap_strangers,
    },
    Attack {
        entry: "K3.4",
        what: "strangers that say nothing, or half a request, as long as they may",
        memory_mib: 60,
        seconds: 15,
        is_short: false,
        run: patient_strangers,
    },
    Attack {
        entry: "K3.4",
        what: "200 connections at once that each ask",
        memory_mib: 60,
        seconds: 15,
        is_short: true,
        run: honest_crowd,
    },
    Attack {
        entry: "K3.4",
        what: "64 cross-site requests for VOLT sessions",
        memory_mib: 60,
        seconds: 15,
        is_short: true,
        run: cross_site_sessions,
    },
    Attack {
        entry: "K3.5",
        what: "upgrades that are none, a key that everybody may read",
        memory_mib: 60,
        seconds: 15,
        is_short: true,
        run: wrong_upgrades,
    },
];

fn rebound_requests(arena: &Arena) -> Told<String> {
    let hub = arena.hub(&[])?;
    let port = hub.address.rsplit(':').next().unwrap_or_default();
    let host = format!("evil.example:{port}");
    let origin = format!("http://{host}");
    let asked = [
        ("POST", "/Beacon/Work/Enqueue"),
        ("POST", "/Beacon/Register"),
        ("GET", "/Beacon/Work"),
        ("GET", "/Moorline/Volt/Tokens"),
        ("GET", "/socket.io/?EIO=4&transport=polling"),
    ];
    for (method, path) in asked {
        for fields in [&[("host", host.as_str()), ("origin", &origin)][..], &[("host", &host)]] {
            let answer = ask_with(&hub.address, method, path, fields, "{}")?.expect(403)?;
            let is_open = answer.head.contains("access-control-allow-origin");
            expect(!is_open, format!("{path}: its page may read the answer"))?;
        }
    }
    for path in ["/", "/socket.io/?EIO=4&transport=websocket"] {
        let head = upgrade(&mut connect(&hub.address)?, &host, path)?;
        expect(head.contains(" 403 "), format!("{path}: {head:.60}"))?;
    }
    for origin in ["ftp://localhost", "https://127.0.0.1", "null"] {
        let fields = [("host", hub.address.as_str()), ("origin", origin)];
        ask_with(&hub.address, "GET", "/Beacon", &fields, "")?.expect(403)?;
    }
    let fields = [("host", hub.address.as_str()), ("host", hub.address.as_str())];
    ask_with(&hub.address, "GET", "/Beacon", &fields, "")?.expect(400)?;
    ask_with(&hub.address, "GET", "/Beacon", &[], "")?.expect(400)?;
    let logged = hub.log.count("evil.example");
    expect((1..=5).contains(&logged), format!("{logged} lines in the log"))?;
    Ok(format!("403 for all of it, {logged} lines in the log"))
}

fn recorded_secrets(arena: &Arena) -> Told<String> {
    let config = "access = \"secured\"\njoin_secret = \"canary-join\"\n\
                  [[users]]\nname = \"ada\"\npassword = \"canary-password\"\n";
    let file = arena.file("hub.toml", config)?;
    let recording = arena.path("hub.trace");
    let trace = format!("runtime.trace_file={recording}");
    let mut hub = arena.hub(&["--config", &file, "--set", &trace])?;
    let body = r#"{"UserName":"ada","Password":"canary-password"}"#;
    let answer = ask(&hub.address, "POST", "/1.0/Authenticate", body)?.expect(200)?;
    let session = session(&answer)?;
    let malformed = r#"{"UserName":"ada","Password":"canary-malformed"#;
    ask(&hub.address, "POST", "/1.0/Authenticate", malformed)?.expect(400)?;
    ask(&hub.address, "GET", "/status?password=canary-url", "")?.expect(200)?;
    let mut worker = Socket::open(&hub.address, "/")?;
    worker.say(
        r#"{"Action":"BeaconRegister","Name":"w","Capabilities":["Pin"],"JoinSecret":"canary-join"}"#,
    )?;
    worker.hear("BeaconRegistered")?;
    hub.terminate();
    hub.end(Duration::from_secs(10))?;
    let text = std::fs::read(&recording).map_err(|e| format!("{recording}: {e}"))?;
    let text = String::from_utf8_lossy(&text).to_ascii_lowercase();
    expect(text.len() > 1_000, "nothing was recorded")?;
    for secret in ["canary", &session] {
        expect(!text.contains(secret), format!("{secret} stands in it"))?;
    }
    Ok(format!("none of {} bytes; deriving them is tried by a test", text.len()))
}

fn speaks_for_another(arena: &Arena) -> Told<String> {
    let config = "access = \"secured\"\njoin_secret = \"join-me\"\n\
                  [[users]]\nname = \"ada\"\npassword = \"pw\"\n";
    let hub = arena.hub(&["--config", &arena.file("hub.toml", config)?])?;
    let mut worker = Socket::open(&hub.address, "/")?;
    worker.say(
        r#"{"Action":"BeaconRegister","Name":"w","Capabilities":["Pin"],"MaxConcurrent":1,"JoinSecret":"join-me"}"#,
    )?;
    let registered = worker.hear("BeaconRegistered")?;
    let id = field(&registered, "BeaconID");
    let body = r#"{"UserName":"ada","Password":"pw"}"#;
    let answer = ask(&hub.address, "POST", "/1.0/Authenticate", body)?.expect(200)?;
    let cookie = format!("SessionID={}", session(&answer)?);
    let spoken = |method: &str, path: &str, body: &str| {
        let fields = [("host", hub.address.as_str()), ("cookie", cookie.as_str())];
        ask_with(&hub.address, method, path, &fields, body)
    };
    let enqueued =
        spoken("POST", "/Beacon/Work/Enqueue", r#"{"Capability":"Pin"}"#)?.expect(200)?;
    let hash = field(&enqueued.body, "WorkItemHash").to_owned();
    worker.hear(&hash)?;
    let poll = format!(r#"{{"BeaconID":"{id}"}}"#);
    spoken("POST", "/Beacon/Work/Poll", &poll)?.expect(403)?;
    spoken("POST", &format!("/Beacon/{id}/Heartbeat"), "{}")?.expect(403)?;
    spoken("DELETE", &format!("/Beacon/{id}"), "")?.expect(403)?;
    let done = r#"{"Outputs":{"Forged":true},"Log":[]}"#;
    let answer = spoken("POST", &format!("/Beacon/Work/{hash}/Complete"), done)?;
    let result = spoken("GET", &format!("/Beacon/Work/{hash}/Result"), "")?;
    expect(!result.body.contains("Forged"), format!("taken with {}", answer.status))?;
    Ok("403, and nothing forged is taken".to_owned())
}

/// Returns the session that a login has begun.
fn session(login: &Answer) -> Told<String> {
    let cookie = login.head.split("sessionid=").nth(1).unwrap_or_default();
    let session = cookie.split(';').next().unwrap_or_default();
    expect(session.len() >= 16, "no session was begun")?;
    Ok(session.to_owned())
}

fn silent_crowd(arena: &Arena) -> Told<String> {
    let hub = arena.hub(&[])?;
    let silent: Vec<TcpStream> =
        (0..70).map(|_| connect(&hub.address)).collect::<Result<_, _>>()?;
    let began = Instant::now();
    ask(&hub.address, "GET", "/status", "")?.expect(200)?;
    let waited = began.elapsed();
    drop(silent);
    expect(waited < Duration::from_secs(11), format!("others wait for {waited:?}"))?;
    Ok(format!("others wait for {:.1} s", waited.as_secs_f64()))
}

/// The most that a stranger may cost, in bytes, and how long it may stay.
const STRANGER: u64 = 8_000;
const STRANGER_TIME: Duration = Duration::from_secs(10);
/// How much later than its end a client may notice it.
const NOTICED: Duration = Duration::from_secs(1);

const HALF_A_HEAD: &str = "POST /Beacon/Work/Enqueue HTTP/1.1\r\nhost: h\r\ncontent-";
const HALF_A_BODY: &str = "POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 90\r\n\r\n{";

fn cheap_strangers(arena: &Arena) -> Told<String> {
    let hub = arena.hub(&["--set", "max_unadmitted_per_address=2000"])?;
    let mut crowd = strangers(&hub.address, "", 100)?;
    let mut told = Vec::new();
    for (what, words) in
        [("silent", ""), ("half a head", HALF_A_HEAD), ("half a body", HALF_A_BODY)]
    {
        let before = hub.memory_kib()?;
        crowd.extend(strangers(&hub.address, words, 300)?);
        let each = hub.memory_kib()?.saturating_sub(before) * 1_024 / 300;
        expect(each <= STRANGER, format!("{what}: {each} bytes each"))?;
        told.push(format!("{what} {each}"));
    }
    Ok(format!("bytes each: {}", told.join(", ")))
}

/// Connects so many, each with its first words, and waits until the hub has seen them.
fn strangers(address: &str, words: &str, count: usize) -> Told<Vec<TcpStream>> {
    let mut crowd = Vec::with_capacity(count);
    for _ in 0..count {
        let mut stranger = connect(address)?;
        stranger.write_all(words.as_bytes()).map_err(|e| e.to_string())?;
        crowd.push(stranger);
    }
    ask(address, "GET", "/status", "")?.expect(200)?;
    Ok(crowd)
}

fn patient_strangers(arena: &Arena) -> Told<String> {
    let hub = arena.hub(&[])?;
    let began = Instant::now();
    let mut crowd = Vec::new();
    for words in ["", HALF_A_HEAD, HALF_A_BODY] {
        crowd.extend(strangers(&hub.address, words, 5)?);
    }
    let connected = began.elapsed();
    for mut stranger in crowd {
        stranger.read_to_end(&mut Vec::new()).map_err(|e| format!("no end: {e}"))?;
    }
    let took = began.elapsed();
    expect(took <= STRANGER_TIME + connected + NOTICED, format!("the last after {took:?}"))?;
    Ok(format!("the last is gone after {:.1} s", took.as_secs_f64()))
}

fn honest_crowd(arena: &Arena) -> Told<String> {
    let hub = arena.hub(&[])?;
    let mut crowd: Vec<TcpStream> =
        (0..200).map(|_| connect(&hub.address)).collect::<Result<_, _>>()?;
    let asked = format!("GET /status HTTP/1.1\r\nhost: {}\r\n\r\n", hub.address);
    // The last who came asks first.
    for client in crowd.iter_mut().rev() {
        client.write_all(asked.as_bytes()).map_err(|e| e.to_string())?;
    }
    for client in &mut crowd {
        let mut status = [0; 12];
        client.read_exact(&mut status).map_err(|e| format!("closed without an answer: {e}"))?;
        expect(&status == b"HTTP/1.1 200", String::from_utf8_lossy(&status))?;
    }
    Ok("200 of 200 are answered".to_owned())
}

fn cross_site_sessions(arena: &Arena) -> Told<String> {
    let hub = arena.hub(&[])?;
    let session = "/socket.io/?EIO=4&transport=polling";
    let page = [("host", hub.address.as_str()), ("sec-fetch-site", "cross-site")];
    for _ in 0..64 {
        ask_with(&hub.address, "GET", session, &page, "")?.expect(403)?;
    }
    let began = Instant::now();
    ask(&hub.address, "GET", session, "")?.expect(200)?;
    expect(began.elapsed() < Duration::from_secs(2), "daemons wait")?;
    Ok("403, a daemon is let in at once".to_owned())
}

fn wrong_upgrades(arena: &Arena) -> Told<String> {
    let hub = arena.hub(&[])?;
    let right = [
        "GET / HTTP/1.1",
        "connection: Upgrade",
        "upgrade: websocket",
        "sec-websocket-version: 13",
        "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==",
    ];
    let host = format!("host: {}", hub.address);
    let asked = |lines: &[&str]| -> Told<String> {
        let mut stream = connect(&hub.address)?;
        let text = format!("{}\r\n{host}\r\n\r\n", lines.join("\r\n"));
        stream.write_all(text.as_bytes()).map_err(|e| e.to_string())?;
        crate::wire::head(&mut stream)
    };
    expect(asked(&right)?.contains(" 101 "), "the right one is refused")?;
    let (old, short) = ("GET / HTTP/1.0", "sec-websocket-key: c2hvcnQ=");
    let [_, connection, upgrade, version, key] = right;
    let wrong: [&[&str]; 5] = [
        &[old, connection, upgrade, version, key],
        &[right[0], upgrade, version, key],
        &[right[0], connection, upgrade, version, short],
        &[right[0], connection, upgrade, version, key, key],
        &[right[0], connection, upgrade, version],
    ];
    for lines in wrong {
        let head = asked(lines)?;
        expect(!head.contains(" 101 "), format!("{lines:?} passes"))?;
    }
    open_key(arena)?;
    Ok("none passes; the key is refused".to_owned())
}

/// A hub whose key everybody may read does not start.
fn open_key(arena: &Arena) -> Told<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let own = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]);
    let own = own.map_err(|e| e.to_string())?;
    let cert = arena.file("hub.pem", &own.cert.pem())?;
    let file = arena.file("hub.key", &own.signing_key.serialize_pem())?;
    let open = std::fs::Permissions::from_mode(0o644);
    std::fs::set_permissions(&file, open).map_err(|e| e.to_string())?;
    let (cert, key) = (format!("runtime.cert_file={cert}"), format!("runtime.key_file={file}"));
    let mut hub =
        arena.moorline(&["hub", "--listen", "127.0.0.1:0", "--set", &cert, "--set", &key])?;
    let code = hub.end(Duration::from_secs(5))?;
    expect(code != 0, "it starts")?;
    hub.log.wait("every user", Duration::from_secs(1)).map(drop)
}

/// Strangers who stay, half requests, half frames: for the test of the ceiling.
///
/// # Errors
/// When the hub does not answer others any more.
pub fn half_said(arena: &Arena) -> Told<String> {
    let hub = arena.hub(&[])?;
    let address = hub.address.as_str();
    let mut held = Vec::new();
    for number in 0..48 {
        let mut stream = connect(address)?;
        let said = match number % 3 {
            0 => format!("GET / HTTP/1.1\r\nhost: {address}\r\nx: {}", "y".repeat(7_000)).into_bytes(),
            1 => format!(
                "POST /Beacon/Work/Enqueue HTTP/1.1\r\nhost: {address}\r\ncontent-length: 1000000\r\n\r\n{}",
                "z".repeat(900_000)
            )
            .into_bytes(),
            _ => {
                upgrade(&mut stream, address, "/")?;
                let mut half = crate::wire::frame(0x1, &[b'w'; 60_000], true);
                half.truncate(50_000);
                half
            }
        };
        stream.write_all(&said).map_err(|e| e.to_string())?;
        held.push(stream);
    }
    ask(address, "GET", "/status", "")?.expect(200)?;
    hub.lives()?;
    Ok("others are served".to_owned())
}

/// Dispatches to nobody and enqueues beyond what fits: for the test of the ceiling.
///
/// # Errors
/// When the hub does not answer.
pub fn full_queue(arena: &Arena) -> Told<String> {
    let hub = arena.hub(&["--set", "enqueue_rate=0"])?;
    let address = hub.address.as_str();
    let settings = format!(r#","Settings":{{"a":"{}"}}"#, "q".repeat(900_000));
    let mut taken = 0;
    while enqueue(address, "Nobody", &settings).is_ok() {
        taken += 1;
        expect(taken < 10_000, "it never fills")?;
    }
    let answer = dispatch(address, "Nobody/Has", "{}", 100)?;
    expect(answer.status != 200, "somebody answered")?;
    hub.lives()?;
    Ok(format!("full after {taken}"))
}
