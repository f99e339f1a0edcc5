"""curl against a hub with a command-line, a Node and a Python worker: open, polling only, secured.

Needs: MOORLINE_BIN (the command), MOORLINE_NODE_PACKAGE (the built package's folder). The Python
that runs this file has the package installed; node and curl are found on PATH.
"""

import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import unittest

HERE = pathlib.Path(__file__).parent
PATIENCE_S = 60


def needed(name):
    # The command takes every variable that begins with MOORLINE_ for an option of its own.
    value = os.environ.pop(name, None)
    if not value:
        sys.exit(f"fleet.py needs {name}; run it through cargo xtask test")
    return value


MOORLINE = needed("MOORLINE_BIN")
NODE_PACKAGE = needed("MOORLINE_NODE_PACKAGE")

SETTINGS_IN = """
[[command]]
capability = "Command"
action = "Echo"
argv = ["printf", "%s", "{text}"]
settings = [{ name = "text" }]
"""


class Process:
    """A child whose output lines can be waited for."""

    def __init__(self, name, argv, **env):
        self.name = name
        self.lines = []
        self.changed = threading.Condition()
        self.child = subprocess.Popen(
            argv,
            env={**os.environ, **env},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        with self.child.stdout:
            for line in self.child.stdout:
                with self.changed:
                    self.lines.append(line.rstrip())
                    self.changed.notify_all()
        with self.changed:
            self.lines.append(None)
            self.changed.notify_all()

    def wait_for(self, pattern):
        """Returns the match of the first line that has `pattern`."""
        seen = 0
        with self.changed:
            while True:
                for line in self.lines[seen:]:
                    seen += 1
                    match = None if line is None else re.search(pattern, line)
                    if match:
                        return match
                    if line is None:
                        raise AssertionError(f"{self.name} ended: {self.text()}")
                if not self.changed.wait(PATIENCE_S):
                    raise AssertionError(f"{self.name} never said {pattern!r}: {self.text()}")

    def text(self):
        return "\n".join(line for line in self.lines if line is not None)

    def stop(self):
        if self.child.poll() is None:
            self.child.send_signal(signal.SIGTERM)
        try:
            return self.child.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
            raise


class Fleet(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="moorline-fleet-"))
        self.processes = []

    def tearDown(self):
        codes = [(process, process.stop()) for process in reversed(self.processes)]
        shutil.rmtree(self.folder)
        for process, code in codes:
            self.assertEqual(code, 0, f"{process.name}: {process.text()}")

    def start(self, name, argv, **env):
        process = Process(name, argv, **env)
        self.processes.append(process)
        return process

    def hub(self, *flags, **env):
        store = self.folder / "hub.db"
        argv = [MOORLINE, "hub", "--listen", "127.0.0.1:0", "--store", str(store), *flags]
        return self.start("hub", argv, **env).wait_for(r"listening on (\S+)").group(1)

    def workers(self, url, polling, **secrets):
        options = {
            "transport": "polling" if polling else "auto",
            "poll_interval_ms": 50,
            "max_concurrent": 4,
            **secrets,
        }
        config = self.folder / "worker.toml"
        lines = [f"{key} = {json.dumps(value)}" for key, value in options.items()]
        config.touch(0o600)
        config.write_text("\n".join(lines) + SETTINGS_IN)
        argv = [MOORLINE, "worker", "--config", str(config), "--url", url, "--name", "command"]
        command = self.start("command worker", argv)

        python = {"server_url": url, "name": "python", **options}
        script = [sys.executable, str(HERE / "worker.py")]
        python = self.start("python worker", script, FLEET_OPTIONS=json.dumps(python))

        camel = {re.sub(r"_(\w)", lambda m: m[1].upper(), key): v for key, v in options.items()}
        node = {"serverUrl": url, "name": "node", **camel}
        modules = self.folder / "node_modules"
        modules.mkdir(exist_ok=True)
        (modules / "moorline").symlink_to(NODE_PACKAGE, target_is_directory=True)
        shutil.copy(HERE / "worker.mjs", self.folder)
        script = ["node", "--preserve-symlinks", str(self.folder / "worker.mjs")]
        node = self.start("node worker", script, FLEET_OPTIONS=json.dumps(node))
        python.wait_for("^ready")
        node.wait_for("^ready")
        command.wait_for("(?i)registered|connected|ready")

    def curl(self, url, body, *flags):
        argv = ["curl", "--silent", "--show-error", "--max-time", str(PATIENCE_S), *flags]
        argv += ["--header", "Content-Type: application/json", "--data", json.dumps(body), url]
        answer = subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=True).stdout
        return json.loads(answer)

    def dispatch_to_all(self, url, *flags):
        for capability, origin in [("Command", None), ("Node", "node"), ("Python", "python")]:
            text = f"for {capability} — ünï"
            answer = self.curl(
                f"{url}/Beacon/Work/Dispatch",
                {"Capability": capability, "Action": "Echo", "Settings": {"text": text}},
                *flags,
            )
            self.assertIs(answer.get("Success"), True, answer)
            if origin is None:
                self.assertEqual(answer["Outputs"]["StdOut"], text)
                self.assertEqual(answer["Outputs"]["ExitCode"], 0)
            else:
                self.assertEqual(answer["Outputs"], {"from": origin, "text": text})

    def test_every_worker_answers_over_websocket(self):
        url = self.hub()
        self.workers(url, polling=False)
        self.dispatch_to_all(url)

    def test_every_worker_answers_over_polling_only(self):
        url = self.hub()
        self.workers(url, polling=True)
        self.dispatch_to_all(url)

    def secured(self):
        config = self.folder / "hub.toml"
        config.touch(0o600)
        config.write_text(
            'access = "secured"\njoin_secret = "join-me"\n'
            '[[users]]\nname = "operator"\npassword = "open-sesame"\n'
        )
        return self.hub("--config", str(config))

    def login(self, url):
        jar = str(self.folder / "cookies")
        credentials = {"UserName": "operator", "Password": "open-sesame"}
        answer = self.curl(f"{url}/1.0/Authenticate", credentials, "--cookie-jar", jar)
        self.assertIs(answer["LoggedIn"], True)
        return ["--cookie", jar]

    def test_a_secured_hub_serves_those_who_log_in(self):
        url = self.secured()
        self.workers(url, polling=False, join_secret="join-me")
        refused = self.curl(f"{url}/Beacon/Work/Dispatch", {"Capability": "Node"})
        self.assertEqual(refused, {"Error": "Authentication required.", "LoggedIn": False})
        self.dispatch_to_all(url, *self.login(url))

    def test_a_secured_hub_serves_polling_workers_that_log_in(self):
        url = self.secured()
        login = {"user_name": "operator", "password": "open-sesame"}
        self.workers(url, polling=True, join_secret="join-me", **login)
        self.dispatch_to_all(url, *self.login(url))


if __name__ == "__main__":
    unittest.main(verbosity=2)
