//! `moorline doctor`: the way to a control plane, hop by hop, up to a registration.

use std::time::Duration;

use moorline_core::json::Raw;
use moorline_core::options::{OptionValue as _, WorkerOptions, table_text};
use moorline_core::{Command, Error, ErrorCode};
use moorline_driver::{Hop, Reached, reach};

use crate::args::DoctorArgs;
use crate::config::Layers;
use crate::exit::{Exit, Failure};
use crate::output;
use crate::session::Session;

/// The hops in their order.
const HOPS: [&str; 7] = ["dns", "tcp", "proxy", "tls", "authenticate", "upgrade", "register"];

/// Tries the way, prints how far it leads, and fails with what helps.
pub(crate) async fn run(args: DoctorArgs) -> Result<Exit, Failure> {
    let (layers, options) = configure(&args)?;
    let limit = args.timeout.duration();
    let secure = ["https:", "wss:"].iter().any(|it| options.server_url.starts_with(it));
    let mut steps = Vec::new();
    let way = reach(&options.server_url, &options.runtime, limit).await;
    let way =
        way.map_err(|e| Failure::usage(format!("the way cannot be tried: {}", e.message())))?;
    for Reached { hop, result } in way {
        let name = match hop {
            Hop::LookUp => "dns",
            Hop::Tcp => "tcp",
            Hop::Proxy => "proxy",
            Hop::Tls => "tls",
        };
        steps.push((name, result));
    }
    let is_open = steps.iter().all(|(_, result)| result.is_ok());
    // A worker that knows the join secret goes on without its login; whoever gave a password wants to know.
    let login = if is_open && !options.password.is_empty() {
        log_in(&options).await?.map(|error| ("authenticate", Err(error)))
    } else {
        None
    };
    match login {
        Some(refused) => steps.push(refused),
        None if is_open => steps.extend(register(&layers, limit).await?),
        None => {}
    }
    let mut failed = None;
    for hop in HOPS {
        let line = match steps.iter().find(|(name, _)| *name == hop) {
            Some((_, Ok(found))) => format!("ok    {hop:<13} {found}"),
            Some((_, Err(error))) => {
                failed = Some((hop, error));
                format!("FAIL  {hop:<13} {}", error.message())
            }
            None if failed.is_some() => format!("?     {hop:<13} not reached"),
            None => format!("-     {hop:<13} not on this way"),
        };
        output::line(line.trim_end())?;
    }
    let Some((hop, error)) = failed else { return Ok(Exit::Success) };
    let exit = Failure::from(error.clone()).exit;
    let message = format!("{hop}: {}\n  {}", error.code(), fix(hop, error, secure));
    Err(Failure { exit, message })
}

fn configure(args: &DoctorArgs) -> Result<(Layers, WorkerOptions), Failure> {
    let mut layers = Layers::new(WorkerOptions::fields());
    let millis = args.timeout.0.clamp(100, 600_000);
    for limit in ["connect_timeout_ms", "registration_timeout_ms", "http_timeout_ms"] {
        layers.preset("doctor", limit, millis);
    }
    if let Some(path) = &args.sources.config {
        layers.file_without(path, "command")?;
    }
    layers.overrides(&args.sources)?;
    // One attempt tells, over the transport that workers prefer.
    layers.flag("doctor", "reconnect.max_attempts", 1);
    layers.flag("doctor", "transport", "websocket");
    if let Some(url) = &args.url {
        layers.flag("URL", "server_url", url.as_str());
    }
    if let Some(user) = &args.user {
        layers.flag("--user", "user_name", user.as_str());
    }
    // A worker without a user's name logs in by its own, which doctor does not take.
    let configured = layers.read::<WorkerOptions>()?;
    if configured.user_name.is_empty() && !configured.name.is_empty() {
        layers.flag("name", "user_name", configured.name.as_str());
    }
    let name = args.name.clone().unwrap_or_else(|| format!("doctor-{}", std::process::id()));
    layers.flag("--name", "name", name);
    if let Some(file) = &args.join_secret_file {
        layers.secret_flag("--join-secret-file", "join_secret", file)?;
    }
    if let Some(file) = &args.password_file {
        layers.secret_flag("--password-file", "password", file)?;
    }
    let options = layers.read::<WorkerOptions>()?;
    Ok((layers, options))
}

/// Logs in as those do who dispatch; returns why that failed.
async fn log_in(options: &WorkerOptions) -> Result<Option<Error>, Failure> {
    let user = if options.user_name.is_empty() { &options.name } else { &options.user_name };
    let fields = [
        ("server_url", options.server_url.show()),
        ("user_name", user.show()),
        ("password", options.password.describe()),
        ("http_timeout_ms", options.http_timeout_ms.show()),
        ("reconnect", options.reconnect.show()),
        ("runtime", options.runtime.describe()),
    ];
    let mut session = Session::open("beacon", "dispatcher", &table_text(&fields))?;
    session.submit(Command::Start)?;
    let call = session.call("$status", Raw::empty_object(), Raw::empty_object())?;
    while let Some(told) = session.next().await {
        match told.event.as_str() {
            "call_done" if told.call == Some(call.0) => return Ok(told.error.map(Error::from)),
            "ended" => {
                let error = told.error.map(Error::from);
                return Ok(Some(error.unwrap_or_else(|| ErrorCode::Stopped.into())));
            }
            _ => {}
        }
    }
    Ok(Some(ErrorCode::Stopped.into()))
}

type Step = (&'static str, Result<String, Error>);

/// Registers as a worker that offers nothing, and leaves.
async fn register(layers: &Layers, limit: Duration) -> Result<Vec<Step>, Failure> {
    let mut session = Session::open("beacon", "worker", &layers.to_json())?;
    session.submit(Command::Start)?;
    let mut problem = None;
    let all = async {
        while let Some(told) = session.next().await {
            match told.event.as_str() {
                "ready" => return Ok(told.id.unwrap_or_default()),
                "lost" => problem = told.reason.map(Error::from).or(problem.take()),
                "ended" => {
                    let error = told.error.map(Error::from);
                    return Err(problem.or(error).unwrap_or_else(|| ErrorCode::Stopped.into()));
                }
                _ => {}
            }
        }
        Err(Error::from(ErrorCode::Stopped))
    };
    let result = tokio::time::timeout(limit.saturating_mul(4), all).await.unwrap_or_else(|_| {
        Err(Error::new(ErrorCode::RegistrationFailed, "the control plane does not confirm it"))
    });
    let good = |hop, found: &str| (hop, Ok(found.to_owned()));
    Ok(match result {
        Ok(id) => {
            session.stop(Command::Stop { drain_ms: 2_000 })?;
            while session.next().await.is_some() {}
            let (login, upgrade) = (good("authenticate", "let in"), good("upgrade", "websocket"));
            vec![
                login,
                upgrade,
                ("register", Ok(format!("as {}, and left again", output::harmless(&id)))),
            ]
        }
        Err(error) => match hop_of(&error) {
            "authenticate" => vec![("authenticate", Err(error))],
            "upgrade" => vec![good("authenticate", "let in"), ("upgrade", Err(error))],
            _ => {
                let before = vec![good("authenticate", "let in"), good("upgrade", "websocket")];
                before.into_iter().chain([("register", Err(error))]).collect()
            }
        },
    })
}

/// Returns the hop at which a registration failed, the connection itself being good.
fn hop_of(error: &Error) -> &'static str {
    let code = error.code();
    let is_of_registration = [
        ErrorCode::PeerRefused,
        ErrorCode::RegistrationFailed,
        ErrorCode::NameTaken,
        ErrorCode::ConnectionLost,
    ];
    // A connection that broke during a request is named by where it led to; one of frames is not.
    let is_request = code == ErrorCode::ConnectionLost && error.message().contains(" broke: ");
    if is_of_registration.contains(&code) && !is_request {
        "register"
    } else if code == ErrorCode::ConnectFailed && error.message().contains("upgrade") {
        "upgrade"
    } else {
        "authenticate"
    }
}

/// Says what helps.
fn fix(hop: &str, error: &Error, is_secure: bool) -> &'static str {
    match hop {
        "dns" => "Correct the host's name, or the name server: no address is known for it.",
        "tcp" => {
            "Start the control plane, correct the port, or let the firewall pass it; a hub beyond \
             this machine needs listen = \"0.0.0.0:54321\"."
        }
        "proxy" => {
            "Correct HTTP_PROXY, HTTPS_PROXY or ALL_PROXY and its user, name the host in NO_PROXY, \
             or set runtime.proxy=none."
        }
        "tls" if error.message().contains("does not speak TLS") => {
            "Use http:// in the URL, or give the control plane a certificate."
        }
        "tls" => {
            "Trust the authority with --set runtime.ca_file=FILE, or give the control plane a \
             certificate that is valid for this name and today."
        }
        "authenticate" if error.code() == ErrorCode::AuthenticationFailed => {
            "Correct --user and --password-file, or have the hub know the user."
        }
        "authenticate" if !is_secure => {
            "Use https:// if the control plane has a certificate, and check that it is a hub: \
             something else answers there, or nothing does."
        }
        "authenticate" => {
            "Check that a hub listens there: something else answers, or nothing does."
        }
        "upgrade" => {
            "Have the reverse proxy in front of the hub pass on upgrades to WebSocket, and the hub \
             know its name (allowed_hosts)."
        }
        _ => error.code().fix(),
    }
}
