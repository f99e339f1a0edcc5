//! What a handler is to a control plane: an action of a capability.

use serde::Deserialize;

use crate::base::error::{Error, ErrorCode, invalid};
use crate::base::json::Raw;
use crate::base::time::Now;
use crate::dialect::beacon::words;
use crate::parts::handlers::Handlers;

use super::{BeaconWorker, Stage};

/// An action on offer.
#[derive(Debug)]
pub(crate) struct Action {
    /// The group of work: the part of the handler's key before the first `/`.
    pub(crate) capability: String,
    /// The operation in it.
    pub(crate) name: String,
    /// What the application says about it.
    pub(crate) about: About,
}

/// What an application says about a handler.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct About {
    #[serde(default)]
    pub(crate) description: String,
    /// A JSON list.
    pub(crate) settings_schema: Option<Raw>,
}

impl Action {
    /// Reads the key of a handler, `Capability/Action`, and what is said about it.
    ///
    /// # Errors
    /// `ARGUMENT_INVALID`.
    fn new(key: &str, meta: &Raw) -> Result<Self, Error> {
        let is_list = |schema: &Raw| schema.as_str().starts_with('[');
        let about = match meta.read::<About>() {
            Ok(about) if about.settings_schema.as_ref().is_none_or(is_list) => Ok(about),
            Ok(_) => Err(String::from("settings_schema is a list")),
            Err(problem) => Err(problem.to_string()),
        };
        let about = about.map_err(|problem| invalid(format!("the handler's meta: {problem}")))?;
        let (capability, name) = Self::split(key)?;
        Ok(Self { capability: capability.to_owned(), name: name.to_owned(), about })
    }

    /// Takes the key of a handler apart.
    ///
    /// # Errors
    /// `ARGUMENT_INVALID`.
    fn split(key: &str) -> Result<(&str, &str), Error> {
        words::split(key)
            .ok_or_else(|| invalid(format!("a handler key is Capability/Action, not {key:?}")))
    }
}

/// Checks a handler's key and what is said about it.
///
/// # Errors
/// `ARGUMENT_INVALID`.
pub(crate) fn check_handler(key: &str, meta: &Raw) -> Result<(), Error> {
    Action::new(key, meta).map(drop)
}

impl BeaconWorker {
    pub(super) fn handle(&mut self, key: String, meta: &Raw, now: Now) -> Result<(), Error> {
        if self.drain.is_on() {
            let message = "handle comes too late: the worker was told to end";
            return Err(Error::new(ErrorCode::Stopped, message));
        }
        self.handlers.add(key.clone(), Action::new(&key, meta)?)?;
        self.handlers_changed(now);
        Ok(())
    }

    pub(super) fn unhandle(&mut self, key: &str, now: Now) -> Result<(), Error> {
        Action::split(key)?;
        if self.handlers.remove(key) {
            self.handlers_changed(now);
        }
        Ok(())
    }

    /// Changed handlers are announced together, once the present turn is over.
    fn handlers_changed(&mut self, now: Now) {
        let is_up = matches!(self.link.stage(), Stage::Greeting(_) | Stage::Ready(_));
        if is_up && !self.drain.is_on() {
            self.schedule.announce = Some(now.mono);
        }
    }
}

/// Returns the key of the handler for an action.
///
/// Peer: for an action that is not named or not known, the first of its capability stands in; the
/// envelope tells the handler what was asked for.
pub(super) fn find(handlers: &Handlers<Action>, capability: &str, name: &str) -> Option<String> {
    let key = format!("{capability}/{name}");
    // A capability has no slash: a key with one more belongs to another.
    if !capability.contains('/') && handlers.contains(&key) {
        return Some(key);
    }
    handlers
        .iter()
        .find(|(_, action)| action.capability == capability)
        .map(|(key, _)| key.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_a_capability_stands_in() {
        let mut handlers = Handlers::new("session");
        for key in ["B/two", "A/one", "B/one", "A/x/y"] {
            let action = Action::new(key, &Raw::empty_object()).unwrap();
            handlers.add(key.to_owned(), action).unwrap();
        }
        assert_eq!(find(&handlers, "B", "one").unwrap(), "B/one");
        assert_eq!(find(&handlers, "B", "three").unwrap(), "B/two");
        assert_eq!(find(&handlers, "B", "").unwrap(), "B/two");
        assert_eq!(find(&handlers, "A", "x/y").unwrap(), "A/x/y");
        assert_eq!(find(&handlers, "A/x", "y"), None);
        assert_eq!(find(&handlers, "C", "one"), None);
    }

    #[test]
    fn bad_keys_and_meta_are_named() {
        for key in ["", "A", "/x", "A/"] {
            let error = Action::new(key, &Raw::empty_object()).unwrap_err();
            assert_eq!(error.code(), ErrorCode::ArgumentInvalid);
        }
        for (meta, problem) in [
            (r#"{"settings_schema":{}}"#, "settings_schema is a list"),
            (r#"{"nmae":"x"}"#, "unknown field"),
        ] {
            let error = Action::new("A/b", &Raw::parse(meta).unwrap()).unwrap_err();
            assert!(error.message().contains(problem), "{error}");
        }
    }
}
