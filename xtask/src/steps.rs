//! Runs steps in order, shows progress, stops at the first that fails.
//!
//! Steps of one group run side by side; their output is kept apart and shown when each ends.

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;

use crate::shell::Shell;

type Work = Box<dyn FnOnce(&Shell) -> Result<(), String> + Send>;

/// One step: a name and what it does.
pub(crate) struct Step {
    name: &'static str,
    work: Work,
}

/// Makes a step.
pub(crate) fn step(
    name: &'static str,
    work: impl FnOnce(&Shell) -> Result<(), String> + Send + 'static,
) -> Step {
    Step { name, work: Box::new(work) }
}

enum Entry {
    One(Step),
    Group(Vec<Step>),
    Start(Step),
    Join(&'static str),
}

/// A list of steps.
#[derive(Default)]
pub(crate) struct Plan(Vec<Entry>);

impl Plan {
    /// Adds a step.
    pub(crate) fn then(
        &mut self,
        name: &'static str,
        work: impl FnOnce(&Shell) -> Result<(), String> + Send + 'static,
    ) {
        self.0.push(Entry::One(step(name, work)));
    }

    /// Adds steps that run side by side.
    pub(crate) fn together(&mut self, steps: Vec<Step>) {
        self.0.push(Entry::Group(steps));
    }

    /// Starts a step in the background.
    pub(crate) fn start(
        &mut self,
        name: &'static str,
        work: impl FnOnce(&Shell) -> Result<(), String> + Send + 'static,
    ) {
        self.0.push(Entry::Start(step(name, work)));
    }

    /// Waits for a step that was started in the background.
    pub(crate) fn join(&mut self, name: &'static str) {
        self.0.push(Entry::Join(name));
    }

    /// Leaves out every step whose name does not hold `part`.
    pub(crate) fn only(&mut self, part: &str) {
        let wanted = |name: &str| name.contains(part);
        for entry in &mut self.0 {
            if let Entry::Group(steps) = entry {
                steps.retain(|step| wanted(step.name));
            }
        }
        self.0.retain(|entry| match entry {
            Entry::One(step) | Entry::Start(step) => wanted(step.name),
            Entry::Group(steps) => !steps.is_empty(),
            Entry::Join(name) => wanted(name),
        });
    }

    /// Runs the steps.
    pub(crate) fn run(self, root: &Path) -> Result<(), String> {
        let began = Instant::now();
        let total = self.0.iter().map(Entry::count).sum();
        let mut run = Run { root, number: 0, total, times: Vec::new(), background: Vec::new() };
        for entry in self.0 {
            run.entry(entry)?;
        }
        println!("\nsteps:");
        for (name, time) in &run.times {
            println!("  {:>7.1} s  {name}", time.as_secs_f64());
        }
        println!("  {:>7.1} s  in all", began.elapsed().as_secs_f64());
        println!("  {:>7.1} s  of processor time", processor_time()?.as_secs_f64());
        Ok(())
    }
}

/// Returns the processor time of this command and of all programs that it has waited for. Cargo became
/// this command when it had built it, so that the building of the command counts.
pub(crate) fn processor_time() -> Result<Duration, String> {
    let mut microseconds = 0;
    for who in [UsageWho::RUSAGE_SELF, UsageWho::RUSAGE_CHILDREN] {
        let usage = getrusage(who).map_err(|e| format!("processor time is unknown: {e}"))?;
        microseconds += usage.user_time().num_microseconds();
        microseconds += usage.system_time().num_microseconds();
    }
    Ok(Duration::from_micros(microseconds.unsigned_abs()))
}

impl Entry {
    fn count(&self) -> usize {
        match self {
            Self::One(_) | Self::Join(_) => 1,
            Self::Group(steps) => steps.len(),
            Self::Start(_) => 0,
        }
    }
}

struct Run<'a> {
    root: &'a Path,
    number: usize,
    total: usize,
    times: Vec<(&'static str, Duration)>,
    background: Vec<(&'static str, JoinHandle<Finished>)>,
}

struct Finished {
    name: &'static str,
    time: Duration,
    output: String,
    result: Result<(), String>,
}

impl Run<'_> {
    fn entry(&mut self, entry: Entry) -> Result<(), String> {
        match entry {
            Entry::One(step) => {
                self.head(step.name, "");
                let began = Instant::now();
                let result = (step.work)(&Shell::new(self.root));
                self.done(step.name, began.elapsed(), result)
            }
            Entry::Group(steps) => self.group(steps),
            Entry::Start(step) => {
                let name = step.name;
                println!("── in the background: {name}");
                let thread = self.spawn(step, None)?;
                self.background.push((name, thread));
                Ok(())
            }
            Entry::Join(name) => {
                let place = self.background.iter().position(|(known, _)| *known == name);
                let Some(place) = place else {
                    return Err(format!("no background step is named {name}"));
                };
                self.head(name, " (waits for the background)");
                let (_, thread) = self.background.swap_remove(place);
                let finished = thread.join().map_err(|_| format!("{name} panicked"))?;
                self.finish(finished)
            }
        }
    }

    fn group(&mut self, steps: Vec<Step>) -> Result<(), String> {
        let names: Vec<_> = steps.iter().map(|step| step.name).collect();
        println!("\n── side by side: {}", names.join(", "));
        let (sender, receiver) = mpsc::channel();
        let mut threads = Vec::new();
        for step in steps {
            threads.push(self.spawn(step, Some(sender.clone()))?);
        }
        drop(sender);
        let mut failure = Ok(());
        while let Ok(finished) = receiver.recv() {
            self.head(finished.name, "");
            let result = self.finish(finished);
            failure = failure.and(result);
        }
        for thread in threads {
            thread.join().map_err(|_| String::from("a step panicked"))?;
        }
        failure
    }

    /// Runs a step on a thread of its own, its output in a file; `sender` gets what it came to.
    fn spawn(
        &self,
        step: Step,
        sender: Option<mpsc::Sender<Finished>>,
    ) -> Result<JoinHandle<Finished>, String> {
        let folder = Shell::new(self.root).target().join("xtask");
        fs::create_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        let file = folder.join(format!("{}.log", step.name.replace([' ', '/'], "-")));
        let log = File::options()
            .create(true)
            .truncate(true)
            .read(true)
            .write(true)
            .open(&file)
            .map_err(|e| format!("{}: {e}", file.display()))?;
        let mut reader = log.try_clone().map_err(|e| format!("{}: {e}", file.display()))?;
        let shell = Shell::logged(self.root, log);
        Ok(thread::spawn(move || {
            let began = Instant::now();
            let result = (step.work)(&shell);
            let mut bytes = Vec::new();
            let read = reader.seek(SeekFrom::Start(0)).and_then(|_| reader.read_to_end(&mut bytes));
            let output = match read {
                Ok(_) => String::from_utf8_lossy(&bytes).into_owned(),
                Err(e) => format!("its output cannot be read: {e}\n"),
            };
            let finished = Finished { name: step.name, time: began.elapsed(), output, result };
            let Some(sender) = sender else { return finished };
            // The receiver outlives every sender.
            let _ = sender.send(finished);
            Finished { name: "", time: Duration::ZERO, output: String::new(), result: Ok(()) }
        }))
    }

    fn finish(&mut self, finished: Finished) -> Result<(), String> {
        print!("{}", finished.output);
        self.done(finished.name, finished.time, finished.result)
    }

    fn head(&mut self, name: &str, note: &str) {
        self.number += 1;
        println!("\n── step {}/{}: {name}{note}", self.number, self.total);
        let _ = std::io::stdout().flush();
    }

    fn done(
        &mut self,
        name: &'static str,
        time: Duration,
        result: Result<(), String>,
    ) -> Result<(), String> {
        let seconds = time.as_secs_f64();
        self.times.push((name, time));
        match result {
            Ok(()) => {
                println!("── {name}: passed in {seconds:.1} s");
                Ok(())
            }
            Err(why) => Err(format!(
                "step {}/{} ({name}) failed after {seconds:.1} s\n{why}",
                self.number, self.total
            )),
        }
    }
}
