//! What no single option of the hub can be blamed for, and what its options mean to visitors.

use crate::api::options::{ConfigError, HubAccess, HubOptions};
use crate::net::origin::{Visitors, host_and_port, is_here};
use crate::parts::listener::check_proxies;

/// Checks what no single option can be blamed for.
pub(super) fn check(options: &HubOptions) -> Result<(), ConfigError> {
    let mut problems = ConfigError::default();
    let is_open = options.access == HubAccess::Open;
    let secrets = [&options.join_secret, &options.auth_join_secret];
    if !is_open && options.users.is_empty() && secrets.iter().all(|secret| secret.is_empty()) {
        problems.add(
            "access",
            "is secured, but nobody could join or log in: set users, join_secret or \
             auth_join_secret",
        );
    }
    for (index, host) in options.allowed_hosts.iter().enumerate() {
        if host.is_empty() || host_and_port(host) != (host, None) {
            problems.add(
                &format!("allowed_hosts[{index}]"),
                "must be a name such as hub.example, without scheme and port",
            );
        }
    }
    check_proxies(&options.trusted_proxies, &mut problems);
    if !is_here(&options.listen) && !options.danger_open_network {
        if is_open {
            problems.add(
                "listen",
                "is beyond loopback, where an open hub lets anyone run work on its workers; \
                 set access to secured, or danger_open_network if the network is trusted",
            );
        } else if options.runtime.cert_file.is_empty() {
            problems.add(
                "listen",
                "is beyond loopback, where passwords would be sent in the clear; set \
                 runtime.cert_file and runtime.key_file, or danger_open_network",
            );
        }
    }
    problems.compare(&options.limits.pairs());
    let message = ("limits.max_message_bytes", options.limits.max_message_bytes);
    let together = ("max_connection_bytes", options.max_connection_bytes);
    let results = if options.max_results == 0 { u64::MAX } else { options.max_result_bytes };
    problems.compare(&[
        [message, ("max_queued_bytes", options.max_queued_bytes)],
        [message, ("max_result_bytes", results)],
        [("max_body_bytes", options.max_body_bytes), ("max_result_bytes", results)],
        [("max_body_bytes", options.max_body_bytes), together],
        [("limits.max_send_queue_bytes", options.limits.max_send_queue_bytes), together],
        [
            ("max_unadmitted_per_address", options.max_unadmitted_per_address),
            ("max_connections", options.max_connections),
        ],
    ]);
    for (index, user) in options.users.iter().enumerate() {
        if user.name.is_empty() || user.password.is_empty() {
            problems.add(&format!("users[{index}]"), "needs a name and a password");
        }
    }
    for (index, daemon) in options.volt.daemons.iter().enumerate() {
        if daemon.team_cluster_id.trim().is_empty() || daemon.password.expose().trim().is_empty() {
            problems
                .add(&format!("volt.daemons[{index}]"), "needs a team_cluster_id and a password");
        }
    }
    if options.volt.path.trim_matches('/').is_empty() || !options.volt.path.starts_with('/') {
        problems
            .add("volt.path", "must begin with a slash and name something, such as /socket.io/");
    }
    problems.check(())
}

/// Returns by which names the hub may be asked, and for which pages.
pub(super) fn visitors(options: &HubOptions) -> Visitors {
    let is_secure = !options.runtime.cert_file.is_empty();
    Visitors::of(&options.listen, is_secure, &options.allowed_hosts, &options.allowed_origins)
}
