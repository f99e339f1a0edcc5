//! The flight recorder's file: one line after the other, each written before the next is made, so that
//! the file tells the truth even after a crash.

use std::fs::{File, OpenOptions};
use std::io::Write;

use moorline_core::trace::{Header, Recorder};
use moorline_core::{Endpoint, Error, ErrorCode};

/// Wraps a machine that was just opened in a recorder that writes at most `max` bytes to `path`; a file or a
/// link that is there is replaced. Only its owner may read it.
pub(crate) fn record(
    endpoint: Box<dyn Endpoint + Send>,
    header: &Header<'_>,
    path: &str,
    max: u64,
) -> Result<Box<dyn Endpoint + Send>, Error> {
    let mut file = create(path).map_err(|e| {
        let message = format!("runtime.trace_file: {path} cannot be written: {e}");
        Error::new(ErrorCode::ConfigInvalid, message)
    })?;
    let mut left = Some(max);
    let sink = Box::new(move |line: &str| {
        let Some(room) = left else { return };
        left = room.checked_sub(line.len() as u64);
        if left.is_none() {
            tracing::warn!("the recording ends here: it has runtime.max_trace_bytes ({max})");
        } else if let Err(error) = file.write_all(line.as_bytes()) {
            left = None;
            tracing::warn!(%error, "the recording ends here: its file cannot be written");
        }
    });
    Ok(Box::new(Recorder::new(endpoint, header, sink)))
}

fn create(path: &str) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true);
    match std::fs::symlink_metadata(path) {
        // A pipe or a device is whose it is.
        Ok(there) if !there.is_file() && !there.is_symlink() => return options.open(path),
        // What is there keeps its modes, and a link leads elsewhere.
        Ok(_) => std::fs::remove_file(path)?,
        Err(_) => {}
    }
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.create_new(true).open(path)
}

#[cfg(test)]
mod tests {
    use moorline_core::{Command, Now, trace};

    use super::*;

    #[test]
    fn what_was_written_can_be_replayed_and_only_its_owner_reads_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("worker.jsonl");
        let (dialect, role, host, seed) = ("beacon", "worker", "host-a", [3; 32]);
        let options = r#"{"name":"w","password":"hunter2"}"#;
        let opened = moorline_core::open(dialect, role, options, host, seed).unwrap();
        let header = Header { dialect, role, options, host, seed };
        let mut machine =
            record(opened.endpoint, &header, path.to_str().unwrap(), 1 << 30).unwrap();
        for command in [Command::Start, Command::Stop { drain_ms: 0 }] {
            machine.handle_command(command, Now::new(5, 6)).unwrap();
            while machine.poll_output().is_some() {}
        }
        let recording = std::fs::read_to_string(&path).unwrap();
        let wanted: Vec<_> = trace::outputs(&recording).collect();
        assert!(!wanted.is_empty());
        assert_eq!(trace::replay(&recording).unwrap(), wanted);
        assert!(!recording.contains("hunter2"));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = std::fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }

    #[test]
    fn a_recording_ends_at_its_limit_and_can_be_replayed_so_far() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("worker.jsonl");
        let (dialect, role, host, seed, options) = ("beacon", "worker", "h", [3; 32], "{}");
        let opened = moorline_core::open(dialect, role, options, host, seed).unwrap();
        let header = Header { dialect, role, options, host, seed };
        let mut machine = record(opened.endpoint, &header, path.to_str().unwrap(), 20_000).unwrap();
        for call in 0..1_000 {
            let snapshot = Command::Snapshot { call: moorline_core::CallId(call) };
            // The machine leaves it to its driver.
            let _ = machine.handle_command(snapshot, Now::new(call, 6));
            while machine.poll_output().is_some() {}
        }
        let recording = std::fs::read_to_string(&path).unwrap();
        assert!((10_000..=20_000).contains(&recording.len()), "{}", recording.len());
        assert!(recording.ends_with('\n'), "a line is there whole or not at all");
        let wanted: Vec<_> = trace::outputs(&recording).collect();
        // It may end between an input and what came of it.
        let replayed = trace::replay(&recording).unwrap();
        assert!(wanted.len() > 10 && replayed[..wanted.len()] == wanted);
    }

    #[cfg(unix)]
    #[test]
    fn what_was_there_lends_a_recording_neither_its_modes_nor_its_target() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let folder = tempfile::tempdir().unwrap();
        let [open, link, target] = ["open", "link", "target"].map(|name| folder.path().join(name));
        for file in [&open, &target] {
            std::fs::write(file, "before").unwrap();
            std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o644)).unwrap();
        }
        symlink(&target, &link).unwrap();
        for path in [&open, &link] {
            create(path.to_str().unwrap()).unwrap().write_all(b"line").unwrap();
            assert_eq!(std::fs::read_to_string(path).unwrap(), "line");
            let mode = std::fs::symlink_metadata(path).unwrap().permissions().mode();
            assert_eq!(mode & 0o177, 0, "{mode:o}");
        }
        assert_eq!(std::fs::read_to_string(&target).unwrap(), "before");
        assert!(create("/dev/null").is_ok());
    }

    #[test]
    fn a_file_that_cannot_be_written_is_named() {
        let opened = moorline_core::open("beacon", "worker", "{}", "h", [0; 32]).unwrap();
        let header =
            Header { dialect: "beacon", role: "worker", options: "{}", host: "h", seed: [0; 32] };
        let error = record(opened.endpoint, &header, "/nowhere/at/all", 1 << 30).err().unwrap();
        assert_eq!(error.code(), ErrorCode::ConfigInvalid);
        assert!(error.message().contains("/nowhere/at/all"));
    }
}
