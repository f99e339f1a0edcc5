//! What keeps servers busy, or connected: frames by hand, as cheap as can be.

use std::cell::{Cell, RefCell};
use std::io::ErrorKind;
use std::rc::Rc;
use std::time::{Duration, Instant};

use clap::Args;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, Interest};
use tokio::net::TcpStream;
use tokio::task::{LocalSet, spawn_local};

use super::servers::runtime;
use crate::process::{Failure, cpu};

/// Messages that are kept at a server.
#[derive(Args, Clone, Copy)]
pub(crate) struct Load {
    /// The server's port.
    pub(super) port: u16,
    /// The server's process.
    pub(super) process: u32,
    /// How many connections there are.
    pub(super) consumers: usize,
    /// How long a message is, in bytes.
    pub(super) size: usize,
    /// How many messages of each connection are on their way.
    pub(super) in_flight: usize,
    /// Milliseconds before the measurement.
    pub(super) warm_ms: u64,
    /// Milliseconds that are measured.
    pub(super) measure_ms: u64,
    /// Speaks no WebSocket.
    #[arg(long)]
    pub(super) bare: bool,
}

/// The most reads of a connection before others get their turn.
const READS: usize = 16;

/// The fewest messages that say anything, and how long they are waited for.
const LEAST: usize = 100;
const PATIENCE: Duration = Duration::from_secs(20);

/// What masks the frames.
const KEY: [u8; 4] = [0x11, 0x22, 0x33, 0x44];

/// Keeps the messages at the server and prints what came of it.
pub(super) fn run(load: Load) -> Result<(), Failure> {
    LocalSet::new().block_on(&runtime()?, async {
        let text = vec![b'x'; load.size];
        let message = if load.bare { text } else { masked(1, &text) };
        let exchange = Exchange {
            length: message.len(),
            // Wherever the next byte stands in a message, as many as may be owed follow.
            messages: message.repeat(load.in_flight + 1),
            input: RefCell::new(vec![0; 256 * 1024]),
            done: Cell::new(0),
            failure: RefCell::new(None),
        };
        let exchange = Rc::new(exchange);
        let mut links = Vec::new();
        for _ in 0..load.consumers {
            let mut frames = Frames::new(load);
            let (socket, early) = connect(load.port, load.bare).await?;
            frames.take(&early)?;
            links.push((socket, frames));
        }
        for (socket, frames) in links {
            let exchange = Rc::clone(&exchange);
            spawn_local(async move {
                let owed = exchange.length * load.in_flight;
                if let Err(e) = exchange.keep_up(&socket, frames, owed).await {
                    exchange.failure.borrow_mut().get_or_insert(e);
                }
            });
        }
        tokio::time::sleep(Duration::from_millis(load.warm_ms)).await;
        // Much that is on its way takes its time to come round once.
        exchange.reach(load.consumers * load.in_flight).await;
        let process = load.process.to_string();
        let (begin, used, before) = (Instant::now(), cpu(&process)?, exchange.done.get());
        tokio::time::sleep(Duration::from_millis(load.measure_ms)).await;
        exchange.reach(usize::try_from(before)? + LEAST).await;
        let done = exchange.done.get() - before;
        if let Some(failure) = exchange.failure.take() {
            return Err(failure);
        }
        println!(
            r#"{{"done":{done},"seconds":{},"cpu":{}}}"#,
            begin.elapsed().as_secs_f64(),
            cpu(&process)? - used
        );
        Ok(())
    })
}

/// What all connections share.
struct Exchange {
    messages: Vec<u8>,
    length: usize,
    input: RefCell<Vec<u8>>,
    done: Cell<u64>,
    failure: RefCell<Option<Failure>>,
}

impl Exchange {
    /// Waits until so many messages have come back, or for long enough.
    async fn reach(&self, count: usize) {
        let begin = Instant::now();
        while self.done.get() < count as u64 && begin.elapsed() < PATIENCE {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Sends a message for each that comes back; `owed` bytes to begin with.
    async fn keep_up(
        &self,
        socket: &TcpStream,
        mut frames: Frames,
        mut owed: usize,
    ) -> Result<(), Failure> {
        let mut at = 0;
        loop {
            while owed > 0 {
                match socket.try_write(self.messages.get(at..at + owed).unwrap_or_default()) {
                    Ok(written) => {
                        owed -= written;
                        at = (at + written) % self.length;
                    }
                    Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                    Err(e) => return Err(e.into()),
                }
            }
            let write = if owed > 0 { Interest::WRITABLE } else { Interest::READABLE };
            socket.ready(Interest::READABLE | write).await?;
            for _ in 0..READS {
                let mut input = self.input.borrow_mut();
                let count = match socket.try_read(&mut input) {
                    Ok(0) => return Err("the server ended a connection".into()),
                    Ok(count) => count,
                    Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                    Err(e) => return Err(e.into()),
                };
                let whole = frames.take(input.get(..count).unwrap_or_default())?;
                self.done.set(self.done.get() + whole as u64);
                owed += whole * self.length;
            }
        }
    }
}

/// Counts the messages that come back; whatever else a server says is passed over.
struct Frames {
    bare: bool,
    size: usize,
    head: Vec<u8>,
    /// What is still to come of a payload, or of a message without frames has come.
    left: usize,
    counts: bool,
}

impl Frames {
    fn new(load: Load) -> Self {
        Self { bare: load.bare, size: load.size, head: Vec::new(), left: 0, counts: false }
    }

    /// Returns how many messages these bytes complete.
    fn take(&mut self, mut bytes: &[u8]) -> Result<usize, Failure> {
        if self.bare {
            let all = self.left + bytes.len();
            self.left = all % self.size;
            return Ok(all / self.size);
        }
        let mut whole = 0;
        loop {
            let (payload, rest) = bytes.split_at(self.left.min(bytes.len()));
            self.left -= payload.len();
            if self.left == 0 && std::mem::take(&mut self.counts) {
                whole += 1;
            }
            let [first, rest @ ..] = rest else { return Ok(whole) };
            bytes = rest;
            self.head.push(*first);
            let Some((opcode, length)) = read_head(&self.head) else { continue };
            if opcode == 8 {
                return Err("the server closed a connection".into());
            }
            self.head.clear();
            self.left = length;
            self.counts = length == self.size;
        }
    }
}

/// Reads opcode and length of an unmasked frame, if its head is whole.
fn read_head(head: &[u8]) -> Option<(u8, usize)> {
    let [first, short, long @ ..] = head else { return None };
    let wanted = match short {
        126 => 2,
        127 => 8,
        _ => return Some((first & 0x0f, usize::from(*short))),
    };
    let length = long.iter().fold(0, |length, byte| (length << 8) | usize::from(*byte));
    (long.len() == wanted).then_some((first & 0x0f, length))
}

/// Writes a frame of a client.
fn masked(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x80 | opcode];
    match payload.len() {
        short @ 0..126 => frame.push(0x80 | u8::try_from(short).unwrap_or_default()),
        middle @ 126..65_536 => {
            frame.push(0xfe);
            frame.extend(u16::try_from(middle).unwrap_or_default().to_be_bytes());
        }
        long => {
            frame.push(0xff);
            frame.extend((long as u64).to_be_bytes());
        }
    }
    frame.extend(KEY);
    frame.extend(payload.iter().zip(KEY.iter().cycle()).map(|(byte, key)| byte ^ key));
    frame
}

/// Connects; returns the socket and what came behind the answer.
async fn connect(port: u16, bare: bool) -> Result<(TcpStream, Vec<u8>), Failure> {
    let mut socket = TcpStream::connect(("127.0.0.1", port)).await?;
    socket.set_nodelay(true)?;
    if bare {
        return Ok((socket, Vec::new()));
    }
    let request = format!(
        "GET /connect HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    socket.write_all(request.as_bytes()).await?;
    let mut answer = Vec::with_capacity(512);
    loop {
        if socket.read_buf(&mut answer).await? == 0 {
            return Err("the server ended a handshake".into());
        }
        if let Some(end) = answer.windows(4).position(|window| window == b"\r\n\r\n") {
            let early = answer.split_off(end + 4);
            if answer.starts_with(b"HTTP/1.1 101 ") {
                return Ok((socket, early));
            }
            return Err(format!("no upgrade: {}", String::from_utf8_lossy(&answer)).into());
        }
    }
}

/// Connects consumers that answer what they are asked and nothing else, until the process is ended.
pub(super) fn idle(port: u16, consumers: usize) -> Result<(), Failure> {
    LocalSet::new().block_on(&runtime()?, async {
        let mut living = tokio::task::JoinSet::new();
        for _ in 0..consumers {
            let (socket, early) = connect(port, false).await?;
            living.spawn_local(live(socket, early));
        }
        println!("connected");
        match living.join_next().await {
            Some(end) => end?,
            None => Ok(()),
        }
    })
}

/// Answers pings of both kinds.
async fn live(mut socket: TcpStream, mut input: Vec<u8>) -> Result<(), Failure> {
    loop {
        while let Some((opcode, length)) = input.get(..2).and_then(read_head)
            && input.len() >= 2 + length
        {
            let rest = input.split_off(2 + length);
            let frame = std::mem::replace(&mut input, rest);
            let payload = frame.get(2..).unwrap_or_default();
            match opcode {
                1 if payload == b"PING" => socket.write_all(&masked(1, b"PONG")).await?,
                8 => return Err("the server closed a connection".into()),
                9 => socket.write_all(&masked(10, payload)).await?,
                _ => {}
            }
        }
        if socket.read_buf(&mut input).await? == 0 {
            return Err("the server ended a connection".into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_counted_however_they_are_cut() {
        let load = Load {
            port: 0,
            process: 0,
            consumers: 1,
            size: 200,
            in_flight: 1,
            warm_ms: 0,
            measure_ms: 0,
            bare: false,
        };
        let mut bytes = vec![0x81, 3, b'a', b'b', b'c', 0x89, 0];
        for _ in 0..3 {
            bytes.extend([0x81, 126, 0, 200]);
            bytes.extend([b'x'; 200]);
        }
        for size in [1, 2, 7, 1_000] {
            let mut frames = Frames::new(load);
            let counts = bytes.chunks(size).map(|part| frames.take(part).unwrap());
            assert_eq!(counts.sum::<usize>(), 3, "{size}");
        }
        let mut frames = Frames::new(Load { bare: true, ..load });
        assert_eq!([150, 150, 300].map(|size| frames.take(&vec![0; size]).unwrap()), [0, 1, 2]);
        assert!(Frames::new(load).take(&[0x88, 0]).is_err());
    }
}
