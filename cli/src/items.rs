//! `moorline list`, `result`, `cancel` and `capabilities`: what the hub knows of work items, and of
//! who can run them.

use moorline_core::json::Raw;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::args::{ConnectArgs, ItemArgs, ViewArgs};
use crate::connect::Dispatcher;
use crate::exit::{Exit, Failure};
use crate::table::{add_row, shown, table, width};
use crate::{dispatch, output};

/// Lists the items that wait or run.
pub(crate) async fn list(args: ViewArgs) -> Result<Exit, Failure> {
    let parts = all_items(&args.connect).await?;
    if args.json {
        let parts: Vec<Vec<&RawValue>> = parts.iter().map(read).collect::<Result<_, _>>()?;
        let all = Raw::from_value(&parts.concat()).map_err(|e| Failure::other(e.to_string()))?;
        output::line(all.as_str())?;
        return Ok(Exit::Success);
    }
    let items: Vec<Vec<Item>> = parts.iter().map(read).collect::<Result<_, _>>()?;
    let items: Vec<Item> = items.into_iter().flatten().collect();
    let header = ["Item", "Work", "Status", "Worker", "Waited", "Attempt"];
    let mut table = table(header, width());
    for item in &items {
        add_row(
            &mut table,
            [
                item.hash.clone(),
                format!("{}/{}", item.capability, item.action),
                item.status.clone(),
                shown(item.worker.as_ref()),
                format!("{:.1} s", item.waited_ms as f64 / 1_000.0),
                format!("{}/{}", item.attempt, item.max_attempts),
            ],
        );
    }
    output::text(&format!("{table}\n{} item(s)\n", items.len()))?;
    Ok(Exit::Success)
}

/// Prints what became of an item.
pub(crate) async fn result(args: ItemArgs) -> Result<Exit, Failure> {
    let answer = ask("result", "$result", named(&args.item)?, &args.connect).await?;
    output::line(answer.as_str())?;
    Ok(exit_of(&answer))
}

/// Ends as a dispatch of the item does.
fn exit_of(answer: &Raw) -> Exit {
    let Outcome { status } = answer.read().unwrap_or_default();
    match status.as_str() {
        "Error" | "Timeout" | "Canceled" => Exit::WorkFailed,
        _ => dispatch::exit_of(answer),
    }
}

/// Cancels an item.
pub(crate) async fn cancel(args: ItemArgs) -> Result<Exit, Failure> {
    let answer = ask("cancel", "$cancel", named(&args.item)?, &args.connect).await?;
    output::line(answer.as_str())?;
    let Cancelled { canceled, cancel_requested } = read(&answer)?;
    if !canceled && !cancel_requested {
        return Err(Failure::other("the item has ended already: nothing was cancelled"));
    }
    Ok(Exit::Success)
}

/// Lists what can be dispatched.
pub(crate) async fn capabilities(args: ViewArgs) -> Result<Exit, Failure> {
    let answer = ask("capabilities", "$capabilities", Raw::empty_object(), &args.connect).await?;
    if args.json {
        output::line(answer.as_str())?;
        return Ok(Exit::Success);
    }
    let Catalogue { actions, .. } = read(&answer)?;
    let mut table = table(["Work", "Settings", "Workers", "Description"], width());
    for action in &actions {
        let settings: Vec<_> =
            action.settings.iter().map(|setting| setting.name.as_str()).collect();
        add_row(
            &mut table,
            [
                format!("{}/{}", action.capability, action.action),
                settings.join(", "),
                action.workers.len().to_string(),
                action.description.clone(),
            ],
        );
    }
    output::text(&format!("{table}\n{} action(s)\n", actions.len()))?;
    Ok(Exit::Success)
}

/// Counts the workers that offer `CAPABILITY/ACTION`; `None` if some offer the capability, and do not
/// say with which actions.
pub(crate) async fn offers(connect: &ConnectArgs, name: &str) -> Result<Option<usize>, Failure> {
    let answer = ask("capabilities", "$capabilities", Raw::empty_object(), connect).await?;
    Ok(read::<Catalogue>(&answer)?.offers(name))
}

impl Catalogue {
    fn offers(&self, name: &str) -> Option<usize> {
        let (capability, action) = name.split_once('/').unwrap_or((name, ""));
        let is_it = |it: &&Action| it.capability == capability && it.action == action;
        let workers = self.actions.iter().find(is_it).map_or(0, |action| action.workers.len());
        let is_undescribed = workers == 0 && self.capabilities.iter().any(|it| it == capability);
        (!is_undescribed).then_some(workers)
    }
}

/// Asks for every item, in parts. Hubs of others have one part, whatever is asked for.
async fn all_items(connect: &ConnectArgs) -> Result<Vec<Raw>, Failure> {
    let mut parts = Vec::new();
    let (mut payload, mut last) = (Raw::empty_object(), String::new());
    loop {
        let part = ask("list", "$work", payload, connect).await?;
        let items: Vec<Item> = read(&part)?;
        let Some(item) = items.into_iter().next_back().filter(|item| item.hash != last) else {
            return Ok(parts);
        };
        parts.push(part);
        last = item.hash;
        let after = Map::from_iter([("After".to_owned(), Value::String(last.clone()))]);
        payload = Raw::from_value(&after).map_err(|e| Failure::other(e.to_string()))?;
    }
}

async fn ask(
    command: &'static str,
    name: &str,
    payload: Raw,
    connect: &ConnectArgs,
) -> Result<Raw, Failure> {
    let mut dispatcher = Dispatcher::impatient(command, connect)?;
    dispatcher.call(name, payload, &Value::Object(Map::new()), |_| Ok(())).await
}

fn named(item: &str) -> Result<Raw, Failure> {
    Raw::from_value(&Named { item }).map_err(|e| Failure::other(e.to_string()))
}

fn read<'de, T: Deserialize<'de>>(answer: &'de Raw) -> Result<T, Failure> {
    let wrong = |e| Failure::other(format!("the control plane's answer is not understood: {e}"));
    answer.read().map_err(wrong)
}

/// The payload of `$result` and `$cancel`.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Named<'a> {
    #[serde(rename = "WorkItemHash")]
    item: &'a str,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Item {
    #[serde(rename = "WorkItemHash")]
    hash: String,
    capability: String,
    action: String,
    status: String,
    #[serde(rename = "AssignedBeaconID")]
    worker: Option<String>,
    #[serde(rename = "QueueWaitMs")]
    waited_ms: u64,
    #[serde(rename = "AttemptNumber")]
    attempt: u64,
    max_attempts: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Catalogue {
    #[serde(rename = "Capabilities")]
    capabilities: Vec<String>,
    #[serde(rename = "ActionCatalog")]
    actions: Vec<Action>,
}

/// What an item came to, of which only this counts.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Outcome {
    status: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Cancelled {
    canceled: bool,
    cancel_requested: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Action {
    capability: String,
    action: String,
    description: String,
    #[serde(rename = "SettingsSchema")]
    settings: Vec<Setting>,
    #[serde(rename = "SourceBeacons")]
    workers: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Setting {
    name: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_ends_as_its_dispatch_did() {
        let exit = |text: &str| exit_of(&Raw::parse(text.to_owned()).unwrap());
        assert_eq!(exit(r#"{"Status":"Complete","Outputs":{}}"#), Exit::Success);
        assert_eq!(exit(r#"{"Status":"Complete","Outputs":{"ExitCode":3}}"#), Exit::CommandFailed);
        assert_eq!(exit(r#"{"Status":"RetryScheduled","Error":"no"}"#), Exit::Success);
        for status in ["Error", "Timeout", "Canceled"] {
            assert_eq!(exit(&format!(r#"{{"Status":"{status}","Error":"no"}}"#)), Exit::WorkFailed);
        }
    }

    #[test]
    fn workers_without_a_catalogue_are_not_nobody() {
        let catalogue: Catalogue = serde_json::from_str(
            r#"{"Capabilities":["Echo","Math"],"ActionCatalog":[
            {"Capability":"Echo","Action":"Say","SourceBeacons":["a","b"]},
            {"Capability":"Gone","Action":"By","SourceBeacons":[]}]}"#,
        )
        .unwrap();
        let offers =
            ["Echo/Say", "Math/Add", "Gone/By", "None/Such"].map(|name| catalogue.offers(name));
        assert_eq!(offers, [Some(2), None, Some(0), Some(0)]);
    }
}
