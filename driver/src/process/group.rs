//! Process groups: a command and everything it started are ended together.

use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::process::Child;
use tokio::time::{Instant, sleep};

/// The process group that a command leads.
///
/// The id is used only while a member is known to exist, or right after the leader was reaped; the
/// kernel hands ids out in a circle, so it cannot have a new owner by then.
#[derive(Clone, Copy, Debug)]
pub(super) struct Group(Pid);

impl Group {
    /// Names the group that `child` leads.
    pub(super) fn led_by(child: &Child) -> Option<Self> {
        let id = child.id().and_then(|id| i32::try_from(id).ok()).filter(|id| *id > 1)?;
        Some(Self(Pid::from_raw(id)))
    }

    /// Returns its number.
    pub(super) const fn id(self) -> i32 {
        self.0.as_raw()
    }

    /// Kills every process of the group, and waits for none.
    pub(super) fn kill_at_once(self) {
        self.signal(Some(Signal::SIGKILL));
    }

    /// Asks every process of the group to end, kills what is left after `grace`, and waits until
    /// none is left. Reaps the leader.
    pub(super) async fn end(self, leader: &mut Child, grace: Duration) {
        if !self.signal(Some(Signal::SIGTERM)) {
            return;
        }
        let deadline = Instant::now() + grace;
        while self.lives(leader) {
            if Instant::now() >= deadline {
                return self.kill(leader).await;
            }
            sleep(CHECK_INTERVAL).await;
        }
    }

    async fn kill(self, leader: &mut Child) {
        self.signal(Some(Signal::SIGKILL));
        let deadline = Instant::now() + KILLED;
        while self.lives(leader) {
            if Instant::now() >= deadline {
                tracing::warn!(group = self.0.as_raw(), "a killed process group still exists");
                return;
            }
            sleep(CHECK_INTERVAL).await;
        }
    }

    fn lives(self, leader: &mut Child) -> bool {
        // A leader that was not reaped would keep the group's name alive.
        let _ = leader.try_wait();
        self.signal(None) && self.has_running_member()
    }

    /// Sends `signal`, or only checks; tells whether the group has members, zombies included.
    fn signal(self, signal: Option<Signal>) -> bool {
        killpg(self.0, signal) != Err(Errno::ESRCH)
    }

    /// Tells whether a member is more than a zombie. Orphans belong to process 1, and in containers
    /// that one often never reaps them.
    fn has_running_member(self) -> bool {
        let Ok(processes) = Path::new("/proc").read_dir() else { return true };
        processes
            .flatten()
            .filter_map(|process| std::fs::read_to_string(process.path().join("stat")).ok())
            .any(|stat| self.is_running_member(&stat))
    }

    /// Reads a line of `/proc/<id>/stat`: id, name in brackets, state, parent, group.
    fn is_running_member(self, stat: &str) -> bool {
        let Some((_, rest)) = stat.rsplit_once(") ") else { return false };
        let mut fields = rest.split(' ');
        let state = fields.next().unwrap_or_default();
        let group = fields.nth(1).and_then(|group| group.parse().ok());
        group == Some(self.0.as_raw()) && state != "Z" && state != "X"
    }
}

/// The kernel reports the end of a group's last member to nobody: it must be asked.
const CHECK_INTERVAL: Duration = Duration::from_millis(20);

/// How long a killed process may take to go; one in a dead file system never does.
const KILLED: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zombies_and_strangers_are_no_running_members() {
        let group = Group(Pid::from_raw(41));
        assert!(group.is_running_member("42 (a) b) S 1 41 41 0"));
        assert!(!group.is_running_member("42 (sleep) Z 1 41 41 0"));
        assert!(!group.is_running_member("42 (sleep) S 1 40 41 0"));
        assert!(!group.is_running_member(""));
    }
}
