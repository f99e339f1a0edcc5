//! `moorline worker`: offers commands of a configuration file as capabilities.

mod arguments;
mod command;
mod fit;
mod keeper;
mod run;
#[cfg(test)]
mod run_tests;
mod table;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use moorline_core::WorkCommand;
use moorline_core::json::Raw;
use moorline_core::options::WorkerOptions;
use moorline_core::{Command as Order, Error, ErrorCode, Outcome, WorkId};
use serde_json::Value;
use tokio::sync::oneshot;
use tokio::task::{Id, JoinSet};

use crate::args::WorkerArgs;
use crate::config::Layers;
use crate::exit::{Exit, Failure};
use crate::output;
use crate::session::{Session, Told};
use crate::signals::Signals;
use command::Command;
use fit::fit;
use keeper::Keeper;
use run::Ended;

pub(crate) use keeper::{SUBCOMMAND as KEEP, keep};

/// What a message has beside the result that it carries, in bytes.
const ENVELOPE: u64 = 1_024;

/// Runs a worker until it is told to end.
pub(crate) async fn run(args: WorkerArgs) -> Result<Exit, Failure> {
    let (layers, list) = configure(&args)?;
    if args.print_config {
        output::text(&layers.print())?;
        return Ok(Exit::Success);
    }
    let options = layers.read::<WorkerOptions>()?;
    let commands = command::read_all(&list).map_err(|problems| {
        let lines: Vec<_> =
            problems.problems.iter().map(|p| format!("\n  {}: {}", p.path, p.message)).collect();
        Failure::usage(format!("the commands are not valid:{}", lines.concat()))
    })?;
    let session = Session::open("beacon", "worker", &layers.to_json())?;
    let mut signals = Signals::listen(&args.stop)?;
    let max_result = options.limits.max_message_bytes.saturating_sub(ENVELOPE);
    let max_result = usize::try_from(max_result).unwrap_or(usize::MAX);
    let mut worker = Worker::new(session, commands, Keeper::start()?, max_result);
    let end = worker.serve(&mut signals).await;
    worker.end_all().await;
    end.map(|()| signals.exit())
}

fn configure(args: &WorkerArgs) -> Result<(Layers, Value), Failure> {
    let mut layers = Layers::new(WorkerOptions::fields());
    let list = match &args.sources.config {
        Some(path) => layers.file_without(path, "command")?,
        None => Value::Array(Vec::new()),
    };
    layers.overrides(&args.sources)?;
    if let Some(url) = &args.url {
        layers.flag("--url", "server_url", url.as_str());
    }
    if let Some(name) = &args.name {
        layers.flag("--name", "name", name.as_str());
    }
    if let Some(count) = args.max_concurrent {
        layers.flag("--max-concurrent", "max_concurrent", count);
    }
    layers.health(&args.health);
    if let Some(file) = &args.join_secret_file {
        layers.secret_flag("--join-secret-file", "join_secret", file)?;
    }
    if let Some(file) = &args.password_file {
        layers.secret_flag("--password-file", "password", file)?;
    }
    Ok((layers, list))
}

struct Worker {
    session: Session,
    /// In the order of the configuration: the first of a capability runs work that names no action.
    commands: Vec<Arc<Command>>,
    keeper: Arc<Keeper>,
    /// Hashes of the items. Dropping a sender withdraws the item from its command.
    running: HashMap<u64, (String, oneshot::Sender<()>)>,
    tasks: JoinSet<(u64, Ended)>,
    /// What each task works on, should it say nothing at its end.
    of_task: HashMap<Id, u64>,
    /// The largest result that is reported, in bytes of JSON.
    max_result: usize,
}

impl Worker {
    fn new(session: Session, commands: Vec<Command>, keeper: Keeper, max_result: usize) -> Self {
        let commands = commands.into_iter().map(Arc::new).collect();
        let keeper = Arc::new(keeper);
        Self {
            session,
            commands,
            keeper,
            running: HashMap::new(),
            tasks: JoinSet::new(),
            of_task: HashMap::new(),
            max_result,
        }
    }

    /// Takes work until the session has ended.
    async fn serve(&mut self, signals: &mut Signals) -> Result<(), Failure> {
        for command in &self.commands {
            let meta = Raw::from_value(&command.meta())
                .map_err(|e| Error::new(ErrorCode::Internal, e.to_string()))?;
            self.session
                .submit(Order::Work(WorkCommand::Handle { key: command.key.clone(), meta }))?;
        }
        self.session.submit(Order::Start)?;
        loop {
            tokio::select! {
                told = self.session.next() => match told {
                    Some(told) => self.handle(told).await?,
                    None => return Ok(()),
                },
                Some(done) = self.tasks.join_next() => match done {
                    Ok((work, ended)) => {
                        self.of_task.retain(|_, of| *of != work);
                        self.settle(work, ended).await;
                    }
                    Err(error) => {
                        tracing::error!(%error, "a command's task failed");
                        if let Some(work) = self.of_task.remove(&error.id()) {
                            let ended = Ended::Failed("the command's task failed".into());
                            self.settle(work, ended).await;
                        }
                    }
                },
                stop = signals.next() => self.session.stop(stop)?,
            }
        }
    }

    /// Ends what still runs and waits for it.
    async fn end_all(&mut self) {
        self.running.clear();
        while self.tasks.join_next().await.is_some() {}
    }

    async fn handle(&mut self, told: Told) -> Result<(), Failure> {
        match told.event.as_str() {
            "ready" => {
                let id = told.id.unwrap_or_default();
                let transport = told.transport.unwrap_or_default();
                tracing::info!(id, transport, "registered");
            }
            "lost" => {
                if let Some(reason) = told.reason.map(Error::from) {
                    let (code, retry_ms) = (reason.code(), told.retry_ms);
                    tracing::warn!(%code, retry_ms, "link lost: {}", reason.message());
                }
            }
            "work" => self.begin(told).await,
            "work_withdrawn" => {
                let work = told.work.unwrap_or_default();
                let item = self.running.remove(&work).map(|(hash, _)| hash);
                tracing::info!(work, item, why = told.why, "work withdrawn");
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

    async fn begin(&mut self, told: Told) {
        let item = told.hash();
        let (work, key) = (told.work.unwrap_or_default(), told.key.unwrap_or_default());
        let found = self.commands.iter().find(|command| command.key == key);
        let Some(command) = found.map(Arc::clone) else {
            let message = format!("no command offers {key}");
            return self.complete(work, Outcome::Failed { message }).await;
        };
        let settings = told.payload.unwrap_or_else(Raw::empty_object);
        let (keep, withdrawn) = oneshot::channel::<()>();
        self.running.insert(work, (item.clone(), keep));
        tracing::debug!(work, item, key, "command started");
        let keeper = Arc::clone(&self.keeper);
        let task = self.tasks.spawn(async move {
            let began = Instant::now();
            let ended = run::run(&command, &settings, &keeper, async {
                let _ = withdrawn.await;
            })
            .await;
            let ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
            match &ended {
                Ended::Exited(outputs) => {
                    let exit_code = outputs.get("ExitCode").and_then(Value::as_i64);
                    tracing::info!(work, item, key, exit_code, ms, "command exited");
                }
                Ended::Withdrawn => {
                    tracing::info!(work, item, key, ms, "command ended: withdrawn");
                }
                Ended::Failed(message) => tracing::warn!(work, item, key, ms, "{message}"),
            }
            (work, ended)
        });
        self.of_task.insert(task.id(), work);
    }

    async fn settle(&mut self, work: u64, ended: Ended) {
        let was_wanted = self.running.remove(&work).is_some();
        let outcome = match ended {
            Ended::Exited(outputs) => match Raw::from_value(&fit(outputs, self.max_result)) {
                Ok(value) => Outcome::Done { value, log: Raw::empty_list() },
                Err(error) => Outcome::Failed { message: error.to_string() },
            },
            Ended::Failed(message) => Outcome::Failed { message },
            Ended::Withdrawn => Outcome::Cancelled,
        };
        self.complete(work, if was_wanted { outcome } else { Outcome::Cancelled }).await;
    }

    async fn complete(&self, work: u64, outcome: Outcome) {
        let complete = Order::Work(WorkCommand::Complete { work: WorkId(work), outcome });
        // A session that has ended reports nothing any more.
        if let Err(error) = self.session.deliver(complete).await {
            tracing::warn!(code = %error.code(), work, "{}", error.message());
        }
    }
}
