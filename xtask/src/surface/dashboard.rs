//! The dashboard asks for names, labels and values that there are.

use std::collections::BTreeSet;

use moorline_core::metrics::{METRICS, Metric, MetricKind};
use serde_json::Value;

const DASHBOARD: &str = include_str!("../../../docs/grafana/moorline.json");

/// Collects the values of a key, however deep they stand.
fn values<'a>(json: &'a Value, key: &str, found: &mut Vec<&'a str>) {
    match json {
        Value::Object(fields) => {
            for (name, value) in fields {
                if name == key {
                    found.extend(value.as_str());
                }
                values(value, key, found);
            }
        }
        Value::Array(rows) => rows.iter().for_each(|row| values(row, key, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Returns the words of a query that may be names.
fn words(query: &str) -> impl Iterator<Item = &str> {
    query.split(|sign: char| !sign.is_ascii_alphanumeric() && sign != '_')
}

/// Finds the metric that a series belongs to.
fn metric(series: &str) -> Option<&'static Metric> {
    METRICS.iter().find(|metric| match metric.kind {
        MetricKind::Histogram => ["_bucket", "_sum", "_count"]
            .iter()
            .any(|end| series.strip_suffix(end) == Some(metric.name)),
        MetricKind::Counter | MetricKind::Gauge => series == metric.name,
    })
}

/// Returns the names between the parentheses after each `by`.
fn groups(query: &str) -> impl Iterator<Item = &str> {
    query.split("by (").skip(1).filter_map(|rest| rest.split(')').next()).flat_map(words)
}

#[test]
fn every_query_asks_for_what_there_is() {
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    let mut queries = Vec::new();
    for key in ["expr", "query"] {
        values(&dashboard, key, &mut queries);
    }
    let mut asked = BTreeSet::new();
    for query in &queries {
        let names: Vec<&str> = words(query).filter(|word| word.starts_with("moorline_")).collect();
        for name in &names {
            assert!(metric(name).is_some(), "{name} in {query}");
            asked.extend(metric(name).map(|metric| metric.name));
        }
        let labels = names.iter().filter_map(|name| metric(name)).flat_map(|it| it.labels);
        let known: Vec<&str> = labels.copied().chain(["le", "instance", "job"]).collect();
        for label in groups(query).filter(|label| !label.is_empty()) {
            assert!(known.contains(&label), "{label} in {query}");
        }
        for counter in names.iter().filter(|name| name.ends_with("_total")) {
            assert!(query.contains("rate(") || query.contains("increase("), "{counter}: {query}");
        }
    }
    assert!(asked.len() >= 20, "{} of {} names are shown", asked.len(), METRICS.len());
}

#[test]
fn a_name_that_is_none_is_noticed() {
    assert!(metric("moorline_hub_wait_seconds_bucket").is_some());
    assert!(metric("moorline_hub_wait_seconds").is_none());
    assert!(metric("moorline_ready_sum").is_none());
    assert_eq!(groups("sum by (a, b) (rate(x[1m]))").filter(|it| !it.is_empty()).count(), 2);
}
