//! `moorline drain`: takes a worker out of service without losing work.

use std::time::{Duration, Instant};

use moorline_core::json::Raw;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::args::{ConnectArgs, DrainArgs};
use crate::connect::Dispatcher;
use crate::exit::{Exit, Failure};
use crate::output;
use crate::status::{Status, WorkerRow};

/// Orders the drain and waits until the worker runs nothing.
pub(crate) async fn run(args: DrainArgs) -> Result<Exit, Failure> {
    if args.resume {
        return resume(&args.worker, &args.connect).await;
    }
    let began = Instant::now();
    let mut dispatcher = Dispatcher::impatient("drain", &args.connect)?;
    let id = order(&mut dispatcher, &args.worker, true).await?;
    output::note(&format!(
        "{} ({id}) gets no new work until its farewell, or until undrain",
        args.worker
    ));
    if args.no_wait {
        return Ok(Exit::Success);
    }
    let mut shown = None;
    loop {
        let status = Status::fetch(&mut dispatcher).await?;
        let row = status.workers().iter().find(|row| row.beacon_id == id);
        let Some(left) = row.map(|row| row.in_flight).filter(|left| *left > 0) else {
            let how = if row.is_some() { "runs nothing more" } else { "has left" };
            output::line(&format!("{} {how}", args.worker))?;
            return Ok(Exit::Success);
        };
        if began.elapsed() >= args.timeout.duration() {
            let message = format!("{} still runs {left} work item(s)", args.worker);
            return Err(Failure { exit: Exit::Timeout, message });
        }
        if shown.replace(left) != Some(left) {
            output::note(&format!("waiting for {left} work item(s)"));
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

/// Has a worker get new work again.
pub(crate) async fn resume(worker: &str, connect: &ConnectArgs) -> Result<Exit, Failure> {
    let mut dispatcher = Dispatcher::impatient("undrain", connect)?;
    let id = order(&mut dispatcher, worker, false).await?;
    output::line(&output::harmless(&format!("{worker} ({id}) gets new work again")))?;
    Ok(Exit::Success)
}

/// Orders a drain or its end; returns the worker's id.
async fn order(
    dispatcher: &mut Dispatcher,
    worker: &str,
    draining: bool,
) -> Result<String, Failure> {
    let status = Status::fetch(dispatcher).await?;
    let id = find(status.workers(), worker)?.beacon_id.clone();
    let order = Raw::from_value(&Order { id: &id, draining });
    let order = order.map_err(|e| Failure::other(e.to_string()))?;
    dispatcher.call("$drain", order, &Value::Object(Map::new()), |_| Ok(())).await?;
    Ok(id)
}

/// Finds a worker by id, or by name if only one has it.
fn find<'a>(workers: &'a [WorkerRow], wanted: &str) -> Result<&'a WorkerRow, Failure> {
    if let Some(row) = workers.iter().find(|row| row.beacon_id == wanted) {
        return Ok(row);
    }
    let named: Vec<&WorkerRow> = workers.iter().filter(|row| row.name == wanted).collect();
    match named.as_slice() {
        [row] => Ok(row),
        [] => {
            let names: Vec<&str> = workers.iter().map(|row| row.name.as_str()).collect();
            let known = if names.is_empty() { String::from("none") } else { names.join(", ") };
            Err(Failure::usage(format!("no worker is named {wanted}; registered: {known}")))
        }
        several => {
            let ids: Vec<&str> = several.iter().map(|row| row.beacon_id.as_str()).collect();
            let ids = ids.join(", ");
            Err(Failure::usage(format!("several workers are named {wanted}; name an id: {ids}")))
        }
    }
}

/// The payload of `$drain`.
#[derive(Serialize)]
struct Order<'a> {
    #[serde(rename = "BeaconID")]
    id: &'a str,
    #[serde(rename = "Draining")]
    draining: bool,
}

/// How often the hub is asked what the worker still runs.
const INTERVAL: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use super::*;

    fn workers() -> Vec<WorkerRow> {
        [("b1", "one"), ("b2", "two"), ("b3", "two")]
            .map(|(id, name)| {
                let mut row = WorkerRow::default();
                id.clone_into(&mut row.beacon_id);
                name.clone_into(&mut row.name);
                row
            })
            .into()
    }

    #[test]
    fn a_worker_is_found_by_id_and_by_a_name_of_its_own() {
        assert_eq!(find(&workers(), "b3").unwrap().beacon_id, "b3");
        assert_eq!(find(&workers(), "one").unwrap().beacon_id, "b1");
    }

    #[test]
    fn an_unclear_name_is_refused_with_what_would_be_clear() {
        assert!(find(&workers(), "two").unwrap_err().message.contains("name an id: b2, b3"));
        assert!(find(&workers(), "six").unwrap_err().message.contains("registered: one, two, two"));
        assert!(find(&[], "six").unwrap_err().message.contains("registered: none"));
    }
}
