"""The quick start as its reader follows it: each worker in turn, and the programs that need no terminals. The
page on certificates likewise.

Needs what fleet.py needs, whose processes it uses.
"""

import json
import os
import re
import subprocess
import sys
import unittest

import fleet

DOCS = fleet.HERE.parent.parent / "docs"
URL = "http://127.0.0.1:54321"


def sections(page):
    """Returns the code blocks of each section as (language, text)."""
    blocks = {}
    for section in re.split(r"^## ", (DOCS / page).read_text(), flags=re.MULTILINE)[1:]:
        name, _, text = section.partition("\n")
        blocks[name] = re.findall(r"^```(\w+)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return blocks


QUICK_START = sections("quickstart.md")
CERTIFICATES = sections("certificates.md")


def block(section, language, index=0, page=QUICK_START):
    found = [text for kind, text in page[section] if kind == language]
    return found[index]


class QuickStart(fleet.Fleet):
    def setUp(self):
        super().setUp()
        self.addCleanup(os.chdir, os.getcwd())
        self.modules = self.folder / "node_modules"
        self.modules.mkdir()
        (self.modules / "moorline").symlink_to(fleet.NODE_PACKAGE)

    def words(self, text, url):
        """Returns a command of the page for a hub at another address."""
        self.assertTrue(text.startswith("moorline "), text)
        line = f'exec "$0" {text.removeprefix("moorline ").strip()} --url {url}'
        return ["bash", "-c", line, fleet.MOORLINE]

    def answered(self, url, expected):
        said = subprocess.run(
            self.words(block("Terminal 3: a dispatch", "sh"), url),
            check=True,
            capture_output=True,
            text=True,
            timeout=fleet.PATIENCE_S,
        )
        shape = re.compile(r'"WorkItemHash":"[^"]*"')
        self.assertEqual(shape.sub("", said.stdout), shape.sub("", expected))
        status = self.words(block("Terminal 3: a dispatch", "sh", 1), url)
        subprocess.run(status, check=True, capture_output=True, timeout=fleet.PATIENCE_S)

    def begin(self):
        command = block("Terminal 1: a hub", "sh").removeprefix("moorline ").split()
        hub = self.start("hub", [fleet.MOORLINE, *command, "--listen", "127.0.0.1:0"])
        expected = block("Terminal 1: a hub", "text").strip().replace(URL, r"(\S+)")
        return hub.wait_for(f"^{expected}$").group(1)

    def test_command(self):
        url = self.begin()
        file = self.folder / "worker.toml"
        file.write_text(block("Terminal 2: a worker", "toml"))
        text = block("Terminal 2: a worker", "sh").replace("worker.toml", str(file))
        self.start("command worker", self.words(text, url))
        self.answered(url, block("Terminal 3: a dispatch", "text", 1))

    def test_node(self):
        self.language("worker.mjs", "js", "node")

    def test_python(self):
        self.language("worker.py", "python", sys.executable)

    def language(self, name, language, interpreter):
        url = self.begin()
        file = self.folder / name
        file.write_text(block("Terminal 2: a worker", language).replace(URL, url))
        self.start(name, [interpreter, str(file)])
        self.answered(url, block("Terminal 3: a dispatch", "text"))

    def test_certificates(self):
        for section in ["An authority of your own", "The hub's certificate"]:
            lines = block(section, "sh", page=CERTIFICATES)
            subprocess.run(["bash", "-e", "-c", lines], check=True, capture_output=True, cwd=self.folder)
        (self.folder / "hub.toml").write_text(block("Use", "toml", page=CERTIFICATES))
        hub, dispatch = (block("Use", "sh", index, CERTIFICATES).split() for index in (0, 1))
        os.chdir(self.folder)
        listening = self.start("hub", [fleet.MOORLINE, *hub[1:], "--listen", "127.0.0.1:0"])
        url = listening.wait_for(r"listening on (https:\S+)").group(1)
        file = self.folder / "worker.toml"
        file.write_text(block("Terminal 2: a worker", "toml"))
        trust = dispatch[-2:]
        self.start("worker", [fleet.MOORLINE, "worker", "--config", str(file), "--url", url, *trust])
        command = block("Use", "sh", 1, CERTIFICATES).replace("https://127.0.0.1:54321", url)
        said = subprocess.run(
            ["bash", "-c", f'exec "$0" {command.removeprefix("moorline ")}', fleet.MOORLINE],
            check=True,
            capture_output=True,
            text=True,
            timeout=fleet.PATIENCE_S,
        )
        self.assertIn('"Result":"hello"', said.stdout)

    def test_configurations_of_deployments(self):
        deploy = DOCS.parent / "deploy"
        files = ["join_secret", "operator_password", "hub.pem", "hub.key", "authority.pem"]
        for name in files:
            (self.folder / name).write_text("one line")
            (self.folder / name).chmod(0o600)
        for name in ["hub.toml", "worker.toml"]:
            text = (deploy / name).read_text().replace("/run/secrets", str(self.folder))
            (self.folder / name).write_text(text)
        lines = [
            json.loads(line)
            for name in ["compose.yaml", "kubernetes.yaml"]
            for line in re.findall(r"(?:command|args): (\[.*\])", (deploy / name).read_text())
        ]
        self.assertEqual([line[0] for line in lines], ["hub", "worker"] * 2)
        for line in lines:
            words = [re.sub("/etc/moorline|/run/secrets", str(self.folder), word) for word in line]
            said = subprocess.run(
                [fleet.MOORLINE, *words, "--print-config"], capture_output=True, text=True, timeout=fleet.PATIENCE_S
            )
            self.assertEqual(said.returncode, 0, said.stderr)

    def test_in_one_program(self):
        for name, language, interpreter in [
            ("first.mjs", "js", "node"),
            ("first.py", "python", sys.executable),
        ]:
            text = block("In one program", language)
            self.assertEqual(text, (fleet.HERE.parent / "packages" / name).read_text())
            self.assertLessEqual(sum(1 for line in text.splitlines() if line.strip()), 10, name)
            file = self.folder / name
            file.write_text(text)
            said = subprocess.run(
                [interpreter, str(file)], check=True, capture_output=True, text=True, timeout=10
            )
            self.assertEqual(said.stdout, "hello\n")

    def test_rust_is_an_example_of_the_crate(self):
        example = (DOCS.parent / "moorline" / "examples" / "worker.rs").read_text()
        self.assertIn(block("Terminal 2: a worker", "rust"), example)


if __name__ == "__main__":
    # The tests of fleet.py run on their own.
    names = [name for name in dir(QuickStart) if name.startswith("test_") and name in vars(QuickStart)]
    suite = unittest.TestSuite(QuickStart(name) for name in names)
    sys.exit(not unittest.TextTestRunner(verbosity=2).run(suite).wasSuccessful())
