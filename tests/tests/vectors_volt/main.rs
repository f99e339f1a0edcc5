//! Our daemon against the recorded server, over an upgraded and over a direct WebSocket: it must say
//! what the recorded daemon said, byte for byte, and its application must learn the same; or the
//! expectation beside the recording names where it differs on purpose, and why.
//!
//! Names begin with the claim of the conformance list that a test is about.

// Events and recorded lines are matched by the one variant that a step is about.
#![allow(clippy::wildcard_enum_match_arm)]

mod application;
mod enrollment;
mod expectation;
mod handlers;
mod ids;
mod lines;
mod notes;
mod replay;
mod said;

use moorline_tests::transcript::vectors;
use replay::Replay;

fn replay(number: &str) {
    let expectation = expectation::read(number);
    let lines = lines::read(number);
    for mode in &expectation.modes {
        let report = Replay::new(&lines, &expectation, mode).run();
        assert!(report.is_empty(), "{number}, {mode}:\n{}", report.join("\n"));
    }
}

macro_rules! replays {
    ($($test:ident: $number:literal;)+) => {
        $(#[test]
        fn $test() {
            replay($number);
        })+

        const REPLAYED: &[&str] = &[$($number,)+];
    };
}

replays! {
    c1_a_life_from_registration_to_farewell: "01";
    c5_an_enrollment_gives_another_password: "02";
    c9_a_wrong_password_is_noticed: "04";
    c9_a_registration_that_is_refused_by_an_event: "05";
    a_namespace_that_is_refused_ends_the_daemon: "06";
    c2_the_namespace_stands_before_every_packet: "07";
    c1_commands_are_written_as_recorded: "08";
    c6_each_command_settles_as_recorded: "08";
    c1_answers_are_written_as_recorded: "09";
    c7_each_inbound_command_is_answered: "09";
    c7_malformed_messages_do_no_harm: "10";
    c7_other_messages_are_passed_on: "11";
    c11_what_the_application_emits_leaves_unchanged: "12";
    c4_byte_strings_travel_both_ways: "13";
    c1_heartbeats_are_written_as_recorded: "14";
    c11_heartbeats_that_fail_are_told: "14";
    a_heartbeat_that_is_refused_is_told: "15";
    c8_a_lost_connection_registers_again: "16";
    c8_what_was_emitted_offline_leaves_after_the_registration: "17";
    c9_a_pending_command_fails_with_its_connection: "18";
    c9_a_daemon_that_the_server_disconnects_comes_back: "19";
    c9_a_daemon_comes_back_to_a_restarted_server: "20";
    a_server_that_only_closes_transports: "21";
    c12_pings_are_answered_and_silence_is_noticed: "22";
    c1_the_farewell_is_written_as_recorded: "23";
    c9_a_late_registration_beats_too: "24";
    c9_used_up_attempts_are_told: "25";
    c3_c4_a_server_that_only_polls: "26";
    c3_a_network_without_websockets: "27";
    a_middleware_that_refuses_ends_the_daemon: "28";
    c8_a_second_connect_replaces_the_first: "29";
    c9_a_disconnect_during_connect_ends_it: "30";
    c9_a_drop_before_the_registration_is_told: "31";
    a_second_daemon_displaces_the_first: "32";
    what_throws_outside_does_no_harm_here: "33";
    c9_a_message_that_is_too_large_stays_here: "34";
    c9_one_heartbeat_loop_only: "35";
    c9_answers_to_a_dead_connection_are_dropped: "36";
    a_registration_with_an_acknowledgement: "40";
    c4_a_websocket_from_the_start: "41";
}

#[test]
fn every_recording_is_replayed() {
    let folder = std::fs::read_dir(vectors().join("volt")).expect("the folder exists");
    for entry in folder {
        let name = entry.expect("readable").file_name().to_string_lossy().into_owned();
        let Some((number, _)) = name.split_once('-') else { continue };
        // 03 is a table of enrollments; those behind 50 are tables of codecs and delays.
        if number != "03" && number < "50" {
            assert!(REPLAYED.contains(&number), "{name}");
        }
    }
}

#[test]
fn every_difference_has_a_reason_and_its_lines() {
    for number in REPLAYED {
        let expectation = expectation::read(number);
        let last = lines::read(number).len();
        for difference in &expectation.differences {
            assert!(difference.why.len() > 10, "{number}, line {}", difference.line);
            assert!((1..=last).contains(&difference.to.unwrap_or(difference.line)));
        }
        assert!(expectation.actions.iter().all(|action| (1..=last).contains(&action.line)));
    }
}
