//! Our worker against the recorded control plane: it must say what the recorded worker said, or the
//! expectation names where it differs on purpose, and why.

// Outputs and recorded lines are matched by the one variant that a step is about.
#![allow(clippy::wildcard_enum_match_arm)]

mod expectation;
mod replay;
mod said;

use moorline_core::SessionEvent;
use moorline_core::{ErrorCode, Event};

/// Recordings that are not replayed here, and why.
const SKIPPED: [(&str, &str); 7] = [
    ("03-http-scheduler-strands-items", "shows the hub's scheduler; the worker only polls"),
    ("04-ws-file-transfer", "file transfer is not part of this worker yet"),
    ("05-http-file-transfer", "file transfer is not part of this worker yet"),
    ("09-strict-affinity-broken-by-scheduler", "shows the hub's scheduler"),
    ("14-client-0.0.2-against-current-hub", "ours registers as 1.0.5 does"),
    ("15-capabilities-changed-after-enable", "ours announces changes on its connection"),
    ("20-dispatch-stream-batch-cancel-run", "is about dispatchers and hand-made reports"),
];

macro_rules! replays {
    ($($test:ident: $name:literal;)+) => {
        $(#[test]
        fn $test() {
            replay_all($name);
        })+

        const REPLAYED: &[&str] = &[$($name,)+];
    };
}

replays! {
    a_life_on_a_connection: "01-ws-lifecycle";
    a_life_on_requests: "02-http-lifecycle";
    joining_a_secured_hub_and_logging_in_again: "06-secured-hub-join-and-401-reauth";
    a_hub_that_is_killed_while_an_item_runs: "07-ws-hub-restart-reconnect";
    a_restarted_hub_that_forgot_a_polling_worker: "08-http-hub-restart-orphans-beacon";
    a_connection_that_is_cut_while_an_item_runs: "10-beacon-vanishes-mid-work";
    two_workers_with_one_name: "11-duplicate-name-takeover";
    more_work_than_slots: "12-over-capacity-push-dropped";
    an_upgrade_that_is_refused: "13-upgrade-refused-falls-back-to-polling";
    an_item_that_never_comes: "16-affinity-assigned-item-blocks-polling-beacon";
    a_retry_that_never_comes: "17-retry-never-rescheduled";
    two_workers_that_poll: "18-strict-affinity-polling";
    an_upgrade_that_is_refused_after_a_cut: "19-upgrade-refused-after-reconnect-leaks-pollers";
}

fn replay_all(name: &str) -> Vec<Vec<Event>> {
    expectation::read(name).iter().map(|run| replay::replay(name, run)).collect()
}

#[test]
fn a_refused_worker_says_so_and_ends() {
    let runs = replay_all("06-secured-hub-join-and-401-reauth");
    let ends: Vec<_> = runs
        .iter()
        .filter_map(|events| match events.last() {
            Some(Event::Session(SessionEvent::Ended { error: Some(error) })) => {
                Some((error.code(), error.message()))
            }
            _ => None,
        })
        .collect();
    assert_eq!(ends.len(), 2);
    assert!(ends.iter().all(|(code, _)| *code == ErrorCode::PeerRefused));
    assert!(ends.iter().any(|(_, message)| message.contains("join secret mismatch")));
}

#[test]
fn every_recording_is_replayed_or_skipped_for_a_reason() {
    let folder = moorline_tests::transcript::vectors().join("beacon");
    for entry in std::fs::read_dir(folder).expect("the folder exists") {
        let name = entry.expect("readable").file_name().to_string_lossy().into_owned();
        let Some(name) = name.strip_suffix(".jsonl") else { continue };
        let is_known =
            REPLAYED.contains(&name) || SKIPPED.iter().any(|(skipped, _)| *skipped == name);
        assert!(is_known, "{name} is neither replayed nor skipped");
    }
}

#[test]
fn every_difference_has_a_reason() {
    for name in REPLAYED {
        for run in expectation::read(name) {
            for difference in &run.differences {
                assert!(difference.why.len() > 10, "{name}, line {}", difference.line);
            }
        }
    }
}
