//! `--print-config`: every option with its value and where it came from, as a file to start from.

use std::fmt::Write;

use moorline_core::options::Kind;
use serde_json::Value;

use super::{Layers, each};

impl Layers {
    /// Writes every option as a line of TOML with its source as a comment. Secrets are comments
    /// without their value.
    pub(crate) fn print(&self) -> String {
        let mut out = String::new();
        each("", &self.fields, &mut |path, field| {
            let source = self
                .source(&path)
                .map_or_else(|| String::from("default"), |source| format!("from {source}"));
            let given = self.value(&path);
            let line = match (field.kind, given) {
                (Kind::Secret, Some(_)) => format!("# {path} = [redacted]"),
                (Kind::Secret, None) => format!("# {path}: not given"),
                (Kind::TableList(_), Some(Value::Array(rows))) => {
                    format!("# {path}: {} rows", rows.len())
                }
                (_, given) => {
                    let default = serde_json::from_str(&field.default).unwrap_or(Value::Null);
                    format!("{path} = {}", to_toml(given.unwrap_or(&default)))
                }
            };
            // Writing to a String cannot fail.
            let _ = writeln!(out, "{line}  # {source}");
        });
        out
    }

    fn value(&self, path: &str) -> Option<&Value> {
        let mut keys = path.split('.');
        let first = self.values.get(keys.next()?)?;
        keys.try_fold(first, |value, key| value.get(key))
    }
}

fn to_toml(value: &Value) -> String {
    toml::Value::try_from(value).map_or_else(|_| value.to_string(), |value| value.to_string())
}

#[cfg(test)]
mod tests {
    use moorline_core::options::{DispatcherOptions, HubOptions, WorkerOptions};

    use super::*;

    #[test]
    fn the_output_is_a_configuration_file_with_the_same_values() {
        let mut layers = Layers::new(WorkerOptions::fields());
        layers.assignment(r#"tags={"site":"a b"}"#).unwrap();
        layers.assignment("max_concurrent=4").unwrap();
        let printed = layers.print();
        let table: toml::Table = printed.parse().unwrap();
        assert_eq!(table["max_concurrent"].as_integer(), Some(4), "{printed}");
        assert_eq!(table["tags"]["site"].as_str(), Some("a b"), "{printed}");
        assert_eq!(table["reconnect"]["base_delay_ms"].as_integer(), Some(250), "{printed}");
    }

    #[test]
    fn each_value_names_its_source() {
        let mut layers = Layers::new(HubOptions::fields());
        layers.environment([("MOORLINE_LEASE_MS".to_owned(), "500".to_owned())]).unwrap();
        layers.flag("--listen", "listen", "127.0.0.1:0");
        let printed = layers.print();
        assert!(printed.contains("lease_ms = 500  # from MOORLINE_LEASE_MS\n"), "{printed}");
        assert!(printed.contains("listen = \"127.0.0.1:0\"  # from --listen\n"), "{printed}");
        assert!(printed.contains("access = \"open\"  # default\n"), "{printed}");
    }

    #[test]
    fn a_nested_default_is_the_one_of_the_role() {
        let printed = Layers::new(DispatcherOptions::fields()).print();
        assert!(printed.contains("reconnect.base_delay_ms = 250  # default\n"), "{printed}");
    }

    #[test]
    fn secrets_are_not_printed() {
        let mut layers = Layers::new(HubOptions::fields());
        let users = r#"[{"name":"ada","password":"hunter2"}]"#;
        layers
            .environment(
                [("MOORLINE_JOIN_SECRET", "hunter2"), ("MOORLINE_USERS", users)]
                    .map(|(k, v)| (k.to_owned(), v.to_owned())),
            )
            .unwrap();
        let printed = layers.print();
        assert!(!printed.contains("hunter2"), "{printed}");
        assert!(printed.contains("# join_secret = [redacted]  # from MOORLINE_JOIN_SECRET"));
    }
}
