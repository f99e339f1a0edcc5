//! Argument vectors: a setting replaces a whole argument or nothing.
//!
//! There is no quoting to get wrong: a value becomes one element of the vector, whatever it holds.

use std::collections::BTreeMap;

use moorline_core::json::Raw;
use serde_json::value::RawValue;

use super::table::SettingRow;

/// One argument of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Argument {
    /// As it stands.
    Literal(String),
    /// The value of a setting.
    Setting {
        /// The setting's name.
        name: String,
        /// Without it the work is refused; otherwise the argument is left out.
        required: bool,
        /// The value may begin with a dash.
        allow_dash: bool,
    },
}

impl Argument {
    /// Reads one element of `argv`. `{{Name}}` stands for the literal `{Name}`.
    ///
    /// # Errors
    /// A placeholder that is not declared, or not a whole argument.
    pub(crate) fn parse(text: &str, declared: &[SettingRow]) -> Result<Self, String> {
        if text.contains('\0') {
            return Err(String::from("an argument holds a zero byte"));
        }
        if placeholder(text).is_some_and(|inner| placeholder(inner).is_some()) {
            return Ok(Self::Literal(text.get(1..text.len() - 1).unwrap_or(text).to_owned()));
        }
        if let Some(name) = placeholder(text).filter(|name| Self::is_name(name)) {
            let row = declared.iter().find(|row| row.name == name).ok_or_else(|| {
                format!("{text} is not declared under settings; write {{{text}}} for the text")
            })?;
            return Ok(Self::Setting {
                name: name.to_owned(),
                required: row.required,
                allow_dash: row.allow_dash,
            });
        }
        match declared.iter().find(|row| text.contains(&format!("{{{}}}", row.name))) {
            Some(row) => Err(format!(
                "{text:?}: {{{}}} must be an argument of its own, settings are not pasted into text",
                row.name
            )),
            None => Ok(Self::Literal(text.to_owned())),
        }
    }

    /// Tells whether `name` can name a setting.
    pub(crate) fn is_name(name: &str) -> bool {
        !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    }
}

fn placeholder(text: &str) -> Option<&str> {
    text.strip_prefix('{')?.strip_suffix('}')
}

/// Puts the settings of a work item into an argument vector.
///
/// # Errors
/// A sentence for whoever dispatched the work; it holds no value.
pub(crate) fn fill(arguments: &[Argument], settings: &Raw) -> Result<Vec<String>, String> {
    let values: BTreeMap<String, &RawValue> =
        settings.read().map_err(|_| String::from("the settings must be a JSON object"))?;
    let mut filled = Vec::with_capacity(arguments.len());
    let mut options_ended = false;
    for argument in arguments {
        match argument {
            Argument::Literal(text) => {
                options_ended |= text == "--";
                filled.push(text.clone());
            }
            Argument::Setting { name, required, allow_dash } => {
                let given = values.get(name).filter(|value| value.get() != "null");
                let Some(value) = given else {
                    if *required {
                        return Err(format!("the setting {name} is missing"));
                    }
                    continue;
                };
                let text = text_of(value);
                if text.contains('\0') {
                    return Err(format!("the setting {name} holds a zero byte"));
                }
                if text.starts_with('-') && !allow_dash && !options_ended {
                    return Err(format!("the setting {name} must not begin with a dash"));
                }
                filled.push(text);
            }
        }
    }
    Ok(filled)
}

/// Text as it is, everything else as its JSON text.
fn text_of(value: &RawValue) -> String {
    serde_json::from_str::<String>(value.get()).unwrap_or_else(|_| value.get().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str) -> SettingRow {
        SettingRow { name: name.to_owned(), ..SettingRow::default() }
    }

    fn filled(argv: &[&str], row: SettingRow, settings: &str) -> Result<Vec<String>, String> {
        let declared = [row];
        let arguments: Vec<_> =
            argv.iter().map(|text| Argument::parse(text, &declared).unwrap()).collect();
        fill(&arguments, &Raw::parse(settings.to_owned()).unwrap())
    }

    #[test]
    fn a_value_is_one_argument_whatever_it_holds() {
        let filled = filled(&["{Text}"], row("Text"), r#"{"Text":"a b; rm -rf / $(x) `y` \"z"}"#);
        assert_eq!(filled.unwrap(), ["a b; rm -rf / $(x) `y` \"z"]);
    }

    #[test]
    fn numbers_keep_their_text_and_lists_become_json() {
        let settings = r#"{"Text":1.0}"#;
        assert_eq!(filled(&["{Text}"], row("Text"), settings).unwrap(), ["1.0"]);
        let settings = r#"{"Text":[1,"a"]}"#;
        assert_eq!(filled(&["{Text}"], row("Text"), settings).unwrap(), [r#"[1,"a"]"#]);
    }

    #[test]
    fn a_value_is_not_looked_through_for_placeholders() {
        let settings = r#"{"Text":"{Text}"}"#;
        assert_eq!(filled(&["{Text}"], row("Text"), settings).unwrap(), ["{Text}"]);
    }

    #[test]
    fn what_is_not_exactly_a_placeholder_is_literal() {
        let argv = ["{print $1}", "{{Text}}", "x"];
        assert_eq!(filled(&argv, row("Text"), "{}").unwrap(), ["{print $1}", "{Text}", "x"]);
    }

    #[test]
    fn undeclared_and_embedded_placeholders_are_configuration_errors() {
        assert!(Argument::parse("{Txt}", &[row("Text")]).unwrap_err().contains("not declared"));
        assert!(Argument::parse("--t={Text}", &[row("Text")]).unwrap_err().contains("of its own"));
    }

    #[test]
    fn a_missing_setting_is_refused_or_left_out() {
        let problem = filled(&["{Text}"], row("Text"), "{}").unwrap_err();
        assert_eq!(problem, "the setting Text is missing");
        let optional = SettingRow { required: false, ..row("Text") };
        assert_eq!(filled(&["a", "{Text}", "b"], optional, "{}").unwrap(), ["a", "b"]);
    }

    #[test]
    fn a_value_cannot_become_an_option_of_the_program() {
        let settings = r#"{"Text":"--output=/etc/passwd"}"#;
        assert!(filled(&["{Text}"], row("Text"), settings).is_err());
        assert!(filled(&["--", "{Text}"], row("Text"), settings).is_ok());
        let allowed = SettingRow { allow_dash: true, ..row("Text") };
        assert!(filled(&["{Text}"], allowed, settings).is_ok());
    }
}
