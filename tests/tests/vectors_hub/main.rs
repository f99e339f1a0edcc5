//! Our hub against recorded workers and dispatchers: what they said goes in, what the original hub
//! answered is compared with what ours answers. Ids and times are compared by pattern, keys in order.
//! Where ours differs on purpose, `vectors/beacon/expect/hub/` says where and why.

mod expectation;
mod keys;
mod replay;
mod world;

use replay::Replay;

/// The original's scheduler and sessions need no settings of ours, but rates would limit a replay.
const OPEN: &str = r#"{"allowed_hosts":["hub.example"]}"#;

const SECURED: &str = r#"{"allowed_hosts":["hub.example"],"access":"secured","auth_join_secret":"boot-secret",
    "session_ttl_ms":4000}"#;

macro_rules! replays {
    ($($test:ident: $file:literal, $options:expr;)+) => {$(
        #[test]
        fn $test() {
            Replay::new($file, $options).run();
        }
    )+};
}

replays! {
    a_connected_worker_from_login_to_farewell: "01-ws-lifecycle", OPEN;
    a_polling_worker_from_login_to_farewell: "02-http-lifecycle", OPEN;
    a_polling_worker_gets_what_the_original_stranded: "03-http-scheduler-strands-items", OPEN;
    a_secured_hub_joins_and_logs_in: "06-secured-hub-join-and-401-reauth", SECURED;
    an_item_runs_again_after_a_restart: "07-ws-hub-restart-reconnect", OPEN;
    a_polling_worker_is_told_that_it_is_unknown: "08-http-hub-restart-orphans-beacon", OPEN;
    a_strict_item_waits_for_its_worker: "09-strict-affinity-broken-by-scheduler", OPEN;
    an_item_of_a_vanished_worker_moves_on: "10-beacon-vanishes-mid-work", OPEN;
    the_newest_of_two_twins_keeps_the_record: "11-duplicate-name-takeover", OPEN;
    a_worker_of_the_first_release_is_served: "14-client-0.0.2-against-current-hub", OPEN;
    a_registration_is_repeated_over_http: "15-capabilities-changed-after-enable", OPEN;
    a_named_item_reaches_a_polling_worker:
        "16-affinity-assigned-item-blocks-polling-beacon", OPEN;
    an_item_that_failed_runs_again: "17-retry-never-rescheduled", OPEN;
    a_strict_item_is_polled_by_its_worker_alone: "18-strict-affinity-polling", OPEN;
    streams_batches_runs_and_refusals: "20-dispatch-stream-batch-cancel-run", OPEN;
}
