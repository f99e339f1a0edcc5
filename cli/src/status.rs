//! `moorline status`: workers, lag, work in flight, the queue, VOLT daemons.

use std::io::IsTerminal;

use comfy_table::CellAlignment;
use moorline_core::json::Raw;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::args::StatusArgs;
use crate::connect::Dispatcher;
use crate::exit::{Exit, Failure};
use crate::output;
use crate::table::{add_row, hide_id, shown, table, width};

/// Prints the status once, or again and again on a terminal.
pub(crate) async fn run(args: StatusArgs) -> Result<Exit, Failure> {
    let mut dispatcher = Dispatcher::impatient("status", &args.connect)?;
    if !args.watch || !std::io::stdout().is_terminal() {
        output::text(&show(&args, &Status::fetch(&mut dispatcher).await?))?;
        return Ok(Exit::Success);
    }
    tokio::select! {
        end = watch(&args, &mut dispatcher) => end,
        _ = tokio::signal::ctrl_c() => Ok(Exit::Success),
    }
}

/// Shows the status again and again, once it could be shown at all.
async fn watch(args: &StatusArgs, dispatcher: &mut Dispatcher) -> Result<Exit, Failure> {
    let mut text = show(args, &Status::fetch(dispatcher).await?);
    loop {
        output::text(&format!("{CLEAR}{text}"))?;
        tokio::time::sleep(args.interval.duration()).await;
        text = match Status::fetch(dispatcher).await {
            Ok(status) => show(args, &status),
            Err(failure) if matches!(failure.exit, Exit::Usage | Exit::Refused) => {
                return Err(failure);
            }
            // Whoever watches wants to see the hub come back.
            Err(failure) => format!("{}\n", failure.message),
        };
    }
}

fn show(args: &StatusArgs, status: &Status) -> String {
    if args.json { format!("{}\n", status.raw.as_str()) } else { status.table(width()) }
}

/// What the hub tells about itself.
#[derive(Debug)]
pub(crate) struct Status {
    raw: Raw,
    answer: Answer,
}

impl Status {
    /// Asks the hub.
    pub(crate) async fn fetch(dispatcher: &mut Dispatcher) -> Result<Self, Failure> {
        let options = Value::Object(Map::new());
        let raw = dispatcher.call("$status", Raw::empty_object(), &options, |_| Ok(())).await?;
        Self::read(raw)
    }

    fn read(raw: Raw) -> Result<Self, Failure> {
        let answer = raw.read().map_err(|e| {
            Failure::other(format!("the control plane's status is not understood: {e}"))
        })?;
        Ok(Self { raw, answer })
    }

    /// Returns the workers.
    pub(crate) fn workers(&self) -> &[WorkerRow] {
        &self.answer.workers
    }

    /// Shows everything within `width` columns, if there is such a limit.
    fn table(&self, width: Option<u16>) -> String {
        let mut table =
            table(["Worker", "Status", "Link", "In flight", "Lag", "Capabilities", "Id"], width);
        hide_id(&mut table, width);
        for row in &self.answer.workers {
            add_row(
                &mut table,
                [
                    row.name.clone(),
                    row.state().to_owned(),
                    row.transport.clone(),
                    format!("{}/{}", row.in_flight, row.max_concurrent),
                    row.host_lag_ms.map_or_else(|| String::from("-"), |lag| format!("{lag} ms")),
                    row.capabilities.join(", "),
                    row.beacon_id.clone(),
                ],
            );
        }
        for column in [3, 4] {
            if let Some(column) = table.column_mut(column) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        let queue = &self.answer.queue;
        let daemons = self.daemons(width);
        format!(
            "{daemons}{table}\n{} worker(s)   queue: {} pending, {} running, {} finished, {} redelivered\n",
            self.answer.workers.len(),
            queue.pending,
            queue.running,
            queue.finished,
            queue.redelivered,
        )
    }
}

impl Status {
    /// Shows the VOLT daemons, if there are any.
    fn daemons(&self, width: Option<u16>) -> String {
        if self.answer.daemons.is_empty() {
            return String::new();
        }
        let mut table = table(
            ["Daemon", "Status", "Link", "In flight", "Version", "Last heartbeat", "Id"],
            width,
        );
        hide_id(&mut table, width);
        for row in &self.answer.daemons {
            add_row(
                &mut table,
                [
                    row.name.clone(),
                    row.status.clone(),
                    shown(row.transport.as_ref()),
                    row.in_flight.to_string(),
                    shown(row.installed_version.as_ref()),
                    shown(row.last_heartbeat.as_ref()),
                    row.id.clone(),
                ],
            );
        }
        format!("{table}\n")
    }
}

/// One VOLT daemon as the hub sees it.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct DaemonRow {
    #[serde(rename = "TeamClusterID")]
    id: String,
    name: String,
    status: String,
    transport: Option<String>,
    in_flight: u64,
    installed_version: Option<String>,
    last_heartbeat: Option<String>,
}

/// One worker as the hub sees it.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct WorkerRow {
    /// Its id at the hub.
    #[serde(rename = "BeaconID")]
    pub(crate) beacon_id: String,
    /// Its name.
    pub(crate) name: String,
    /// Work that it runs.
    pub(crate) in_flight: u64,
    /// It gets nothing new.
    pub(crate) draining: bool,
    transport: String,
    status: String,
    capabilities: Vec<String>,
    max_concurrent: u64,
    host_lag_ms: Option<u64>,
}

impl WorkerRow {
    fn state(&self) -> &str {
        if self.draining { "Draining" } else { &self.status }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Answer {
    workers: Vec<WorkerRow>,
    queue: Queue,
    daemons: Vec<DaemonRow>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Queue {
    pending: u64,
    running: u64,
    finished: u64,
    redelivered: u64,
}

/// Moves to the upper left corner and clears the screen.
const CLEAR: &str = "\x1b[H\x1b[2J";

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &str = r#"{"Hub":{},"Workers":[{"BeaconID":"bcn-1","Name":"edge-7",
        "Transport":"WebSocket","Status":"Online","Capabilities":["Text","Math"],
        "MaxConcurrent":4,"InFlight":3,"HostLagMs":12,"LastHeartbeat":"x","Draining":false},
        {"BeaconID":"bcn-2","Name":"old","Draining":true}],
        "Queue":{"Pending":5,"Running":3,"Finished":90,"Redelivered":1},
        "Daemons":[{"TeamClusterID":"lab","Name":"rack 7","Status":"connected","Transport":null}]}"#;

    #[test]
    fn the_table_shows_workers_lag_flight_and_queue() {
        let status = Status::read(Raw::parse(ANSWER).unwrap()).unwrap();
        let text = status.table(None);
        for shown in ["edge-7", "3/4", "12 ms", "Text, Math", "bcn-1", "Draining", "2 worker(s)"] {
            assert!(text.contains(shown), "{shown} is missing in\n{text}");
        }
        assert!(text.contains("rack 7") && text.contains("connected"), "{text}");
        assert!(text.contains("5 pending, 3 running, 90 finished, 1 redelivered"), "{text}");
    }

    #[test]
    fn the_table_fits_the_terminal() {
        let rows: Vec<String> = (0..25)
            .map(|n| {
                format!(
                    r#"{{"BeaconID":"bcn-edge-{n}-1795000023714","Name":"edge-{n}","Status":"Online",
                    "Transport":"WebSocket","Capabilities":["Text","Math"],"MaxConcurrent":4}}"#
                )
            })
            .collect();
        let answer = format!(r#"{{"Workers":[{}]}}"#, rows.join(","));
        let status = Status::read(Raw::parse(answer).unwrap()).unwrap();
        let narrow = status.table(Some(80));
        assert!(narrow.lines().all(|line| line.chars().count() <= 80), "{narrow}");
        assert!(!narrow.contains("bcn-edge-7"), "{narrow}");
        let header = 3;
        let rows = narrow.lines().filter(|line| line.contains("edge-")).count();
        assert_eq!((rows, narrow.lines().count() < 25 * 2 + header + 5), (25, true), "{narrow}");
        assert!(status.table(Some(160)).contains("bcn-edge-7-1795000023714"));
    }

    #[test]
    fn a_hub_without_workers_has_a_table_too() {
        let status = Status::read(Raw::parse("{}").unwrap()).unwrap();
        assert!(status.table(None).contains("0 worker(s)"));
        assert!(Status::read(Raw::parse("7").unwrap()).is_err());
    }
}
