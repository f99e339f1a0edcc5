//! Our ws-daemon in the place of each daemon of the recordings: it must say what that one said.

// Outputs are matched by the one variant that a step is about.
#![allow(clippy::wildcard_enum_match_arm)]

mod replay;

use replay::{Daemon, read};

/// Recordings and the daemons in them, with the options that a recording needs.
const REPLAYED: [(&str, &[&str]); 10] = [
    ("01-startup", &["server", "client1"]),
    ("02-script-ok", &["server", "client1"]),
    ("03-script-nonzero-and-odd", &["server", "client1"]),
    ("04-script-missing", &["server", "client1"]),
    ("05-env-concurrency-background", &["server", "client1"]),
    ("10-commands-status", &["server", "client1"]),
    ("11-pause-local-client", &["server", "client1"]),
    ("12-pause-remote", &["server", "client1"]),
    ("16-round-robin-3-clients", &["server", "client0", "client1", "client2"]),
    ("18-round-robin-after-loss", &["server", "client0", "client2"]),
];

/// Lines that ours does not say, by recording and time, and why.
const DIFFERENT: [(&str, &str, &str); 1] =
    [("10-commands-status", "undefined", "a STATUS without data is no JSON: ours writes nothing")];

#[test]
fn each_daemon_says_what_the_recorded_one_said() {
    for (name, daemons) in REPLAYED {
        let rows = read(name);
        for who in daemons {
            let different: Vec<_> = DIFFERENT
                .iter()
                .filter(|(recording, _, why)| *recording == name && why.len() > 10)
                .map(|(_, data, _)| *data)
                .collect();
            let said = Daemon::new(name, who, &different).replay(&rows);
            println!("{name}, {who}: {said} lines");
            let is_silent =
                matches!((name, *who), ("01-startup", _) | ("04-script-missing", "client1"));
            assert!(said > 0 || is_silent, "{name}, {who} says nothing");
        }
    }
}

#[test]
fn every_recording_is_replayed() {
    let folder = moorline_tests::transcript::vectors().join("wsdaemon");
    for entry in std::fs::read_dir(folder).expect("the folder exists") {
        let name = entry.expect("readable").file_name().to_string_lossy().into_owned();
        let Some(name) = name.strip_suffix(".jsonl") else { continue };
        assert!(REPLAYED.iter().any(|(replayed, _)| *replayed == name), "{name} is not replayed");
    }
}

#[test]
#[should_panic(expected = "02-script-ok")]
fn a_line_that_differs_is_seen() {
    let mut rows = read("02-script-ok");
    let row =
        rows.iter_mut().find(|row| row["kind"] == "ws" && row["dir"] == "s2c").expect("a frame");
    row["data"] = "{\"name\":\"other\"}".into();
    Daemon::new("02-script-ok", "server", &[]).replay(&rows);
}
