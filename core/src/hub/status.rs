//! The hub's own status, for people, the CLI and snapshots.

use super::Hub;
use crate::base::json::object::Object;
use crate::base::time::Now;

impl Hub {
    /// Shows the whole hub.
    pub(super) fn show_status(&self, now: Now) -> String {
        let is_kept = !self.options.runtime.store_path.is_empty();
        let hub = Object::new()
            .text("Version", env!("CARGO_PKG_VERSION"))
            .text("State", self.phase.name())
            .text_or_null("Address", self.address.as_deref())
            .number("UptimeMs", now.mono.since(self.started.mono))
            .text("Access", self.options.access.as_str())
            .text("Store", if is_kept { "disk" } else { "memory" })
            .number("Connections", self.connections() as u64)
            .end();
        Object::new()
            .raw("Hub", &hub)
            .raw("Workers", &self.coordinator.show_workers())
            .raw("Queue", &self.coordinator.show_numbers())
            .raw("Daemons", &self.volt.show_daemons())
            .end()
    }
}
