//! A fast control plane: speaks just enough of the protocol over WebSocket to let daemons register, and
//! then does one thing. It runs as a process of its own and prints its address first.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use clap::Subcommand;

use super::link::{Link, Output};
use crate::process::Failure;

/// What it does with a daemon once it has registered.
#[derive(Clone, Copy, Subcommand)]
pub(crate) enum Duty {
    /// Answer every command.
    Answer,
    /// Keep so many commands at the daemon.
    Command { in_flight: usize },
    /// Take so many commands, answer none, cut the connection and print when.
    Cut { commands: usize },
    /// Send so many messages without a pause each time the daemon sends one.
    Flood { messages: usize },
    /// Send a ping each so many milliseconds, so many times, and print when it was answered.
    Ping { period_ms: u64, count: u32 },
    /// Echo lines: no protocol at all.
    Lines,
}

const MESSAGE: &[u8] = br#"42["team-cluster-daemon:message","#;
const ID: usize = 36;

/// Serves until the process is ended.
pub(crate) fn serve(duty: Duty) -> Result<(), Failure> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept()?;
        thread::spawn(move || {
            if let Err(e) = one(stream, duty) {
                eprintln!("responder: {e}");
            }
        });
    }
}

fn one(stream: TcpStream, duty: Duty) -> Result<(), Failure> {
    if matches!(duty, Duty::Lines) {
        return echo(stream);
    }
    let mut link = Link::open(stream)?;
    let period = if let Duty::Ping { .. } = duty { 600_000 } else { 25_000 };
    let open = format!(
        r#"0{{"sid":"bench","upgrades":[],"pingInterval":{period},"pingTimeout":60000,"maxPayload":10000000}}"#
    );
    link.output.say(&[open.as_bytes()]);
    link.flush()?;
    let mut registered = false;
    while !registered {
        let open = link.read(None, |frame, output| {
            if frame.starts_with(b"40") {
                output.say(&[br#"40{"sid":"bench"}"#]);
            } else if contains(frame, b":register\"") {
                registered = true;
                output.say(&[br#"42["team-cluster-daemon:registered",{"teamClusterId":"bench"}]"#]);
            }
        })?;
        if !open {
            return Ok(());
        }
    }
    match duty {
        Duty::Answer => while link.read(None, answer)? {},
        Duty::Command { in_flight } => command(&mut link, in_flight)?,
        Duty::Cut { commands } => cut(&mut link, commands)?,
        Duty::Flood { messages } => flood(&mut link, messages)?,
        Duty::Ping { period_ms, count } => ping(&mut link, period_ms, count)?,
        Duty::Lines => {}
    }
    Ok(())
}

/// Returns the identifier of a command of the daemon.
fn request_id(frame: &[u8]) -> Option<&[u8]> {
    let head = MESSAGE.len() + br#"{"type":"command","requestId":""#.len();
    let found = frame.get(MESSAGE.len()..)?.starts_with(br#"{"type":"command""#);
    found.then(|| frame.get(head..head + ID))?
}

fn answer(frame: &[u8], output: &mut Output) {
    if let Some(id) = request_id(frame) {
        output.say(&[
            MESSAGE,
            br#"{"type":"response","requestId":""#,
            id,
            br#"","ok":true,"status":200,"data":{"status":"success","data":{"jobs":[{"id":"j-12345","state":"running"}],"total":1}}}]"#,
        ]);
    }
}

fn command(link: &mut Link, in_flight: usize) -> Result<(), Failure> {
    let mut number = 0_u64;
    let mut next = move |output: &mut Output| {
        number += 1;
        let id = format!("00000000-0000-4000-8000-{number:012}");
        output.say(&[
            MESSAGE,
            br#"{"type":"command","requestId":""#,
            id.as_bytes(),
            br#"","command":"bench.echo","responseType":"json","payload":{"job":"j-12345","page":1,"filter":"running"}}]"#,
        ]);
    };
    for _ in 0..in_flight {
        next(&mut link.output);
    }
    link.flush()?;
    while link.read(None, |frame, output| {
        answer(frame, output);
        if contains(frame.get(..64).unwrap_or_default(), br#""type":"response""#) {
            next(output);
        }
    })? {}
    Ok(())
}

fn cut(link: &mut Link, commands: usize) -> Result<(), Failure> {
    let mut taken = 0;
    while taken < commands {
        let open = link.read(None, |frame, output| {
            if contains(frame, br#""runtime.heartbeat""#) {
                answer(frame, output);
            } else {
                taken += usize::from(request_id(frame).is_some());
            }
        })?;
        if !open {
            return Ok(());
        }
    }
    // Whoever sent the last one is waiting by now.
    thread::sleep(Duration::from_millis(50));
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64() * 1e3;
    link.cut()?;
    println!("{now:.3}");
    Ok(())
}

fn flood(link: &mut Link, messages: usize) -> Result<(), Failure> {
    loop {
        let mut asked = false;
        let open = link.read(None, |frame, output| {
            answer(frame, output);
            asked |= contains(frame, br#""type":"more""#);
        })?;
        if !open {
            return Ok(());
        }
        if asked {
            for number in 0..messages {
                let text = format!(
                    r#"{{"type":"session-input","sessionId":"s-0001","chunkBase64":"bHMgLWxhCg==","isBinary":false,"n":{}}}]"#,
                    100_000 + number
                );
                link.output.say(&[MESSAGE, text.as_bytes()]);
            }
            link.flush()?;
        }
    }
}

/// Pings in a fixed rhythm and tells when each was answered, in milliseconds since the first ping.
fn ping(link: &mut Link, period_ms: u64, count: u32) -> Result<(), Failure> {
    let period = Duration::from_millis(period_ms);
    let begin = Instant::now();
    let mut pongs = Vec::new();
    for number in 0..count {
        link.output.say(&[b"2"]);
        link.flush()?;
        let next = begin + period * (number + 1);
        while let Some(left) = next.checked_duration_since(Instant::now()).filter(|t| !t.is_zero())
        {
            let open = link.read(Some(left), |frame, output| {
                answer(frame, output);
                if frame == b"3" {
                    pongs.push(format!("{:.3}", begin.elapsed().as_secs_f64() * 1e3));
                }
            })?;
            if !open {
                break;
            }
        }
    }
    println!("[{}]", pongs.join(","));
    while link.read(None, answer)? {}
    Ok(())
}

fn echo(mut stream: TcpStream) -> Result<(), Failure> {
    stream.set_nodelay(true)?;
    let mut part = vec![0; 64 * 1024];
    loop {
        let count = stream.read(&mut part)?;
        if count == 0 {
            return Ok(());
        }
        stream.write_all(part.get(..count).unwrap_or_default())?;
    }
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}
