//! The servers that send back what comes.

use std::cell::RefCell;
use std::ffi::OsString;
use std::io::ErrorKind;
use std::rc::Rc;

use moorline::netcluster::Provider;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{LocalSet, spawn_local};

use super::Setting;
use crate::MEASURED;
use crate::process::{Failure, Process};

/// So many consumers are let in.
const CONSUMERS: u64 = 20_000;

/// A server that is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Server {
    Tcp,
    Bun,
    Rust,
    Node,
    Ws,
}

impl Server {
    pub(super) const ALL: [Self; 5] = [Self::Tcp, Self::Bun, Self::Rust, Self::Node, Self::Ws];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "bare TCP, Rust",
            Self::Bun => "Bun's server",
            Self::Rust => "Moorline's provider, Rust",
            Self::Node => "Moorline's provider, Node",
            Self::Ws => "`ws`, Node",
        }
    }

    /// Starts it and returns its port.
    pub(super) fn start(self, setting: &Setting) -> Result<(Process, String), Failure> {
        let own = || Ok::<_, Failure>(std::env::current_exe()?.into_os_string());
        let folder = setting.peers.join("netcluster");
        let file = |name: &str| folder.join(name).into_os_string();
        let words: Vec<OsString> = match self {
            Self::Tcp => vec![own()?, "member".into(), "echo".into()],
            Self::Rust => vec![own()?, "member".into(), "provider".into()],
            Self::Bun => vec![file("node_modules/.bin/bun"), file("bun_server.mjs")],
            Self::Node => {
                vec!["node".into(), file("provider.mjs"), setting.node_package.clone().into()]
            }
            Self::Ws => vec!["node".into(), file("ws_server.mjs")],
        };
        let words: Vec<_> = words.iter().map(OsString::as_os_str).collect();
        Process::start_and_read(MEASURED, &words)
            .map_err(|e| format!("{}: {e}", self.name()).into())
    }
}

/// Runs our provider until the process is ended.
pub(super) fn provider() -> Result<(), Failure> {
    runtime()?.block_on(async {
        let provider = echoing().await?;
        println!("{}", provider.port());
        Ok(provider.ended().await?)
    })
}

/// Starts a provider that sends back what comes.
pub(super) async fn echoing() -> Result<Provider, moorline::Error> {
    let provider =
        Provider::builder().port(0).options(|options| options.max_connections = CONSUMERS);
    // Only the end of the provider or too many commands refuse one, and both show in the figures.
    provider.on_message(|consumer, message| drop(consumer.send(message))).start().await
}

/// Echoes bytes until the process is ended: what the network alone costs.
pub(super) fn echo() -> Result<(), Failure> {
    LocalSet::new().block_on(&runtime()?, async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        println!("{}", listener.local_addr()?.port());
        let shared = Rc::new(RefCell::new(vec![0; 64 * 1024]));
        loop {
            let (socket, _) = listener.accept().await?;
            socket.set_nodelay(true)?;
            spawn_local(echo_one(socket, Rc::clone(&shared)));
        }
    })
}

/// Connections share one buffer: what could not be written at once is copied.
async fn echo_one(mut socket: TcpStream, shared: Rc<RefCell<Vec<u8>>>) -> Result<(), Failure> {
    loop {
        socket.readable().await?;
        let rest = {
            let mut buffer = shared.borrow_mut();
            let count = match socket.try_read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(count) => count,
                Err(e) if e.kind() == ErrorKind::WouldBlock => continue,
                Err(e) => return Err(e.into()),
            };
            let bytes = buffer.get(..count).unwrap_or_default();
            let written = match socket.try_write(bytes) {
                Ok(written) => written,
                Err(e) if e.kind() == ErrorKind::WouldBlock => 0,
                Err(e) => return Err(e.into()),
            };
            bytes.get(written..).unwrap_or_default().to_vec()
        };
        if !rest.is_empty() {
            socket.write_all(&rest).await?;
        }
    }
}

pub(super) fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}
