//! What an application handles: opaque keys, with what the role keeps about each.

use std::collections::BTreeMap;

use crate::base::error::{Error, ErrorCode};

/// The most handlers of one owner.
pub(crate) const MAX_HANDLERS: usize = 4_096;

/// Handlers in the order in which their keys were first added.
#[derive(Debug)]
pub(crate) struct Handlers<T> {
    /// Whose they are, in messages.
    owner: &'static str,
    order: BTreeMap<String, u64>,
    handlers: BTreeMap<u64, (String, T)>,
    next: u64,
}

impl<T> Handlers<T> {
    pub(crate) const fn new(owner: &'static str) -> Self {
        Self { owner, order: BTreeMap::new(), handlers: BTreeMap::new(), next: 0 }
    }

    /// Adds a handler, or replaces what is kept about one.
    ///
    /// # Errors
    /// `OVERLOADED` for too many.
    pub(crate) fn add(&mut self, key: String, about: T) -> Result<(), Error> {
        if let Some(order) = self.order.get(&key) {
            self.handlers.insert(*order, (key, about));
            return Ok(());
        }
        if self.order.len() >= MAX_HANDLERS {
            let message = format!("a {} takes at most {MAX_HANDLERS} handlers", self.owner);
            return Err(Error::new(ErrorCode::Overloaded, message));
        }
        self.order.insert(key.clone(), self.next);
        self.handlers.insert(self.next, (key, about));
        self.next += 1;
        Ok(())
    }

    /// Removes a handler; tells whether there was one.
    pub(crate) fn remove(&mut self, key: &str) -> bool {
        let order = self.order.remove(key);
        order.and_then(|order| self.handlers.remove(&order)).is_some()
    }

    /// Tells whether a key has a handler.
    pub(crate) fn contains(&self, key: &str) -> bool {
        self.order.contains_key(key)
    }

    pub(crate) fn len(&self) -> usize {
        self.order.len()
    }

    /// Returns all keys, with what is kept about each.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &T)> {
        self.handlers.values().map(|(key, about)| (key.as_str(), about))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_is_that_of_the_first_adding() {
        let mut handlers = Handlers::new("role");
        for (key, about) in [("b", 1), ("c", 2), ("a", 3), ("b", 4)] {
            handlers.add(key.into(), about).unwrap();
        }
        assert_eq!(handlers.iter().collect::<Vec<_>>(), [("b", &4), ("c", &2), ("a", &3)]);
        assert!(handlers.remove("c"));
        assert!(!handlers.remove("c") && !handlers.contains("c"));
        handlers.add("c".into(), 5).unwrap();
        assert_eq!(handlers.iter().map(|(key, _)| key).collect::<Vec<_>>(), ["b", "a", "c"]);
    }

    #[test]
    fn one_too_many_is_refused_and_a_known_one_never() {
        let mut handlers = Handlers::new("role");
        for number in 0..MAX_HANDLERS {
            handlers.add(number.to_string(), ()).unwrap();
        }
        let error = handlers.add("more".into(), ()).unwrap_err();
        assert_eq!(error.code(), ErrorCode::Overloaded);
        assert_eq!(error.message(), "a role takes at most 4096 handlers");
        handlers.add("7".into(), ()).unwrap();
    }
}
