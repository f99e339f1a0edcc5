//! What the Rust contestants measure themselves by: the same windows as those of Node and Python.

use std::time::{Duration, Instant};

use clap::Args;

use crate::process::{Failure, own_cpu};

/// How much is in flight, and for how long.
#[derive(Args, Clone, Copy)]
pub(crate) struct Load {
    /// So much is in flight at once.
    pub(crate) in_flight: usize,
    /// Milliseconds before the measurement.
    pub(crate) warm_ms: u64,
    /// Milliseconds that are measured.
    pub(crate) measure_ms: u64,
}

impl Load {
    /// Counts what `count` counts between the end of the warm-up and that of the measurement; prints it.
    pub(super) async fn window(self, count: impl Fn() -> u64) -> Result<(), Failure> {
        tokio::time::sleep(Duration::from_millis(self.warm_ms)).await;
        let (begin, cpu, before) = (Instant::now(), own_cpu()?, count());
        tokio::time::sleep(Duration::from_millis(self.measure_ms)).await;
        let done = count() - before;
        println!(
            r#"{{"done":{done},"seconds":{},"cpu":{}}}"#,
            begin.elapsed().as_secs_f64(),
            own_cpu()? - cpu
        );
        Ok(())
    }
}
