//! `moorline call`: one command to a VOLT daemon.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use moorline_core::json::Raw;
use moorline_core::{Error, ErrorCode};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::args::CallArgs;
use crate::connect::Dispatcher;
use crate::exit::{Exit, Failure};
use crate::{json, output};

/// Calls a command and prints the answer.
pub(crate) async fn run(args: CallArgs) -> Result<Exit, Failure> {
    let payload = match &args.payload {
        Some(given) => json::read("--payload", given)?.0,
        None => Raw::absent(),
    };
    let mut options = Map::new();
    options.insert(String::from("team_cluster_id"), args.cluster.as_str().into());
    options.insert(String::from("response_type"), args.response_type.as_str().into());
    if let Some(time) = args.timeout {
        options.insert(String::from("timeout_ms"), time.0.into());
    }
    let mut dispatcher = Dispatcher::impatient("call", &args.connect)?;
    let options = Value::Object(options);
    let outcome = dispatcher.outcome(&args.command, payload, &options, print_part).await?;
    let answer = outcome.map_err(told)?;
    let bytes: Bytes = answer.read().unwrap_or_default();
    match (args.response_type.as_str(), bytes.body) {
        ("buffer", Some(body)) => print_bytes(&body)?,
        ("stream", _) if !answer.as_str().contains("\"Data\"") => {}
        _ => output::line(answer.as_str())?,
    }
    Ok(Exit::Success)
}

/// Says what to do about a failure. A command has no key by which it would be found again.
fn told(error: Error) -> Failure {
    if error.code() == ErrorCode::CallTimeout {
        let fix = "It may have been carried out, and a second call carries it out again: ask the daemon \
                   first, or allow more time with --timeout.";
        return Failure { exit: Exit::Timeout, message: format!("{error}\n  {fix}") };
    }
    error.into()
}

/// The bytes of an answer, or of a part of one.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Bytes {
    #[serde(rename = "Body")]
    body: Option<String>,
    #[serde(rename = "BinaryData")]
    part: Option<String>,
}

fn print_part(part: &str) -> Result<(), Failure> {
    match serde_json::from_str(part) {
        Ok(Bytes { part: Some(base64), .. }) => print_bytes(&base64),
        Ok(_) | Err(_) => Ok(()),
    }
}

fn print_bytes(base64: &str) -> Result<(), Failure> {
    let bytes = STANDARD.decode(base64);
    output::bytes(&bytes.map_err(|e| Failure::other(format!("the answer is not base64: {e}")))?)
}
