//! Opens a role by its name: what every binding calls first.

use crate::dialect::beacon::{BeaconDispatcher, BeaconWorker};
use crate::dialect::volt::VoltDaemon;
use crate::entropy::Seed;
use crate::error::{Error, ErrorCode};
use crate::hub::Hub;
use crate::machine::Endpoint;
use crate::options::{
    DaemonOptions, DispatcherOptions, HubOptions, ROLES, RuntimeOptions, WorkerOptions, read,
};
use crate::session::Session;

/// A role that was opened: its machine, and what the driver needs to know.
pub struct Opened {
    /// The machine.
    pub endpoint: Box<dyn Endpoint + Send>,
    /// The driver's options.
    pub runtime: RuntimeOptions,
}

/// Opens `role` of `dialect` with options as JSON text; `host` is the operating system's host name.
///
/// # Errors
/// `ROLE_UNKNOWN`, or `CONFIG_INVALID` with every problem of the options.
pub fn open(
    dialect: &str,
    role: &str,
    options: &str,
    host: &str,
    seed: Seed,
) -> Result<Opened, Error> {
    match (dialect, role) {
        ("beacon", "hub") => {
            let options: HubOptions = read(options)?;
            let runtime = options.runtime.clone();
            Ok(Opened { endpoint: Box::new(Hub::open(options, seed)?), runtime })
        }
        ("volt", "daemon") => {
            let options: DaemonOptions = read(options)?;
            let runtime = options.runtime.clone();
            Ok(Opened { endpoint: Box::new(VoltDaemon::new(options, seed)?), runtime })
        }
        _ => open_client(dialect, role, options, host, seed),
    }
}

/// Opens a role that dials, as [`open`] does. A program that cannot listen, such as a page, calls
/// this one and carries no server.
///
/// # Errors
/// `ROLE_UNKNOWN`, or `CONFIG_INVALID` with every problem of the options.
pub fn open_client(
    dialect: &str,
    role: &str,
    options: &str,
    host: &str,
    seed: Seed,
) -> Result<Opened, Error> {
    match (dialect, role) {
        ("beacon", "worker") => {
            let options: WorkerOptions = read(options)?;
            let runtime = options.runtime.clone();
            let worker = BeaconWorker::new(options, host)?;
            let credentials = worker.credentials();
            let session = Session::new(worker, credentials, seed);
            Ok(Opened { endpoint: Box::new(session), runtime })
        }
        ("beacon", "dispatcher") => {
            let options: DispatcherOptions = read(options)?;
            let runtime = options.runtime.clone();
            let dispatcher = BeaconDispatcher::new(options, seed)?;
            Ok(Opened { endpoint: Box::new(dispatcher), runtime })
        }
        _ => Err(unknown(dialect, role)),
    }
}

fn unknown(dialect: &str, role: &str) -> Error {
    let known: Vec<_> = ROLES.iter().map(|row| format!("{}/{}", row.dialect, row.role)).collect();
    let known = known.join(", ");
    let message = format!("no role is named {dialect}/{role}; known are {known}");
    Error::new(ErrorCode::RoleUnknown, message)
}
