//! `moorline dev`: all that a first try needs in one process: a hub in memory, a worker, the page.

use std::time::Duration;

use moorline_core::json::Raw;
use moorline_core::options::{HubOptions, WorkerOptions};
use moorline_core::{Command, Error, ErrorCode, Outcome, WorkCommand, WorkId};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::args::DevArgs;
use crate::config::Layers;
use crate::exit::{Exit, Failure};
use crate::hub::log_common;
use crate::output;
use crate::session::{Session, Told};
use crate::signals::Signals;

/// What the worker can do, and what is said of it.
const ACTIONS: [(&str, &str); 3] = [
    ("Sample/Echo", "Returns its settings."),
    ("Sample/Count", "Counts to the setting To, one a second."),
    ("Sample/Fail", "Fails."),
];

/// How far it counts unless told, and at most.
const COUNT: u64 = 10;
const MAX_COUNT: u64 = 3_600;

/// Runs hub and worker until they are told to end.
pub(crate) async fn run(args: DevArgs) -> Result<Exit, Failure> {
    let mut layers = Layers::new(HubOptions::fields());
    if let Some(listen) = &args.listen {
        layers.flag("--listen", "listen", listen.as_str());
    }
    layers.read::<HubOptions>()?;
    let mut hub = Session::open("beacon", "hub", &layers.to_json())?;
    let mut signals = Signals::listen(&args.stop)?;
    hub.submit(Command::Start)?;
    let mut worker: Option<Sample> = None;
    let mut stop = None;
    loop {
        tokio::select! {
            told = hub.next() => match told {
                None => return Ok(signals.exit()),
                Some(told) if told.event == "ready" => {
                    let url = format!("http://{}", told.id.unwrap_or_default());
                    worker = Some(Sample::start(url)?);
                }
                Some(told) => log_common(told)?,
            },
            goes_on = next(&mut worker) => if !goes_on? {
                worker = None;
                hub.stop(stop.take().unwrap_or(Command::Stop { drain_ms: 0 }))?;
            },
            command = signals.next() => match &worker {
                // The worker first: what it runs ends at the hub.
                Some(sample) => {
                    sample.session.stop(command.clone())?;
                    stop = Some(command);
                }
                None => hub.stop(command)?,
            },
        }
    }
}

/// Lets the worker do what is next; false once it has ended.
async fn next(worker: &mut Option<Sample>) -> Result<bool, Failure> {
    match worker {
        Some(sample) => sample.step().await,
        None => std::future::pending().await,
    }
}

/// The worker.
struct Sample {
    session: Session,
    /// The hub, until it has been said where that is.
    url: Option<String>,
    counting: JoinSet<(WorkId, Count)>,
}

/// How far a count has come.
enum Count {
    At(u64, u64),
    Done(u64),
}

impl Sample {
    fn start(url: String) -> Result<Self, Failure> {
        let mut layers = Layers::new(WorkerOptions::fields());
        layers.preset("dev", "server_url", url.as_str());
        layers.preset("dev", "name", "sample");
        layers.preset("dev", "max_concurrent", 8);
        let session = Session::open("beacon", "worker", &layers.to_json())?;
        for (key, description) in ACTIONS {
            let meta = raw(&json!({ "description": description }))?;
            session.submit(Command::Work(WorkCommand::Handle { key: key.to_owned(), meta }))?;
        }
        session.submit(Command::Start)?;
        Ok(Self { session, url: Some(url), counting: JoinSet::new() })
    }

    async fn step(&mut self) -> Result<bool, Failure> {
        tokio::select! {
            told = self.session.next() => match told {
                None => return Ok(false),
                // What is withdrawn meanwhile counts on; nobody hears of it.
                Some(told) if told.event == "work" => self.begin(told),
                Some(told) if told.event == "ready" => {
                    // Whoever tries what stands there finds the worker.
                    if let Some(url) = self.url.take() {
                        output::text(&greeting(&url))?;
                    }
                }
                Some(told) => log_common(told)?,
            },
            Some(Ok((work, count))) = self.counting.join_next() => match count {
                Count::At(at, to) => {
                    let report = json!({ "Percent": at * 100 / to, "Message": format!("{at} of {to}") });
                    if let Ok(report) = raw(&report) {
                        self.tell(WorkCommand::Progress { work, report });
                    }
                    self.count(work, at, to);
                }
                Count::Done(to) => self.complete(work, &json!({ "Counted": to })),
            },
        }
        Ok(true)
    }

    fn begin(&mut self, told: Told) {
        let work = WorkId(told.work.unwrap_or_default());
        let settings = told.payload.unwrap_or_else(Raw::empty_object);
        let value = settings.read::<Value>().unwrap_or_default();
        match told.key.as_deref() {
            Some("Sample/Echo") => self.complete(work, &value),
            Some("Sample/Count") => {
                let to = value.get("To").and_then(Value::as_u64).unwrap_or(COUNT);
                self.count(work, 0, to.clamp(1, MAX_COUNT));
            }
            _ => {
                let message = String::from("Sample/Fail fails, as it was asked to");
                let outcome = Outcome::Failed { message };
                self.tell(WorkCommand::Complete { work, outcome });
            }
        }
    }

    /// Counts one further after a second.
    fn count(&mut self, work: WorkId, from: u64, to: u64) {
        self.counting.spawn(async move {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let at = from + 1;
            (work, if at >= to { Count::Done(to) } else { Count::At(at, to) })
        });
    }

    fn complete(&self, work: WorkId, value: &Value) {
        if let Ok(value) = raw(value) {
            let outcome = Outcome::Done { value, log: Raw::empty_list() };
            self.tell(WorkCommand::Complete { work, outcome });
        }
    }

    fn tell(&self, command: WorkCommand) {
        if let Err(error) = self.session.submit(Command::Work(command)) {
            tracing::debug!(code = %error.code(), "{}", error.message());
        }
    }
}

fn raw(value: &Value) -> Result<Raw, Error> {
    Raw::from_value(value).map_err(|e| Error::new(ErrorCode::Internal, e.to_string()))
}

fn greeting(url: &str) -> String {
    format!(
        "moorline dev: a hub in memory, and a worker named sample\n\
         \x20 page      {url}/\n\
         \x20 try       moorline dispatch Sample/Echo --settings '{{\"Text\":\"hello\"}}' --url {url}\n\
         \x20           moorline dispatch Sample/Count --settings '{{\"To\":30}}' --stream --url {url}\n\
         \x20           moorline dispatch Sample/Fail --url {url}\n\
         \x20 end       Ctrl-C ends all of it, and nothing is kept\n"
    )
}
