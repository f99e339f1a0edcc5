//! network-cluster and ws-daemon: a page of their own, and no Python.

use std::path::Path;

use crate::packages::{self, Profile};
use crate::prepare;
use crate::steps::Plan;

/// What this measures.
pub(super) const PARTS: [&str; 3] = ["netcluster", "hold", "wsdaemon"];

/// The hand-written peers; Bun is among those of the second folder.
const PEERS: [&str; 2] = ["bench/peers", "bench/peers/netcluster"];

/// Builds, measures and writes `docs/benchmarks-netcluster.md`.
pub(super) fn run(root: &Path, part: String, rounds: u32, seconds: f64) -> Result<(), String> {
    let mut plan = Plan::default();
    plan.then("languages", prepare::languages);
    plan.then("rust programs", |shell| {
        packages::build(shell, Profile::Release, &["--package", "moorline-bench"])
    });
    plan.then("node package", |shell| packages::node(shell, Profile::Release, &[]));
    plan.then("node peers", |shell| {
        PEERS.iter().try_for_each(|folder| prepare::npm(shell, folder))
    });
    plan.then("benchmarks", move |shell| {
        let root = shell.root();
        let mut command = shell.command(Profile::Release.folder(shell).join("moorline-bench"));
        command.args(["cluster", "--part", &part]);
        command.arg("--node-package").arg(root.join("bindings-node"));
        command.arg("--peers").arg(root.join("bench/peers"));
        command.arg("--out").arg(root.join("docs/benchmarks-netcluster.md"));
        command.args(["--rounds", &rounds.to_string(), "--seconds", &seconds.to_string()]);
        shell.run(&mut command)
    });
    plan.run(root)
}
