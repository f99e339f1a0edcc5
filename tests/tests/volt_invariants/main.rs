//! The invariants of the VOLT daemon, against servers and networks that do anything, in virtual time
//! and over every transport. A test carries the number of the invariant that it looks for most; each
//! run is held to all of them.

// Of events and errors a few of many are looked at.
#![allow(clippy::wildcard_enum_match_arm)]

mod checks;
mod moves;
mod run;

use moorline_core::trace;
use moves::{About, Mood, Move, any_move, application, bytes, outages};
use proptest::prelude::*;
use run::{Setting, play, record};

const CALM: Setting = Setting {
    transport: "auto",
    in_namespace: false,
    base_ms: 500,
    max_ms: 30_000,
    jitter_percent: 30,
    max_attempts: 0,
    reconnects: true,
    interval_ms: 30_000,
    asks: false,
    with_ack: false,
    max_queued: 16,
    connect_timeout_ms: 20_000,
    registration_timeout_ms: 10_000,
    seed: 1,
};

fn settings() -> impl Strategy<Value = Setting> {
    let transport = prop_oneof![Just("auto"), Just("upgrade"), Just("websocket"), Just("polling")];
    let delays = (1_u64..5_000, 1_u64..60_000, 0_u64..=100);
    let limits = prop_oneof![8 => Just((0_u64, true)), 1 => Just((3, true)), 1 => Just((0, false))];
    let flags = any::<(bool, bool, bool, u8)>();
    let interval = prop_oneof![Just(300_u64), Just(5_000), Just(30_000)];
    (transport, delays, limits, flags, interval).prop_map(
        |(
            transport,
            (base_ms, max_ms, jitter_percent),
            (max_attempts, reconnects),
            flags,
            interval_ms,
        )| {
            let (in_namespace, asks, with_ack, seed) = flags;
            Setting {
                transport,
                in_namespace,
                base_ms,
                max_ms,
                jitter_percent,
                max_attempts,
                reconnects,
                interval_ms,
                asks,
                with_ack,
                seed,
                ..CALM
            }
        },
    )
}

fn holds(setting: Setting, moves: &[Move]) -> Result<(), TestCaseError> {
    let broken = play(setting, moves);
    prop_assert!(broken.is_empty(), "{}", broken.join("\n"));
    Ok(())
}

proptest! {
    // PROPTEST_CASES asks for more.
    #![proptest_config(ProptestConfig {
        cases: ProptestConfig::default().cases / 5,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn invariant_1_only_the_registration_leaves_before_it_is_confirmed(
        setting in settings(), moves in prop::collection::vec(any_move(), 0..60),
    ) {
        let slow = [Move::Mood(About::Registering, Mood::Silent)];
        holds(setting, &[&slow, moves.as_slice()].concat())?;
    }

    #[test]
    fn invariant_2_every_promise_settles(
        setting in settings(), moves in prop::collection::vec(any_move(), 0..80),
    ) {
        holds(setting, &moves)?;
    }

    #[test]
    fn invariant_3_there_is_one_session_one_loop_and_one_registration(
        setting in settings(), moves in prop::collection::vec(outages(), 0..80),
    ) {
        let setting = Setting { interval_ms: setting.interval_ms.min(5_000), ..setting };
        holds(setting, &moves)?;
    }

    #[test]
    fn invariant_4_memory_is_bounded_while_offline(
        setting in settings(), moves in prop::collection::vec(application(), 0..80),
    ) {
        holds(setting, &moves)?;
    }

    #[test]
    fn invariant_5_delays_stay_between_their_bounds(
        setting in settings(), moves in prop::collection::vec(outages(), 0..60),
    ) {
        let down = [Move::Mood(About::Opening, Mood::Refusing), Move::Cut];
        holds(setting, &[&down, moves.as_slice()].concat())?;
    }

    #[test]
    fn invariant_6_no_byte_ends_more_than_its_session(
        setting in settings(), moves in prop::collection::vec(bytes(), 0..80),
    ) {
        holds(setting, &moves)?;
    }

    #[test]
    fn invariant_7_nothing_happens_after_the_end(
        setting in settings(), moves in prop::collection::vec(any_move(), 0..40),
        drain_ms in 0_u64..60_000, rest in prop::collection::vec(any_move(), 0..20),
    ) {
        let stop = [Move::Stop(drain_ms)];
        holds(setting, &[moves.as_slice(), &stop, rest.as_slice()].concat())?;
    }

    #[test]
    fn the_flight_recorder_replays_any_run_byte_for_byte(
        setting in settings(), moves in prop::collection::vec(any_move(), 0..60),
    ) {
        let recording = record(setting, &moves);
        let outputs: Vec<&str> = trace::outputs(&recording).collect();
        prop_assert!(outputs.len() > 1);
        let replayed = trace::replay(&recording).map_err(|e| TestCaseError::fail(e.to_string()))?;
        prop_assert_eq!(replayed, outputs);
        prop_assert!(!recording.contains("\"pw\""));
    }
}

#[test]
fn invariant_5_two_thousand_failures_keep_their_distance() {
    for transport in ["auto", "upgrade", "websocket", "polling"] {
        let mut moves = vec![Move::Mood(About::Opening, Mood::Refusing), Move::Cut];
        moves.extend((0..2_000).map(|_| Move::Wait(30_000)));
        let setting = Setting { transport, ..CALM };
        assert_eq!(play(setting, &moves), Vec::<String>::new(), "{transport}");
    }
}

#[test]
fn invariant_4_an_outage_of_a_week_holds_no_more_than_its_limits() {
    let mut moves = vec![Move::Network { is_up: false, web_sockets: false }, Move::Cut];
    for _ in 0..2_000 {
        moves.extend([Move::Emit(5_000), Move::Call(30_000), Move::Wait(300_000)]);
    }
    moves.extend([Move::Network { is_up: true, web_sockets: true }, Move::Wait(60_000)]);
    assert_eq!(play(CALM, &moves), Vec::<String>::new());
}

/// A daemon that gives up on polling still says so: the farewell is an exchange of its own.
#[test]
fn invariant_7_a_posted_farewell_leaves_before_the_end() {
    let setting = Setting { transport: "polling", max_attempts: 3, base_ms: 1, max_ms: 1, ..CALM };
    let moves = [Move::Mood(About::Registering, Mood::Silent), Move::Wait(135_000)];
    assert_eq!(play(setting, &moves), Vec::<String>::new());
}
