//! Every name that is measured. A name keeps its meaning and is never used for something else.

use super::{Metric, MetricKind, MetricOwner};

macro_rules! metrics {
    ($(
        #[doc = $help:literal]
        $id:ident $kind:ident $name:literal [$($label:literal),*] $owner:ident;
    )+) => {
        $(
            #[doc = $help]
            pub const $id: Metric = Metric {
                name: $name,
                kind: MetricKind::$kind,
                help: $help.trim_ascii(),
                labels: &[$($label),*],
                owner: MetricOwner::$owner,
            };
        )+

        /// Every metric, in the order of the page.
        pub const METRICS: &[Metric] = &[$($id),+];
    };
}

metrics! {
    /// Always 1; the labels say what runs.
    BUILD Gauge "moorline_build_info" ["version", "dialect", "role"] Session;
    /// When the session began, in seconds since 1970.
    START Gauge "moorline_start_time_seconds" [] Session;
    /// 1 if /ready answers 200: the link is up or the listener bound, and no drain has begun.
    READY Gauge "moorline_ready" [] Session;

    /// How often the link came up, or the listener was bound.
    LINKS Counter "moorline_links_total" [] Session;
    /// How often the link was lost, and attempts that failed.
    LINKS_LOST Counter "moorline_links_lost_total" [] Session;
    /// Notices by error code.
    NOTICES Counter "moorline_notices_total" ["code"] Session;
    /// Peers that are here, at servers.
    PEERS Gauge "moorline_peers" [] Session;
    /// Messages that came and were neither work nor a reply.
    MESSAGES Counter "moorline_messages_total" [] Session;
    /// Calls that settled: done, or failed.
    CALLS Counter "moorline_calls_total" ["outcome"] Session;
    /// Work items that the application settled: done, failed or cancelled.
    WORK Counter "moorline_work_total" ["outcome"] Session;
    /// Work items that were withdrawn before they were settled, by reason.
    WORK_WITHDRAWN Counter "moorline_work_withdrawn_total" ["why"] Session;
    /// Work items that the application has and has not settled.
    WORK_RUNNING Gauge "moorline_work_running" [] Session;
    /// How long the application had the work items that it settled.
    WORK_SECONDS Histogram "moorline_work_seconds" [] Session;
    /// Outcomes that the control plane has not taken yet; only of workers that keep them.
    OUTBOX Gauge "moorline_outbox_items" [] Session;
    /// How long the application has not answered its doorbell; 0 while it keeps up.
    HOST_LAG Gauge "moorline_host_lag_seconds" [] Session;

    /// Turns of the I/O thread.
    IO_TURNS Counter "moorline_io_turns_total" [] Session;
    /// Frames that came.
    IO_FRAMES_RECEIVED Counter "moorline_io_frames_received_total" [] Session;
    /// Frames that were sent.
    IO_FRAMES_SENT Counter "moorline_io_frames_sent_total" [] Session;
    /// Reads of a transport that returned data.
    IO_READS Counter "moorline_io_reads_total" [] Session;
    /// Writes to a transport that took data.
    IO_WRITES Counter "moorline_io_writes_total" [] Session;
    /// HTTP requests that came.
    IO_REQUESTS_RECEIVED Counter "moorline_io_requests_received_total" [] Session;
    /// HTTP requests that were sent.
    IO_REQUESTS_SENT Counter "moorline_io_requests_sent_total" [] Session;
    /// Transactions that the store has synced.
    IO_SYNCS Counter "moorline_io_store_syncs_total" [] Session;
    /// Events handed to the application.
    IO_EVENTS Counter "moorline_io_events_total" [] Session;
    /// Times the application's doorbell was rung.
    IO_DOORBELLS Counter "moorline_io_doorbells_total" [] Session;

    /// Connections of workers and daemons.
    CONNECTIONS Gauge "moorline_hub_connections" [] Hub;
    /// Logins that hold.
    SESSIONS Gauge "moorline_hub_sessions" [] Hub;
    /// Logins that were refused, at a secured hub.
    LOGINS_REFUSED Counter "moorline_hub_logins_refused_total" [] Hub;
    /// Workers by state: online, busy, offline or draining.
    WORKERS Gauge "moorline_hub_workers" ["state"] Hub;
    /// Work items that all workers take at once.
    SLOTS Gauge "moorline_hub_slots" [] Hub;
    /// Work items that workers have.
    SLOTS_USED Gauge "moorline_hub_slots_used" [] Hub;
    /// Workers by capability; beyond 100 capabilities, further ones are counted as other.
    CAPABILITY_WORKERS Gauge "moorline_hub_capability_workers" ["capability"] Hub;
    /// Work items that wait or run, by capability; those of no worker, and of capabilities beyond 100, are counted as other.
    CAPABILITY_ITEMS Gauge "moorline_hub_capability_items" ["capability", "state"] Hub;
    /// Work items by state: pending, running, or retrying after a failure.
    ITEMS Gauge "moorline_hub_items" ["state"] Hub;
    /// The most work items that may wait.
    ITEMS_LIMIT Gauge "moorline_hub_items_limit" [] Hub;
    /// What the queue holds.
    QUEUE_BYTES Gauge "moorline_hub_queue_bytes" [] Hub;
    /// The most that the queue may hold.
    QUEUE_BYTES_LIMIT Gauge "moorline_hub_queue_limit_bytes" [] Hub;
    /// How long the oldest work item has waited that waits for a worker.
    OLDEST Gauge "moorline_hub_oldest_pending_seconds" [] Hub;
    /// Work items that ended, by how.
    FINISHED Counter "moorline_hub_finished_total" ["ending"] Hub;
    /// Work items that were handed out again because their worker was lost.
    REDELIVERED Counter "moorline_hub_redelivered_total" [] Hub;
    /// Outcomes that were not taken, such as those of workers that no longer held the item.
    REFUSED_REPORTS Counter "moorline_hub_refused_reports_total" [] Hub;
    /// How long work items waited before they were handed out for the last time, told when they end.
    WAIT_SECONDS Histogram "moorline_hub_wait_seconds" [] Hub;
    /// How long work items ran after they were handed out for the last time.
    RUN_SECONDS Histogram "moorline_hub_run_seconds" [] Hub;
    /// Finished results that are kept.
    RESULTS Gauge "moorline_hub_results" [] Hub;
    /// What finished results take.
    RESULT_BYTES Gauge "moorline_hub_result_bytes" [] Hub;
    /// 1 while the store fails: then nothing new is taken.
    STORE_FAILING Gauge "moorline_hub_store_failing" [] Hub;
    /// VOLT daemons by status.
    DAEMONS Gauge "moorline_hub_daemons" ["status"] Hub;
    /// Commands to and from VOLT daemons that are not answered yet.
    COMMANDS Gauge "moorline_hub_commands_running" [] Hub;
}
