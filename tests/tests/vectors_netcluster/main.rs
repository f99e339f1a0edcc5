//! The recorded transcripts of network-cluster, replayed against both roles. What is told apart from the
//! original is in `docs/netcluster.md`.

#![allow(clippy::wildcard_enum_match_arm, reason = "a few outputs and events of many are compared")]

mod consumer;
mod lines;
mod provider;
mod requests;

use serde_json::json;

/// Recordings that no replay here has, and where what is on their wire is held.
const ELSEWHERE: [(&str, &str); 8] = [
    ("12-consumer-heartbeat-cutoff", "faults of the original's timers; tests of the core"),
    ("19-large-to-consumer", "it has no wire; the large messages of 18, and tests of the driver"),
    ("20-backpressure", "it has no wire; tests of the core"),
    ("21-compressor-negotiation", "answers to upgrades, by a Rust provider over a socket"),
    ("22-compression-dedicated-compressor-4kb", "compressed frames are the driver's: ws/deflate"),
    ("22-compression-shared-compressor", "compressed frames are the driver's: ws/deflate"),
    ("23-behaviour-cases", "outcomes without a transcript"),
    ("06-reserved-strings", "by the consumer: a provider's application says all of it itself"),
];

#[test]
fn a_provider_says_what_the_original_said() {
    let slow = json!({});
    let key = json!({"auth": {"parameters": [{"name": "key", "value": "SECRET_KEY"}]}});
    let strikes = |max: u64| json!({"heartbeat": {"interval": 1_000, "max_strikes": max}});
    for (name, options) in [
        ("01-connect-auth-ok-text", &key),
        ("02-auth-parameters-refused", &key),
        ("04-auth-handler-verdicts", &json!({"auth": {"asks": true}})),
        ("05-binary", &slow),
        ("07-heartbeat-cycle", &strikes(2)),
        ("08-missed-heartbeat-kill", &strikes(2)),
        ("09-late-pong-clears-strikes", &strikes(2)),
        ("10-max-strikes-0", &strikes(0)),
        ("11-idle-timeout-dead-peer", &json!({"heartbeat": {"interval": 8_000}})),
        ("13-default-heartbeat-70s", &slow),
        ("14-default-dead-peer", &slow),
        ("17-disconnect-reconnect", &slow),
        ("18-payload-limits", &slow),
    ] {
        provider::replay(name, options);
    }
}

#[test]
fn requests_over_http_are_answered_as_the_original_did_or_better() {
    requests::replay("03-http-edge-cases");
}

#[test]
fn a_consumer_says_what_the_original_said() {
    let parameters = |pairs: &[(&str, &str)]| {
        let pairs = pairs.iter().map(|(name, value)| json!({"name": name, "value": value}));
        json!({"parameters": pairs.collect::<Vec<_>>()})
    };
    let reconnect = |interval: u64, attempts: u64| json!({"reconnect": {"base_delay_ms": interval, "max_attempts": attempts}});
    let first = parameters(&[
        ("key", "SECRET_KEY"),
        ("something1", "Some Value 1"),
        ("we ird", "a+b/ä&=?#"),
        ("num", "5"),
        ("flag", "true"),
        ("nested", "[object Object]"),
        ("list", "[object Object]"),
        ("empty", ""),
        ("undef", "undefined"),
    ]);
    let mut again = parameters(&[("n", "1")]);
    again["reconnect"] = reconnect(150, 10)["reconnect"].clone();
    for (name, options) in [
        ("01-connect-auth-ok-text", first),
        ("02-auth-parameters-refused", parameters(&[("key", "WRONG")])),
        ("05-binary", json!({})),
        ("06-reserved-strings", json!({})),
        ("07-heartbeat-cycle", json!({})),
        ("13-default-heartbeat-70s", json!({})),
        ("15-reconnect-exhausted", reconnect(100, 3)),
        ("16-reconnect-false", json!({"reconnect_enabled": false})),
        ("17-disconnect-reconnect", again),
    ] {
        consumer::replay(name, &options);
    }
}

#[test]
fn every_recording_is_replayed_or_held_elsewhere() {
    let source = include_str!("main.rs");
    let folder = moorline_tests::transcript::vectors().join("netcluster");
    for entry in std::fs::read_dir(folder).expect("the folder exists") {
        let name = entry.expect("readable").file_name().to_string_lossy().into_owned();
        let Some(name) = name.strip_suffix(".jsonl") else { continue };
        let is_elsewhere = ELSEWHERE.iter().any(|(it, why)| *it == name && why.len() > 10);
        let is_named = source.matches(&format!("\"{name}\"")).count() > usize::from(is_elsewhere);
        assert!(is_named || is_elsewhere, "{name} is not replayed");
    }
}
