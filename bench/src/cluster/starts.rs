//! What it costs to start a script: our daemon, asked over its WebSocket, beside `execFile` of Node.

use std::ffi::OsString;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use moorline::wsdaemon::Daemon;
use serde_json::Value;
use tokio_tungstenite::tungstenite::{self, Message, WebSocket};

use super::Setting;
use super::servers::runtime;
use crate::MEASURED;
use crate::process::{Failure, Process};
use crate::stats::Samples;

/// How many scripts run at once.
pub(super) const AT_ONCE: [usize; 2] = [1, 8];
/// How many MiB the parent holds.
pub(super) const HELD: [usize; 2] = [0, 512];

/// Who starts scripts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Parent {
    Daemon,
    ExecFile,
}

impl Parent {
    pub(super) const ALL: [Self; 2] = [Self::ExecFile, Self::Daemon];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Daemon => "Moorline's daemon, asked over its WebSocket",
            Self::ExecFile => "`execFile` alone, Node",
        }
    }
}

/// What one parent came to.
pub(super) struct Row {
    pub(super) parent: Parent,
    pub(super) held: usize,
    pub(super) at_once: usize,
    pub(super) per_second: Samples,
    /// Of the parent, in microseconds.
    pub(super) cpu: Samples,
}

/// Measures every parent in turn.
pub(super) fn measure(setting: &Setting) -> Result<Vec<Row>, Failure> {
    let folder = tempfile::tempdir()?;
    let script = folder.path().join("true");
    std::fs::copy("/bin/true", &script)?;
    std::fs::set_permissions(&script, PermissionsExt::from_mode(0o755))?;
    let mut rows = Vec::new();
    for held in HELD {
        for at_once in AT_ONCE {
            rows.extend(Parent::ALL.map(|parent| Row {
                parent,
                held,
                at_once,
                per_second: Samples::default(),
                cpu: Samples::default(),
            }));
        }
    }
    let measured = Duration::from_secs_f64(setting.seconds);
    for round in 1..=setting.rounds {
        println!("script starts, round {round} of {}", setting.rounds);
        for row in &mut rows {
            let (done, seconds, cpu) = match row.parent {
                Parent::Daemon => ask(folder.path(), row.held, row.at_once, measured)?,
                Parent::ExecFile => exec_file(setting, &script, row.held, row.at_once, measured)?,
            };
            row.per_second.push(done / seconds);
            row.cpu.push(cpu / done * 1e6);
        }
    }
    Ok(rows)
}

const WARM: Duration = Duration::from_millis(500);

/// Keeps requests at a daemon of ours; returns how many were answered, in how many seconds, and its
/// processor time.
fn ask(
    scripts: &Path,
    held: usize,
    at_once: usize,
    measured: Duration,
) -> Result<(f64, f64, f64), Failure> {
    let program = std::env::current_exe()?.into_os_string();
    let held = OsString::from(held.to_string());
    let (member, daemon) = (OsString::from("member"), OsString::from("daemon"));
    let words = [&program, &member, &daemon, scripts.as_os_str(), &held];
    let (process, address) = Process::start_and_read(MEASURED, &words)?;
    let stream = TcpStream::connect(&address)?;
    stream.set_nodelay(true)?;
    let (mut socket, _) = tungstenite::client(format!("ws://{address}/"), stream)
        .map_err(|e| format!("the daemon lets nobody in: {e}"))?;
    for _ in 0..at_once {
        socket.send(Message::text(REQUEST))?;
    }
    let begin = Instant::now();
    while begin.elapsed() < WARM {
        turn(&mut socket)?;
    }
    let (begin, before, mut done) = (Instant::now(), process.cpu()?, 0.0);
    while begin.elapsed() < measured {
        turn(&mut socket)?;
        done += 1.0;
    }
    Ok((done, begin.elapsed().as_secs_f64(), process.cpu()? - before))
}

const REQUEST: &str = r#"{"name":"true","id":1}"#;

/// Waits for a status and asks again.
fn turn(socket: &mut WebSocket<TcpStream>) -> Result<(), Failure> {
    loop {
        let message = socket.read()?;
        if message.is_text() {
            if !message.to_text()?.contains(r#""status":0,"#) {
                return Err(format!("a script failed: {message}").into());
            }
            return Ok(socket.send(Message::text(REQUEST))?);
        }
    }
}

fn exec_file(
    setting: &Setting,
    script: &Path,
    held: usize,
    at_once: usize,
    measured: Duration,
) -> Result<(f64, f64, f64), Failure> {
    let words: Vec<OsString> = vec![
        "node".into(),
        setting.peers.join("execfile.mjs").into(),
        script.into(),
        held.to_string().into(),
        at_once.to_string().into(),
        WARM.as_millis().to_string().into(),
        measured.as_millis().to_string().into(),
    ];
    let words: Vec<_> = words.iter().map(OsString::as_os_str).collect();
    let (_, line) = Process::start_and_read(MEASURED, &words)?;
    let result: Value = serde_json::from_str(&line).map_err(|e| format!("{line}: {e}"))?;
    let number = |name| result.get(name).and_then(Value::as_f64).unwrap_or(f64::NAN);
    Ok((number("done"), number("seconds"), number("cpu")))
}

/// Runs a daemon until the process is ended; prints where it listens.
pub(super) fn daemon(scripts: &Path, held: usize) -> Result<(), Failure> {
    let held = vec![1_u8; held << 20];
    runtime()?.block_on(async {
        let folder = scripts.to_string_lossy().into_owned();
        let daemon =
            Daemon::server("127.0.0.1:0").options(|options| options.scripts.folder = folder);
        let daemon = daemon.start().await?;
        println!("{}", daemon.id());
        let ended = daemon.ended().await;
        std::hint::black_box(&held);
        Ok(ended?)
    })
}
