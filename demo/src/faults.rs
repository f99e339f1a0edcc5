//! The two faults: a worker and then the hub, killed without warning in the midst of work.

use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::sleep;

use crate::fleet::Fleet;
use crate::progress;

/// A fault as it happened, in time since the beginning of the load.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    /// What was killed.
    pub(crate) what: String,
    /// When it was killed.
    pub(crate) at: Duration,
    /// When it was ready again.
    pub(crate) back: Duration,
}

/// Kills a worker after a third of the items and the hub after two thirds.
pub(crate) async fn inject(
    fleet: &mut Fleet,
    mut answered: watch::Receiver<usize>,
    items: u32,
    began: Instant,
) -> Result<Vec<Fault>, String> {
    let third = items as usize / 3;
    let mut faults = Vec::new();

    reach(&mut answered, third).await?;
    let at = began.elapsed();
    let name = fleet.kill_worker().await.unwrap_or_default();
    progress::line(&format!("kill -9 of the {name} worker after {} items", *answered.borrow()));
    sleep(AWAY).await;
    fleet.restart_worker().await?;
    faults.push(Fault { what: format!("{name} worker"), at, back: began.elapsed() });
    progress::line(&format!("the {name} worker is back"));

    reach(&mut answered, 2 * third).await?;
    let at = began.elapsed();
    fleet.kill_hub().await;
    progress::line(&format!("kill -9 of the hub after {} items", *answered.borrow()));
    sleep(AWAY).await;
    fleet.restart_hub().await?;
    faults.push(Fault { what: String::from("hub"), at, back: began.elapsed() });
    progress::line("the hub is back, at the same address and on the same store");
    Ok(faults)
}

async fn reach(answered: &mut watch::Receiver<usize>, count: usize) -> Result<(), String> {
    let reached = answered.wait_for(|answered| *answered >= count).await;
    reached.map(|_| ()).map_err(|_| String::from("the load ended before the faults"))
}

/// What a supervisor takes to notice and start again.
const AWAY: Duration = Duration::from_millis(700);
