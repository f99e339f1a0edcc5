//! `moorline hub`: the control plane in this process.

use moorline_core::options::{HubAccess, HubOptions};
use moorline_core::{Command, Error};

use crate::args::HubArgs;
use crate::config::Layers;
use crate::descriptors;
use crate::exit::{Exit, Failure};
use crate::output;
use crate::session::{Session, Told};
use crate::signals::Signals;

/// Runs a hub until it is told to end.
pub(crate) async fn run(args: HubArgs) -> Result<Exit, Failure> {
    let layers = configure(&args)?;
    if args.print_config {
        // What contradicts itself is refused as at a start, and has no ceiling.
        let options: HubOptions = layers.read()?;
        output::text(&format!("{}{}", layers.print(), memory(&options)))?;
        return Ok(Exit::Success);
    }
    let options: HubOptions = layers.read()?;
    if let Some(few) = descriptors::too_few(descriptors::raise(), options.max_connections) {
        tracing::warn!("{few}");
    }
    let mut session = Session::open("beacon", "hub", &layers.to_json())?;
    let mut signals = Signals::listen(&args.stop)?;
    if options.danger_open_network {
        tracing::warn!(
            listen = options.listen,
            "danger_open_network: anyone who reaches it is let in"
        );
    }
    session.submit(Command::Start)?;
    loop {
        tokio::select! {
            told = session.next() => match told {
                Some(told) => log(&options, told)?,
                None => return Ok(signals.exit()),
            },
            stop = signals.next() => session.stop(stop)?,
        }
    }
}

/// Says what memory the options may come to, part by part, as comments.
fn memory(options: &HubOptions) -> String {
    let terms = options.memory_ceiling();
    let sum = terms.iter().fold(0_u64, |sum, term| sum.saturating_add(term.bytes));
    let mut text = format!(
        "\n# Memory ceiling: {} MiB, the sum of what follows. The process stays below 1.2 times that.\n",
        mebibytes(sum)
    );
    for term in terms {
        let from = if term.options.is_empty() { "always" } else { term.options };
        text.push_str(&format!("# {:>8} MiB  {} ({from})\n", mebibytes(term.bytes), term.what));
    }
    text
}

const fn mebibytes(bytes: u64) -> u64 {
    bytes.div_ceil(1_048_576)
}

fn configure(args: &HubArgs) -> Result<Layers, Failure> {
    let mut layers = Layers::new(HubOptions::fields());
    layers.sources(&args.sources)?;
    if let Some(listen) = &args.listen {
        layers.flag("--listen", "listen", listen.as_str());
    }
    if let Some(store) = &args.store {
        layers.flag("--store", "runtime.store_path", store.to_string_lossy());
    }
    layers.health(&args.health);
    if let Some(file) = &args.join_secret_file {
        layers.secret_flag("--join-secret-file", "join_secret", file)?;
    }
    Ok(layers)
}

fn log(options: &HubOptions, told: Told) -> Result<(), Failure> {
    match told.event.as_str() {
        "ready" => {
            let greeting = greeting(options, &told.id.unwrap_or_default());
            if let Err(failure) = output::text(&greeting) {
                // Whoever works with this hub does not need its greeting.
                tracing::warn!("{}", failure.message);
            }
        }
        _ => return log_common(told),
    }
    Ok(())
}

/// Logs what every role with peers tells.
pub(crate) fn log_common(told: Told) -> Result<(), Failure> {
    match told.event.as_str() {
        "peer_joined" => tracing::info!(peer = told.name, "joined"),
        "peer_left" => {
            let reason = told.reason.map(Error::from);
            let why = reason.as_ref().map(Error::message);
            tracing::info!(peer = told.name, why, "left");
        }
        "lost" => {
            if let Some(reason) = told.reason.map(Error::from) {
                let (code, retry_ms) = (reason.code(), told.retry_ms);
                tracing::warn!(%code, retry_ms, "link lost: {}", reason.message());
            }
        }
        "draining" => {
            tracing::info!(in_flight = told.in_flight, outbox = told.outbox, "draining");
        }
        "notice" => {
            if let Some(error) = told.error.map(Error::from) {
                tracing::warn!(code = %error.code(), "{}", error.message());
            }
        }
        "ended" => {
            if let Some(error) = told.error {
                return Err(Error::from(error).into());
            }
        }
        _ => {}
    }
    Ok(())
}

/// Says what is listened on, what is kept where, and how to connect.
fn greeting(options: &HubOptions, address: &str) -> String {
    let scheme = if options.runtime.cert_file.is_empty() { "http" } else { "https" };
    let url = format!("{scheme}://{address}");
    let store = match options.runtime.store_path.as_str() {
        "" => "memory (queue and results end with this process)",
        path => path,
    };
    let access = if options.access == HubAccess::Open {
        "open to whoever reaches the address"
    } else {
        "secured"
    };
    let dispatch = "moorline dispatch CAPABILITY/ACTION --settings '{}' --url";
    format!(
        "moorline hub listening on {url}\n\
         \x20 store     {store}\n\
         \x20 access    {access}\n\
         \x20 worker    moorline worker --config worker.toml --url {url}\n\
         \x20 dispatch  {dispatch} {url}\n\
         \x20 status    moorline status --watch --url {url}\n\
         \x20 page      {url}/\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ceiling_is_said_as_comments_with_the_options_that_it_follows_from() {
        let mut options = HubOptions::default();
        options.max_queued_bytes = 100 * 1_048_576;
        let text = memory(&options);
        assert!(text.lines().all(|line| line.is_empty() || line.starts_with('#')), "{text}");
        assert!(text.contains("     100 MiB  the queue (max_queued_bytes)\n"), "{text}");
        let sum: u64 = options.memory_ceiling().iter().map(|term| term.bytes).sum();
        assert!(text.contains(&format!("# Memory ceiling: {} MiB", mebibytes(sum))), "{text}");
        let page = include_str!("../../docs/operator.md");
        let defaults = memory(&HubOptions::default());
        assert!(defaults.trim().lines().take(6).all(|line| page.contains(line)), "{defaults}");
    }

    #[test]
    fn the_greeting_names_address_store_and_next_steps() {
        let text = greeting(&HubOptions::default(), "127.0.0.1:4711");
        assert!(text.starts_with("moorline hub listening on http://127.0.0.1:4711\n"), "{text}");
        assert!(text.contains("store     memory"), "{text}");
        assert!(text.contains("moorline worker --config worker.toml --url http://127.0.0.1:4711"));
    }
}
