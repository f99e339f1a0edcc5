//! One simulated process: an endpoint, its disk, and the work its handlers are busy with.

use std::collections::BTreeSet;

use crate::disk::Disk;
use crate::scripts;
use moorline_core::entropy::Entropy;
use moorline_core::{Deadline, Endpoint, WorkId};

/// Which process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub usize);

/// What a process runs.
#[derive(Clone, Debug)]
pub struct Process {
    /// The role: `worker`, `dispatcher` or `hub`.
    pub role: &'static str,
    /// The host name.
    pub host: String,
    /// Its options as JSON.
    pub options: String,
    /// Handler keys that a worker offers.
    pub keys: Vec<String>,
    /// Whether its disk survives a crash.
    pub durable: bool,
}

/// A process and what it holds.
pub(super) struct Node {
    pub(super) process: Process,
    pub(super) endpoint: Option<Box<dyn Endpoint + Send>>,
    /// Counts lives: what was meant for an earlier life is dropped.
    pub(super) life: u32,
    pub(super) disk: Disk,
    pub(super) listening: Option<String>,
    /// The largest body that it takes.
    pub(super) max_body: usize,
    pub(super) next_odd: u64,
    /// Work items whose handler runs.
    pub(super) running: BTreeSet<WorkId>,
    pub(super) deadline: Option<Deadline>,
}

impl Node {
    pub(super) fn new(process: Process) -> Self {
        Self {
            process,
            endpoint: None,
            life: 0,
            disk: Disk::default(),
            listening: None,
            max_body: usize::MAX,
            next_odd: 1,
            running: BTreeSet::new(),
            deadline: None,
        }
    }

    /// Begins a life.
    pub(super) fn boot(&mut self, entropy: &mut Entropy) {
        let Process { role, host, options, durable, .. } = &self.process;
        let opened = scripts::open("simulation", "beacon", role, options, host, entropy.seed())
            .expect("the simulation's options are valid");
        if !durable {
            self.disk = Disk::default();
        }
        self.endpoint = Some(opened.endpoint);
        self.life += 1;
    }

    /// Ends a life without warning.
    pub(super) fn crash(&mut self) {
        self.endpoint = None;
        self.life += 1;
        self.listening = None;
        self.running.clear();
        self.deadline = None;
    }

    /// Returns an id for something that others began: odd, never reused.
    pub(super) fn odd(&mut self) -> u64 {
        let id = self.next_odd;
        self.next_odd += 2;
        id
    }
}
