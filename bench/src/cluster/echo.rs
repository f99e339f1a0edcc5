//! Messages that come back: what they cost a server, and what they cost consumers.

use std::ffi::{OsStr, OsString};
use std::time::Duration;

use serde_json::Value;

use super::Setting;
use super::servers::{Server, echoing, runtime};
use crate::process::{Failure, Process};
use crate::stats::Samples;
use crate::{MEASURED, OTHER};

/// How many consumers a server has.
pub(super) const CONSUMERS: [usize; 4] = [1, 10, 100, 1_000];
/// How many consumers a process has.
pub(super) const OF_A_PROCESS: [usize; 2] = [1, 100];
/// Bytes of a message.
pub(super) const SIZES: [usize; 2] = [100, 16_384];
/// How many messages of each consumer are on their way.
pub(super) const IN_FLIGHT: [usize; 2] = [1, 32];

const WARM_MS: u64 = 200;
/// Consumers in Node are compiled first.
const WARM_NODE_MS: u64 = 500;

/// A cell of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cell {
    pub(super) size: usize,
    pub(super) in_flight: usize,
    pub(super) consumers: usize,
}

/// What one contestant came to in one cell.
pub(super) struct Row<Contestant> {
    pub(super) contestant: Contestant,
    pub(super) cell: Cell,
    pub(super) per_second: Samples,
    /// In microseconds.
    pub(super) cpu: Samples,
}

/// Consumers that are measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Consumers {
    Node,
    Ws,
}

impl Consumers {
    pub(super) const ALL: [Self; 2] = [Self::Ws, Self::Node];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Node => "Moorline's consumers, Node",
            Self::Ws => "`ws` by hand, Node",
        }
    }
}

fn rows<Contestant: Copy>(contestants: &[Contestant], consumers: &[usize]) -> Vec<Row<Contestant>> {
    let mut rows = Vec::new();
    for size in SIZES {
        for in_flight in IN_FLIGHT {
            for &consumers in consumers {
                rows.extend(contestants.iter().map(|&contestant| Row {
                    contestant,
                    cell: Cell { size, in_flight, consumers },
                    per_second: Samples::default(),
                    cpu: Samples::default(),
                }));
            }
        }
    }
    rows
}

impl<Contestant> Row<Contestant> {
    fn push(&mut self, line: &str) -> Result<(), Failure> {
        let result: Value = serde_json::from_str(line).map_err(|e| format!("{line}: {e}"))?;
        let number = |name| result.get(name).and_then(Value::as_f64).unwrap_or(f64::NAN);
        let done = number("done");
        if done < 1.0 {
            return Err(format!("nothing came back: {line}").into());
        }
        self.per_second.push(done / number("seconds"));
        self.cpu.push(number("cpu") / done * 1e6);
        Ok(())
    }
}

fn measure_ms(setting: &Setting) -> u64 {
    u64::try_from(Duration::from_secs_f64(setting.seconds / 4.0).as_millis()).unwrap_or(u64::MAX)
}

/// Every server with every load, in turn.
pub(super) fn servers(setting: &Setting) -> Result<Vec<Row<Server>>, Failure> {
    let mut rows = rows(&Server::ALL, &CONSUMERS);
    for round in 1..=setting.rounds {
        println!("servers, round {round} of {}", setting.rounds);
        let mut running = Vec::new();
        for server in Server::ALL {
            running.push((server, server.start(setting)?));
        }
        for row in &mut rows {
            let started = running.iter().find(|(server, _)| *server == row.contestant);
            let Some((server, (process, port))) = started else { continue };
            let is_bare = *server == Server::Tcp;
            let line = load(port, process.id(), row.cell, measure_ms(setting), is_bare);
            let pushed = line.and_then(|line| row.push(&line));
            pushed.map_err(|e| format!("{}, {:?}: {e}", server.name(), row.cell))?;
        }
    }
    Ok(rows)
}

/// Puts a load on a server and returns what that prints.
fn load(
    port: &str,
    process: u32,
    cell: Cell,
    measure_ms: u64,
    is_bare: bool,
) -> Result<String, Failure> {
    let program = std::env::current_exe()?.into_os_string();
    let Cell { size, in_flight, consumers } = cell;
    let numbers = [u64::from(process), consumers as u64, size as u64, in_flight as u64];
    let numbers = numbers.into_iter().chain([WARM_MS, measure_ms]).map(|number| number.to_string());
    let mut words: Vec<String> = ["member", "load", port].map(String::from).into();
    words.extend(numbers);
    words.extend(is_bare.then(|| String::from("--bare")));
    let words = words.iter().map(OsStr::new);
    let words: Vec<_> = std::iter::once(program.as_os_str()).chain(words).collect();
    Process::start_and_read(OTHER, &words).map(|(_, line)| line)
}

/// Consumers of our provider, in turn.
pub(super) fn consumers(setting: &Setting) -> Result<Vec<Row<Consumers>>, Failure> {
    let mut rows = rows(&Consumers::ALL, &OF_A_PROCESS);
    for round in 1..=setting.rounds {
        println!("consumers, round {round} of {}", setting.rounds);
        let program = std::env::current_exe()?.into_os_string();
        let words = [program.as_os_str(), OsStr::new("member"), OsStr::new("provider")];
        let (_provider, port) = Process::start_and_read(OTHER, &words)?;
        for row in &mut rows {
            let file = match row.contestant {
                Consumers::Node => "consumer.mjs",
                Consumers::Ws => "ws_consumer.mjs",
            };
            let Cell { size, in_flight, consumers } = row.cell;
            let words: Vec<OsString> = vec![
                "node".into(),
                setting.peers.join("netcluster").join(file).into(),
                format!("http://127.0.0.1:{port}").into(),
                format!("{consumers}x{size}").into(),
                in_flight.to_string().into(),
                WARM_NODE_MS.to_string().into(),
                measure_ms(setting).to_string().into(),
                setting.node_package.clone().into(),
            ];
            let words: Vec<_> = words.iter().map(OsString::as_os_str).collect();
            let line = Process::start_and_read(MEASURED, &words).map(|(_, line)| line);
            let pushed = line.and_then(|line| row.push(&line));
            pushed.map_err(|e| format!("{}, {:?}: {e}", row.contestant.name(), row.cell))?;
        }
    }
    Ok(rows)
}

/// How many writes a message costs our provider with 16 consumers that keep 32 messages on their way. It is
/// counted, so that it takes one run.
pub(super) fn sends() -> Result<f64, Failure> {
    let cell = Cell { size: 100, in_flight: 32, consumers: 16 };
    runtime()?.block_on(async {
        let provider = echoing().await?;
        let port = provider.port().to_string();
        let (ended, end) = tokio::sync::oneshot::channel();
        std::thread::spawn(move || {
            let outcome = load(&port, std::process::id(), cell, 1_000, false);
            // The measurement may have failed already.
            drop(ended.send(outcome.map(drop)));
        });
        end.await??;
        let counters = provider.counters();
        Ok(counters.writes as f64 / counters.frames_out as f64)
    })
}
