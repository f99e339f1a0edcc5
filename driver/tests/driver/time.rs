//! Deadlines and a clock that jumps.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use moorline::core::options::RuntimeOptions;
use moorline::core::{Instant, Now};
use moorline::{Clock, Handle, SystemClock};

use crate::rig::Rig;

/// A clock that the test moves.
struct Jumping(AtomicU64);

impl Clock for Jumping {
    fn now(&self) -> Now {
        Now::new(self.0.load(Ordering::Relaxed), 0)
    }
}

#[test]
fn a_deadline_is_kept() {
    let rig = Rig::with(RuntimeOptions::default());
    let due = SystemClock::new().now().mono.after(20);
    rig.wake_at(due);
    let text = rig.events();
    assert!(text.contains("timeout"), "{text}");
    assert!(SystemClock::new().now().mono >= due);
}

#[test]
fn after_a_suspend_deadlines_have_passed() {
    let clock = Arc::new(Jumping(AtomicU64::new(1_000)));
    let their = Arc::clone(&clock);
    let rig = Rig::build(
        |_| Vec::new(),
        RuntimeOptions::default(),
        |endpoint, runtime| Handle::drive_with_clock(endpoint, runtime, their),
    );
    rig.wake_at(Instant::from_millis(3_600_000));
    clock.0.store(7_200_000, Ordering::Relaxed);
    rig.handle.submit(Vec::new()).unwrap();
    let text = rig.events();
    assert!(text.contains(r#""id":"7200000""#), "{text}");
}
