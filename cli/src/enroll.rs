//! `moorline enroll`: tokens for VOLT daemons.

use moorline_core::json::Raw;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::args::EnrollArgs;
use crate::connect::Dispatcher;
use crate::exit::{Exit, Failure};
use crate::output;

/// Makes, lists or revokes tokens.
pub(crate) async fn run(args: EnrollArgs) -> Result<Exit, Failure> {
    let mut dispatcher = Dispatcher::impatient("enroll", &args.connect)?;
    let id = args.cluster.as_deref();
    let (name, order) = if args.list {
        ("$tokens", Order::default())
    } else if args.revoke.is_some() {
        ("$revoke", Order { token: args.revoke.as_deref(), ..Order::default() })
    } else if args.rotate {
        ("$rotate", Order { cluster: id, ..Order::default() })
    } else {
        let expires_ms = args.expires.map(|time| time.0);
        let name = args.name.as_deref();
        ("$enroll", Order { cluster: id, name, expires_ms, ..Order::default() })
    };
    let order = Raw::from_value(&order).map_err(|e| Failure::other(e.to_string()))?;
    let answer = dispatcher.call(name, order, &Value::Object(Map::new()), |_| Ok(())).await?;
    let secret: Secret = answer.read().unwrap_or_default();
    let is_secret = secret.token.is_some() || secret.password.is_some();
    let printed = match secret.token.or(secret.password) {
        Some(secret) if !args.json => output::line(&secret),
        Some(_) | None => output::line(answer.as_str()),
    };
    printed.map_err(|failure| if is_secret { lost(failure, id) } else { failure })?;
    if let (Some(expires), false) = (secret.expires, args.json) {
        output::note(&format!("good once, until {expires}"));
    }
    Ok(Exit::Success)
}

/// A secret is shown once: says what to do when it was not.
fn lost(failure: Failure, cluster: Option<&str>) -> Failure {
    let id = cluster.unwrap_or("ID");
    let message = format!(
        "{}; the secret is lost\n  see `moorline enroll --list`, revoke it with --revoke TOKEN_ID, or \
         rotate the password with --rotate {id}",
        failure.message
    );
    Failure { message, ..failure }
}

/// The payload of the calls.
#[derive(Default, Serialize)]
struct Order<'a> {
    #[serde(rename = "TeamClusterID", skip_serializing_if = "Option::is_none")]
    cluster: Option<&'a str>,
    #[serde(rename = "TokenID", skip_serializing_if = "Option::is_none")]
    token: Option<&'a str>,
    #[serde(rename = "Name", skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(rename = "ExpiresMs", skip_serializing_if = "Option::is_none")]
    expires_ms: Option<u64>,
}

/// What an answer shows once.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Secret {
    #[serde(rename = "Token")]
    token: Option<String>,
    #[serde(rename = "DaemonPassword")]
    password: Option<String>,
    #[serde(rename = "Expires")]
    expires: Option<String>,
}
