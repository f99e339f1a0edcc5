//! Options as a builder collects them: JSON, read and checked by the core.

use std::fmt;

use moorline_core::{Error, ErrorCode};
use serde::Serialize;
use serde_json::{Map, Value};

/// Options by their path.
#[derive(Clone, Default)]
pub(crate) struct Settings {
    root: Map<String, Value>,
    problem: Option<Error>,
}

impl Settings {
    /// Sets one option; a dotted path reaches into a group.
    pub(crate) fn set(&mut self, path: &str, value: impl Serialize) {
        match serde_json::to_value(value) {
            Ok(value) => insert(&mut self.root, path, value),
            Err(e) => {
                let error = Error::new(ErrorCode::ConfigInvalid, format!("{path}: {e}"));
                self.problem.get_or_insert(error);
            }
        }
    }

    /// Returns the text of one option, if it was set.
    pub(crate) fn text_of(&self, name: &str) -> Option<&str> {
        self.root.get(name).and_then(Value::as_str)
    }

    /// Returns the options as JSON text.
    ///
    /// # Errors
    /// `CONFIG_INVALID` if a value could not be written as JSON.
    pub(crate) fn text(&self) -> Result<String, Error> {
        match &self.problem {
            Some(problem) => Err(problem.clone()),
            None => serde_json::to_string(&self.root)
                .map_err(|e| Error::new(ErrorCode::ConfigInvalid, e.to_string())),
        }
    }
}

impl fmt::Debug for Settings {
    /// Shows names only: values may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.root.keys()).finish()
    }
}

fn insert(table: &mut Map<String, Value>, path: &str, value: Value) {
    let Some((group, rest)) = path.split_once('.') else {
        table.insert(path.to_owned(), value);
        return;
    };
    let inner = table.entry(group).or_insert_with(|| Value::Object(Map::new()));
    if !inner.is_object() {
        *inner = Value::Object(Map::new());
    }
    if let Value::Object(inner) = inner {
        insert(inner, rest, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dotted_paths_reach_into_groups() {
        let mut settings = Settings::default();
        settings.set("name", "a");
        settings.set("reconnect.base_delay_ms", 5);
        settings.set("reconnect.max_delay_ms", 9);
        assert_eq!(
            settings.text().unwrap(),
            r#"{"name":"a","reconnect":{"base_delay_ms":5,"max_delay_ms":9}}"#
        );
    }
}
