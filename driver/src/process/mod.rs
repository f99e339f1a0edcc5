//! Runs programs: starts one, feeds it, keeps its output within bounds, and ends it with all that it
//! started.

mod capture;
mod group;

use std::ffi::OsString;
use std::future::Future;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{SigSet, SigmaskHow};
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, ChildStdin, Command};
use tokio::time::{sleep, timeout};

use capture::Capture;
use group::Group;

/// A program, ready to run.
#[derive(Debug)]
pub struct Program {
    /// Its file, by an absolute path.
    pub file: PathBuf,
    /// Its arguments, without its name.
    pub arguments: Vec<OsString>,
    /// Its whole environment.
    pub environment: Vec<(OsString, OsString)>,
    /// The folder it runs in; without one that of this process.
    pub folder: Option<PathBuf>,
    /// What it reads; without it there is nothing to read.
    pub input: Option<Vec<u8>>,
    /// The most bytes kept of each output stream.
    pub output_limit: usize,
    /// How long its processes may take to end when asked; then they are killed.
    pub grace: Duration,
}

/// How a run ended.
#[derive(Debug)]
pub enum Ended {
    /// By itself.
    Exited {
        /// The exit code or signal.
        status: ExitStatus,
        /// Its standard output, cut at the limit with a marker.
        out: String,
        /// Its standard error, cut likewise.
        err: String,
    },
    /// It ran longer than it may.
    TooLong,
    /// It was withdrawn.
    Withdrawn,
    /// It could not be started, or its end was not seen; why.
    Failed(String),
}

/// Is told which process groups there are, so that somebody can end them when this process cannot.
pub trait Watch {
    /// A group has begun.
    fn began(&self, group: i32);

    /// Nothing of a group is left.
    fn ended(&self, group: i32);
}

/// Nobody is told.
impl Watch for () {
    fn began(&self, _: i32) {}

    fn ended(&self, _: i32) {}
}

/// Runs `program` until it exits, `limit` is over, or `withdrawn` resolves. When this returns, no process
/// of its group is left; when it is dropped, its group is killed.
pub async fn run(
    program: &Program,
    limit: Option<Duration>,
    watch: &impl Watch,
    withdrawn: impl Future<Output = ()>,
) -> Ended {
    let mut child = match start(program) {
        Ok(child) => child,
        Err(e) => {
            return Ended::Failed(format!("{} could not be started: {e}", program.file.display()));
        }
    };
    let Some(group) = Group::led_by(&child) else {
        return Ended::Failed(String::from("the command has no process id"));
    };
    watch.began(group.id());
    let mut leftover = Leftover(Some(group));
    let mut output = Output::default();
    let input = feed(child.stdin.take(), program.input.as_deref());
    let exit = async { tokio::join!(input, output.collect(&mut child, program.output_limit)).1 };
    let too_long = async {
        match limit {
            Some(limit) => sleep(limit).await,
            None => std::future::pending().await,
        }
    };
    let end = tokio::select! {
        status = exit => End::Exit(status),
        () = too_long => End::TooLong,
        () = withdrawn => End::Withdrawn,
    };
    group.end(&mut child, program.grace).await;
    leftover.0 = None;
    watch.ended(group.id());
    match end {
        End::Exit(Ok(status)) => {
            let (out, err) = (output.out.into_text(), output.err.into_text());
            Ended::Exited { status, out, err }
        }
        End::Exit(Err(e)) => Ended::Failed(format!("the command's end was not seen: {e}")),
        End::TooLong => Ended::TooLong,
        End::Withdrawn => Ended::Withdrawn,
    }
}

/// Kills what is left of a group whose run was dropped.
struct Leftover(Option<Group>);

impl Drop for Leftover {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            group.kill_at_once();
        }
    }
}

fn start(program: &Program) -> std::io::Result<Child> {
    match spawn(program, None) {
        // As shells do with a file without an interpreter line.
        Err(e) if e.raw_os_error() == Some(Errno::ENOEXEC as i32) => {
            spawn(program, Some("/bin/sh"))
        }
        started => started,
    }
}

fn spawn(program: &Program, interpreter: Option<&str>) -> std::io::Result<Child> {
    let mut command = match interpreter {
        Some(interpreter) => {
            let mut command = Command::new(interpreter);
            command.arg(&program.file);
            command
        }
        None => Command::new(&program.file),
    };
    // Nothing here needs code between fork and exec, so that the standard library can use
    // posix_spawn: a fork of a process with threads and much memory is slow and fragile.
    command
        .args(&program.arguments)
        .env_clear()
        .envs(program.environment.iter().map(|(name, value)| (name, value)))
        .process_group(0)
        .stdin(if program.input.is_some() { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    if let Some(folder) = &program.folder {
        command.current_dir(folder);
    }
    unblocked(|| command.spawn())
}

/// Does something with no signal blocked: what is started inherits what is blocked, and I/O threads
/// block all.
fn unblocked<T>(act: impl FnOnce() -> T) -> T {
    let before = SigSet::empty().thread_swap_mask(SigmaskHow::SIG_SETMASK);
    let done = act();
    if let Ok(before) = before {
        // It fails only for masks that there are not.
        let _ = before.thread_set_mask();
    }
    done
}

/// Writes the input and closes the pipe. A program that does not read it is its own affair.
async fn feed(stdin: Option<ChildStdin>, input: Option<&[u8]>) {
    if let (Some(mut stdin), Some(input)) = (stdin, input) {
        let _ = stdin.write_all(input).await;
    }
}

#[derive(Default)]
struct Output {
    out: Capture,
    err: Capture,
}

impl Output {
    /// Reads both streams until the program has exited and they are at their end.
    async fn collect(&mut self, child: &mut Child, limit: usize) -> std::io::Result<ExitStatus> {
        let (mut out, mut err) = (child.stdout.take(), child.stderr.take());
        let read_out = async {
            if let Some(out) = &mut out {
                self.out.read(out, limit).await;
            }
        };
        let read_err = async {
            if let Some(err) = &mut err {
                self.err.read(err, limit).await;
            }
        };
        let reading = async { tokio::join!(read_out, read_err) };
        tokio::pin!(reading);
        tokio::select! {
            _ = &mut reading => child.wait().await,
            status = child.wait() => {
                // A process that was left behind may hold the pipes open: what it still writes is
                // not waited for.
                let _ = timeout(LEFTOVER, reading).await;
                status
            }
        }
    }
}

enum End {
    Exit(std::io::Result<ExitStatus>),
    TooLong,
    Withdrawn,
}

/// How long output is awaited after the program itself has exited.
const LEFTOVER: Duration = Duration::from_millis(500);
