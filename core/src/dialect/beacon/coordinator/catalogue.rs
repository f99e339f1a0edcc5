//! The actions that workers have described; kept when the workers are gone.

use std::collections::HashMap;
use std::sync::Arc;

use super::wire::{ActionSchema, action_entry};
use super::worker::Worker;
use crate::base::json::Raw;

/// The most actions, and the most bytes of their descriptions; beyond, new ones are not listed.
const MAX_ACTIONS: usize = 10_000;
const MAX_BYTES: usize = 16_777_216;

/// Every action by capability and name, in the order in which they were first described.
#[derive(Debug, Default)]
pub(super) struct Catalogue {
    entries: Vec<Entry>,
    places: HashMap<(Arc<str>, String), usize>,
    bytes: usize,
}

#[derive(Debug)]
pub(crate) struct Entry {
    pub(super) capability: Arc<str>,
    pub(super) action: String,
    pub(super) description: String,
    pub(super) settings_schema: Raw,
}

impl Entry {
    fn size(&self) -> usize {
        let texts = self.capability.len() + self.action.len() + self.description.len();
        texts + self.settings_schema.as_str().len()
    }
}

impl Catalogue {
    /// Notes the actions that a worker describes; the last description wins.
    pub(super) fn describe(&mut self, schemas: Vec<ActionSchema>) {
        for schema in schemas {
            let entry = Entry {
                capability: schema.capability.into(),
                action: schema.action,
                description: schema.description.unwrap_or_default(),
                settings_schema: schema.settings_schema.map_or_else(Raw::empty_list, Raw::from),
            };
            let key = (entry.capability.clone(), entry.action.clone());
            let known = self.places.get(&key).and_then(|place| self.entries.get_mut(*place));
            let before = known.as_ref().map_or(0, |known| known.size());
            let bytes = self.bytes - before + entry.size();
            if bytes > MAX_BYTES {
                continue;
            }
            if let Some(known) = known {
                *known = entry;
            } else if self.entries.len() < MAX_ACTIONS {
                self.places.insert(key, self.entries.len());
                self.entries.push(entry);
            } else {
                continue;
            }
            self.bytes = bytes;
        }
    }

    /// Shows every action with the workers that offer its capability.
    pub(super) fn show<'a>(
        &self,
        workers: impl Iterator<Item = &'a Worker> + Clone,
    ) -> Vec<String> {
        let show = |entry: &Entry| {
            let offer = workers.clone().filter(|worker| worker.offers(&entry.capability));
            let sources: Vec<&str> = offer.map(|worker| &*worker.beacon_id).collect();
            action_entry(entry, &sources)
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
            .map(|entry| (entry.action.clone(), entry.description.clone()))
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
