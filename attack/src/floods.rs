//! K5: floods of our own making.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use crate::process::Arena;
use crate::wire::{Said, Socket};
use crate::{Attack, Told, expect, until};

/// The attacks of this kind.
pub const ATTACKS: &[Attack] = &[
    Attack {
        entry: "K5.1",
        what: "16 results of 1 MiB to a hub of others that answers pings late",
        memory_mib: 110,
        seconds: 20,
        is_short: true,
        run: pings_for_results,
    },
    Attack {
        entry: "K5.2",
        what: "a backoff from 1 ms by 150 % at a hub that hangs up",
        memory_mib: 60,
        seconds: 15,
        is_short: false,
        run: backoff_that_grows,
    },
    Attack {
        entry: "K5.2",
        what: "a backoff of 10 s spread by 20 %",
        memory_mib: 60,
        seconds: 15,
        is_short: false,
        run: backoff_within_its_cap,
    },
    Attack {
        entry: "K5.3",
        what: "a worker that was started 2 s before its hub",
        memory_mib: 60,
        seconds: 15,
        is_short: false,
        run: worker_before_hub,
    },
];

fn pings_for_results(arena: &Arena) -> Told<String> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(|e| e.to_string())?;
    let address = listener.local_addr().map_err(|e| e.to_string())?.to_string();
    let starts = thread::spawn(move || {
        let mut socket = Socket::accept(&listener)?;
        socket.hear("BeaconRegister")?;
        socket.say(r#"{"EventType":"BeaconRegistered","BeaconID":"bcn-1"}"#)?;
        Ok::<_, String>(socket)
    });
    let _worker = arena.own_worker(&address, &[])?;
    let mut socket = starts.join().map_err(|_| "the hub panicked")??;
    for number in 0..16 {
        socket.say(&format!(
            r#"{{"EventType":"WorkItem","WorkItem":{{"WorkItemHash":"wi-{number}","Capability":"Own","Action":"Fill","Settings":{{"Bytes":1048576}},"TimeoutMs":60000,"AttemptNumber":1}}}}"#
        ))?;
    }
    let waiting = Arc::new(AtomicUsize::new(0));
    let (mut answers, unanswered) = (socket.second()?, Arc::clone(&waiting));
    let (late, asked) = channel::<Vec<u8>>();
    thread::spawn(move || {
        // Late, so that what comes meanwhile is seen.
        while let Ok(payload) = asked.recv() {
            thread::sleep(Duration::from_millis(50));
            unanswered.store(0, Ordering::Relaxed);
            if answers.send(0xa, &payload).is_err() {
                break;
            }
        }
    });
    let (mut results, mut most) = (0, 0);
    while results < 16 {
        match socket.read()? {
            Said::Text(text) if text.contains("WorkComplete") => results += 1,
            Said::Text(_) | Said::Pong => {}
            Said::Ping => {
                most = most.max(waiting.fetch_add(1, Ordering::Relaxed) + 1);
                late.send(socket.pinged()).map_err(|_| "nobody answers pings")?;
            }
            Said::Close(code) => return Err(format!("closed with {code}")),
            Said::End => return Err("the worker hung up".to_owned()),
        }
    }
    expect(most <= 1, format!("{most} pings wait for an answer"))?;
    Ok(format!("{results} results come, {most} ping waits for an answer at most"))
}

fn backoff_that_grows(arena: &Arena) -> Told<String> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(|e| e.to_string())?;
    let address = listener.local_addr().map_err(|e| e.to_string())?.to_string();
    let attempts = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&attempts);
    thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            counted.fetch_add(1, Ordering::Relaxed);
            drop(stream);
        }
    });
    let more = ["reconnect.base_delay_ms=1", "reconnect.growth_percent=150"];
    let more: Vec<&str> = more.iter().flat_map(|it| ["--set", it]).collect();
    let worker = arena.worker(&address, &more)?;
    let began = Instant::now();
    until("it tries", Duration::from_secs(5), || attempts.load(Ordering::Relaxed) > 0)?;
    // A delay that stays at 1 ms makes thousands of attempts.
    let _ = until("too many", Duration::from_secs(3), || attempts.load(Ordering::Relaxed) > 100);
    let attempts = attempts.load(Ordering::Relaxed);
    worker.lives()?;
    expect(attempts <= 100, format!("{attempts} attempts in {:?}", began.elapsed()))?;
    Ok(format!("{attempts} attempts in 3 s"))
}

fn backoff_within_its_cap(arena: &Arena) -> Told<String> {
    let more = ["reconnect.base_delay_ms=10000", "reconnect.max_delay_ms=10000"];
    let more: Vec<&str> = more.iter().flat_map(|it| ["--set", it]).collect();
    let mut longest = 0;
    for _ in 0..8 {
        let worker = arena.worker("127.0.0.1:1", &more)?;
        let line = worker.log.wait("retry_ms=", Duration::from_secs(5))?;
        let delay = line.split("retry_ms=").nth(1).unwrap_or_default();
        let delay: String = delay.chars().take_while(char::is_ascii_digit).collect();
        longest = longest.max(delay.parse::<u64>().map_err(|e| format!("{line}: {e}"))?);
    }
    expect(longest <= 10_000, format!("a delay of {longest} ms"))?;
    Ok(format!("the longest of 8 delays is {longest} ms"))
}

fn worker_before_hub(arena: &Arena) -> Told<String> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(|e| e.to_string())?;
    let address = listener.local_addr().map_err(|e| e.to_string())?.to_string();
    drop(listener);
    let worker = arena.worker(&address, &[])?;
    worker.log.wait("link lost", Duration::from_secs(5))?;
    thread::sleep(Duration::from_secs(2));
    let _hub = arena.hub_at(&address, &[])?;
    let began = Instant::now();
    worker.log.wait("registered", Duration::from_secs(10))?;
    let waited = began.elapsed();
    expect(waited < Duration::from_secs(5), format!("there after {waited:?}"))?;
    Ok(format!("there {:.1} s after the hub", waited.as_secs_f64()))
}
