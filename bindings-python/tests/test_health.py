"""What a hub and a worker answer to probes and to Prometheus, as its own parser reads it."""

from __future__ import annotations

import asyncio
import json
import socket
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Dict, List, Tuple

from prometheus_client.parser import text_string_to_metric_families

from moorline import Context, Dispatcher, Hub, Worker

SURFACE = Path(__file__).parents[2] / "tests" / "surface" / "surface.json"
NAMES: Dict[str, Dict[str, Any]] = {
    metric["name"]: metric for metric in json.loads(SURFACE.read_text())["metrics"]
}
Samples = Dict[Tuple[str, Tuple[Tuple[str, str], ...]], float]


def free_port() -> str:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return str(listener.getsockname()[1])


def get(url: str) -> Tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refusal:
        with refusal:
            return refusal.code, refusal.read().decode()


def samples(text: str) -> Samples:
    """Parses a page and holds it to the vocabulary."""
    found: Samples = {}
    for family in text_string_to_metric_families(text):
        name = family.name + ("_total" if family.type == "counter" else "")
        metric = NAMES[name]
        assert (family.type, family.documentation) == (metric["kind"], metric["help"])
        for sample in family.samples:
            labels = [label for label in sample.labels if label != "le"]
            assert labels == metric["labels"], sample
            key = (sample.name, tuple(sorted(sample.labels.items())))
            assert key not in found, key
            found[key] = sample.value
    return found


def test_a_parser_of_prometheus_reads_hub_and_worker(run: Any) -> None:
    async def main() -> None:
        ports = [free_port(), free_port()]
        runtimes: List[Any] = [{"health_listen": port} for port in ports]
        async with Hub(listen="127.0.0.1:0", runtime=runtimes[0]) as hub:
            worker = Worker(server_url=hub.url, name="measured", runtime=runtimes[1])

            @worker.handle("Odd/\"Name\\\n")
            async def say(settings: Any, ctx: Context) -> Any:
                return {"Said": settings["Text"]}

            @worker.handle("Odd/Fail")
            async def fail(settings: Any, ctx: Context) -> Any:
                raise ValueError("no luck")

            async with worker, Dispatcher(server_url=hub.url) as dispatcher:
                await dispatcher.call('Odd/"Name\\\n', {"Text": "x"}, timeout_ms=20_000)
                bases = [hub.url, *(f"http://127.0.0.1:{port}" for port in ports)]
                for base in bases:
                    assert await asyncio.to_thread(get, f"{base}/live") == (200, "live\n")
                    assert await asyncio.to_thread(get, f"{base}/ready") == (200, "ready\n")
                pages = [await asyncio.to_thread(get, f"{base}/metrics") for base in bases]
        assert [status for status, _ in pages] == [200, 200, 200]
        own, beside, theirs = [samples(text) for _, text in pages]
        for page in (own, beside):
            assert page[("moorline_hub_finished_total", (("ending", "complete"),))] == 1
            assert page[("moorline_hub_capability_workers", (("capability", "Odd"),))] == 1
        assert theirs[("moorline_work_total", (("outcome", "done"),))] == 1
        assert theirs[("moorline_work_seconds_count", ())] == 1
        assert theirs[("moorline_ready", ())] == 1
        shown = {name for page in (own, beside, theirs) for name, _ in page}
        ends = {"histogram": "_count"}
        missing = [
            name for name, metric in NAMES.items() if name + ends.get(metric["kind"], "") not in shown
        ]
        assert missing == ["moorline_notices_total"], "which has values once there are notices"

    run(main())
