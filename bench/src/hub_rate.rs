//! (b) Items per second end to end through our hub: dispatch over HTTP, worker over WebSocket, reply.

use std::ffi::OsString;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::process::{Failure, Process};
use crate::stats::Samples;
use crate::{MEASURED, OTHER, Setting};

/// How many dispatchers wait for an answer at once.
pub(crate) const CONNECTIONS: [usize; 3] = [1, 16, 64];

/// What one store came to with one number of connections.
pub(crate) struct Row {
    pub(crate) disk: bool,
    pub(crate) connections: usize,
    pub(crate) items_per_second: Samples,
    /// Of the hub, in microseconds.
    pub(crate) cpu_per_item: Samples,
}

/// Runs every setting in turn, round by round.
pub(crate) fn measure(setting: &Setting) -> Result<Vec<Row>, Failure> {
    let mut rows: Vec<Row> = CONNECTIONS
        .iter()
        .flat_map(|&connections| {
            [false, true].map(|disk| Row {
                disk,
                connections,
                items_per_second: Samples::default(),
                cpu_per_item: Samples::default(),
            })
        })
        .collect();
    for round in 1..=setting.rounds {
        println!("hub, round {round} of {}", setting.rounds);
        for row in &mut rows {
            one(row, setting)?;
        }
    }
    Ok(rows)
}

fn one(row: &mut Row, setting: &Setting) -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let store = if row.disk { folder.path().join("hub.db").into_os_string() } else { "".into() };
    let program = std::env::current_exe()?.into_os_string();
    let (hub, address) =
        Process::start_and_read(MEASURED, &[&program, "hub".as_ref(), store.as_os_str()])?;
    let url = OsString::from(format!("http://{address}"));
    let words = [&program, &OsString::from("worker"), &url, &OsString::from("256")];
    let words = words.map(OsString::as_os_str);
    let (_worker, _) = Process::start_and_read(OTHER, &words)?;

    let stop = Arc::new(AtomicBool::new(false));
    let answered = Arc::new(AtomicU64::new(0));
    let threads: Vec<_> = (0..row.connections)
        .map(|_| {
            let (address, stop, answered) = (address.clone(), stop.clone(), answered.clone());
            thread::spawn(move || dispatch(&address, &stop, &answered))
        })
        .collect();
    thread::sleep(Duration::from_millis(500));
    let (begin, before, cpu) = (Instant::now(), answered.load(Ordering::Relaxed), hub.cpu()?);
    thread::sleep(setting.measured());
    let seconds = begin.elapsed().as_secs_f64();
    let items = (answered.load(Ordering::Relaxed) - before) as f64;
    let cpu = hub.cpu()? - cpu;
    stop.store(true, Ordering::Relaxed);
    for thread in threads {
        thread.join().map_err(|_| "a dispatcher panicked")??;
    }
    row.items_per_second.push(items / seconds);
    row.cpu_per_item.push(cpu / items * 1e6);
    Ok(())
}

/// One dispatcher on one kept-alive connection.
fn dispatch(address: &str, stop: &AtomicBool, answered: &AtomicU64) -> Result<(), Failure> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    let mut output = stream.try_clone()?;
    let mut input = BufReader::new(stream);
    let body =
        r#"{"Capability":"Bench","Action":"Echo","Settings":{"Text":"hello"},"TimeoutMs":20000}"#;
    let request = format!(
        "POST /Beacon/Work/Dispatch HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut line = String::new();
    let mut answer = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        output.write_all(request.as_bytes())?;
        let mut length = 0;
        let mut status = String::new();
        loop {
            line.clear();
            input.read_line(&mut line)?;
            if status.is_empty() {
                status.clone_from(&line);
            }
            let field = line.trim_end().to_ascii_lowercase();
            if let Some(value) = field.strip_prefix("content-length:") {
                length = value.trim().parse()?;
            }
            if field.is_empty() {
                break;
            }
        }
        answer.resize(length, 0);
        input.read_exact(&mut answer)?;
        if !status.contains(" 200 ") {
            return Err(format!("{}: {}", status.trim(), String::from_utf8_lossy(&answer)).into());
        }
        answered.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}
