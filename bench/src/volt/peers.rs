//! Starts the contestants and reads what they measured.

use std::ffi::OsString;
use std::path::Path;

use serde_json::Value;

use super::clock::Load;
use crate::process::{Failure, Process};
use crate::stats::Samples;
use crate::{MEASURED, OTHER, Setting};

/// A program that is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Peer {
    Lines,
    Rust,
    Node,
    Listeners,
    Map,
    Python,
    Websockets,
    Aiohttp,
    Parse,
    Threadsafe,
    Promised,
    IntoPy,
    ByHand,
}

impl Peer {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Lines => "lines on bare TCP, Rust",
            Self::Rust => "Moorline, Rust",
            Self::Node => "Moorline, Node",
            Self::Listeners => "`socket.io-client`, a listener for each call",
            Self::Map => "`socket.io-client`, one listener and a Map",
            Self::Python => "Moorline, Python",
            Self::Websockets => "by hand on `websockets` and a dict",
            Self::Aiohttp => "by hand on `aiohttp` and a dict",
            Self::Parse => "`JSON.parse` alone",
            Self::Threadsafe => "`call_soon_threadsafe` alone",
            Self::Promised => "a thread-safe function and a promise, napi-rs",
            Self::IntoPy => "`future_into_py`, pyo3-async-runtimes",
            Self::ByHand => "a future and `call_soon_threadsafe` by hand",
        }
    }

    fn words(
        self,
        setting: &Setting,
        url: &str,
        mode: &str,
        load: Load,
    ) -> Result<Vec<OsString>, Failure> {
        let file = |name: &str| setting.peers.join("volt").join(name).into_os_string();
        let addon = |name: &str| setting.addons.join(name).into_os_string();
        let own = std::env::current_exe()?.into_os_string();
        let numbers = [load.in_flight as u64, load.warm_ms, load.measure_ms];
        let numbers = || numbers.map(|number| number.to_string().into());
        let outside = |program: OsString, file: OsString, more: &[OsString]| {
            let mut words = vec![program, file, url.into(), mode.into()];
            words.extend(numbers());
            words.extend_from_slice(more);
            words
        };
        let node = |name, more: &[OsString]| outside("node".into(), file(name), more);
        let python =
            |name, more: &[OsString]| outside(setting.python.clone().into(), file(name), more);
        Ok(match self {
            Self::Lines => {
                let address = url.trim_start_matches("http://");
                let mut words = vec![own, "volt".into(), "lines".into(), address.into()];
                words.extend(numbers());
                words
            }
            Self::Rust => {
                let mut words = vec![own, "volt".into(), "daemon".into(), url.into(), mode.into()];
                words.extend(numbers());
                words
            }
            Self::Node => node("moorline.mjs", &[setting.node_package.clone().into()]),
            Self::Listeners => node("socketio.mjs", &["listeners".into()]),
            Self::Map => node("socketio.mjs", &["map".into()]),
            Self::Python => python("moorline_daemon.py", &[]),
            Self::Websockets => python("by_hand.py", &["websockets".into()]),
            Self::Aiohttp => python("by_hand.py", &["aiohttp".into()]),
            Self::Parse => node("parse.mjs", &[]),
            Self::Threadsafe => python("threadsafe.py", &[]),
            Self::Promised => node("promised.mjs", &[addon("promised.node")]),
            Self::IntoPy => python("awaited.py", &[addon("awaited.abi3.so"), "pyo3".into()]),
            Self::ByHand => python("awaited.py", &[addon("awaited.abi3.so"), "hand".into()]),
        })
    }

    /// Runs it to its end against a server and returns what it printed.
    pub(super) fn run(
        self,
        setting: &Setting,
        url: &str,
        mode: &str,
        load: Load,
    ) -> Result<Value, Failure> {
        let words = self.words(setting, url, mode, load)?;
        let words: Vec<_> = words.iter().map(OsString::as_os_str).collect();
        let run = || {
            let (_process, line) = Process::start_and_read(MEASURED, &words)?;
            serde_json::from_str(&line).map_err(|e| Failure::from(format!("{line}: {e}")))
        };
        run().map_err(|e| format!("{}, {mode}: {e}", self.name()).into())
    }
}

/// A server that contestants are measured against.
pub(super) struct Server {
    process: Process,
    /// Where it is reached.
    pub(super) url: String,
}

impl Server {
    /// Starts the fast responder with a duty.
    pub(super) fn fast(duty: &[&str]) -> Result<Self, Failure> {
        let program = std::env::current_exe()?;
        let mut words = vec![program.as_os_str(), "responder".as_ref()];
        words.extend(duty.iter().map(std::ffi::OsStr::new));
        let (process, address) = Process::start_and_read(OTHER, &words)?;
        Ok(Self { process, url: format!("http://{address}") })
    }

    /// Starts the official server, which answers every command.
    pub(super) fn official(setting: &Setting) -> Result<Self, Failure> {
        let program = official_program(&setting.official);
        let words = ["node".into(), program];
        let words = words.iter().map(OsString::as_os_str).collect::<Vec<_>>();
        let (process, port) = Process::start_and_read(OTHER, &words)?;
        Ok(Self { process, url: format!("http://127.0.0.1:{port}") })
    }

    /// Returns the next line that it prints.
    pub(super) fn line(&mut self) -> Result<String, Failure> {
        self.process.line()
    }
}

fn official_program(folder: &Path) -> OsString {
    folder.join("answering.mjs").into_os_string()
}

/// What a contestant came to.
pub(super) struct Row {
    pub(super) peer: Peer,
    pub(super) in_flight: usize,
    pub(super) per_second: Samples,
    /// Of all threads, in microseconds.
    pub(super) cpu: Samples,
    /// Of the host's own thread, in microseconds; empty if the contestant does not say.
    pub(super) main: Samples,
    /// Of all threads but our I/O thread, in microseconds; empty if the contestant does not say.
    pub(super) without_io: Samples,
}

impl Row {
    pub(super) fn new(peer: Peer, in_flight: usize) -> Self {
        let none = Samples::default;
        Self { peer, in_flight, per_second: none(), cpu: none(), main: none(), without_io: none() }
    }

    /// Takes over one run.
    pub(super) fn push(&mut self, result: &Value) -> Result<(), Failure> {
        let done = number(result, "done")?;
        self.per_second.push(done / number(result, "seconds")?);
        let each = |seconds: f64| seconds / done * 1e6;
        let cpu = number(result, "cpu")?;
        self.cpu.push(each(cpu));
        if let Ok(main) = number(result, "main") {
            self.main.push(each(main));
        }
        if let Ok(io) = number(result, "io") {
            self.without_io.push(each(cpu - io));
        }
        Ok(())
    }
}

/// Returns a number of a result.
pub(super) fn number(result: &Value, name: &str) -> Result<f64, Failure> {
    let value = result.get(name).and_then(Value::as_f64);
    value.ok_or_else(|| format!("{result} states no {name}").into())
}
