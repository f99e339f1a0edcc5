//! A bare control plane: hands items to one worker over WebSocket and counts what comes back.
//!
//! It speaks the peers' wire without our extensions, keeps a fixed number of items in flight and does
//! nothing else, so that what is measured is the worker.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use tokio_tungstenite::tungstenite::{self, Message, WebSocket};

use crate::process::{Failure, Process};

/// What one run measured.
pub(crate) struct Exchange {
    pub(crate) items_per_second: f64,
    pub(crate) cpu_per_item: f64,
}

/// Keeps `in_flight` items at the worker: first to warm up, then measured.
pub(crate) fn exchange(
    listener: &TcpListener,
    worker: &Process,
    in_flight: usize,
    warm_up: Duration,
    measured: Duration,
) -> Result<Exchange, Failure> {
    let mut link = Link::accept(listener)?;
    link.send(in_flight)?;
    let begin = Instant::now();
    while begin.elapsed() < warm_up {
        link.turn()?;
    }
    let (begin, cpu, before) = (Instant::now(), worker.cpu()?, link.completed);
    while begin.elapsed() < measured {
        link.turn()?;
    }
    let seconds = begin.elapsed().as_secs_f64();
    let cpu = worker.cpu()? - cpu;
    let items = (link.completed - before) as f64;
    Ok(Exchange { items_per_second: items / seconds, cpu_per_item: cpu / items })
}

struct Link {
    socket: WebSocket<TcpStream>,
    sent: u64,
    completed: u64,
}

impl Link {
    /// Lets a worker log in, connect and register.
    fn accept(listener: &TcpListener) -> Result<Self, Failure> {
        loop {
            let (mut stream, _) = listener.accept()?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(Duration::from_secs(20)))?;
            let mut start = [0; 4];
            while stream.peek(&mut start)? < start.len() {}
            if &start == b"POST" {
                answer_login(&mut stream)?;
                continue;
            }
            let mut socket = tungstenite::accept(stream)?;
            loop {
                let message = socket.read()?;
                if message.is_text() && message.to_text()?.contains("\"BeaconRegister\"") {
                    break;
                }
            }
            socket.send(Message::text(r#"{"EventType":"BeaconRegistered","BeaconID":"bcn-1"}"#))?;
            return Ok(Self { socket, sent: 0, completed: 0 });
        }
    }

    /// Waits for something, reads all that is there, replaces what was completed.
    fn turn(&mut self) -> Result<(), Failure> {
        let mut done = usize::from(completes(&self.socket.read()?)?);
        self.socket.get_mut().set_nonblocking(true)?;
        loop {
            match self.socket.read() {
                Ok(message) => done += usize::from(completes(&message)?),
                Err(tungstenite::Error::Io(e)) if e.kind() == ErrorKind::WouldBlock => break,
                Err(e) => return Err(e.into()),
            }
        }
        self.socket.get_mut().set_nonblocking(false)?;
        self.completed += done as u64;
        self.send(done)
    }

    fn send(&mut self, count: usize) -> Result<(), Failure> {
        for _ in 0..count {
            self.sent += 1;
            let number = self.sent;
            self.socket.write(Message::text(format!(
                r#"{{"EventType":"WorkItem","WorkItem":{{"WorkItemHash":"wi-unknown-unknown-1795246516776-{number}","RunID":"","Capability":"Bench","Action":"Echo","Settings":{{"Text":"hello","QueueMetadata":{{}}}},"OperationHash":"","TimeoutMs":60000,"AttemptNumber":1,"QueueMetadata":{{"RunID":"","WorkItemHash":"wi-unknown-unknown-1795246516776-{number}","EnqueuedAt":"2026-01-01T00:00:00.000Z","DispatchedAt":"2026-01-01T00:00:00.010Z","QueueWaitMs":10,"AttemptNumber":1,"HubInstanceID":""}}}}}}"#
            )))?;
        }
        self.socket.flush()?;
        Ok(())
    }
}

fn completes(message: &Message) -> Result<bool, Failure> {
    let Message::Text(text) = message else { return Ok(false) };
    if text.contains("\"WorkError\"") {
        return Err(format!("the worker failed: {text}").into());
    }
    Ok(text.contains("\"WorkComplete\""))
}

/// Reads one request to its end and refuses the login, as an open control plane does.
fn answer_login(stream: &mut TcpStream) -> Result<(), Failure> {
    let mut request = Vec::new();
    let mut part = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&request).to_lowercase();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
            let whole = length.map_or_else(
                || body.ends_with("0\r\n\r\n"),
                |length| body.len() >= length.trim().parse().unwrap_or(0),
            );
            if whole {
                break;
            }
        }
        let count = stream.read(&mut part)?;
        if count == 0 {
            return Err("a login ended early".into());
        }
        request.extend(part.iter().take(count));
    }
    let body = r#"{"LoggedIn":false,"Error":"Authentication failed."}"#;
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )?;
    Ok(())
}
