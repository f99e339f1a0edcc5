//! Deadlines and a clock that jumps.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use moorline_driver::core::options::RuntimeOptions;
use moorline_driver::core::{Input, Instant, Now, Output};
use moorline_driver::{Clock, Handle, SystemClock};

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
    assert!(text.contains(r#""event":"ready""#), "{text}");
    assert!(SystemClock::new().now().mono >= due);
}

#[test]
fn after_a_suspend_deadlines_have_passed() {
    let (clock, rig) = jumping();
    rig.wake_at(Instant::from_millis(3_600_000));
    clock.0.store(7_200_000, Ordering::Relaxed);
    rig.handle.submit(Vec::new()).unwrap();
    let text = rig.events();
    assert!(text.contains(r#""id":"7200000""#), "{text}");
}

#[test]
fn an_application_that_does_not_answer_its_doorbell_lags() {
    let (clock, rig) = jumping();
    let (ring, rung) = std::sync::mpsc::channel();
    rig.handle.events().set_doorbell(move || {
        let _ = ring.send(());
    });
    rig.perform([Output::ProbeHost]);
    rung.recv().unwrap();
    assert_eq!(lag_at(&clock, &rig, 5_000), 4_000);
    // The deadline's event was told after its lag: it has to be read, too.
    let mut text = String::new();
    rig.handle.events().drain(&mut text);
    while text == "[]" {
        rung.recv().unwrap();
        text.clear();
        rig.handle.events().drain(&mut text);
    }
    assert_eq!(lag_at(&clock, &rig, 6_000), 0);
}

/// Lets a deadline pass at `at` and returns the lag that was told before it.
fn lag_at(clock: &Jumping, rig: &Rig, at: u64) -> u64 {
    rig.wake_at(Instant::from_millis(at));
    clock.0.store(at, Ordering::Relaxed);
    rig.handle.submit(Vec::new()).unwrap();
    match rig.input() {
        Input::HostLag { millis } => millis,
        other => panic!("{other:?}"),
    }
}

/// A rig with a clock that stands at 1000 ms until it is moved.
fn jumping() -> (Arc<Jumping>, Rig) {
    let clock = Arc::new(Jumping(AtomicU64::new(1_000)));
    let theirs = Arc::clone(&clock);
    let rig = Rig::build(
        |_| Vec::new(),
        RuntimeOptions::default(),
        |endpoint, runtime| Handle::drive_with_clock(endpoint, runtime, theirs),
    );
    (clock, rig)
}
