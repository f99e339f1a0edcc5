//! The command line as a user meets it before anything is connected.

mod support;

use support::{Folder, finish, moorline};

#[test]
fn a_misspelt_key_is_refused_with_a_suggestion_and_its_file() {
    let folder = Folder::new();
    let file = folder.write("hub.toml", "lisen = \"127.0.0.1:0\"\nlease_ms = \"long\"\n");
    let end = finish(&mut moorline(&["hub", "--config", &file]));
    assert_eq!(end.code, Some(2), "{end:?}");
    assert!(end.err.contains("lisen: is not an option; did you mean listen?"), "{end:?}");
    assert!(end.err.contains("lease_ms: must be a whole number"), "{end:?}");
    assert!(end.err.contains(&file), "{end:?}");
}

#[test]
fn a_misspelt_variable_is_refused_with_a_suggestion() {
    let end = finish(moorline(&["hub", "--print-config"]).env("MOORLINE_LISEN", "x"));
    assert_eq!(end.code, Some(2), "{end:?}");
    assert!(end.err.contains("MOORLINE_LISEN is not an option; did you mean MOORLINE_LISTEN?"));
}

#[test]
fn a_misspelt_flag_is_refused_with_a_suggestion() {
    let end = finish(&mut moorline(&["hub", "--lisen", "x"]));
    assert_eq!(end.code, Some(2), "{end:?}");
    assert!(end.err.contains("--listen"), "{end:?}");
}

#[test]
fn print_config_shows_each_value_and_its_source() {
    let folder = Folder::new();
    let file = folder.write("hub.toml", "lease_ms = 1000\nmax_queued = 7\n");
    let end = finish(
        moorline(&["hub", "--config", &file, "--print-config", "--listen", "127.0.0.1:0"])
            .env("MOORLINE_LEASE_MS", "2000"),
    );
    assert_eq!(end.code, Some(0), "{end:?}");
    assert!(end.out.contains("listen = \"127.0.0.1:0\"  # from --listen\n"), "{end:?}");
    assert!(end.out.contains("lease_ms = 2000  # from MOORLINE_LEASE_MS\n"), "{end:?}");
    assert!(end.out.contains(&format!("max_queued = 7  # from {file}\n")), "{end:?}");
    assert!(end.out.contains("access = \"open\"  # default\n"), "{end:?}");
}

#[test]
fn no_secret_is_shown_whatever_goes_wrong() {
    const CANARY: &str = "canary-4711";
    let folder = Folder::new();
    let quoted = format!("join_secret = \"{CANARY}\"\n");
    let literal = folder.write("literal.toml", &format!("{quoted}leese_ms = 1\n"));
    let broken = folder.write("broken.toml", &format!("join_secret = \"{CANARY}\n"));
    let typed = folder.write("typed.toml", &format!("join_secret = [\"{CANARY}\"]\n"));
    let assigned = format!("join_secret={CANARY}");
    for arguments in [
        ["hub", "--config", literal.as_str(), "--log-level", "trace"].as_slice(),
        &["hub", "--config", &broken, "--log-level", "trace"],
        &["hub", "--config", &typed, "--log-level", "trace"],
        &["hub", "--set", &assigned],
        &["hub", "--print-config"],
        &["worker", "--print-config"],
        &["hub", "--listen", "nowhere", "--log-level", "trace"],
    ] {
        let mut command = moorline(arguments);
        if !arguments.contains(&"--set") {
            command.env("MOORLINE_AUTH_JOIN_SECRET", CANARY).env("MOORLINE_PASSWORD", CANARY);
        }
        let end = finish(&mut command);
        assert!(!end.out.contains(CANARY) && !end.err.contains(CANARY), "{arguments:?} {end:?}");
        assert!(!end.out.is_empty() || !end.err.is_empty(), "{arguments:?}");
    }
}

#[test]
fn a_secret_as_an_argument_is_refused_and_the_way_is_named() {
    let end = finish(&mut moorline(&["hub", "--set", "join_secret=x"]));
    assert_eq!(end.code, Some(2), "{end:?}");
    assert!(end.err.contains("set MOORLINE_JOIN_SECRET or join_secret_file"), "{end:?}");
}

#[test]
fn every_problem_of_the_commands_is_named() {
    let folder = Folder::new();
    let commands = "[[command]]\ncapability = \"A\"\naction = \"b\"\nargv = [\"no-such-program\"]\n\
                    [[command]]\ncapability = \"A\"\naction = \"c\"\nargz = [\"true\"]\n";
    let file = folder.write("worker.toml", commands);
    let end = finish(&mut moorline(&["worker", "--config", &file]));
    assert_eq!(end.code, Some(2), "{end:?}");
    assert!(end.err.contains("command[1].argz: is not an option; did you mean argv?"), "{end:?}");

    let file = folder.write("worker.toml", &commands.replace("argz", "argv"));
    let end = finish(&mut moorline(&["worker", "--config", &file]));
    assert!(end.err.contains("command[0].argv: no program named no-such-program"), "{end:?}");
}

#[test]
fn help_has_examples_and_exit_codes() {
    let end = finish(&mut moorline(&["--help"]));
    assert!(end.out.contains("Exit codes:") && end.out.contains("  6  "), "{end:?}");
    for command in ["hub", "worker", "dispatch", "status", "drain"] {
        let end = finish(&mut moorline(&[command, "--help"]));
        assert_eq!(end.code, Some(0), "{end:?}");
        assert!(end.out.contains("Examples:"), "{end:?}");
    }
}
