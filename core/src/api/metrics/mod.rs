//! What is measured, and how a page of it is written.
//!
//! One table gives every name with its kind, its labels and its sentence; the documentation page and the
//! check of the dashboard come from it. A page is text as Prometheus reads it, version 0.0.4, with names
//! that OpenMetrics takes too. Values of labels come from lists that are fixed or bounded: nobody who
//! connects can make up ever new series.

mod table;

use std::fmt::Write as _;

pub use table::*;

use crate::base::time::UnixMillis;
use crate::words;

words! {
    /// What a value does.
    pub enum MetricKind {
        /// It only grows, from 0 at the start.
        Counter = "counter",
        /// It goes up and down.
        Gauge = "gauge",
        /// Times, counted by how long they are.
        Histogram = "histogram",
    }
}

words! {
    /// Who shows a metric.
    pub enum MetricOwner {
        /// Every role, at `runtime.health_listen`; a hub also beside its own.
        Session = "every role",
        /// A hub.
        Hub = "hub",
    }
}

/// One name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    /// The name.
    pub name: &'static str,
    /// What its value does.
    pub kind: MetricKind,
    /// One sentence.
    pub help: &'static str,
    /// The labels of each value.
    pub labels: &'static [&'static str],
    /// Who shows it.
    pub owner: MetricOwner,
}

/// A value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Amount {
    /// A number.
    Count(u64),
    /// A time in milliseconds, written in seconds.
    Millis(u64),
}

impl From<u64> for Amount {
    fn from(count: u64) -> Self {
        Self::Count(count)
    }
}

impl From<usize> for Amount {
    fn from(count: usize) -> Self {
        Self::Count(count as u64)
    }
}

impl From<bool> for Amount {
    fn from(holds: bool) -> Self {
        Self::Count(u64::from(holds))
    }
}

impl std::fmt::Display for Amount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Count(count) => count.fmt(f),
            Self::Millis(millis) => write!(f, "{}.{:03}", millis / 1_000, millis % 1_000),
        }
    }
}

/// The upper ends of a histogram's classes, in milliseconds.
const BOUNDS: [u64; 12] = [5, 10, 25, 50, 100, 250, 500, 1_000, 5_000, 30_000, 120_000, 600_000];

/// Times, counted by how long they were.
#[derive(Clone, Debug, Default)]
pub(crate) struct Histogram {
    classes: [u64; BOUNDS.len()],
    count: u64,
    sum_ms: u64,
}

impl Histogram {
    pub(crate) fn add(&mut self, millis: u64) {
        let class = BOUNDS.iter().position(|bound| millis <= *bound);
        if let Some(class) = class.and_then(|class| self.classes.get_mut(class)) {
            *class += 1;
        }
        self.count += 1;
        self.sum_ms = self.sum_ms.saturating_add(millis);
    }
}

/// A page of metrics under construction.
#[derive(Debug, Default)]
pub struct MetricsPage {
    text: String,
}

impl MetricsPage {
    /// The media type of the page.
    pub(crate) const CONTENT_TYPE: &'static str = "text/plain; version=0.0.4; charset=utf-8";

    /// Begins a page with what every role shows of itself.
    pub(crate) fn begin(dialect: &str, role: &str, start: UnixMillis, is_ready: bool) -> Self {
        let mut page = Self { text: String::with_capacity(8_192) };
        page.many(&BUILD, [([env!("CARGO_PKG_VERSION"), dialect, role], Amount::Count(1))]);
        page.one(&START, Amount::Millis(start.0));
        page.one(&READY, is_ready);
        page
    }

    /// Adds a metric without labels.
    pub fn one(&mut self, metric: &Metric, value: impl Into<Amount>) {
        self.many(metric, [([], value)]);
    }

    /// Adds a metric with a value for each of `rows`: the values of its labels, and the value.
    pub(crate) fn many<'a, const N: usize, V: Into<Amount>>(
        &mut self,
        metric: &Metric,
        rows: impl IntoIterator<Item = ([&'a str; N], V)>,
    ) {
        debug_assert_eq!(metric.labels.len(), N, "{}", metric.name);
        self.head(metric);
        for (labels, value) in rows {
            self.text.push_str(metric.name);
            let mut open = '{';
            for (label, value) in metric.labels.iter().zip(labels) {
                self.text.push(open);
                self.text.push_str(label);
                self.text.push_str("=\"");
                self.escaped(value);
                self.text.push('"');
                open = ',';
            }
            if N > 0 {
                self.text.push('}');
            }
            // Writing to a text cannot fail.
            let _ = writeln!(self.text, " {}", value.into());
        }
    }

    /// Adds times.
    pub(crate) fn times(&mut self, metric: &Metric, times: &Histogram) {
        self.head(metric);
        let name = metric.name;
        let mut below = 0;
        for (bound, class) in BOUNDS.iter().zip(times.classes) {
            below += class;
            let bound = *bound as f64 / 1_000.0;
            let _ = writeln!(self.text, "{name}_bucket{{le=\"{bound:?}\"}} {below}");
        }
        let (count, sum) = (times.count, Amount::Millis(times.sum_ms));
        let _ = writeln!(
            self.text,
            "{name}_bucket{{le=\"+Inf\"}} {count}\n{name}_sum {sum}\n{name}_count {count}"
        );
    }

    /// Returns the text.
    #[must_use]
    pub fn end(self) -> String {
        self.text
    }

    fn head(&mut self, Metric { name, kind, help, .. }: &Metric) {
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn escaped(&mut self, value: &str) {
        for sign in value.chars() {
            match sign {
                '\\' => self.text.push_str("\\\\"),
                '"' => self.text.push_str("\\\""),
                '\n' => self.text.push_str("\\n"),
                sign => self.text.push(sign),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_units_are_those_that_openmetrics_asks_for() {
        let mut names: Vec<&str> = METRICS.iter().map(|metric| metric.name).collect();
        for Metric { name, kind, help, labels, .. } in METRICS {
            assert!(name.starts_with("moorline_"), "{name}");
            let is_plain = |text: &str| text.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
            assert!(is_plain(name) && labels.iter().all(|label| is_plain(label)), "{name}");
            assert_eq!(name.ends_with("_total"), *kind == MetricKind::Counter, "{name}");
            let is_time = *kind == MetricKind::Histogram;
            assert!(!is_time || name.ends_with("_seconds") && labels.is_empty(), "{name}");
            for reserved in ["_bucket", "_count", "_sum", "_created"] {
                assert!(!name.ends_with(reserved), "{name}");
            }
            assert!(help.ends_with('.') && !help.contains(['\\', '\n']), "{name}");
        }
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), METRICS.len());
    }

    #[test]
    fn whatever_a_label_holds_stays_within_its_quotes() {
        let mut page = MetricsPage::default();
        page.many(&CAPABILITY_WORKERS, [(["a\"b\\c\nd} 7"], 1_u64)]);
        let line = page.end().lines().last().unwrap().to_owned();
        assert_eq!(line, r#"moorline_hub_capability_workers{capability="a\"b\\c\nd} 7"} 1"#);
    }

    #[test]
    fn times_are_counted_up_to_each_bound_in_seconds() {
        let mut times = Histogram::default();
        for millis in [5, 6, 700_000] {
            times.add(millis);
        }
        let mut page = MetricsPage::default();
        page.times(&WORK_SECONDS, &times);
        let text = page.end();
        for line in [
            "# TYPE moorline_work_seconds histogram",
            "moorline_work_seconds_bucket{le=\"0.005\"} 1",
            "moorline_work_seconds_bucket{le=\"1.0\"} 2",
            "moorline_work_seconds_bucket{le=\"600.0\"} 2",
            "moorline_work_seconds_bucket{le=\"+Inf\"} 3",
            "moorline_work_seconds_sum 700.011",
            "moorline_work_seconds_count 3",
        ] {
            assert!(text.lines().any(|it| it == line), "{line} is missing in\n{text}");
        }
    }
}
