//! `moorline completions` and `moorline man`: what shells and readers of manual pages ask for.

use std::path::PathBuf;

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::args::Cli;
use crate::exit::{Exit, Failure};
use crate::output;

/// Where completions usually go.
pub(crate) const COMPLETIONS_EXAMPLES: &str = "\
Examples:
  moorline completions bash > ~/.local/share/bash-completion/completions/moorline
  moorline completions fish > ~/.config/fish/completions/moorline.fish";

/// Options of `moorline completions`.
#[derive(Args, Debug)]
pub(crate) struct CompletionsArgs {
    /// The shell
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

/// Options of `moorline man`.
#[derive(Args, Debug)]
pub(crate) struct ManArgs {
    /// The folder, made if it is not there
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
}

/// Prints completions.
pub(crate) fn completions(args: &CompletionsArgs) -> Result<Exit, Failure> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "moorline", &mut text);
    output::text(&String::from_utf8_lossy(&text))?;
    Ok(Exit::Success)
}

/// Writes a page for the command and for each of its commands.
pub(crate) fn pages(args: &ManArgs) -> Result<Exit, Failure> {
    let failed = |e: std::io::Error| Failure::other(format!("{}: {e}", args.folder.display()));
    std::fs::create_dir_all(&args.folder).map_err(failed)?;
    clap_mangen::generate_to(Cli::command(), &args.folder).map_err(failed)?;
    Ok(Exit::Success)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page_and_is_completed() {
        let folder = tempfile::tempdir().unwrap();
        let shown: Vec<_> = Cli::command()
            .get_subcommands()
            .filter(|command| !command.is_hide_set())
            .map(|command| command.get_name().to_owned())
            .collect();
        pages(&ManArgs { folder: folder.path().join("man") }).map_err(|e| e.message).unwrap();
        let mut text = Vec::new();
        clap_complete::generate(Shell::Bash, &mut Cli::command(), "moorline", &mut text);
        let completions = String::from_utf8(text).unwrap();
        for name in shown {
            let page = folder.path().join(format!("man/moorline-{name}.1"));
            assert!(std::fs::read_to_string(page).unwrap().contains(".TH"), "{name}");
            assert!(completions.contains(&format!("moorline__subcmd__{name}")), "{name}");
        }
    }
}
