//! What survives, and what is promised when.

use super::*;

#[test]
fn an_enqueued_item_survives_a_restart() {
    let mut rig = Rig::new("{}");
    let hash = rig.enqueue("");
    let mut rig = rig.restart(1_000);
    let worker = rig.worker("w", 1);
    assert_eq!(rig.pushed(worker), [(hash, 1)]);
}
