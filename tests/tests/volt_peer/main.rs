//! Every scenario of `tests/peers/volt` with the official socket.io server.

// Whatever is amiss must fail the test.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]
// JSON has no further kinds.
#![allow(clippy::wildcard_enum_match_arm, clippy::match_wildcard_for_single_variants)]

mod daemon;
mod pattern;
mod play;
mod server;

use std::time::Duration;

use tokio::task::JoinSet;

/// So many scenarios run at once.
const AT_ONCE: usize = 4;

#[tokio::test]
async fn the_scenarios_hold_with_the_official_server() {
    let answers = server::read("answers.json");
    let scenarios = server::read("scenarios.json")["scenarios"].as_array().unwrap().clone();
    let mut running = JoinSet::new();
    let mut failed = Vec::new();
    let mut waiting = scenarios.into_iter();
    loop {
        while running.len() < AT_ONCE {
            let Some(scenario) = waiting.next() else { break };
            let (name, answers) = (scenario["name"].as_str().unwrap().to_owned(), answers.clone());
            let play = tokio::spawn(play::play(scenario, answers));
            running.spawn(async move {
                match tokio::time::timeout(Duration::from_secs(30), play).await {
                    Ok(Ok(())) => None,
                    Ok(Err(panic)) => Some(format!("{name}: {panic}")),
                    Err(_) => Some(format!("{name}: a step waits for ever")),
                }
            });
        }
        let Some(ended) = running.join_next().await else { break };
        failed.extend(ended.unwrap());
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
