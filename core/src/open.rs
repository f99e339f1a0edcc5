//! Opens a role by its name: what every binding calls first.

use crate::api::options::{Field, RuntimeOptions, read};
use crate::api::words::WordTable;
use crate::base::entropy::Seed;
use crate::base::error::{Error, ErrorCode};
use crate::dialect::beacon::options::{CallOptions, DispatcherOptions, WorkerOptions};
use crate::dialect::beacon::{BeaconDispatcher, BeaconWorker};
use crate::dialect::volt::VoltDaemon;
use crate::dialect::volt::options::{CommandOptions, DaemonOptions};
use crate::dialect::{beacon, volt};
use crate::hub::Hub;
use crate::hub::options::HubOptions;
use crate::machine::Endpoint;
use crate::session::Session;

/// A role that was opened: its machine, and what the driver needs to know.
pub struct Opened {
    /// The machine.
    pub endpoint: Box<dyn Endpoint + Send>,
    /// The driver's options.
    pub runtime: RuntimeOptions,
}

/// Every set of constants of this build, by dialect.
pub const WORDS: &[&[WordTable]] = &[beacon::words::WORDS, volt::words::WORDS];

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

/// One table that `open` accepts.
#[derive(Clone, Copy, Debug)]
pub struct RoleTable {
    /// The dialect.
    pub dialect: &'static str,
    /// The role.
    pub role: &'static str,
    /// One sentence on what the role does.
    pub doc: &'static str,
    /// Describes its options.
    pub fields: fn() -> Vec<Field>,
}

/// Every dialect and role that this build speaks.
pub const ROLES: &[RoleTable] = &[
    RoleTable {
        dialect: "beacon",
        role: "worker",
        doc: "Offers capabilities to a control plane and runs its work items.",
        fields: WorkerOptions::fields,
    },
    RoleTable {
        dialect: "beacon",
        role: "dispatcher",
        doc: "Asks a control plane to run work items and waits for their results.",
        fields: DispatcherOptions::fields,
    },
    RoleTable {
        dialect: "beacon",
        role: "hub",
        doc: "The embedded control plane: accepts workers, queues and leases work.",
        fields: HubOptions::fields,
    },
    RoleTable {
        dialect: "volt",
        role: "daemon",
        doc: "Registers at a VOLT control plane, runs its commands and sends commands to it.",
        fields: DaemonOptions::fields,
    },
];

/// Options that a command takes rather than `open`.
#[derive(Clone, Copy, Debug)]
pub struct CommandTable {
    /// The dialect.
    pub dialect: &'static str,
    /// The role whose command takes them.
    pub role: &'static str,
    /// The command.
    pub command: &'static str,
    /// Describes the options.
    pub fields: fn() -> Vec<Field>,
}

/// Every command of this build that takes options.
pub const COMMANDS: &[CommandTable] = &[
    CommandTable {
        dialect: "beacon",
        role: "dispatcher",
        command: "call",
        fields: CallOptions::fields,
    },
    CommandTable {
        dialect: "volt",
        role: "daemon",
        command: "command",
        fields: CommandOptions::fields,
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::options::{Kind, OptionValue as _, join};

    #[test]
    fn every_problem_is_reported_with_its_path() {
        let error = read::<WorkerOptions>(
            r#"{"max_concurrent":0,"nmae":"x","reconnect":{"max_delay_ms":"soon"},"tags":{"b":1}}"#,
        )
        .unwrap_err();
        let text = error.to_string();
        assert_eq!(error.problems.len(), 3, "{text}");
        assert!(text.contains("max_concurrent: must be a whole number from 1 to"), "{text}");
        assert!(text.contains("nmae: is not an option; did you mean name?"), "{text}");
        assert!(text.contains("reconnect.max_delay_ms: must be a whole number"), "{text}");
    }

    #[test]
    fn what_is_not_given_keeps_its_default() {
        let options = read::<WorkerOptions>("{}").unwrap();
        assert_eq!(options.name, "beacon-worker");
        assert_eq!(options.heartbeat_interval_ms, 30_000);
    }

    #[test]
    fn a_nested_table_keeps_the_defaults_of_its_outer_one() {
        let text = r#"{"reconnect":{"max_attempts":3}}"#;
        let options = read::<DispatcherOptions>(text).unwrap();
        assert_eq!(options.reconnect.max_attempts, 3);
        assert_eq!(options.reconnect.base_delay_ms, 250);
    }

    #[test]
    fn defaults_lie_inside_their_ranges() {
        fn check(path: &str, fields: &[Field]) {
            for field in fields {
                let path = join(path, field.name);
                assert!(!field.doc.is_empty(), "{path} has no sentence");
                match field.kind {
                    Kind::Integer => {
                        let value: u64 = field.default.parse().unwrap();
                        let (low, high) = field.range.unwrap_or((0, u64::MAX));
                        assert!((low..=high).contains(&value), "{path}");
                    }
                    Kind::Table(fields) | Kind::TableList(fields) => check(&path, &fields()),
                    Kind::Boolean
                    | Kind::Text
                    | Kind::Secret
                    | Kind::Word(_)
                    | Kind::Json
                    | Kind::TextList => {}
                }
            }
        }
        for table in ROLES {
            check(table.role, &(table.fields)());
        }
        for table in COMMANDS {
            check(table.command, &(table.fields)());
        }
    }

    #[test]
    fn what_is_described_reads_back_secrets_and_all() {
        let text =
            r#"{"lease_ms":7000,"volt":{"daemons":[{"team_cluster_id":"lab","password":"pw"}]}}"#;
        let options = read::<HubOptions>(text).unwrap();
        assert!(!options.show().contains("\"pw\""));
        let again = read::<HubOptions>(&options.describe()).unwrap();
        assert_eq!((again.lease_ms, again.volt.daemons[0].password.expose()), (7_000, "pw"));
        assert_eq!(again.describe(), options.describe());
    }

    #[test]
    fn secrets_do_not_show() {
        let options = read::<WorkerOptions>(r#"{"password":"hunter2"}"#).unwrap();
        assert!(!options.show().contains("hunter2"));
        assert!(!format!("{options:?}").contains("hunter2"));
    }
}
