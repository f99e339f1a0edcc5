//! Child processes that are measured: pinned to a core, watched through `/proc`, ended on drop.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};

/// What went wrong, in words.
pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// A running child process.
pub(crate) struct Process(Child, Option<BufReader<ChildStdout>>);

impl Process {
    /// Starts a program on one core, if `taskset` is there. Its standard output is thrown away.
    pub(crate) fn start(core: usize, words: &[&OsStr]) -> Result<Self, Failure> {
        Ok(Self(command(core, words)?.stdout(Stdio::null()).spawn()?, None))
    }

    /// The same, and returns the first line that the program writes.
    pub(crate) fn start_and_read(core: usize, words: &[&OsStr]) -> Result<(Self, String), Failure> {
        let mut child = command(core, words)?.stdout(Stdio::piped()).spawn()?;
        let output = child.stdout.take().map(BufReader::new);
        let mut process = Self(child, output);
        let line = process.line()?;
        Ok((process, line))
    }

    /// Waits for the next line that the program writes.
    pub(crate) fn line(&mut self) -> Result<String, Failure> {
        let mut line = String::new();
        if let Some(output) = &mut self.1 {
            output.read_line(&mut line)?;
        }
        if line.is_empty() {
            return Err("a program ended before it was ready".into());
        }
        Ok(line.trim().to_owned())
    }

    /// Returns its id.
    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    /// Fails if it has ended.
    pub(crate) fn is_there(&mut self) -> Result<(), Failure> {
        self.0.try_wait()?.map_or(Ok(()), |status| Err(format!("a program ended: {status}").into()))
    }

    /// Returns the processor time used by all threads, in seconds.
    pub(crate) fn cpu(&self) -> Result<f64, Failure> {
        cpu(&self.0.id().to_string())
    }

    /// Returns the resident memory, in bytes.
    pub(crate) fn memory(&self) -> Result<f64, Failure> {
        let text = fs::read_to_string(format!("/proc/{}/status", self.0.id()))?;
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
        kilobytes.map(|kb: f64| kb * 1024.0).ok_or_else(|| "no resident memory is stated".into())
    }
}

/// Returns the processor time used by all threads of this process, in seconds.
pub(crate) fn own_cpu() -> Result<f64, Failure> {
    cpu("self")
}

/// Returns the processor time used by all threads of a process, in seconds.
pub(crate) fn cpu(process: &str) -> Result<f64, Failure> {
    let mut nanoseconds = 0.0;
    for task in fs::read_dir(format!("/proc/{process}/task"))? {
        let text = fs::read_to_string(task?.path().join("schedstat")).unwrap_or_default();
        let first = text.split(' ').next().unwrap_or_default();
        nanoseconds += first.parse::<f64>().unwrap_or_default();
    }
    Ok(nanoseconds / 1e9)
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn command(core: usize, words: &[&OsStr]) -> Result<Command, Failure> {
    let (program, arguments) = words.split_first().ok_or("no program is named")?;
    let mut command = if has_taskset() {
        let mut command = Command::new("taskset");
        command.arg("-c").arg(core.to_string()).arg(program);
        command
    } else {
        Command::new(program)
    };
    command.args(arguments).stdin(Stdio::null());
    Ok(command)
}

/// Tells whether processes can be pinned.
pub(crate) fn has_taskset() -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join("taskset").is_file())
}
