"""Runs the scenarios of `tests/peers/volt` against daemons of Python; its README.md says what steps mean."""

from __future__ import annotations

import asyncio
import base64
import json
import os
from pathlib import Path
from typing import Any, Awaitable, Callable, Dict, List, Optional

FOLDER = Path(__file__).parents[2] / "tests" / "peers" / "volt"
ANSWERS = json.loads((FOLDER / "answers.json").read_text())
SCENARIOS: List[Dict[str, Any]] = json.loads((FOLDER / "scenarios.json").read_text())["scenarios"]

Fits = Callable[[Dict[str, Any]], bool]


class Log:
    """What happened, in its order; `next` waits for the next that fits."""

    def __init__(self) -> None:
        self.entries: List[Dict[str, Any]] = []
        self.place = 0
        self._more = asyncio.Event()

    def add(self, entry: Dict[str, Any]) -> None:
        self.entries.append(entry)
        self._more.set()

    async def find(self, fits: Fits, place: int) -> int:
        while True:
            while place < len(self.entries):
                place += 1
                if fits(self.entries[place - 1]):
                    return place
            self._more.clear()
            await self._more.wait()

    async def next(self, fits: Fits) -> None:
        self.place = await self.find(fits, self.place)


class Server:
    """The official server in a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self.process = process
        self.url = f"http://127.0.0.1:{port}"
        self.records = Log()
        self._answers: Dict[int, "asyncio.Future[Dict[str, Any]]"] = {}
        self._reader = asyncio.ensure_future(self._read())

    @classmethod
    async def start(cls, options: Dict[str, Any]) -> "Server":
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            "node",
            os.fspath(FOLDER / "server.mjs"),
            json.dumps(options),
            stdin=pipe,
            stdout=pipe,
            limit=1 << 20,
        )
        assert process.stdout is not None
        return cls(process, json.loads(await process.stdout.readline())["port"])

    async def _read(self) -> None:
        assert self.process.stdout is not None
        async for text in self.process.stdout:
            line = json.loads(text)
            if "record" in line:
                self.records.add(line)
            else:
                self._answers.pop(line["id"]).set_result(line)

    async def do(self, action: str, **fields: Any) -> Dict[str, Any]:
        """Has the server do something; everything it saw before is among the records then."""
        number = len(self._answers) + 1
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        assert self.process.stdin is not None
        text = json.dumps({"id": number, "do": action, **fields}, default=_freeze)
        self.process.stdin.write(text.encode() + b"\n")
        told = await answer
        assert "error" not in told, (action, told)
        return told

    async def stop(self) -> None:
        self._reader.cancel()
        self.process.kill()
        await self.process.wait()


class Scenario:
    """One run of one scenario. `open(options, hear)` makes a daemon."""

    def __init__(self, scenario: Dict[str, Any], server: Server, open_daemon: Any) -> None:
        self.scenario = scenario
        self.server = server
        self.names: Dict[str, Any] = {}
        self._open = open_daemon
        self._daemons: Dict[str, Any] = {}
        self._pending: Dict[str, "asyncio.Future[Any]"] = {}

    def daemon(self, name: str = "a") -> Any:
        if name not in self._daemons:
            scenario, url = self.scenario, self.server.url
            options: Dict[str, Any] = {
                "server_url": url,
                "control_socket_url": url + scenario.get("path", ""),
                "team_cluster_id": "cluster-abc123",
                "daemon_password": "rotated-pw-xyz",
                "reconnect.base_delay_ms": 20,
                "reconnect.max_delay_ms": 200,
                **scenario.get("options", {}),
                **scenario.get("daemons", {}).get(name, {}),
            }
            if scenario.get("enroll"):
                options["enrollment.url"] = f"{url}/api/team-clusters/cluster-abc123/healthcheck"
            log = Log()
            self._daemons[name] = (self._open(options, log.add), log)
        return self._daemons[name]

    async def close(self) -> None:
        for daemon, _ in self._daemons.values():
            await daemon.disconnect({})
        for pending in self._pending.values():
            pending.cancel()

    async def step(self, step: Dict[str, Any]) -> None:
        if "op" in step:
            operation = getattr(self.daemon(step.get("who", "a"))[0], step["op"])
            outcome = asyncio.ensure_future(_outcome(operation(self.expand(step))))
            if "as" in step:
                self._pending[step["as"]] = outcome
            else:
                self.settle(step, *await outcome)
        elif "settles" in step:
            self.settle(step, *await self._pending[step["settles"]])
        elif "event" in step:
            _, log = self.daemon(step.get("who", "a"))
            await log.next(lambda event: self.fits(step["event"], event))
        elif "no event" in step:
            _, log = self.daemon(step.get("who", "a"))
            assert not [event for event in log.entries if self.fits(step["no event"], event)], step
        elif "server" in step:
            fields = {
                name: self.expand(value)
                for name, value in step.items()
                if name not in ("server", "gives")
            }
            answer = await self.server.do(step["server"], **fields)
            for name, value in step.get("gives", {}).items():
                assert answer[name] == value, (step, answer)
        elif "record" in step:
            records = self.server.records

            def fits(record: Dict[str, Any]) -> bool:
                return self.fits(step["record"], record)

            if step.get("from") == "start":
                await records.find(fits, 0)
            else:
                await records.next(fits)
        else:
            await self.server.do("fence")
            found = [one for one in self.server.records.entries if self.fits(step["no record"], one)]
            assert not found, (step, found)

    def settle(self, step: Dict[str, Any], value: Any, error: Optional[Exception]) -> None:
        if "error" in step:
            assert error is not None, f"{step} succeeded"
            told = {
                "code": getattr(error, "code", None),
                "message": getattr(error, "message", str(error)),
                "status": getattr(error, "status", None),
            }
            assert self.fits(step["error"], told), (step, told)
            return
        if error is not None:
            raise error
        if step.get("op") not in ("connect", "disconnect"):
            assert value == self.expand(step.get("value")), (step, value)

    def fits(self, wanted: Dict[str, Any], found: Dict[str, Any]) -> bool:
        """Tells whether what happened has the wanted fields."""
        names = dict(self.names)
        if all(_equals(value, found.get(name), names) for name, value in wanted.items()):
            self.names.update(names)
            return True
        return False

    def expand(self, value: Any) -> Any:
        """Puts in what marks stand for: bytes, long texts, bound names."""
        if isinstance(value, str):
            return self.names.get(value, value)
        if isinstance(value, list):
            return [self.expand(part) for part in value]
        if not isinstance(value, dict):
            return value
        if "$bytes" in value:
            return base64.b64decode(value["$bytes"])
        if "$repeat" in value:
            return value["$repeat"] * value["times"]
        return {name: self.expand(part) for name, part in value.items()}


async def _outcome(operation: Awaitable[Any]) -> Any:
    try:
        return await operation, None
    except Exception as error:
        return None, error


def _freeze(value: Any) -> Any:
    return {"$bytes": base64.b64encode(value).decode()}


def _equals(wanted: Any, found: Any, names: Dict[str, Any]) -> bool:
    if isinstance(found, (bytes, bytearray)):
        found = _freeze(found)
    if isinstance(wanted, str):
        if wanted == "*":
            return found is not None
        if wanted.startswith("~"):
            return isinstance(found, str) and wanted[1:] in found
        if wanted.startswith("="):
            return bool(names.setdefault(wanted, found) == found)
    if isinstance(wanted, dict) and isinstance(found, dict):
        members = {name: value for name, value in wanted.items() if name != "*"}
        more = "*" in wanted or len(found) == len(members)
        return more and all(
            name in found and _equals(value, found[name], names) for name, value in members.items()
        )
    if isinstance(wanted, list) and isinstance(found, list):
        pairs = zip(wanted, found)
        return len(wanted) == len(found) and all(_equals(one, two, names) for one, two in pairs)
    # What is true is not 1.
    return isinstance(wanted, bool) is isinstance(found, bool) and bool(wanted == found)


async def run(scenario: Dict[str, Any], open_daemon: Any) -> None:
    """Runs one."""
    server = await Server.start({"answers": ANSWERS, **scenario.get("server", {})})
    play = Scenario(scenario, server, open_daemon)
    try:
        for step in scenario["steps"]:
            await play.step(step)
    finally:
        await play.close()
        await server.stop()
