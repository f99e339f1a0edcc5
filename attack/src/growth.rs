//! K2: something grows that no limit counts.

use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use crate::process::{Arena, Process};
use crate::wire::{Said, Socket, ask, connect, frame, request};
use crate::{Attack, Told, enqueue, expect, field, until};

/// The attacks of this kind.
pub const ATTACKS: &[Attack] = &[
    Attack {
        entry: "K2.1",
        what: "pings of 125 bytes by a socket that never reads",
        memory_mib: 60,
        seconds: 20,
        is_short: true,
        run: pings_at_the_beacon_door,
    },
    Attack {
        entry: "K2.1",
        what: "the same at the VOLT door",
        memory_mib: 60,
        seconds: 20,
        is_short: true,
        run: pings_at_the_volt_door,
    },
    Attack {
        entry: "K2.1",
        what: "the same by a hostile hub at a worker",
        memory_mib: 60,
        seconds: 20,
        is_short: true,
        run: pings_at_a_worker,
    },
    Attack {
        entry: "K2.2",
        what: "10 items of 2 bytes in messages of 15 MB",
        memory_mib: 120,
        seconds: 60,
        is_short: false,
        run: pinned_requests,
    },
    Attack {
        entry: "K2.2",
        what: "40 outcomes of 7 bytes in messages of 4 MB",
        memory_mib: 90,
        seconds: 40,
        is_short: true,
        run: pinned_outcomes,
    },
    Attack {
        entry: "K2.3",
        what: "a stream that nobody reads, 200 × 1 MB of progress",
        memory_mib: 90,
        seconds: 60,
        is_short: true,
        run: unread_stream,
    },
    Attack {
        entry: "K2.3",
        what: "60 unread lists of 1,500 items with settings",
        memory_mib: 400,
        seconds: 60,
        is_short: true,
        run: unread_lists,
    },
    Attack {
        entry: "K2.4",
        what: "a worker that talks and never pongs, pinged every 100 ms",
        memory_mib: 60,
        seconds: 15,
        is_short: true,
        run: talks_and_never_pongs,
    },
    Attack {
        entry: "K2.5",
        what: "5,000 items of 20 kB for a worker that is busy",
        memory_mib: 120,
        seconds: 40,
        is_short: false,
        run: more_work_than_fits,
    },
    Attack {
        entry: "K2.6",
        what: "200 logins at once, 200 guesses, decided by an auth worker",
        memory_mib: 80,
        seconds: 40,
        is_short: false,
        run: logins,
    },
];

fn pings_at_the_beacon_door(arena: &Arena) -> Told<String> {
    let hub = arena.hub(&[])?;
    ping_flood(Socket::open(&hub.address, "/")?, &hub)
}

fn pings_at_the_volt_door(arena: &Arena) -> Told<String> {
    let hub = arena.hub(&[])?;
    ping_flood(Socket::open(&hub.address, "/socket.io/?EIO=4&transport=websocket")?, &hub)
}

fn pings_at_a_worker(arena: &Arena) -> Told<String> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(|e| e.to_string())?;
    let address = listener.local_addr().map_err(|e| e.to_string())?.to_string();
    let worker = arena.worker(&address, &[])?;
    let mut socket = Socket::accept(&listener)?;
    socket.hear("BeaconRegister")?;
    socket.say(r#"{"EventType":"BeaconRegistered","BeaconID":"bcn-1"}"#)?;
    ping_flood(socket, &worker)
}

/// Sends pings as fast as they go, reads nothing, and sees the connection ended.
fn ping_flood(mut socket: Socket, victim: &Process) -> Told<String> {
    let is_client = socket.is_client();
    let pings = frame(0x9, &[b'p'; 125], is_client).repeat(500);
    let began = Instant::now();
    let limit = Duration::from_secs(4);
    let mut stream = socket.stream();
    stream.set_write_timeout(Some(Duration::from_secs(1))).map_err(|e| e.to_string())?;
    while began.elapsed() < limit && stream.write_all(&pings).is_ok() {}
    let code = socket.end()?;
    let waited = began.elapsed();
    victim.lives()?;
    expect(code == 1008 || code == 1006, format!("closed with {code}"))?;
    expect(waited < limit, "it could go on")?;
    Ok(format!("ended after {:.1} s", waited.as_secs_f64()))
}

fn pinned_requests(arena: &Arena) -> Told<String> {
    let hub = arena.hub(&[])?;
    let junk = "j".repeat(15_000_000);
    for _ in 0..10 {
        enqueue(&hub.address, "Pin", &format!(r#","Settings":{{}},"Junk":"{junk}""#))?;
    }
    Ok(format!("taken; {} MiB stay", hub.memory_kib()? / 1_024))
}

fn pinned_outcomes(arena: &Arena) -> Told<String> {
    let hub = arena.hub(&[])?;
    let mut worker = Socket::worker(&hub.address, "others", "Pin", 1)?;
    let junk = "j".repeat(4_000_000);
    for _ in 0..40 {
        enqueue(&hub.address, "Pin", "")?;
        let item = worker.hear("WorkItemHash")?;
        let hash = field(&item, "WorkItemHash");
        worker.say(&format!(
            r#"{{"Action":"WorkComplete","WorkItemHash":"{hash}","Outputs":{{"a":1}},"Log":[],"Junk":"{junk}"}}"#
        ))?;
    }
    let finished = || {
        let status = ask(&hub.address, "GET", "/Moorline/Status", "").unwrap_or_default();
        status.json()["Queue"]["Finished"] == 40
    };
    until("all have ended", Duration::from_secs(20), finished)?;
    Ok(format!("taken; {} MiB stay", hub.memory_kib()? / 1_024))
}

fn unread_stream(arena: &Arena) -> Told<String> {
    let hub = arena.hub(&[])?;
    let mut worker = Socket::worker(&hub.address, "others", "Pin", 4)?;
    let mut reader = connect(&hub.address)?;
    let body = r#"{"Capability":"Pin","Action":"Any","Settings":{},"TimeoutMs":60000}"#;
    let fields = [("host", hub.address.as_str())];
    let asked = request("POST", "/Beacon/Work/DispatchStream", &fields, body);
    reader.write_all(asked.as_bytes()).map_err(|e| e.to_string())?;
    let item = worker.hear("WorkItemHash")?;
    let hash = field(&item, "WorkItemHash");
    // 16 pieces of what a report may hold, so that nothing of it is left out.
    let line = "l".repeat(60_000);
    let lines = vec![format!("\"{line}\""); 17].join(",");
    for _ in 0..200 {
        worker.say(&format!(
            r#"{{"Action":"WorkProgress","WorkItemHash":"{hash}","ProgressData":{{"Percent":1,"Message":"{line}","Log":[{lines}]}}}}"#
        ))?;
    }
    worker.send(0x9, b"done")?;
    while worker.read()? != Said::Pong {}
    ask(&hub.address, "GET", "/status", "")?.expect(200)?;
    Ok(format!("all of it is heard; {} MiB stay", hub.memory_kib()? / 1_024))
}

fn unread_lists(arena: &Arena) -> Told<String> {
    let hub = arena.hub(&["--set", "enqueue_rate=0"])?;
    let more = format!(r#","Settings":{{"a":"{}"}}"#, "x".repeat(20_000));
    for _ in 0..1_500 {
        enqueue(&hub.address, "Pin", &more)?;
    }
    let fields = [("host", hub.address.as_str())];
    let asked = request("GET", "/Beacon/Work?settings=true", &fields, "");
    let mut readers: Vec<TcpStream> = Vec::new();
    for _ in 0..60 {
        let mut reader = connect(&hub.address)?;
        reader.write_all(asked.as_bytes()).map_err(|e| e.to_string())?;
        readers.push(reader);
    }
    let began = Instant::now();
    ask(&hub.address, "GET", "/status", "")?.expect(200)?;
    let waited = began.elapsed();
    expect(waited < Duration::from_secs(10), format!("silent for {waited:?}"))?;
    Ok(format!("others are answered after {:.1} s", waited.as_secs_f64()))
}

fn talks_and_never_pongs(arena: &Arena) -> Told<String> {
    let hub = arena.hub(&["--set", "ping_interval_ms=100"])?;
    let mut worker = Socket::worker(&hub.address, "others", "Pin", 1)?;
    let patience = Some(Duration::from_millis(20));
    worker.stream().set_read_timeout(patience).map_err(|e| e.to_string())?;
    let began = Instant::now();
    let (mut pings, mut is_over) = (0, false);
    while began.elapsed() < Duration::from_secs(3) && !is_over {
        is_over = worker.say(r#"{"Action":"BeaconHeartbeat"}"#).is_err();
        match worker.read() {
            Ok(Said::Ping) => pings += 1,
            Ok(Said::Close(_) | Said::End) => is_over = true,
            Ok(Said::Text(_) | Said::Pong) | Err(_) => {}
        }
    }
    expect(pings <= 31, format!("{pings} pings in 30 intervals"))?;
    expect(!is_over, "it talks, and is cut")?;
    hub.lives()?;
    Ok(format!("{pings} pings in 30 intervals, and nothing is kept of them"))
}

fn more_work_than_fits(arena: &Arena) -> Told<String> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(|e| e.to_string())?;
    let address = listener.local_addr().map_err(|e| e.to_string())?.to_string();
    // It says that it is ready when it is registered, which is only after we have let it in.
    let starts = {
        let listener = listener.try_clone().map_err(|e| e.to_string())?;
        thread::spawn(move || {
            let mut socket = Socket::accept(&listener)?;
            socket.hear("BeaconRegister")?;
            socket.say(r#"{"EventType":"BeaconRegistered","BeaconID":"bcn-1"}"#)?;
            Ok::<_, String>(socket)
        })
    };
    let worker = arena.own_worker(&address, &["--slots", "1"])?;
    let mut socket = starts.join().map_err(|_| "the hub panicked")??;
    let pad = "p".repeat(20_000);
    let reader = thread::spawn({
        let mut socket = socket.second()?;
        move || {
            let mut refused = 0;
            while refused < 1_000 {
                match socket.read() {
                    Ok(Said::Text(text)) => refused += text.matches("WorkError").count(),
                    Ok(Said::Ping | Said::Pong) => {}
                    Ok(Said::Close(_) | Said::End) | Err(_) => break,
                }
            }
            refused
        }
    });
    for number in 0..5_000 {
        socket.say(&format!(
            r#"{{"EventType":"WorkItem","WorkItem":{{"WorkItemHash":"wi-{number}","Capability":"Own","Action":"Hold","Settings":{{"Pad":"{pad}"}},"TimeoutMs":600000,"AttemptNumber":1}}}}"#
        ))?;
    }
    let refused = reader.join().map_err(|_| "the reader panicked")?;
    worker.lives()?;
    expect(refused >= 1_000, format!("{refused} were refused"))?;
    Ok("what does not fit is refused".to_owned())
}

fn logins(arena: &Arena) -> Told<String> {
    let config = "access = \"secured\"\nauth_join_secret = \"boot\"\nmax_queued = 10\n";
    let hub = arena.hub(&["--config", &arena.file("hub.toml", config)?])?;
    let mut auth = Socket::open(&hub.address, "/")?;
    auth.say(
        r#"{"Action":"BeaconRegister","Name":"auth","Capabilities":["Authentication"],"JoinSecret":"boot","MaxConcurrent":1000}"#,
    )?;
    auth.hear("BeaconRegistered")?;
    // 5 s without a decision; of 200 at once 10 wait.
    let asked: Vec<_> = (0..200)
        .map(|_| {
            let address = hub.address.clone();
            thread::spawn(move || log_in(&address))
        })
        .collect();
    let statuses: Vec<u16> = asked.into_iter().map(|it| it.join().unwrap_or_default()).collect();
    let waited = statuses.iter().filter(|status| **status != 429).count();
    expect(waited <= 10, format!("{waited} of 200 wait at once"))?;
    // An auth worker that says no at once.
    thread::spawn(move || {
        while let Ok(item) = auth.hear("WorkItemHash") {
            let hash = field(&item, "WorkItemHash");
            let no = format!(
                r#"{{"Action":"WorkComplete","WorkItemHash":"{hash}","Outputs":{{"Success":false}},"Log":[]}}"#
            );
            if auth.say(&no).is_err() {
                break;
            }
        }
    });
    let guesses = (0..200).filter(|_| log_in(&hub.address) != 429).count();
    expect(guesses <= 70, format!("{guesses} of 200 guesses are decided"))?;
    Ok(format!("{waited} of 200 wait at once, {guesses} of 200 guesses are decided"))
}

fn log_in(address: &str) -> u16 {
    let body = r#"{"UserName":"u","Password":"guess"}"#;
    ask(address, "POST", "/1.0/Authenticate", body).map_or(0, |answer| answer.status)
}

/// Slow readers of everything at once: results, and work.
///
/// # Errors
/// When the hub does not answer others any more.
pub fn slow_readers(arena: &Arena) -> Told<String> {
    let hub = arena.hub(&["--set", "enqueue_rate=0"])?;
    let mut quick = Socket::worker(&hub.address, "quick", "Large", 64)?;
    let outputs = format!(r#"{{"a":"{}"}}"#, "x".repeat(900_000));
    thread::spawn(move || {
        while let Ok(item) = quick.hear("WorkItemHash") {
            let hash = field(&item, "WorkItemHash");
            let done = format!(
                r#"{{"Action":"WorkComplete","WorkItemHash":"{hash}","Outputs":{outputs},"Log":[]}}"#
            );
            if quick.say(&done).is_err() {
                break;
            }
        }
    });
    // 150 callers that read nothing of results of 900 kB each: most of them find one that is there.
    let fields = [("host", hub.address.as_str())];
    let body = r#"{"Capability":"Large","Action":"Any","Settings":{},"TimeoutMs":30000}"#;
    let asked = request("POST", "/Beacon/Work/Dispatch", &fields, body);
    let mut readers: Vec<TcpStream> = Vec::new();
    for _ in 0..150 {
        let mut reader = connect(&hub.address)?;
        reader.write_all(asked.as_bytes()).map_err(|e| e.to_string())?;
        readers.push(reader);
    }
    // Workers that take 100 items of 250 kB each and read none of them.
    let more = format!(r#","Settings":{{"a":"{}"}}"#, "x".repeat(250_000));
    let mut slow = Vec::new();
    for number in 0..4 {
        slow.push(Socket::worker(&hub.address, &format!("slow{number}"), "Pin", 64)?);
    }
    for _ in 0..100 {
        // A full queue says so.
        ask(
            &hub.address,
            "POST",
            "/Beacon/Work/Enqueue",
            &format!(r#"{{"Capability":"Pin"{more}}}"#),
        )?;
    }
    ask(&hub.address, "GET", "/status", "")?.expect(200)?;
    hub.lives()?;
    Ok("others are answered".to_owned())
}

/// Half messages of workers: each has announced 15 MB and sent 12.
///
/// # Errors
/// When the hub does not answer others any more.
pub fn half_messages(arena: &Arena) -> Told<String> {
    let hub = arena.hub(&[])?;
    let mut said = frame(0x1, &vec![b'h'; 15_000_000], true);
    said.truncate(12_000_000);
    let mut held = Vec::new();
    for number in 0..24 {
        let socket = Socket::worker(&hub.address, &format!("half{number}"), "Pin", 1)?;
        // Whoever holds most is ended, in the middle of its words.
        let _ = socket.stream().write_all(&said);
        held.push(socket);
    }
    ask(&hub.address, "GET", "/status", "")?.expect(200)?;
    hub.lives()?;
    Ok(format!("{} workers have begun", held.len()))
}
