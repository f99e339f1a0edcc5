//! (a) Items per second and processor time per item of a worker with a trivial handler.

use std::ffi::OsString;
use std::net::TcpListener;
use std::time::Duration;

use crate::process::{Failure, Process};
use crate::stats::Samples;
use crate::{MEASURED, Setting, scripted};

/// How many items are at the worker at once.
pub(crate) const IN_FLIGHT: [usize; 2] = [1, 16];

/// A program that is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Contestant {
    Rust,
    Node,
    NodeByHand,
    Python,
    PythonByHand,
}

impl Contestant {
    pub(crate) const ALL: [Self; 5] =
        [Self::NodeByHand, Self::Node, Self::PythonByHand, Self::Python, Self::Rust];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Rust => "Moorline, Rust",
            Self::Node => "Moorline, Node",
            Self::NodeByHand => "by hand on `ws`, Node",
            Self::Python => "Moorline, Python",
            Self::PythonByHand => "by hand on `websockets`, Python",
        }
    }

    fn words(self, setting: &Setting) -> Result<Vec<OsString>, Failure> {
        let peer = |name: &str| setting.peers.join(name).into_os_string();
        let python = || setting.python.clone().into_os_string();
        Ok(match self {
            Self::Rust => vec![std::env::current_exe()?.into_os_string(), "worker".into()],
            Self::Node => vec!["node".into(), peer("moorline_worker.mjs")],
            Self::NodeByHand => vec!["node".into(), peer("ws_worker.mjs")],
            Self::Python => vec![python(), peer("moorline_worker.py")],
            Self::PythonByHand => vec![python(), peer("websockets_worker.py")],
        })
    }
}

/// What one contestant came to with one number of items in flight.
pub(crate) struct Row {
    pub(crate) contestant: Contestant,
    pub(crate) in_flight: usize,
    pub(crate) items_per_second: Samples,
    /// In microseconds.
    pub(crate) cpu_per_item: Samples,
}

/// Runs every contestant in turn, round by round.
pub(crate) fn measure(setting: &Setting) -> Result<Vec<Row>, Failure> {
    let mut rows: Vec<Row> = IN_FLIGHT
        .iter()
        .flat_map(|&in_flight| {
            Contestant::ALL.map(|contestant| Row {
                contestant,
                in_flight,
                items_per_second: Samples::default(),
                cpu_per_item: Samples::default(),
            })
        })
        .collect();
    for round in 1..=setting.rounds {
        println!("worker, round {round} of {}", setting.rounds);
        for row in &mut rows {
            let listener = TcpListener::bind("127.0.0.1:0")?;
            let url = format!("http://{}", listener.local_addr()?);
            let mut words = row.contestant.words(setting)?;
            words.extend([url.into(), row.in_flight.to_string().into()]);
            if row.contestant == Contestant::Node {
                words.push(setting.node_package.clone().into_os_string());
            }
            let words: Vec<_> = words.iter().map(OsString::as_os_str).collect();
            let worker = Process::start(MEASURED, &words)?;
            let warm_up = Duration::from_millis(500);
            let run =
                scripted::exchange(&listener, &worker, row.in_flight, warm_up, setting.measured())
                    .map_err(|e| format!("{}: {e}", row.contestant.name()))?;
            row.items_per_second.push(run.items_per_second);
            row.cpu_per_item.push(run.cpu_per_item * 1e6);
        }
    }
    Ok(rows)
}
