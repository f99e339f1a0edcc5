//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use moorline_core::command::DEFAULT_DRAIN_MS;

use crate::exit;
use crate::logs::LogArgs;
use crate::manual::{COMPLETIONS_EXAMPLES, CompletionsArgs, ManArgs};
use crate::worker;

/// Workers, dispatchers and a control plane that survive every kind of disconnect.
#[derive(Debug, Parser)]
#[command(name = "moorline", version, propagate_version = true, max_term_width = 100)]
#[command(after_help = exit::HELP, subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Action,

    /// How to log.
    #[command(flatten)]
    pub(crate) logs: LogArgs,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub(crate) enum Action {
    /// Run the control plane: accept workers, queue and lease their work, keep its results
    #[command(after_help = HUB_EXAMPLES)]
    Hub(HubArgs),
    /// Offer the commands of a configuration file as capabilities
    #[command(after_help = WORKER_EXAMPLES)]
    Worker(WorkerArgs),
    /// Run scripts for programs of other machines, and ask for theirs, as ws-daemon does
    #[command(name = "wsdaemon", after_help = WSDAEMON_EXAMPLES)]
    WsDaemon(WsDaemonArgs),
    /// Have one work item run, and print its result as JSON
    #[command(after_help = DISPATCH_EXAMPLES)]
    Dispatch(DispatchArgs),
    /// Show workers, lag, work in flight and the queue
    #[command(after_help = STATUS_EXAMPLES)]
    Status(StatusArgs),
    /// List the work items that wait or run
    List(ViewArgs),
    /// Print what became of a work item: its outputs, or why it failed
    Result(ItemArgs),
    /// Cancel a work item
    Cancel(ItemArgs),
    /// List what can be dispatched, and how many workers offer it
    Capabilities(ViewArgs),
    /// Let a worker finish what it runs and give it nothing new
    #[command(after_help = DRAIN_EXAMPLES)]
    Drain(DrainArgs),
    /// Give a worker that was drained new work again
    Undrain(UndrainArgs),
    /// Make a one-time token with which a VOLT daemon enrolls; list and revoke tokens
    #[command(after_help = ENROLL_EXAMPLES)]
    Enroll(EnrollArgs),
    /// Have a VOLT daemon carry a command out, and print its answer
    #[command(after_help = CALL_EXAMPLES)]
    Call(CallArgs),
    /// Copy a hub's store to a new file; the hub may go on meanwhile
    #[command(after_help = BACKUP_EXAMPLES)]
    Backup(CopyArgs),
    /// Put a copy in the place of a store whose hub has ended
    #[command(after_help = RESTORE_EXAMPLES)]
    Restore(CopyArgs),
    /// Run a hub in memory, a sample worker and the operator's page, for a first try
    #[command(after_help = DEV_EXAMPLES)]
    Dev(DevArgs),
    /// Try the way to a control plane hop by hop, and say what is in between and what helps
    #[command(after_help = DOCTOR_EXAMPLES)]
    Doctor(DoctorArgs),
    /// Replay a recording of runtime.trace_file, and compare what is said with what was said
    #[command(after_help = REPLAY_EXAMPLES)]
    Replay(ReplayArgs),
    /// Print completions for a shell
    #[command(after_help = COMPLETIONS_EXAMPLES)]
    Completions(CompletionsArgs),
    /// Write the manual pages of all commands into a folder
    Man(ManArgs),
    /// Kill the commands of a worker that was killed; workers start this themselves
    #[command(name = worker::KEEP, hide = true)]
    KeepCommands,
}

/// Where options come from, for every role.
#[derive(Args, Debug)]
pub(crate) struct SourceArgs {
    /// A TOML file with options; weaker than the environment, which is weaker than flags
    #[arg(long, value_name = "FILE", env = "MOORLINE_CONFIG")]
    pub(crate) config: Option<PathBuf>,

    /// Set any option that is not a secret, such as reconnect.max_delay_ms=5000; repeatable
    #[arg(long, value_name = "OPTION=VALUE")]
    pub(crate) set: Vec<String>,
}

/// Options of `moorline hub`.
#[derive(Args, Debug)]
pub(crate) struct HubArgs {
    /// The address to listen on; port 0 takes a free one [default: 127.0.0.1:54321]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) listen: Option<String>,

    /// The SQLite file for queue, attempts and results; without one they live in memory
    #[arg(long, value_name = "FILE")]
    pub(crate) store: Option<PathBuf>,

    /// Where to be asked.
    #[command(flatten)]
    pub(crate) health: HealthArgs,

    /// A file with the secret that workers need to join
    #[arg(long, value_name = "FILE")]
    pub(crate) join_secret_file: Option<PathBuf>,

    /// Show every option, its value and where it came from, and end
    #[arg(long)]
    pub(crate) print_config: bool,

    /// Where options come from.
    #[command(flatten)]
    pub(crate) sources: SourceArgs,

    /// How to end.
    #[command(flatten)]
    pub(crate) stop: StopArgs,
}

/// Options of `moorline backup` and `moorline restore`.
#[derive(Args, Debug)]
pub(crate) struct CopyArgs {
    /// The copy
    #[arg(value_name = "COPY")]
    pub(crate) copy: PathBuf,

    /// The store [default: runtime.store_path of the hub's configuration]
    #[arg(long, value_name = "FILE")]
    pub(crate) store: Option<PathBuf>,

    /// Where the hub's options come from.
    #[command(flatten)]
    pub(crate) sources: SourceArgs,
}

/// Options of `moorline worker`.
#[derive(Args, Debug)]
pub(crate) struct WorkerArgs {
    /// The control plane [default: http://localhost:54321]
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<String>,

    /// The worker's name, unique in the fleet [default: host and process]
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,

    /// The most work items run at once [default: 1]
    #[arg(long, value_name = "COUNT")]
    pub(crate) max_concurrent: Option<u64>,

    /// Where to be asked.
    #[command(flatten)]
    pub(crate) health: HealthArgs,

    /// A file with the secret that lets this worker join
    #[arg(long, value_name = "FILE")]
    pub(crate) join_secret_file: Option<PathBuf>,

    /// A file with the password of the login
    #[arg(long, value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,

    /// Show every option, its value and where it came from, and end
    #[arg(long)]
    pub(crate) print_config: bool,

    /// Where options come from.
    #[command(flatten)]
    pub(crate) sources: SourceArgs,

    /// How to end.
    #[command(flatten)]
    pub(crate) stop: StopArgs,
}

/// Options of `moorline wsdaemon`.
#[derive(Args, Debug)]
pub(crate) struct WsDaemonArgs {
    /// The folder with config.json and scripts/, where the socket is made
    #[arg(long, value_name = "FOLDER", env = "WSDAEMON_PREFIX")]
    #[arg(default_value = "/root/ws-daemon")]
    pub(crate) prefix: PathBuf,

    /// Run the folder's setup.sh before the start
    #[arg(long)]
    pub(crate) run_setup: bool,

    /// Where to be asked.
    #[command(flatten)]
    pub(crate) health: HealthArgs,

    /// A file with the token that clients show and servers want to see
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,

    /// Show every option, its value and where it came from, and end
    #[arg(long)]
    pub(crate) print_config: bool,

    /// Where options come from.
    #[command(flatten)]
    pub(crate) sources: SourceArgs,

    /// How to end.
    #[command(flatten)]
    pub(crate) stop: StopArgs,
}

/// Where a role that runs on says how it is.
#[derive(Args, Debug)]
pub(crate) struct HealthArgs {
    /// Answer /live, /ready and /metrics at this port of loopback, or at this address, to whoever asks
    #[arg(long = "health", value_name = "ADDRESS")]
    pub(crate) health_listen: Option<String>,
}

/// How a hub or worker ends on a signal.
#[derive(Args, Debug)]
pub(crate) struct StopArgs {
    /// How long running work may take to finish after the first signal; the second ends at once
    #[arg(long, value_name = "TIME", value_parser = duration)]
    #[arg(default_value_t = Millis(DEFAULT_DRAIN_MS))]
    pub(crate) drain_timeout: Millis,
}

/// How to reach a control plane.
#[derive(Args, Debug)]
pub(crate) struct ConnectArgs {
    /// The control plane [default: http://localhost:54321]
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<String>,

    /// Who logs in; without one nobody does
    #[arg(long, value_name = "NAME")]
    pub(crate) user: Option<String>,

    /// A file with the password of the login
    #[arg(long, value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,

    /// Where options come from.
    #[command(flatten)]
    pub(crate) sources: SourceArgs,
}

/// Options of `moorline dispatch`.
#[derive(Args, Debug)]
pub(crate) struct DispatchArgs {
    /// What to run: Capability/Action
    #[arg(value_name = "CAPABILITY/ACTION")]
    pub(crate) name: String,

    /// The settings: a JSON object, @FILE, or - for standard input
    #[arg(long, value_name = "JSON", default_value = "{}")]
    pub(crate) settings: String,

    /// Time for everything: queue, work and retries [default: 5m]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) timeout: Option<Millis>,

    /// Dispatches with one key run once and share the result
    #[arg(long, value_name = "KEY")]
    pub(crate) idempotency_key: Option<String>,

    /// Dispatches with one key go to one worker while it lives
    #[arg(long, value_name = "KEY")]
    pub(crate) affinity_key: Option<String>,

    /// Put the item into the queue, print its hash, and do not wait
    #[arg(long, conflicts_with_all = ["stream", "affinity_key"])]
    pub(crate) enqueue: bool,

    /// Print progress as JSON lines while the work runs; the result is the last line
    #[arg(long)]
    pub(crate) stream: bool,

    /// How to reach the control plane.
    #[command(flatten)]
    pub(crate) connect: ConnectArgs,
}

/// Options of `moorline status`.
#[derive(Args, Debug)]
pub(crate) struct StatusArgs {
    /// Print the hub's answer as JSON
    #[arg(long)]
    pub(crate) json: bool,

    /// Refresh until interrupted, on a terminal; elsewhere the status is printed once
    #[arg(long)]
    pub(crate) watch: bool,

    /// How often to refresh
    #[arg(long, value_name = "TIME", value_parser = duration, default_value_t = Millis(1_000))]
    pub(crate) interval: Millis,

    /// How to reach the control plane.
    #[command(flatten)]
    pub(crate) connect: ConnectArgs,
}

/// Options of `moorline drain`.
#[derive(Args, Debug)]
pub(crate) struct DrainArgs {
    /// The worker's name or id
    #[arg(value_name = "WORKER")]
    pub(crate) worker: String,

    /// How long to wait for its running work
    #[arg(long, value_name = "TIME", value_parser = duration, default_value_t = Millis(300_000))]
    pub(crate) timeout: Millis,

    /// Order the drain and do not wait for it
    #[arg(long)]
    pub(crate) no_wait: bool,

    /// Give it new work again
    #[arg(long, conflicts_with_all = ["no_wait", "timeout"])]
    pub(crate) resume: bool,

    /// How to reach the control plane.
    #[command(flatten)]
    pub(crate) connect: ConnectArgs,
}

/// Options of `moorline undrain`.
#[derive(Args, Debug)]
pub(crate) struct UndrainArgs {
    /// The worker's name or id
    #[arg(value_name = "WORKER")]
    pub(crate) worker: String,

    /// How to reach the control plane.
    #[command(flatten)]
    pub(crate) connect: ConnectArgs,
}

/// Options of `moorline dev`.
#[derive(Args, Debug)]
pub(crate) struct DevArgs {
    /// The address to listen on; port 0 takes a free one [default: 127.0.0.1:54321]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) listen: Option<String>,

    /// How to end.
    #[command(flatten)]
    pub(crate) stop: StopArgs,
}

/// Options of `moorline doctor`.
#[derive(Args, Debug)]
pub(crate) struct DoctorArgs {
    /// The control plane [default: http://localhost:54321]
    #[arg(value_name = "URL")]
    pub(crate) url: Option<String>,

    /// The name to register under, which takes it from a worker that runs; without one, a name that nobody has
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,

    /// A file with the secret that lets workers join
    #[arg(long, value_name = "FILE")]
    pub(crate) join_secret_file: Option<PathBuf>,

    /// Who logs in; empty logs in as the worker's name
    #[arg(long, value_name = "NAME")]
    pub(crate) user: Option<String>,

    /// A file with the password of the login
    #[arg(long, value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,

    /// How long each hop may take
    #[arg(long, value_name = "TIME", value_parser = duration, default_value_t = Millis(10_000))]
    pub(crate) timeout: Millis,

    /// Where further options of a worker come from.
    #[command(flatten)]
    pub(crate) sources: SourceArgs,
}

/// Options of `moorline replay`.
#[derive(Args, Debug)]
pub(crate) struct ReplayArgs {
    /// The recording
    #[arg(value_name = "FILE")]
    pub(crate) recording: PathBuf,

    /// Print what the machine says now, a line of JSON for each output
    #[arg(long)]
    pub(crate) print: bool,
}

/// Options of `moorline list` and `moorline capabilities`.
#[derive(Args, Debug)]
pub(crate) struct ViewArgs {
    /// Print the hub's answer as JSON
    #[arg(long)]
    pub(crate) json: bool,

    /// How to reach the control plane.
    #[command(flatten)]
    pub(crate) connect: ConnectArgs,
}

/// Options of `moorline result` and `moorline cancel`.
#[derive(Args, Debug)]
pub(crate) struct ItemArgs {
    /// The item's WorkItemHash, as `dispatch` and `list` print it
    #[arg(value_name = "ITEM")]
    pub(crate) item: String,

    /// How to reach the control plane.
    #[command(flatten)]
    pub(crate) connect: ConnectArgs,
}

/// Options of `moorline enroll`.
#[derive(Args, Debug)]
pub(crate) struct EnrollArgs {
    /// The id under which the daemon will register
    #[arg(value_name = "CLUSTER", required_unless_present_any = ["list", "revoke"])]
    pub(crate) cluster: Option<String>,

    /// What people call the daemon [default: its id]
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,

    /// How long the token is good for [default: 1day, or as the hub's volt.token_ttl_ms says]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) expires: Option<Millis>,

    /// Print the hub's answer as JSON instead of the token alone
    #[arg(long)]
    pub(crate) json: bool,

    /// Give the daemon a new password at once and print it, instead of making a token
    #[arg(long, conflicts_with_all = ["name", "expires", "list", "revoke"])]
    pub(crate) rotate: bool,

    /// List the tokens, without their secrets
    #[arg(long, conflicts_with_all = ["cluster", "name", "expires", "revoke"])]
    pub(crate) list: bool,

    /// Revoke the token of this id
    #[arg(long, value_name = "TOKEN_ID", conflicts_with_all = ["cluster", "name", "expires"])]
    pub(crate) revoke: Option<String>,

    /// How to reach the control plane.
    #[command(flatten)]
    pub(crate) connect: ConnectArgs,
}

/// Options of `moorline call`.
#[derive(Args, Debug)]
pub(crate) struct CallArgs {
    /// The daemon's team cluster id
    #[arg(value_name = "CLUSTER")]
    pub(crate) cluster: String,

    /// The command
    #[arg(value_name = "COMMAND")]
    pub(crate) command: String,

    /// The payload: JSON, @FILE, or - for standard input; none if left out
    #[arg(long, value_name = "JSON")]
    pub(crate) payload: Option<String>,

    /// Time for the answer [default: 30s, or as the hub's volt.command_timeout_ms says]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) timeout: Option<Millis>,

    /// The form of the answer: json is printed as JSON, buffer and stream as the bytes they are
    #[arg(long, value_name = "FORM", default_value = "json")]
    #[arg(value_parser = ["json", "buffer", "stream"])]
    pub(crate) response_type: String,

    /// How to reach the control plane.
    #[command(flatten)]
    pub(crate) connect: ConnectArgs,
}

/// A time as people write it: `500ms`, `30s`, `5m`, `1h 30m`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Millis(pub(crate) u64);

impl Millis {
    /// Returns the time.
    pub(crate) const fn duration(self) -> Duration {
        Duration::from_millis(self.0)
    }
}

impl std::fmt::Display for Millis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        humantime::format_duration(self.duration()).fmt(f)
    }
}

fn duration(text: &str) -> Result<Millis, String> {
    let time =
        humantime::parse_duration(text).map_err(|e| format!("{e}; write 500ms, 30s, 5m or 1h"))?;
    u64::try_from(time.as_millis()).map(Millis).map_err(|_| String::from("is too long"))
}

const HUB_EXAMPLES: &str = "\
Examples:
  moorline hub
      on 127.0.0.1:54321, everything in memory
  moorline hub --listen 127.0.0.1:0 --store hub.db
      on a free port; queue and results survive a crash
  MOORLINE_JOIN_SECRET_FILE=/run/secrets/join moorline hub --config hub.toml
      secrets come from files or the environment, never from arguments
  moorline hub --config hub.toml --print-config
      every option, its value, and where it came from

Signals: the first SIGTERM, SIGINT or SIGQUIT drains, a second one ends at once.
Every option can be set in the file, as MOORLINE_<OPTION>, or with --set.";

const WORKER_EXAMPLES: &str = "\
Examples:
  moorline worker --config worker.toml
  moorline worker --config worker.toml --url http://127.0.0.1:54321 --max-concurrent 4

worker.toml:
  name = \"edge-7\"

  [[command]]
  capability = \"Text\"
  action = \"Count\"
  argv = [\"wc\", \"-c\", \"{File}\"]
  settings = [{ name = \"File\" }]
  timeout_ms = 10000

Programs are started with exactly these arguments; there is no shell. A setting replaces a whole
argument. When work ends, is cancelled or runs too long, its whole process group is ended.

Signals: the first SIGTERM, SIGINT or SIGQUIT drains, a second one ends at once.";

const WSDAEMON_EXAMPLES: &str = "Examples:
  WSDAEMON_PREFIX=/etc/ws-daemon moorline wsdaemon
  moorline wsdaemon --prefix ./daemon --set listen=0.0.0.0:3006 --token-file token \\
      --set runtime.cert_file=cert.pem --set runtime.key_file=key.pem
  echo '{\"name\":\"backup\",\"id\":1}' | nc -U /etc/ws-daemon/ws-daemon.sock";

const DISPATCH_EXAMPLES: &str = "\
Examples:
  moorline dispatch Text/Count --settings '{\"File\":\"/etc/hosts\"}'
  moorline dispatch Text/Count --settings @settings.json --timeout 30s
  generate | moorline dispatch Text/Count --settings - --idempotency-key order-17
  moorline dispatch Text/Count --enqueue
  moorline dispatch Video/Render --stream --timeout 1h";

const STATUS_EXAMPLES: &str = "\
Examples:
  moorline status
  moorline status --watch
  moorline status --json --url http://127.0.0.1:54321";

const DRAIN_EXAMPLES: &str = "\
Examples:
  moorline drain edge-7
  moorline drain edge-7 --timeout 10m
  moorline drain bcn-4f1c2a --no-wait
  moorline drain edge-7 --resume";

const ENROLL_EXAMPLES: &str = "\
Examples:
  moorline enroll cluster-abc123 --name \"rack 7\" --expires 1h
      prints a token; the daemon that presents it gets its password, once
  moorline enroll cluster-abc123 --rotate
      prints a new password; the old one is good no longer
  moorline enroll --list
  moorline enroll --revoke 6c9d1f60-3c5e-4a52-9d5c-8f0f6a1f2b3c";

const DEV_EXAMPLES: &str = "\
Examples:
  moorline dev
  moorline dev --listen 127.0.0.1:0

Nothing is kept. The hub is open to whoever reaches the address: for a first try, not for a network.";

const DOCTOR_EXAMPLES: &str = "\
Examples:
  moorline doctor https://hub.example:54321
  moorline doctor --config worker.toml --join-secret-file join.secret

It registers as a worker that offers nothing, and leaves again. What it prints holds no secrets.";

const REPLAY_EXAMPLES: &str = "\
Examples:
  moorline worker --config worker.toml --set runtime.trace_file=worker.jsonl
  moorline replay worker.jsonl
  moorline replay worker.jsonl --print

The machine is told all that was recorded. If it says something else than it did then, the first output
that differs is shown and the exit code is 1: another version behaves differently there.";

const BACKUP_EXAMPLES: &str = "\
Examples:
  moorline backup hub-2026-12-01.db --store hub.db
  moorline backup /backup/hub.db --config /etc/moorline/hub.toml

The copy is what the store held at one moment. It must not exist yet, and only you can read it.";

const RESTORE_EXAMPLES: &str = "\
Examples:
  moorline restore hub-2026-12-01.db --store hub.db

End the hub first. What stood in the store's place is kept as FILE.before-restore, or with a number.";

const CALL_EXAMPLES: &str = "\
Examples:
  moorline call cluster-abc123 jobs.list
  moorline call cluster-abc123 jobs.run --payload '{\"id\":7}' --timeout 5m
  moorline call cluster-abc123 files.read --payload @request.json --response-type buffer > file
  moorline call cluster-abc123 logs.follow --response-type stream

A command is sent once: when the daemon is lost meanwhile, whether it was carried out is unknown.
If no daemon is registered, the hub waits for it for up to 30 seconds.";

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn defaults_in_the_help_are_those_of_the_tables() {
        let help = Cli::command().render_long_help().to_string();
        assert!(help.contains("Exit codes:"), "{help}");
        for (role, shown) in [
            ("hub", ["listen"].as_slice()),
            ("worker", ["server_url", "max_concurrent"].as_slice()),
        ] {
            let table = moorline_core::options::ROLES.iter().find(|row| row.role == role).unwrap();
            let mut cli = Cli::command();
            let help = cli.find_subcommand_mut(role).unwrap().render_long_help().to_string();
            for field in (table.fields)().iter().filter(|field| shown.contains(&field.name)) {
                let default = field.default.trim_matches('"');
                assert!(help.contains(&format!("[default: {default}]")), "{role} {default}");
            }
        }
    }

    #[test]
    fn times_are_written_as_people_do() {
        assert_eq!(duration("1m 30s"), Ok(Millis(90_000)));
        assert!(duration("5").unwrap_err().contains("write 500ms"));
    }
}
