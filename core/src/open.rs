//! Opens a role by its name: what every binding calls first.
//!
//! [`ROLES`] is the one list of what a build speaks. Features leave out dialects and servers; what is
//! left out stands in no list and no message.

#[cfg(feature = "beacon")]
use crate::dialect::beacon;
#[cfg(feature = "netcluster")]
use crate::dialect::netcluster;
#[cfg(feature = "volt")]
use crate::dialect::volt;
#[cfg(feature = "wsdaemon")]
use crate::dialect::wsdaemon;
#[cfg(feature = "server")]
use crate::{api::options::HubOptions, hub::Hub};

use serde::Deserialize;

use crate::api::options::{Field, OptionValue, RuntimeOptions, ScriptOptions, read};
use crate::api::words::WordTable;
use crate::base::entropy::{Seed, Seeds};
use crate::base::error::{Error, ErrorCode};
use crate::base::json::Raw;
use crate::base::json::object::{Object, inside};
use crate::machine::Endpoint;

/// A role that was opened: its machine, and what the driver needs to know.
pub struct Opened {
    /// The machine.
    pub endpoint: Box<dyn Endpoint + Send>,
    /// The driver's options.
    pub runtime: RuntimeOptions,
    /// The scripts that the driver offers as handlers and runs; none without a folder.
    pub scripts: ScriptOptions,
}

/// Describes a table of options.
pub type Describe = fn() -> Vec<Field>;

/// Words in groups, which roles share.
pub type Groups = &'static [&'static [&'static str]];

/// One role of a dialect.
#[derive(Clone, Copy, Debug)]
pub struct Role {
    /// The dialect.
    pub dialect: &'static str,
    /// The role.
    pub role: &'static str,
    /// One sentence on what the role does.
    pub doc: &'static str,
    /// Whether it accepts connections: what cannot listen, such as a page, cannot have it.
    pub listens: bool,
    /// Describes its options.
    pub fields: Describe,
    /// The commands of a batch that it takes, in groups; all others are answered with `UNSUPPORTED`.
    pub commands: Groups,
    /// Commands with options of their own: the word in messages, and their description.
    pub command_options: &'static [(&'static str, Describe)],
    /// The kinds of events that it tells, in groups.
    pub events: Groups,
    /// Whether the queries of its URLs carry secrets.
    pub hides_queries: bool,
    /// Makes its machine from options as JSON text, the host's name and seeds.
    pub open: fn(&str, &str, Seeds) -> Result<Opened, Error>,
}

const SESSION: &[&str] = &["start", "stop", "snapshot"];
const HANDLERS: &[&str] = &["handle", "unhandle"];
const OUTCOMES: &[&str] = &["done", "failed", "cancelled"];
const CALLS: &[&str] = &["call", "cancel"];
const SESSION_EVENTS: &[&str] = &["ready", "notice", "draining", "ended", "call_done"];
const WORK_EVENTS: &[&str] = &["work", "work_withdrawn"];
#[cfg(any(feature = "server", feature = "wsdaemon"))]
const PEER_EVENTS: &[&str] = &["peer_joined", "peer_left"];
#[cfg(feature = "netcluster")]
const CONTENT_EVENTS: &[&str] = &["received", "closed", "backlog", "heartbeat"];

/// Every role that this build speaks.
pub const ROLES: &[Role] = &[
    #[cfg(feature = "beacon")]
    Role {
        dialect: "beacon",
        role: "worker",
        doc: "Offers capabilities to a control plane and runs its work items.",
        listens: false,
        fields: beacon::options::WorkerOptions::fields,
        commands: &[SESSION, HANDLERS, OUTCOMES, &["progress"]],
        command_options: &[],
        events: &[SESSION_EVENTS, &["lost"], WORK_EVENTS],
        hides_queries: false,
        open: |options, host, seeds| {
            make(options, |o| beacon::BeaconWorker::new(o, host, seeds.run), |o| o.runtime.clone())
        },
    },
    #[cfg(feature = "beacon")]
    Role {
        dialect: "beacon",
        role: "dispatcher",
        doc: "Asks a control plane to run work items and waits for their results.",
        listens: false,
        fields: beacon::options::DispatcherOptions::fields,
        commands: &[SESSION, CALLS],
        command_options: &[("call", beacon::options::CallOptions::fields)],
        events: &[SESSION_EVENTS, &["call_part"]],
        hides_queries: false,
        open: |options, _, seeds| {
            make(options, |o| beacon::BeaconDispatcher::new(o, seeds.run), |o| o.runtime.clone())
        },
    },
    #[cfg(feature = "server")]
    Role {
        dialect: "beacon",
        role: "hub",
        doc: "The embedded control plane: accepts workers, queues and leases work.",
        listens: true,
        fields: HubOptions::fields,
        commands: &[SESSION, HANDLERS, CALLS, &["emit"], OUTCOMES],
        command_options: &[],
        events: &[SESSION_EVENTS, &["call_part", "message"], WORK_EVENTS, PEER_EVENTS],
        hides_queries: false,
        open: |options, _, seeds| make(options, |o| Hub::open(o, seeds), |o| o.runtime.clone()),
    },
    #[cfg(feature = "volt")]
    Role {
        dialect: "volt",
        role: "daemon",
        doc: "Registers at a VOLT control plane, runs its commands and sends commands to it.",
        listens: false,
        fields: volt::options::DaemonOptions::fields,
        commands: &[SESSION, HANDLERS, CALLS, &["emit", "progress"], OUTCOMES],
        command_options: &[("command", volt::options::CommandOptions::fields)],
        events: &[
            SESSION_EVENTS,
            &["lost", "enrolled", "call_part", "message"],
            WORK_EVENTS,
            &["work_drained", "beat_asked"],
        ],
        hides_queries: false,
        open: |options, _, seeds| {
            make(options, |o| volt::VoltPlanes::new(o, seeds.run), |o| o.runtime.clone())
        },
    },
    #[cfg(feature = "netcluster")]
    Role {
        dialect: "netcluster",
        role: "consumer",
        doc: "Connects to a provider and exchanges messages with it.",
        listens: false,
        fields: netcluster::options::ConsumerOptions::fields,
        commands: &[SESSION, &["send"]],
        command_options: &[],
        events: &[SESSION_EVENTS, &["lost"], CONTENT_EVENTS],
        hides_queries: true,
        open: |options, _, seeds| {
            make(options, |o| netcluster::Consumer::new(o, seeds.run), |o| o.runtime.clone())
        },
    },
    #[cfg(all(feature = "netcluster", feature = "server"))]
    Role {
        dialect: "netcluster",
        role: "provider",
        doc: "Accepts consumers and exchanges messages with each.",
        listens: true,
        fields: netcluster::options::ProviderOptions::fields,
        commands: &[SESSION, &["admit", "refuse", "greet", "send", "ping", "end", "close"]],
        command_options: &[],
        events: &[SESSION_EVENTS, &["admission_asked", "peer_joined"], CONTENT_EVENTS],
        hides_queries: true,
        open: |options, _, seeds| {
            make(options, |o| netcluster::Provider::new(o, seeds.run), |o| o.runtime())
        },
    },
    #[cfg(feature = "wsdaemon")]
    Role {
        dialect: "wsdaemon",
        role: "daemon",
        doc: "Runs scripts and handlers for programs of other machines, and asks for theirs.",
        listens: true,
        fields: wsdaemon::options::DaemonOptions::fields,
        commands: &[SESSION, HANDLERS, CALLS, &["emit"], OUTCOMES],
        command_options: &[("request", wsdaemon::options::CallOptions::fields)],
        events: &[SESSION_EVENTS, &["lost", "message"], WORK_EVENTS, PEER_EVENTS],
        hides_queries: false,
        open: |options, _, seeds| {
            make_with(
                options,
                |o: wsdaemon::options::DaemonOptions| wsdaemon::WsDaemon::new(o, seeds.run),
                |o| (o.runtime.clone(), o.scripts.clone()),
            )
        },
    },
];

/// Every set of constants of this build, by dialect.
pub const WORDS: &[&[WordTable]] = &[
    #[cfg(feature = "beacon")]
    beacon::words::WORDS,
    #[cfg(feature = "netcluster")]
    netcluster::words::WORDS,
    #[cfg(feature = "volt")]
    volt::words::WORDS,
    #[cfg(feature = "wsdaemon")]
    wsdaemon::words::WORDS,
];

/// Opens `role` of `dialect` with options as JSON text; `host` is the operating system's host name. A
/// single [`Seed`](crate::entropy::Seed) is for replays and tests.
///
/// # Errors
/// `ROLE_UNKNOWN`, or `CONFIG_INVALID` with every problem of the options.
pub fn open(
    dialect: &str,
    role: &str,
    options: &str,
    host: &str,
    seeds: impl Into<Seeds>,
) -> Result<Opened, Error> {
    let row = find(dialect, role).ok_or_else(|| {
        let known: Vec<_> =
            ROLES.iter().map(|row| format!("{}/{}", row.dialect, row.role)).collect();
        let known = known.join(", ");
        let message = format!("no role is named {dialect}/{role}; known are {known}");
        Error::new(ErrorCode::RoleUnknown, message)
    })?;
    (row.open)(options, host, seeds.into())
}

/// Returns options with what they leave to the process: a worker's name, of its host, its process and its
/// seed, so that no two are the same.
#[must_use]
pub fn complete(role: &str, options: &str, host: &str, process: u32, seed: &Seed) -> String {
    #[derive(Default, Deserialize)]
    struct Named {
        name: Option<String>,
    }
    let named: Named = serde_json::from_str(options).unwrap_or_default();
    let rest = inside(options.trim()).filter(|_| role == "worker" && named.name.is_none());
    rest.map_or_else(
        || options.to_owned(),
        |rest| {
            let name = format!("{host}-{process}-{:02x}{:02x}", seed[0], seed[1]);
            Object::new().text("name", &name).fields(rest.trim()).end()
        },
    )
}

/// Finds a role by its name.
#[must_use]
pub fn find(dialect: &str, role: &str) -> Option<&'static Role> {
    ROLES.iter().find(|row| (row.dialect, row.role) == (dialect, role))
}

/// Checks what a handler is offered under and what is said about it, before a role is asked to.
///
/// # Errors
/// `ARGUMENT_INVALID`.
pub fn check_handler(dialect: &str, role: &str, key: &str, meta: &Raw) -> Result<(), Error> {
    match (dialect, role) {
        #[cfg(feature = "beacon")]
        ("beacon", "worker") => beacon::check_handler(key, meta),
        #[cfg(feature = "wsdaemon")]
        ("wsdaemon", "daemon") => wsdaemon::words::check_name(key),
        _ => Ok(()),
    }
}

/// Reads the options of a role and makes its machine of them.
fn make<O: OptionValue, M: Endpoint + Send + 'static, E: Into<Error>>(
    options: &str,
    machine: impl FnOnce(O) -> Result<M, E>,
    runtime: impl FnOnce(&O) -> RuntimeOptions,
) -> Result<Opened, Error> {
    make_with(options, machine, |options| (runtime(options), ScriptOptions::default()))
}

/// Makes the machine of a role that may offer scripts.
fn make_with<O: OptionValue, M: Endpoint + Send + 'static, E: Into<Error>>(
    options: &str,
    machine: impl FnOnce(O) -> Result<M, E>,
    driver: impl FnOnce(&O) -> (RuntimeOptions, ScriptOptions),
) -> Result<Opened, Error> {
    let options: O = read(options)?;
    let (runtime, scripts) = driver(&options);
    Ok(Opened { endpoint: Box::new(machine(options).map_err(Into::into)?), runtime, scripts })
}

#[cfg(test)]
#[cfg(feature = "full")]
mod tests {
    use super::*;
    use crate::api::command::{Command, parse_batch};
    use crate::api::event;
    use crate::api::options::{Kind, join};
    use crate::base::store::StoreReply;
    use crate::base::time::Now;
    use crate::dialect::beacon::options::{DispatcherOptions, WorkerOptions};
    use crate::machine::{Input, Output, ServerInput};

    #[test]
    fn a_worker_without_a_name_has_that_of_its_host_process_and_seed() {
        let named = |role, options| complete(role, options, "edge-7", 4711, &[9; 32]);
        assert_eq!(named("worker", " {} "), r#"{"name":"edge-7-4711-0909"}"#);
        let text = r#"{"name":"edge-7-4711-0909","max_concurrent":2}"#;
        assert_eq!(named("worker", r#"{"max_concurrent":2}"#), text);
        for own in [r#"{"name":"own"}"#, "nonsense"] {
            assert_eq!(named("worker", own), own);
        }
        assert_eq!(named("dispatcher", "{}"), "{}");
        let opened = open("beacon", "worker", "{}", "edge-7", [9; 32]).unwrap();
        let state = opened.endpoint.snapshot(Now::default());
        assert!(state.contains(r#""name":"edge-7""#), "never none: {state}");
    }

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
        assert_eq!(options.name, "");
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
        for row in ROLES {
            check(row.role, &(row.fields)());
            for (command, fields) in row.command_options {
                check(command, &fields());
            }
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

    #[test]
    fn a_role_takes_the_commands_of_its_row_and_no_others() {
        let all = [
            ("start", "null"),
            ("stop", "{}"),
            ("snapshot", "null"),
            ("handle", r#"{"key":"A/b"}"#),
            ("unhandle", r#"{"key":"A/b"}"#),
            ("call", r#"{"name":"A/b"}"#),
            ("cancel", "null"),
            ("emit", r#"{"name":""}"#),
            ("done", "{}"),
            ("failed", r#"{"message":"m"}"#),
            ("cancelled", "null"),
            ("progress", "{}"),
            ("admit", "null"),
            ("refuse", "null"),
            ("greet", "null"),
            ("send", r#"{"text":"t"}"#),
            ("ping", "{}"),
            ("end", "null"),
            ("close", "null"),
        ];
        for row in ROLES {
            let daemon = r#"{"server_url":"http://h","control_socket_url":"ws://h","team_cluster_id":"c","daemon_password":"p"}"#;
            let options = match (row.dialect, row.role) {
                ("volt", _) => daemon,
                ("netcluster", "consumer") => r#"{"host":"h"}"#,
                _ => "{}",
            };
            for (word, body) in all {
                let mut machine = (row.open)(options, "host", [0; 32].into()).unwrap().endpoint;
                if row.listens {
                    serve(&mut *machine);
                }
                let batch = format!("[[\"{word}\",1,{body}]]");
                let command = parse_batch(&batch).unwrap().remove(0);
                let answer = machine.handle_command(command, Now::default());
                let refused = answer.is_err_and(|error| error.code() == ErrorCode::Unsupported);
                let listed = row.commands.concat().contains(&word);
                assert_eq!(refused, !listed, "{}/{} {word}", row.dialect, row.role);
            }
            for kind in row.events.concat() {
                assert!(event::number(kind).is_some(), "{kind}");
            }
        }
    }

    /// Starts a server and answers its store and its listener.
    fn serve(machine: &mut dyn Endpoint) {
        let now = Now::default();
        machine.handle_command(Command::Start, now).expect("a start");
        while let Some(output) = machine.poll_output() {
            if let Output::Store { store, .. } = output {
                let result = Ok(StoreReply::Loaded(Vec::new()));
                machine.handle_input(Input::Stored { store, result }, now);
            } else if let Output::Listen { listen, .. } = output {
                let news = ServerInput::Listening { listen, address: String::new() };
                machine.handle_input(Input::Server(news), now);
            }
        }
    }
}
