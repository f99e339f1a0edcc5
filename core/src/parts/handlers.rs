//! Handler keys: what this process offers, in the order in which it was offered.

use crate::base::error::{Error, ErrorCode};
use crate::base::json::Raw;

/// The most handlers of one session.
const MAX_HANDLERS: usize = 4_096;

/// One handler on offer.
#[derive(Clone, Debug)]
pub(crate) struct Handler {
    /// The group of work: the part of the key before the first `/`.
    pub(crate) capability: String,
    /// The operation in it.
    pub(crate) action: String,
    /// What the application says about it.
    pub(crate) meta: Raw,
}

/// All handlers, in the order of registration.
#[derive(Debug, Default)]
pub(crate) struct Handlers(Vec<Handler>);

impl Handlers {
    /// Adds a handler, or replaces what is said about one.
    pub(crate) fn add(&mut self, key: &str, meta: Raw) -> Result<(), Error> {
        let (capability, action) = split(key)?;
        if let Some(handler) = self.find_mut(capability, action) {
            handler.meta = meta;
            return Ok(());
        }
        if self.0.len() >= MAX_HANDLERS {
            let message = format!("a session takes at most {MAX_HANDLERS} handlers");
            return Err(Error::new(ErrorCode::Overloaded, message));
        }
        self.0.push(Handler { capability: capability.into(), action: action.into(), meta });
        Ok(())
    }

    pub(crate) fn remove(&mut self, key: &str) -> Result<(), Error> {
        let (capability, action) = split(key)?;
        let before = self.0.len();
        self.0.retain(|handler| handler.capability != capability || handler.action != action);
        if self.0.len() == before {
            let message = format!("no handler is registered under {key:?}");
            return Err(Error::new(ErrorCode::HandlerUnknown, message));
        }
        Ok(())
    }

    /// Returns the handler for exactly this capability and action.
    pub(crate) fn find(&self, capability: &str, action: &str) -> Option<&Handler> {
        self.0.iter().find(|handler| handler.capability == capability && handler.action == action)
    }

    /// Returns the handler that was offered first for a capability.
    pub(crate) fn first_of(&self, capability: &str) -> Option<&Handler> {
        self.0.iter().find(|handler| handler.capability == capability)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Handler> {
        self.0.iter()
    }

    /// Returns the capabilities in the order in which they were first offered.
    pub(crate) fn capabilities(&self) -> Vec<&str> {
        let mut seen = Vec::new();
        for handler in &self.0 {
            if !seen.contains(&handler.capability.as_str()) {
                seen.push(handler.capability.as_str());
            }
        }
        seen
    }

    fn find_mut(&mut self, capability: &str, action: &str) -> Option<&mut Handler> {
        self.0
            .iter_mut()
            .find(|handler| handler.capability == capability && handler.action == action)
    }
}

fn split(key: &str) -> Result<(&str, &str), Error> {
    key.split_once('/').filter(|(one, two)| !one.is_empty() && !two.is_empty()).ok_or_else(|| {
        let message = format!("a handler key is Capability/Action, not {key:?}");
        Error::new(ErrorCode::ArgumentInvalid, message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_is_that_of_registration() {
        let mut handlers = Handlers::default();
        for key in ["B/two", "A/one", "B/one"] {
            handlers.add(key, Raw::empty_object()).unwrap();
        }
        assert_eq!(handlers.capabilities(), ["B", "A"]);
        assert_eq!(handlers.first_of("B").unwrap().action, "two");
        handlers.remove("B/two").unwrap();
        assert_eq!(handlers.first_of("B").unwrap().action, "one");
    }

    #[test]
    fn bad_and_unknown_keys_are_named() {
        let mut handlers = Handlers::default();
        for key in ["", "A", "/x", "A/"] {
            let error = handlers.add(key, Raw::empty_object()).unwrap_err();
            assert_eq!(error.code(), ErrorCode::ArgumentInvalid);
        }
        assert_eq!(handlers.remove("A/b").unwrap_err().code(), ErrorCode::HandlerUnknown);
    }
}
