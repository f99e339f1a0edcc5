//! Ends the commands of a worker that was killed: a process that outlives its worker by a moment.
//!
//! A worker that gets SIGKILL can end nothing any more, and its hub hands the items out again while their
//! commands go on. So each worker starts this program once more. That one holds the other end of a
//! pipe, is told which process groups begin and end, and kills what is left of them when the pipe is closed, however the
//! worker ended. (Linux' parent-death signal reaches only a group's leader, and only until it starts a
//! program with other rights.) Between the start of a command and the word of it lie a few
//! microseconds that nobody guards.

use std::collections::BTreeSet;
use std::io::{BufRead, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStdin, Command, Stdio};

use moorline_driver::process::Watch;
use nix::sys::signal::{SigSet, Signal, killpg};
use nix::unistd::Pid;

use crate::exit::{Exit, Failure};
use crate::output;

/// The subcommand by which this program becomes a keeper.
pub(crate) const SUBCOMMAND: &str = "keep-commands";

/// The worker's end of the pipe.
#[derive(Debug)]
pub(crate) struct Keeper {
    /// Both are taken when the worker ends in order.
    orders: Option<ChildStdin>,
    process: Option<Child>,
}

impl Keeper {
    /// Starts the keeper, which no signal to the worker's own group reaches.
    pub(crate) fn start() -> Result<Self, Failure> {
        let failed =
            |e| Failure::other(format!("the keeper of the commands could not be started: {e}"));
        let program = std::env::current_exe().map_err(failed)?;
        let mut command = Command::new(program);
        command.arg(SUBCOMMAND).env_clear().process_group(0);
        let mut process =
            command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().map_err(failed)?;
        Ok(Self { orders: process.stdin.take(), process: Some(process) })
    }

    /// Makes one that keeps nothing.
    #[cfg(test)]
    pub(crate) const fn none() -> Self {
        Self { orders: None, process: None }
    }

    fn say(&self, what: char, group: i32) {
        let Some(mut orders) = self.orders.as_ref() else { return };
        // One write for one line: it is shorter than what a pipe takes as a whole.
        if let Err(error) = orders.write_all(format!("{what}{group}\n").as_bytes()) {
            tracing::warn!(%error, "the keeper of the commands is gone: they outlive a killed worker");
        }
    }
}

impl Watch for Keeper {
    fn began(&self, group: i32) {
        self.say('+', group);
    }

    fn ended(&self, group: i32) {
        self.say('-', group);
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        drop(self.orders.take());
        if let Some(mut process) = self.process.take() {
            // It ends with its input; it is waited for so that it leaves no zombie.
            let _ = process.wait();
        }
    }
}

/// Is the keeper: reads what begins and ends until the worker has gone, then kills what is left.
pub(crate) fn keep() -> Result<Exit, Failure> {
    // What ends a whole session or service ends the worker, and only then what it left behind.
    SigSet::all()
        .thread_block()
        .map_err(|e| Failure::other(format!("signals cannot be held back: {e}")))?;
    let left = left_of(std::io::stdin().lock());
    for group in &left {
        // One that ended in this very moment is no failure.
        let _ = killpg(Pid::from_raw(*group), Signal::SIGKILL);
    }
    if !left.is_empty() {
        output::problem(&format!("the worker was killed; so were its {} command(s)", left.len()));
    }
    Ok(Exit::Success)
}

/// Reads to the end and returns the groups that began and did not end.
fn left_of(orders: impl BufRead) -> BTreeSet<i32> {
    let mut groups = BTreeSet::new();
    for line in orders.lines().map_while(Result::ok) {
        let Some((what, group)) = line.split_at_checked(1) else { continue };
        // Groups 0 and 1 would be our own and everybody's.
        let Some(group) = group.parse().ok().filter(|group: &i32| *group > 1) else { continue };
        if what == "+" {
            groups.insert(group);
        } else {
            groups.remove(&group);
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_began_and_did_not_end_is_left() {
        let left = left_of("+41\n+42\n-41\n+0\n+1\n+-7\n+x\n\n+43".as_bytes());
        assert_eq!(left.into_iter().collect::<Vec<_>>(), [42, 43]);
    }
}
