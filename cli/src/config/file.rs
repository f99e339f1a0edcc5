//! Configuration files: TOML with the options' own names.

use std::path::Path;

use moorline_core::options::{Field, Kind};
use serde_json::{Map, Value};

use super::{Layers, Source, secret_file};
use crate::exit::Failure;

impl Layers {
    /// Takes the values of a configuration file.
    ///
    /// A secret may stand in the file itself if the file is private, or as `<option>_file` in a file
    /// of its own, relative to the configuration file.
    ///
    /// # Errors
    /// A file that cannot be read or is not TOML; a secret that others may read.
    pub(crate) fn file(&mut self, path: &Path) -> Result<(), Failure> {
        let object = parse(path)?;
        self.take(path, object)
    }

    /// Takes the values of a configuration file except one list of tables, which is returned.
    ///
    /// # Errors
    /// Those of [`file`](Self::file).
    pub(crate) fn file_without(&mut self, path: &Path, list: &str) -> Result<Value, Failure> {
        let mut object = parse(path)?;
        let taken = object.remove(list).unwrap_or_else(|| Value::Array(Vec::new()));
        self.take(path, object).map(|()| taken)
    }

    fn take(&mut self, path: &Path, mut object: Map<String, Value>) -> Result<(), Failure> {
        let mut secrets = Secrets { file: path, literal: false, problem: None };
        secrets.resolve(&self.fields, &mut object);
        if let Some(problem) = secrets.problem {
            return Err(Failure::usage(format!("{}: {problem}", path.display())));
        }
        if secrets.literal {
            let file = std::fs::File::open(path)
                .map_err(|e| Failure::usage(format!("{} cannot be read: {e}", path.display())))?;
            secret_file::check_private(path, &file).map_err(Failure::usage)?;
        }
        self.lay("", object, &Source::File(path.to_owned()));
        Ok(())
    }
}

fn parse(path: &Path) -> Result<Map<String, Value>, Failure> {
    let shown = path.display();
    let text = std::fs::read_to_string(path)
        .map_err(|e| Failure::usage(format!("{shown} cannot be read: {e}")))?;
    // The parser's own display quotes the line, and the line may hold a secret.
    let table: toml::Table = text.parse().map_err(|e: toml::de::Error| {
        let start = e.span().map_or(0, |span| span.start).min(text.len());
        let line = text.bytes().take(start).filter(|byte| *byte == b'\n').count() + 1;
        Failure::usage(format!("{shown}, line {line}: {}", e.message()))
    })?;
    match serde_json::to_value(table) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) | Err(_) => Err(Failure::usage(format!("{shown} has values that JSON has not"))),
    }
}

struct Secrets<'a> {
    file: &'a Path,
    literal: bool,
    problem: Option<String>,
}

impl Secrets<'_> {
    /// Replaces `<secret>_file` by the secret, and notes whether a secret stands in `object` itself.
    fn resolve(&mut self, fields: &[Field], object: &mut Map<String, Value>) {
        for field in fields {
            match field.kind {
                Kind::Secret => self.replace(field.name, object),
                Kind::Table(inner) => {
                    if let Some(Value::Object(table)) = object.get_mut(field.name) {
                        self.resolve(&inner(), table);
                    }
                }
                Kind::TableList(inner) => {
                    if let Some(Value::Array(rows)) = object.get_mut(field.name) {
                        for row in rows.iter_mut().filter_map(Value::as_object_mut) {
                            self.resolve(&inner(), row);
                        }
                    }
                }
                Kind::Integer
                | Kind::Boolean
                | Kind::Text
                | Kind::Word(_)
                | Kind::Json
                | Kind::TextList => {}
            }
        }
    }

    fn replace(&mut self, name: &str, object: &mut Map<String, Value>) {
        self.literal |= object.contains_key(name);
        let key = format!("{name}_file");
        let Some(value) = object.remove(&key) else { return };
        let Some(given) = value.as_str() else {
            self.problem = Some(format!("{key}: must be text"));
            return;
        };
        let folder = self.file.parent().unwrap_or_else(|| Path::new(""));
        match secret_file::read(&folder.join(given)) {
            Ok(secret) => {
                object.insert(name.to_owned(), Value::String(secret));
            }
            Err(problem) => self.problem = Some(format!("{key}: {problem}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use moorline_core::options::HubOptions;

    use super::*;

    fn load(files: &[(&str, &str, u32)]) -> Result<Layers, Failure> {
        let folder = tempfile::tempdir().unwrap();
        for (name, content, mode) in files {
            let path = folder.path().join(name);
            std::fs::write(&path, content).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(*mode)).unwrap();
        }
        let mut layers = Layers::new(HubOptions::fields());
        layers.file(&folder.path().join(files[0].0)).map(|()| layers)
    }

    #[test]
    fn a_users_password_comes_from_a_file_beside_the_configuration() {
        let hub = "[[users]]\nname = \"ada\"\npassword_file = \"ada.password\"\n";
        let layers = load(&[("hub.toml", hub, 0o644), ("ada.password", "s3cret\n", 0o600)]);
        let options: HubOptions = layers.unwrap().read().unwrap();
        assert_eq!(options.users[0].password.expose(), "s3cret");
    }

    #[test]
    fn a_literal_secret_needs_a_private_file() {
        let hub = "join_secret = \"hunter2\"\n";
        let problem = load(&[("hub.toml", hub, 0o644)]).err().unwrap().message;
        assert!(problem.contains("chmod 600"), "{problem}");
        assert!(!problem.contains("hunter2"), "{problem}");
        assert!(load(&[("hub.toml", hub, 0o600)]).is_ok());
    }

    #[test]
    fn a_syntax_error_names_the_line_and_does_not_quote_it() {
        let hub = "access = \"open\"\njoin_secret = \"hunter2\n";
        let problem = load(&[("hub.toml", hub, 0o600)]).err().unwrap().message;
        assert!(problem.contains("line 2"), "{problem}");
        assert!(!problem.contains("hunter2"), "{problem}");
    }

    #[test]
    fn an_unknown_key_is_an_error_with_a_suggestion() {
        let layers = load(&[("hub.toml", "leese_ms = 5\n", 0o644)]).unwrap();
        let problem = layers.read::<HubOptions>().unwrap_err().message;
        assert!(
            problem.contains("leese_ms: is not an option; did you mean lease_ms?"),
            "{problem}"
        );
        assert!(problem.contains("hub.toml"), "{problem}");
    }
}
