//! `moorline dispatch`: one work item from the command line.

use std::time::Duration;

use moorline_core::json::Raw;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::args::DispatchArgs;
use crate::connect::Dispatcher;
use crate::exit::{Exit, Failure};
use crate::{items, json, output};

/// Dispatches a work item and prints its result.
pub(crate) async fn run(args: DispatchArgs) -> Result<Exit, Failure> {
    let Some((capability, action)) = args.name.split_once('/') else {
        return Err(Failure::usage(format!(
            "{:?} is not of the form CAPABILITY/ACTION",
            args.name
        )));
    };
    let settings = settings(&args.settings)?;
    let mut dispatcher = Dispatcher::patient(&args.connect)?;
    let options = options(&args);
    let result = if args.enqueue {
        let timeout_ms = args.timeout.map(|time| time.0);
        let item = Raw::from_value(&Enqueued { capability, action, settings, timeout_ms })
            .map_err(|e| Failure::other(e.to_string()))?;
        dispatcher.call("$enqueue", item, &options, |_| Ok(())).await?
    } else {
        let call = dispatcher.call(&args.name, settings, &options, output::line);
        tokio::pin!(call);
        tokio::select! {
            result = &mut call => result?,
            () = explain_silence(&args) => call.await?,
        }
    };
    output::line(result.as_str())?;
    Ok(if args.enqueue { Exit::Success } else { exit_of(&result) })
}

/// Says why nothing is heard for a while: most often, nobody offers the work.
async fn explain_silence(args: &DispatchArgs) {
    tokio::time::sleep(SILENCE).await;
    let Ok(offers) = items::offers(&args.connect, &args.name).await else { return };
    output::note(&match offers {
        Some(0) => format!("nobody offers {} now; waiting for a worker that does", args.name),
        Some(workers) => format!("{} is offered by {workers} worker(s); waiting", args.name),
        None => format!("{} is offered by workers that name no actions; waiting", args.name),
    });
}

/// How long a dispatch waits without a word.
const SILENCE: Duration = Duration::from_secs(2);

/// The payload of `$enqueue`.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Enqueued<'a> {
    capability: &'a str,
    action: &'a str,
    settings: Raw,
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout_ms: Option<u64>,
}

/// Reads the settings from the argument, a file, or standard input.
fn settings(given: &str) -> Result<Raw, Failure> {
    let (raw, from) = json::read("--settings", given)?;
    if raw.as_str().starts_with('{') {
        Ok(raw)
    } else {
        Err(Failure::usage(format!("--settings: {from} is not a JSON object")))
    }
}

fn options(args: &DispatchArgs) -> Value {
    let mut options = Map::new();
    if let Some(key) = &args.idempotency_key {
        options.insert(String::from("idempotency_key"), key.as_str().into());
    }
    if !args.enqueue {
        if let Some(time) = args.timeout {
            options.insert(String::from("timeout_ms"), time.0.into());
        }
        if let Some(key) = &args.affinity_key {
            options.insert(String::from("affinity_key"), key.as_str().into());
        }
        if args.stream {
            options.insert(String::from("stream"), true.into());
        }
    }
    Value::Object(options)
}

/// Work that ran is a success, unless its own exit code says otherwise.
pub(crate) fn exit_of(result: &Raw) -> Exit {
    let result: Value = result.read().unwrap_or_default();
    match result.pointer("/Outputs/ExitCode").and_then(Value::as_i64) {
        None | Some(0) => Exit::Success,
        Some(_) => Exit::CommandFailed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_code_follows_the_commands_own() {
        let exit = |text: &str| exit_of(&Raw::parse(text.to_owned()).unwrap());
        assert_eq!(exit(r#"{"Outputs":{"ExitCode":0}}"#), Exit::Success);
        assert_eq!(exit(r#"{"Outputs":{"Any":1}}"#), Exit::Success);
        assert_eq!(exit(r#"{"Outputs":{"ExitCode":3}}"#), Exit::CommandFailed);
    }

    #[test]
    fn settings_are_a_json_object() {
        assert!(settings(r#"{"a":1}"#).is_ok());
        assert!(settings("[1]").unwrap_err().message.contains("not a JSON object"));
        assert!(settings("{a}").unwrap_err().message.contains("not JSON"));
        assert!(settings("@/nowhere").unwrap_err().message.contains("cannot be read"));
    }
}
