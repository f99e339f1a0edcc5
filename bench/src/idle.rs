//! (c) Memory of the hub per 1,000 idle workers.

use std::ffi::OsStr;
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use tokio_tungstenite::tungstenite::{self, Message};

use crate::process::{Failure, Process};
use crate::stats::Samples;
use crate::{MEASURED, Setting};

/// Returns the bytes that 1,000 idle workers add.
pub(crate) fn measure(setting: &Setting) -> Result<Samples, Failure> {
    let mut samples = Samples::default();
    for round in 1..=setting.rounds {
        println!("idle workers, round {round} of {}", setting.rounds);
        let program = std::env::current_exe()?.into_os_string();
        let words = [program.as_os_str(), OsStr::new("hub"), OsStr::new("")];
        let (hub, address) = Process::start_and_read(MEASURED, &words)?;
        let mut sockets = Vec::new();
        for number in 0..100 {
            sockets.push(register(&address, number)?);
        }
        let before = settled(&hub)?;
        for number in 100..1_100 {
            sockets.push(register(&address, number)?);
        }
        samples.push(settled(&hub)? - before);
    }
    Ok(samples)
}

/// Reads the memory when it has come to rest.
pub(crate) fn settled(hub: &Process) -> Result<f64, Failure> {
    thread::sleep(Duration::from_secs(1));
    hub.memory()
}

fn register(address: &str, number: usize) -> Result<tungstenite::WebSocket<TcpStream>, Failure> {
    let stream = TcpStream::connect(address)?;
    let (mut socket, _) = tungstenite::client(format!("ws://{address}/"), stream)
        .map_err(|e| format!("worker {number} was not let in: {e}"))?;
    socket.send(Message::text(format!(
        r#"{{"Action":"BeaconRegister","Name":"idle-{number}","Capabilities":["Idle"],"ActionSchemas":[{{"Capability":"Idle","Action":"Wait","Description":"","SettingsSchema":[]}}],"MaxConcurrent":1,"Tags":{{}},"HostID":"bench","SharedMounts":[]}}"#
    )))?;
    let answer = socket.read()?;
    if answer.to_text()?.contains("BeaconRegistered") {
        return Ok(socket);
    }
    Err(format!("worker {number} was refused: {answer}").into())
}
