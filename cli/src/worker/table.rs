//! The `[[command]]` table of a worker's configuration file.

use moorline_core::{json::Raw, option_words, options};

option_words! {
    /// How a command gets the settings that are no arguments.
    pub enum SettingsInput {
        /// Not at all.
        None = "none",
        /// As one JSON object on standard input.
        Stdin = "stdin",
        /// As one JSON object in the variable MOORLINE_SETTINGS.
        Environment = "environment",
    }
}

options! {
    /// One setting that a work item may carry.
    pub struct SettingRow {
        /// Its name; an argument that is exactly {name} is replaced by its value.
        name: String = String::new(),
        /// The type shown to those who dispatch work.
        data_type: String = String::from("String"),
        /// Work without it is answered with an error; otherwise the argument is left out.
        required: bool = true,
        /// Lets a value begin with a dash where the program could take it for an option.
        allow_dash: bool = false,
        /// One sentence for those who dispatch work.
        description: String = String::new(),
    }
}

options! {
    /// A command that is offered as an action of a capability.
    pub struct CommandRow {
        /// The capability.
        capability: String = String::new(),
        /// The action.
        action: String = String::new(),
        /// One sentence for those who dispatch work.
        description: String = String::new(),
        /// The program and its arguments, each as it is; no shell reads them.
        argv: Vec<String> = Vec::new(),
        /// The settings that may stand in argv.
        settings: Vec<SettingRow> = Vec::new(),
        /// How the command gets all settings.
        input: SettingsInput = SettingsInput::None,
        /// How long it may run; a work item with a shorter limit ends it earlier.
        timeout_ms: u64 = 300_000; in 1..=86_400_000; unit "ms",
        /// The most bytes kept of its output and of its errors, each; more are dropped, and it is said so.
        output_limit_bytes: u64 = 1_048_576; in 0..=4_194_304; unit "bytes",
        /// The folder it runs in; empty for the worker's.
        working_dir: String = String::new(),
        /// Names of environment variables it inherits; PATH is given in any case.
        env: Vec<String> = Vec::new(),
        /// Further environment variables, as a table of text.
        set_env: Raw = Raw::empty_object(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_operator_page_has_every_key_with_its_default() {
        let page = include_str!("../../../docs/operator.md");
        for field in CommandRow::fields() {
            let row = page.lines().find(|line| {
                line.starts_with("| `") && line.contains(&format!("`{}`", field.name))
            });
            let row = row.unwrap_or_else(|| panic!("{} is missing", field.name));
            // What is empty by default is told in words.
            let told = field.default == "\"\"" || row.ends_with("| |");
            assert!(told || row.ends_with(&format!("| `{}` |", field.default)), "{row}");
        }
    }
}
