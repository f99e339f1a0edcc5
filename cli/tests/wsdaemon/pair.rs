//! Two daemons with scripts, and programs that ask them.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{Folder, Running, moorline, start};

/// A server and a client, each with its folder. Programs ask at the client; scripts run at the server.
pub(crate) struct Pair {
    pub(crate) folders: [Folder; 2],
    pub(crate) server: Running,
    pub(crate) client: Running,
    /// Where the server listens.
    pub(crate) address: String,
}

const SCRIPTS: [(&str, &str); 12] = [
    ("ok", "#!/bin/sh\necho \"args=$# first=$1\"\n"),
    ("fail3", "#!/bin/sh\nexit 3\n"),
    ("sig", "#!/bin/sh\nkill -9 $$\n"),
    ("noshebang", "exit 7\n"),
    ("sub/inner", "#!/bin/sh\nexit 5\n"),
    ("stdin", "#!/bin/sh\ncat >/dev/null\nexit 4\n"),
    ("env", "#!/bin/sh\n[ -z \"$DAEMON_TEST_SECRET\" ] && [ \"$KEPT\" = yes ]\n"),
    ("big", "#!/bin/sh\nhead -c 50000000 /dev/zero | tr '\\0' x\n"),
    ("slow", "#!/bin/sh\ntrap '' TERM\nwhile :; do sleep 1; done\n"),
    ("child", "#!/bin/sh\nsleep 600 &\nexit 6\n"),
    ("mask", "#!/bin/sh\nexec grep -q '^SigBlk:.0*$' /proc/self/status\n"),
    ("gone", "#!/bin/sh\nexit 0\n"),
];

pub(crate) fn write_script(folder: &Folder, name: &str, text: &str) {
    let path = folder.path("scripts").join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
}

/// Starts a daemon in a folder that has its `config.json`.
pub(crate) fn daemon(folder: &Folder, more: &[&str]) -> Running {
    let prefix = folder.path("").to_str().unwrap().to_owned();
    // Tests may run in a container, where the daemons would share one port.
    let mut arguments = vec!["wsdaemon", "--prefix", &prefix, "--set", "local.tcp_address="];
    arguments.extend(more);
    let mut command = moorline(&arguments);
    start(command.env("DAEMON_TEST_SECRET", "s3cr3t").env("KEPT", "yes"))
}

impl Pair {
    pub(crate) fn new(server_options: &[&str]) -> Self {
        Self::with(server_options, &[], &[])
    }

    /// The same with options of the client, and further scripts at the server.
    pub(crate) fn with(
        server_options: &[&str],
        client_options: &[&str],
        scripts: &[(String, String)],
    ) -> Self {
        let folders = [Folder::new(), Folder::new()];
        let [here, there] = &folders;
        for (name, text) in SCRIPTS {
            write_script(here, name, text);
        }
        for (name, text) in scripts {
            write_script(here, name, text);
        }
        write_script(here, "noexec", "#!/bin/sh\nexit 0\n");
        let no_exec = here.path("scripts/noexec");
        std::fs::set_permissions(no_exec, PermissionsExt::from_mode(0o644)).unwrap();
        symlink("/bin/echo", here.path("scripts/linked-out")).unwrap();
        symlink("/bin", here.path("scripts/linked-folder")).unwrap();
        symlink("ok", here.path("scripts/linked-in")).unwrap();
        here.pipe("scripts/pipe");
        here.write("config.json", r#"{"mode":"server","port":3006}"#);
        let mut options =
            vec!["--set", "listen=127.0.0.1:0", "--set", r#"scripts.environment=["KEPT"]"#];
        options.extend(server_options);
        let mut server = daemon(here, &options);
        let address = server.line_with("listening on").rsplit(' ').next().unwrap().to_owned();
        // A script that is taken away, or changed into a link, after the start.
        std::fs::remove_file(here.path("scripts/gone")).unwrap();
        symlink("/bin/true", here.path("scripts/gone")).unwrap();
        let port = address.rsplit(':').next().unwrap();
        let config = format!(r#"{{"mode":"client","proxy":"127.0.0.1","port":{port}}}"#);
        there.write("config.json", &config);
        let mut client = daemon(there, client_options);
        client.line_with("connected to");
        Self { folders, server, client, address }
    }

    /// Connects a program at the client.
    pub(crate) fn program(&self) -> Program {
        Program::at(&self.folders[1].path("ws-daemon.sock"))
    }
}

/// A local program.
pub(crate) struct Program(pub(crate) BufReader<UnixStream>);

impl Program {
    /// Connects, as soon as the socket is there.
    pub(crate) fn at(path: &Path) -> Self {
        let deadline = Instant::now() + Duration::from_secs(60);
        let stream = loop {
            match UnixStream::connect(path) {
                Ok(stream) => break stream,
                Err(e) => assert!(Instant::now() < deadline, "{}: {e}", path.display()),
            }
            std::thread::yield_now();
        };
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.set_write_timeout(Some(Duration::from_secs(20))).unwrap();
        Self(BufReader::new(stream))
    }

    pub(crate) fn say(&mut self, text: &str) {
        self.0.get_mut().write_all(text.as_bytes()).unwrap();
    }

    /// Reads a line, with its end.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        line
    }

    pub(crate) fn hear(&mut self) -> Value {
        let line = self.line();
        serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line:?}"))
    }

    pub(crate) fn ask(&mut self, request: &Value) -> Value {
        self.say(&request.to_string());
        self.hear()
    }
}
