//! What idle consumers weigh.

use std::ffi::OsStr;
use std::thread;
use std::time::Duration;

use super::Setting;
use super::servers::Server;
use crate::OTHER;
use crate::idle::settled;
use crate::process::{Failure, Process};
use crate::stats::Samples;

/// So many consumers are there before anything is measured.
const BEFORE: usize = 100;
/// So many are added, one number after the other.
pub(super) const CONSUMERS: [usize; 2] = [1_000, 10_000];
/// Memory varies less than time.
const ROUNDS: usize = 3;
const SERVERS: [Server; 4] = [Server::Bun, Server::Rust, Server::Node, Server::Ws];
/// Who holds its consumers for long.
pub(super) const HOLDING: [Server; 2] = [Server::Rust, Server::Node];
/// How often memory is looked at while they do.
const SAMPLES: u32 = 20;

/// What one server came to: bytes for each consumer, for each number of consumers.
pub(super) struct Row {
    pub(super) server: Server,
    pub(super) each: [Samples; CONSUMERS.len()],
}

/// Measures every server in turn.
pub(super) fn measure(setting: &Setting) -> Result<Vec<Row>, Failure> {
    let mut rows = SERVERS.map(|server| Row { server, each: Default::default() });
    for round in 1..=setting.rounds.min(ROUNDS) {
        println!("idle consumers, round {round} of {}", setting.rounds.min(ROUNDS));
        for row in &mut rows {
            let (process, port) = row.server.start(setting)?;
            let mut idle = vec![connect(&port, BEFORE)?];
            let before = settled(&process)?;
            let mut present = 0;
            for (consumers, samples) in CONSUMERS.iter().zip(&mut row.each) {
                idle.push(connect(&port, consumers - present)?);
                present = *consumers;
                samples.push((settled(&process)? - before) / *consumers as f64);
            }
        }
    }
    Ok(rows.into())
}

/// Connects consumers that stay until the process is dropped.
fn connect(port: &str, consumers: usize) -> Result<Process, Failure> {
    let program = std::env::current_exe()?.into_os_string();
    let consumers = consumers.to_string();
    let words = ["member", "idle", port, &consumers].map(OsStr::new);
    let words: Vec<_> = std::iter::once(program.as_os_str()).chain(words).collect();
    let (process, line) = Process::start_and_read(OTHER, &words)?;
    if line == "connected" { Ok(process) } else { Err(line.into()) }
}

/// Memory of servers that hold many idle consumers: the time in seconds, and bytes of each server.
pub(super) type Held = Vec<(f64, [f64; HOLDING.len()])>;

/// Holds consumers for as many minutes as rounds times seconds, both servers at once.
pub(super) fn hold(setting: &Setting) -> Result<Held, Failure> {
    let [_, most] = CONSUMERS;
    let mut servers = Vec::new();
    for server in HOLDING {
        let (process, port) = server.start(setting)?;
        let idle = connect(&port, most)?;
        servers.push((process, idle));
    }
    let minutes = setting.rounds as f64 * setting.seconds;
    let step = Duration::from_secs_f64(minutes * 60.0 / f64::from(SAMPLES));
    let mut held = Vec::new();
    for sample in 0..=SAMPLES {
        if sample > 0 {
            thread::sleep(step);
        }
        let mut memory = [0.0; HOLDING.len()];
        for ((server, idle), bytes) in servers.iter_mut().zip(&mut memory) {
            idle.is_there()?;
            *bytes = server.memory()?;
        }
        let seconds = step.as_secs_f64() * f64::from(sample);
        println!("{seconds:.0} s: {:.1} MB", memory.iter().sum::<f64>() / 1e6);
        held.push((seconds, memory));
    }
    Ok(held)
}
