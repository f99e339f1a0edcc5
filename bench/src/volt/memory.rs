//! Memory of our hub for each 1,000 registered daemons.

use std::ffi::OsStr;
use std::net::TcpStream;

use tokio_tungstenite::tungstenite::{self, Message, WebSocket};

use crate::idle::settled;
use crate::process::{Failure, Process};
use crate::stats::Samples;
use crate::{MEASURED, Setting};

/// So many daemons are there before anything is measured.
const BEFORE: usize = 100;
/// So many daemons the hub knows.
pub(crate) const KNOWN: usize = BEFORE + 1_000;
/// What every daemon's password is.
pub(crate) const PASSWORD: &str = "rotated-pw-xyz";

/// Returns the id under which a daemon registers.
pub(crate) fn id(number: usize) -> String {
    format!("cluster-{number}")
}

/// Returns the bytes that 1,000 daemons add.
pub(super) fn measure(setting: &Setting) -> Result<Samples, Failure> {
    let mut samples = Samples::default();
    for round in 1..=setting.rounds {
        println!("registered daemons, round {round} of {}", setting.rounds);
        let program = std::env::current_exe()?.into_os_string();
        let words = [program.as_os_str(), OsStr::new("hub"), OsStr::new("")];
        let (hub, address) = Process::start_and_read(MEASURED, &words)?;
        let mut sockets = Vec::new();
        for number in 0..BEFORE {
            sockets.push(register(&address, number)?);
        }
        let before = settled(&hub)?;
        for number in BEFORE..KNOWN {
            sockets.push(register(&address, number)?);
        }
        samples.push(settled(&hub)? - before);
    }
    Ok(samples)
}

fn register(address: &str, number: usize) -> Result<WebSocket<TcpStream>, Failure> {
    let url = format!("ws://{address}/socket.io/?EIO=4&transport=websocket");
    let (mut socket, _) = tungstenite::client(url, TcpStream::connect(address)?)
        .map_err(|e| format!("daemon {number} was not let in: {e}"))?;
    expect(&mut socket, "0{")?;
    socket.send(Message::text("40"))?;
    expect(&mut socket, "40{")?;
    socket.send(Message::text(format!(
        r#"42["team-cluster-daemon:register",{{"teamClusterId":"{}","daemonPassword":"{PASSWORD}"}}]"#,
        id(number)
    )))?;
    expect(&mut socket, r#"42["team-cluster-daemon:registered""#)?;
    Ok(socket)
}

fn expect(socket: &mut WebSocket<TcpStream>, begin: &str) -> Result<(), Failure> {
    let message = socket.read()?;
    if message.to_text()?.starts_with(begin) {
        return Ok(());
    }
    Err(format!("{message} came instead of {begin}").into())
}
