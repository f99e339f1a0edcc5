//! The actions that workers have described; kept when the workers are gone.

use std::collections::HashMap;

use super::wire::{ActionSchema, action_entry};
use super::worker::Worker;

/// The most actions, and the most bytes of their descriptions; beyond, new ones are not listed.
const MAX_ACTIONS: usize = 10_000;
const MAX_BYTES: usize = 16_777_216;

/// Every action by capability and name, in the order in which they were first described.
#[derive(Debug, Default)]
pub(super) struct Catalogue {
    entries: Vec<ActionSchema>,
    places: HashMap<(String, String), usize>,
    bytes: usize,
}

impl ActionSchema {
    fn size(&self) -> usize {
        let description = self.description.as_ref().map_or(0, String::len);
        let schema = self.settings_schema.as_ref().map_or(0, |raw| raw.get().len());
        self.capability.len() + self.action.len() + description + schema
    }
}

impl Catalogue {
    /// Notes the actions that a worker describes; the last description wins.
    pub(super) fn describe(&mut self, schemas: Vec<ActionSchema>) {
        for schema in schemas {
            let key = (schema.capability.clone(), schema.action.clone());
            let known = self.places.get(&key).and_then(|place| self.entries.get_mut(*place));
            let before = known.as_ref().map_or(0, |known| known.size());
            let bytes = self.bytes - before + schema.size();
            if bytes > MAX_BYTES {
                continue;
            }
            if let Some(known) = known {
                *known = schema;
            } else if self.entries.len() < MAX_ACTIONS {
                self.places.insert(key, self.entries.len());
                self.entries.push(schema);
            } else {
                continue;
            }
            self.bytes = bytes;
        }
    }

    /// Shows every action with the workers that offer its capability.
    pub(super) fn show<'a>(&self, workers: impl Iterator<Item = &'a Worker>) -> Vec<String> {
        // There may be many of both.
        let mut offers: HashMap<&str, Vec<&str>> = HashMap::new();
        for worker in workers {
            for capability in &worker.capabilities {
                offers.entry(capability).or_default().push(&worker.beacon_id);
            }
        }
        let show = |entry: &ActionSchema| {
            let sources = offers.get(&*entry.capability).map(Vec::as_slice).unwrap_or_default();
            action_entry(entry, sources)
        };
        self.entries.iter().map(show).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema(action: &str, description: &str) -> ActionSchema {
        ActionSchema {
            capability: "Echo".to_owned(),
            action: action.to_owned(),
            description: Some(description.to_owned()),
            settings_schema: None,
        }
    }

    #[test]
    fn the_last_description_of_an_action_wins_and_keeps_its_place() {
        let mut catalogue = Catalogue::default();
        catalogue.describe(vec![schema("Say", "old"), schema("Sing", "")]);
        catalogue.describe(vec![schema("Say", "new")]);
        let seen: Vec<_> = catalogue
            .entries
            .iter()
            .map(|entry| (entry.action.clone(), entry.description.clone().unwrap()))
            .collect();
        assert_eq!(seen, [("Say".into(), "new".into()), ("Sing".into(), String::new())]);
    }

    #[test]
    fn the_catalogue_is_bounded() {
        let mut catalogue = Catalogue::default();
        let large = "x".repeat(1_000_000);
        for action in 0..100 {
            catalogue.describe(vec![schema(&action.to_string(), &large)]);
        }
        assert!(catalogue.bytes <= MAX_BYTES);
        assert_eq!(catalogue.entries.len(), 16);
    }
}
