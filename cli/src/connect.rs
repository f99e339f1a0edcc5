//! The dispatcher behind `dispatch`, `status` and `drain`.

use moorline_core::json::Raw;
use moorline_core::options::DispatcherOptions;
use moorline_core::{Command, Error, ErrorCode};
use serde_json::Value;

use crate::args::{ConnectArgs, SourceArgs};
use crate::config::Layers;
use crate::exit::Failure;
use crate::session::Session;

/// A connection to a control plane, for one call after the other.
pub(crate) struct Dispatcher {
    session: Session,
}

impl Dispatcher {
    /// Opens a dispatcher that tries until its calls time out.
    pub(crate) fn patient(args: &ConnectArgs) -> Result<Self, Failure> {
        Self::open(args, Layers::new(DispatcherOptions::fields()))
    }

    /// Opens a dispatcher for `command`, whose user wants to know soon that the hub is away.
    pub(crate) fn impatient(command: &'static str, args: &ConnectArgs) -> Result<Self, Failure> {
        let mut layers = Layers::new(DispatcherOptions::fields());
        layers.preset(command, "reconnect.max_attempts", ATTEMPTS);
        Self::open(args, layers)
    }

    fn open(args: &ConnectArgs, mut layers: Layers) -> Result<Self, Failure> {
        layers.sources(&args.sources)?;
        if let Some(url) = &args.url {
            layers.flag("--url", "server_url", url.as_str());
        }
        if let Some(user) = &args.user {
            layers.flag("--user", "user_name", user.as_str());
        }
        if let Some(file) = &args.password_file {
            layers.secret_flag("--password-file", "password", file)?;
        }
        layers.read::<DispatcherOptions>()?;
        let session = Session::open("beacon", "dispatcher", &layers.to_json())?;
        session.submit(Command::Start)?;
        Ok(Self { session })
    }

    /// Makes a call and waits for its result; `part` gets its progress.
    pub(crate) async fn call(
        &mut self,
        name: &str,
        payload: Raw,
        options: &Value,
        part: impl FnMut(&str) -> Result<(), Failure>,
    ) -> Result<Raw, Failure> {
        self.outcome(name, payload, options, part).await?.map_err(Failure::from)
    }

    /// Makes a call as [`call`](Self::call) does; an error that it ends with is not told yet.
    pub(crate) async fn outcome(
        &mut self,
        name: &str,
        payload: Raw,
        options: &Value,
        mut part: impl FnMut(&str) -> Result<(), Failure>,
    ) -> Result<Result<Raw, Error>, Failure> {
        let options =
            Raw::from_value(options).map_err(|e| Error::new(ErrorCode::Internal, e.to_string()))?;
        let call = self.session.call(name, payload, options)?;
        let mut end = None;
        while let Some(told) = self.session.next().await {
            match told.event.as_str() {
                "call_done" if told.call == Some(call.0) => {
                    return Ok(match told.error {
                        Some(error) => Err(error.into()),
                        None => Ok(told.value.unwrap_or_else(Raw::null)),
                    });
                }
                "call_part" if told.call == Some(call.0) => {
                    part(told.part.as_ref().map_or("null", Raw::as_str))?;
                }
                "ended" => end = told.error.map(Error::from),
                "notice" => {
                    if let Some(error) = told.error {
                        let error = Error::from(error);
                        tracing::warn!(code = %error.code(), "{}", error.message());
                    }
                }
                _ => {}
            }
        }
        Err(end.unwrap_or_else(|| Error::from(ErrorCode::Stopped)).into())
    }
}

/// Repetitions while the hub is away: enough for a restart of one second.
const ATTEMPTS: u64 = 3;

impl Layers {
    /// Takes the configuration file, the environment and `--set`, in this order.
    pub(crate) fn sources(&mut self, args: &SourceArgs) -> Result<(), Failure> {
        if let Some(path) = &args.config {
            self.file(path)?;
        }
        self.overrides(args)
    }

    /// Takes what is stronger than the configuration file.
    pub(crate) fn overrides(&mut self, args: &SourceArgs) -> Result<(), Failure> {
        let variables = std::env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.to_string_lossy().into_owned()))
        });
        self.environment(variables)?;
        self.assignments(&args.set)
    }
}
