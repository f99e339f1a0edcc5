//! Whether the hub lives and is ready, and what is measured of it.
//!
//! Probes tell nothing of the fleet and are answered to whoever asks, by whatever name. Metrics are a view
//! like the others: a secured hub shows them to those who have logged in, and at `runtime.health_listen`.

use super::{Hub, Phase};
use crate::api::metrics::{self as names, MetricsPage};
use crate::base::time::Now;
use crate::net::http::path;
use crate::net::{HttpRequest, HttpResponse, Method};

impl Hub {
    /// Answers `/live` and `/ready`.
    pub(super) fn probe(&self, request: &HttpRequest) -> Option<HttpResponse> {
        let path = path(&request.url);
        if request.method != Method::Get {
            return None;
        }
        let response = match (path, self.not_ready()) {
            ("/live", _) => HttpResponse::text(200, "live\n"),
            ("/ready", None) => HttpResponse::text(200, "ready\n"),
            ("/ready", Some(why)) => HttpResponse::text(503, format!("not ready: {why}\n")),
            _ => return None,
        };
        Some(response.uncached())
    }

    /// Answers `/metrics`.
    pub(super) fn show_metrics(&mut self, now: Now) -> HttpResponse {
        let is_ready = self.not_ready().is_none();
        let mut page = MetricsPage::begin("beacon", "hub", self.started.unix, is_ready);
        self.measure_all(&mut page, now);
        HttpResponse::typed(200, MetricsPage::CONTENT_TYPE, page.end()).uncached()
    }

    /// Adds what only a hub has.
    pub(super) fn measure_all(&mut self, page: &mut MetricsPage, now: Now) {
        page.one(&names::CONNECTIONS, self.connections());
        page.one(&names::SESSIONS, self.accounts.sessions());
        page.one(&names::LOGINS_REFUSED, self.logins_refused);
        self.coordinator.measure(page, now);
        self.volt.measure(page);
    }

    pub(super) fn not_ready(&self) -> Option<&'static str> {
        match self.phase {
            Phase::Serving if self.coordinator.takes_work() => None,
            Phase::Serving => Some("the store fails"),
            Phase::Idle | Phase::Loading { .. } | Phase::Draining { .. } | Phase::Ended => {
                Some(self.phase.name())
            }
        }
    }
}
