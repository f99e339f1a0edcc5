//! The hubs and workers under attack: started fresh for each, measured, and ended whatever happens.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::Told;

/// How long a process may take to say what is expected of it.
const PATIENCE: Duration = Duration::from_secs(20);
/// How a Rust program ends that has panicked.
const PANICKED: i32 = 101;
/// How often a process is looked at that tells nothing by itself.
const GLANCE: Duration = Duration::from_millis(20);

/// The programs, and how they are run.
#[derive(Clone, Debug)]
pub struct Programs {
    /// The `moorline` command.
    pub moorline: PathBuf,
    /// This package's own program, which is a worker on demand.
    pub own: PathBuf,
    /// Options that every hub gets on top: faults that a test plants.
    pub planted: Vec<String>,
    /// The most address space of a process, in KiB.
    pub address_space_kib: Option<u64>,
}

/// Where one attack takes place.
pub struct Arena {
    programs: Programs,
    folder: TempDir,
    seen: Arc<Mutex<Seen>>,
}

/// What the processes of an arena have come to.
#[derive(Debug, Default)]
struct Seen {
    /// The largest resident memory of one process.
    peak_kib: u64,
    running: BTreeSet<i32>,
    crashed: Vec<String>,
}

impl Arena {
    /// Makes an empty one.
    ///
    /// # Errors
    /// When there is no place for files.
    pub fn new(programs: Programs) -> Told<Self> {
        let folder = TempDir::new().map_err(|e| format!("no temporary folder: {e}"))?;
        Ok(Self { programs, folder, seen: Arc::default() })
    }

    /// Starts a hub on a free port and waits until it listens.
    ///
    /// # Errors
    /// Why it does not, with its log.
    pub fn hub(&self, more: &[&str]) -> Told<Process> {
        self.hub_at("127.0.0.1:0", more)
    }

    /// Starts a hub at an address.
    ///
    /// # Errors
    /// As [`hub`](Self::hub).
    pub fn hub_at(&self, listen: &str, more: &[&str]) -> Told<Process> {
        let planted = self.programs.planted.iter().flat_map(|it| ["--set", it]);
        let arguments = ["hub", "--listen", listen].into_iter().chain(more.iter().copied());
        let arguments: Vec<&str> = arguments.chain(planted).collect();
        let mut hub = self.start(&self.programs.moorline, &arguments)?;
        let line = hub.log.wait("moorline hub listening on ", PATIENCE)?;
        line.rsplit("//").next().unwrap_or_default().clone_into(&mut hub.address);
        Ok(hub)
    }

    /// Starts `moorline` with other arguments.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn moorline(&self, arguments: &[&str]) -> Told<Process> {
        self.start(&self.programs.moorline, arguments)
    }

    /// Starts a worker of commands that offers `Test/Echo` and `Test/Hold`.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn worker(&self, address: &str, more: &[&str]) -> Told<Process> {
        let commands =
            "[[command]]\ncapability = \"Test\"\naction = \"Echo\"\nargv = [\"echo\", \"done\"]\n";
        let file = self.file("worker.toml", commands)?;
        let url = format!("http://{address}");
        let arguments = [&["worker", "--config", &file, "--url", &url], more].concat();
        self.start(&self.programs.moorline, &arguments)
    }

    /// Starts a worker of the Rust package, which offers `Own/Fill` and `Own/Hold`, and waits until it is
    /// registered.
    ///
    /// # Errors
    /// When it is not.
    pub fn own_worker(&self, address: &str, more: &[&str]) -> Told<Process> {
        let url = format!("http://{address}");
        let worker = self.start(&self.programs.own, &[&["own-worker", &url], more].concat())?;
        worker.log.wait("ready", PATIENCE)?;
        Ok(worker)
    }

    /// Writes a file that only its owner can read, and returns its path.
    ///
    /// # Errors
    /// What the system says.
    pub fn file(&self, name: &str, content: &str) -> Told<String> {
        use std::os::unix::fs::PermissionsExt as _;
        let path = self.path(name);
        std::fs::write(&path, content).map_err(|e| format!("{path}: {e}"))?;
        let private = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(&path, private).map_err(|e| format!("{path}: {e}"))?;
        Ok(path)
    }

    /// Returns the path of a file in the arena.
    #[must_use]
    pub fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_string_lossy().into_owned()
    }

    /// Returns the largest resident memory that one of the processes had, in KiB.
    #[must_use]
    pub fn peak_kib(&self) -> u64 {
        lock(&self.seen).peak_kib
    }

    /// Returns which processes a signal or a panic has ended, with the ends of their logs.
    #[must_use]
    pub fn crashed(&self) -> Vec<String> {
        lock(&self.seen).crashed.clone()
    }

    /// Kills what still runs.
    pub fn clear(&self) {
        for id in std::mem::take(&mut lock(&self.seen).running) {
            let _ = kill(Pid::from_raw(id), Signal::SIGKILL);
        }
    }

    fn start(&self, program: &PathBuf, arguments: &[&str]) -> Told<Process> {
        let mut command = match self.programs.address_space_kib {
            None => Command::new(program),
            Some(limit) => {
                let mut shell = Command::new("sh");
                shell.args(["-c", &format!("ulimit -v {limit}; exec \"$0\" \"$@\"")]);
                shell.arg(program);
                shell
            }
        };
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("MOORLINE_") {
                command.env_remove(name);
            }
        }
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let name = arguments.first().copied().unwrap_or_default().to_owned();
        let mut child = command.spawn().map_err(|e| format!("{}: {e}", program.display()))?;
        let log = Log::default();
        log.follow(child.stdout.take());
        log.follow(child.stderr.take());
        lock(&self.seen).running.insert(child.id().cast_signed());
        let seen = Arc::clone(&self.seen);
        Ok(Process { child, log, seen, name, address: String::new() })
    }
}

/// A process under attack.
pub struct Process {
    child: Child,
    /// What it has printed.
    pub log: Log,
    /// Where a hub listens.
    pub address: String,
    name: String,
    seen: Arc<Mutex<Seen>>,
}

impl Process {
    /// Returns its resident memory, in KiB.
    ///
    /// # Errors
    /// When it has ended.
    pub fn memory_kib(&self) -> Told<u64> {
        self.status("VmRSS:").ok_or_else(|| self.dead())
    }

    /// Returns the largest resident memory that it had, in KiB.
    ///
    /// # Errors
    /// When it has ended.
    pub fn peak_kib(&self) -> Told<u64> {
        self.status("VmHWM:").ok_or_else(|| self.dead())
    }

    /// Expects that it has not ended.
    ///
    /// # Errors
    /// When it has.
    pub fn lives(&self) -> Told<()> {
        self.memory_kib().map(drop)
    }

    /// Waits for the end and returns the exit code; -1 for a signal.
    ///
    /// # Errors
    /// When it goes on.
    pub fn end(&mut self, within: Duration) -> Told<i32> {
        let deadline = Instant::now() + within;
        loop {
            self.note();
            match self.child.try_wait() {
                Ok(Some(status)) => return Ok(status.code().unwrap_or(-1)),
                Ok(None) if Instant::now() < deadline => std::thread::sleep(GLANCE),
                Ok(None) => return Err(format!("{} goes on after {within:?}", self.name)),
                Err(e) => return Err(e.to_string()),
            }
        }
    }

    /// Asks it to end.
    pub fn terminate(&self) {
        let _ = kill(Pid::from_raw(self.child.id().cast_signed()), Signal::SIGTERM);
    }

    /// Ends it without warning.
    pub fn kill(&mut self) {
        self.note();
        let own_end = self.child.try_wait().ok().flatten();
        let is_crash = own_end.is_some_and(|it| it.code().is_none_or(|code| code == PANICKED));
        let mut seen = lock(&self.seen);
        // What was killed before was so by us.
        if seen.running.remove(&self.child.id().cast_signed()) && is_crash {
            let crashed = self.dead();
            seen.crashed.push(crashed);
        }
        drop(seen);
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    fn note(&self) {
        let peak = self.status("VmHWM:").unwrap_or_default();
        let mut seen = lock(&self.seen);
        seen.peak_kib = seen.peak_kib.max(peak);
    }

    fn status(&self, field: &str) -> Option<u64> {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix(field))?;
        line.split_whitespace().next()?.parse().ok()
    }

    fn dead(&self) -> String {
        format!("{} has ended; its log:\n{}", self.name, self.log.tail())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// What a process has printed, on either stream.
#[derive(Clone, Debug, Default)]
pub struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    /// Waits for a line that holds `part` and returns it.
    ///
    /// # Errors
    /// When none comes, with the end of what was printed.
    pub fn wait(&self, part: &str, within: Duration) -> Told<String> {
        let deadline = Instant::now() + within;
        loop {
            if let Some(line) = self.find(part) {
                return Ok(line);
            }
            if Instant::now() >= deadline {
                return Err(format!("no line with {part:?}; the log:\n{}", self.tail()));
            }
            std::thread::sleep(GLANCE);
        }
    }

    /// Returns the first line that holds `part`.
    #[must_use]
    pub fn find(&self, part: &str) -> Option<String> {
        lock(&self.0).iter().find(|line| line.contains(part)).cloned()
    }

    /// Counts the lines that hold `part`.
    #[must_use]
    pub fn count(&self, part: &str) -> usize {
        lock(&self.0).iter().filter(|line| line.contains(part)).count()
    }

    fn tail(&self) -> String {
        let lines = lock(&self.0);
        lines.get(lines.len().saturating_sub(8)..).unwrap_or_default().join("\n")
    }

    fn follow(&self, stream: Option<impl Read + Send + 'static>) {
        let Some(stream) = stream else { return };
        let lines = Arc::clone(&self.0);
        std::thread::spawn(move || {
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                lock(&lines).push(line);
            }
        });
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
