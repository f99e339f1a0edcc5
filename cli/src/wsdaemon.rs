//! `moorline wsdaemon`: a ws-daemon in the place of the original, from its folder and its `config.json`.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use moorline_core::Command;
use moorline_core::options::wsdaemon::DaemonOptions;
use serde::Deserialize;
use serde_json::Value;

use crate::args::WsDaemonArgs;
use crate::config::Layers;
use crate::exit::{Exit, Failure};
use crate::output;
use crate::session::{Session, Told};
use crate::signals::Signals;

/// Where programs ask in a container. Peer: on every interface; ours on loopback.
const CONTAINER_ADDRESS: &str = "127.0.0.1:9007";

/// The port of a server that names none.
const SERVER_PORT: u16 = 80;

/// The original's configuration. Keys that it does not know are passed over, as by the original.
#[derive(Deserialize)]
struct ConfigFile {
    mode: Option<String>,
    proxy: Option<String>,
    port: Option<Value>,
}

/// Runs a daemon until it is told to end.
pub(crate) async fn run(args: WsDaemonArgs) -> Result<Exit, Failure> {
    let layers = configure(&args)?;
    if args.print_config {
        output::text(&layers.print())?;
        return Ok(Exit::Success);
    }
    let options: DaemonOptions = layers.read()?;
    look_at(&args.prefix);
    if args.run_setup {
        set_up(&args.prefix)?;
    }
    if options.danger_open_network {
        tracing::warn!("danger_open_network: anyone who reaches this daemon may run its scripts");
    }
    let mut session = Session::open("wsdaemon", "daemon", &layers.to_json())?;
    let mut signals = Signals::listen(&args.stop)?;
    session.submit(Command::Start)?;
    loop {
        tokio::select! {
            told = session.next() => match told {
                Some(told) => log(told)?,
                None => return Ok(signals.exit()),
            },
            stop = signals.next() => session.stop(stop)?,
        }
    }
}

fn configure(args: &WsDaemonArgs) -> Result<Layers, Failure> {
    let mut layers = Layers::new(DaemonOptions::fields());
    let folder = &args.prefix;
    let scripts = folder.join("scripts");
    if scripts.is_dir() {
        layers.preset("wsdaemon", "scripts.folder", text(&scripts));
    } else {
        tracing::warn!(folder = %scripts.display(), "there is no folder of scripts");
    }
    layers.preset("wsdaemon", "local.socket_path", text(&folder.join("ws-daemon.sock")));
    if is_in_container(Path::new("/")) {
        layers.preset("wsdaemon", "local.tcp_address", CONTAINER_ADDRESS);
    }
    read_config(&mut layers, &folder.join("config.json"))?;
    layers.sources(&args.sources)?;
    layers.health(&args.health);
    if let Some(file) = &args.token_file {
        layers.secret_flag("--token-file", "token", file)?;
    }
    Ok(layers)
}

/// Reads what the original reads, and says what is wrong with it.
fn read_config(layers: &mut Layers, file: &Path) -> Result<(), Failure> {
    let wrong = |what: &str| Failure::usage(format!("{}: {what}", file.display()));
    let content = std::fs::read_to_string(file).map_err(|e| wrong(&e.to_string()))?;
    if content.trim().is_empty() {
        return Err(wrong(
            "is empty; write {\"mode\":\"server\"} or {\"mode\":\"client\",\"proxy\":\"HOST\",\"port\":PORT}",
        ));
    }
    let config: ConfigFile =
        serde_json::from_str(&content).map_err(|e| wrong(&format!("is no configuration: {e}")))?;
    let port = config.port.as_ref().map(|port| {
        let number = port.as_u64().or_else(|| port.as_str()?.parse().ok());
        number
            .and_then(|number| u16::try_from(number).ok())
            .filter(|port| *port > 0)
            .ok_or_else(|| wrong("port: must be a number from 1 to 65535"))
    });
    let port = port.transpose()?;
    let mode = config.mode.unwrap_or_default().to_lowercase();
    match mode.as_str() {
        "server" => {
            let port = port.unwrap_or(SERVER_PORT);
            layers.given(file, "listen", format!("127.0.0.1:{port}"));
        }
        "client" => {
            let proxy =
                config.proxy.ok_or_else(|| wrong("proxy: a client needs its server's host"))?;
            let url = if proxy.contains("://") {
                proxy
            } else {
                let port = port.ok_or_else(|| wrong("port: a client needs its server's port"))?;
                let host = if proxy.contains(':') && !proxy.starts_with('[') {
                    format!("[{proxy}]")
                } else {
                    proxy
                };
                format!("ws://{host}:{port}")
            };
            layers.given(file, "server_url", url);
        }
        _ => return Err(wrong("mode: must be client or server")),
    }
    layers.given(file, "mode", mode);
    Ok(())
}

/// Peer: what tells a container whose root is there.
fn is_in_container(root: &Path) -> bool {
    let group = std::fs::read_to_string(root.join("proc/self/cgroup"));
    root.join(".dockerenv").exists() || group.is_ok_and(|text| text.contains("docker"))
}

/// Warns of a folder in which others could put scripts or a socket.
fn look_at(folder: &Path) {
    let is_open =
        |path: &Path| path.metadata().is_ok_and(|folder| folder.permissions().mode() & 0o022 != 0);
    for path in [folder.to_owned(), folder.join("scripts")] {
        if is_open(&path) {
            tracing::warn!(folder = %path.display(), "others may write here: chmod go-w");
        }
    }
}

/// Runs the folder's `setup.sh`, as the original's container does at each start.
fn set_up(folder: &Path) -> Result<(), Failure> {
    let script = folder.join("setup.sh");
    tracing::info!(script = %script.display(), "setting up");
    let status = std::process::Command::new("/bin/sh")
        .arg(&script)
        .current_dir(folder)
        .stdin(std::process::Stdio::null())
        .status()
        .map_err(|e| Failure::other(format!("{} could not be run: {e}", script.display())))?;
    if status.success() {
        return Ok(());
    }
    Err(Failure::other(format!("{} failed: {status}", script.display())))
}

fn text(path: &Path) -> String {
    std::path::absolute(path).unwrap_or_else(|_| PathBuf::from(path)).to_string_lossy().into_owned()
}

fn log(told: Told) -> Result<(), Failure> {
    match told.event.as_str() {
        "ready" => {
            let (id, transport) = (told.id.unwrap_or_default(), told.transport.unwrap_or_default());
            let what = if transport == "listener" { "listening on" } else { "connected to" };
            if let Err(failure) = output::text(&format!("moorline wsdaemon {what} {id}\n")) {
                tracing::warn!("{}", failure.message);
            }
        }
        "message" => tracing::info!("a message that no local program was there for was dropped"),
        "work" => tracing::error!(key = told.key, "no script runs this"),
        _ => return crate::hub::log_common(told),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configured(config: &str) -> Result<DaemonOptions, String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.json");
        std::fs::write(&file, config).unwrap();
        let mut layers = Layers::new(DaemonOptions::fields());
        read_config(&mut layers, &file).map_err(|failure| failure.message)?;
        layers.read().map_err(|failure| failure.message)
    }

    #[test]
    fn the_originals_configurations_mean_the_same() {
        let server = configured(r#"{"mode":"SERVER","port":"3006","other":1}"#).unwrap();
        assert_eq!((server.mode.as_str(), server.listen.as_str()), ("server", "127.0.0.1:3006"));
        assert_eq!(configured(r#"{"mode":"server"}"#).unwrap().listen, "127.0.0.1:80");
        for (config, url) in [
            (r#"{"mode":"client","proxy":"far.example","port":3006}"#, "ws://far.example:3006"),
            (r#"{"mode":"Client","proxy":"::1","port":"80"}"#, "ws://[::1]:80"),
            (r#"{"mode":"client","proxy":"wss://far.example:9"}"#, "wss://far.example:9"),
        ] {
            assert_eq!(configured(config).unwrap().server_url, url);
        }
    }

    #[test]
    fn a_container_is_told_as_by_the_original() {
        let root = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = root.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
            is_in_container(root.path())
        };
        assert!(!is_in_container(root.path()));
        assert!(!write("proc/self/cgroup", "0::/user.slice\n"));
        assert!(write("proc/self/cgroup", "4:cpu:/docker/5f1c\n"));
        assert!(!write("proc/self/cgroup", ""));
        assert!(write(".dockerenv", ""));
    }

    #[test]
    fn what_is_missing_is_named() {
        for (config, named) in [
            ("", "is empty"),
            ("{", "is no configuration"),
            ("{}", "mode:"),
            (r#"{"mode":"both"}"#, "mode:"),
            (r#"{"mode":"client","port":1}"#, "proxy:"),
            (r#"{"mode":"client","proxy":"h"}"#, "port:"),
            (r#"{"mode":"server","port":70000}"#, "port:"),
        ] {
            let message = configured(config).unwrap_err();
            assert!(message.contains(named), "{config}: {message}");
        }
    }
}
