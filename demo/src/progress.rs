//! What is shown while the demonstration runs.

use std::io::{self, IsTerminal, Write};

use tokio::sync::watch;

/// Shows how many of `items` are answered until all are: one live line on a terminal, elsewhere a
/// line for each tenth.
pub(crate) async fn show(mut answered: watch::Receiver<usize>, items: u32) -> Result<(), String> {
    let items = items as usize;
    let is_live = io::stderr().is_terminal();
    let mut shown = 0;
    loop {
        let count = *answered.borrow_and_update();
        let tenth = count * 10 / items;
        if is_live {
            let filled = count * WIDTH / items;
            let bar = format!("{}{}", "#".repeat(filled), ".".repeat(WIDTH - filled));
            let _ = write!(io::stderr(), "\r\x1b[K[{bar}] {count}/{items}");
        } else if tenth > shown {
            shown = tenth;
            line(&format!("{count}/{items} items"));
        }
        if count >= items || answered.changed().await.is_err() {
            if is_live {
                let _ = writeln!(io::stderr());
            }
            return Ok(());
        }
    }
}

/// Prints a line about the course of things, above the live line.
pub(crate) fn line(text: &str) {
    let clear = if io::stderr().is_terminal() { "\r\x1b[K" } else { "" };
    let _ = writeln!(io::stderr(), "{clear}{text}");
}

/// Prints a part of the result.
pub(crate) fn result(text: &str) {
    let _ = writeln!(io::stdout(), "{text}");
}

const WIDTH: usize = 40;
