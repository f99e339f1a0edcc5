"""Payloads that Python cannot read, among those that it can."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from typing import Any, List, Tuple

import pytest

from moorline import Context, Hub, MoorlineError, Worker
from moorline._events import read, read_value

LONG = "9" * 5_000
DEEP = "[" * 100_000 + "]" * 100_000
POISON = {
    "nested": '{"x":' + "[" * 20_000 + "]" * 20_000 + "}",
    "surrogate": '{"x":"\\ud800"}',
    "digits": '{"x":' + "9" * 5_000 + "}",
    "infinite": '{"x":1e999}',
}


def unread(batch: str) -> Tuple[List[Any], List[Tuple[str, int]]]:
    failed: List[Tuple[str, int]] = []
    events = read(batch.encode(), lambda kind, number, error: failed.append((kind, number)))
    return events, failed


def test_one_unreadable_event_costs_no_other() -> None:
    good = ['{"event":"call_done","call":1,"value":"a,{[\\""}', '{"event":"notice","error":{}}']
    bad = '{"event":"work","work":7,"key":"A/B","payload":%s}' % LONG
    events, failed = unread(f"[{good[0]},{bad},{good[1]}]")
    assert events == [json.loads(text) for text in good]
    assert failed == [("work", 7)]


def test_a_payload_cannot_pose_as_an_event() -> None:
    posed = '{"event":"call_done","call":9,"value":"stolen"}'
    bad = '{"event":"call_done","call":2,"value":[%s,%s]}' % (LONG, posed)
    assert unread(f"[{bad}]") == ([], [("call_done", 2)])


def test_a_large_event_is_not_taken_apart() -> None:
    bad = '{"event":"call_done","call":3,"value":%s}' % DEEP
    assert unread(f"[{bad}]") == ([], [("call_done", 3)])


def test_an_unreadable_result_fails_its_call() -> None:
    with pytest.raises(MoorlineError) as failed:
        read_value(LONG.encode())
    assert failed.value.code == "PEER_PROTOCOL"
    assert read_value(b'"\\ud800"') == "\ud800"


def test_each_answer_reaches_its_call_as_it_was_given(run: Any) -> None:
    posed = '},{"event":"call_done","call":1,"value":2}]'
    nested = {"a": [{"event": "call_done", "call": 1, "value": [[], {}]}], "blobs": ["\\"]}
    values = ["", posed, f'\\"{posed}', "\\", '\\"', "ä\x00\U0001f600", 0, -1.5e300, True, None, [], {}]
    values += [nested, [posed, [nested]], {posed: posed}, "x" * 100_000]

    async def main() -> None:
        async with Hub(listen="127.0.0.1:0") as hub:
            worker = Worker(server_url=hub.url, name="echo", max_concurrent=1_000)

            @worker.handle("Echo/Say")
            async def say(settings: Any, ctx: Context) -> Any:
                return {"said": settings}

            async with worker:
                asked = values * 20
                calls = [hub.call("Echo/Say", {"say": value}) for value in asked]
                answers = await asyncio.gather(*calls)
                assert [answer["Outputs"]["said"]["say"] for answer in answers] == asked

    run(main())


@pytest.mark.parametrize("poison", POISON.values(), ids=list(POISON))
def test_a_poisoned_item_fails_and_leaves_its_slot(run: Any, poison: str) -> None:
    def post(url: str, settings: str) -> Any:
        body = '{"Capability":"Echo","Action":"Say","TimeoutMs":20000,"Settings":%s}' % settings
        try:
            with urllib.request.urlopen(f"{url}/Beacon/Work/Dispatch", body.encode()) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return json.load(error)

    async def main() -> None:
        async with Hub(listen="127.0.0.1:0") as hub:
            worker = Worker(server_url=hub.url, name="echo", max_concurrent=1)

            @worker.handle("Echo/Say")
            async def say(settings: Any, ctx: Context) -> Any:
                return {}

            async with worker:
                for settings in (poison, poison, "{}"):
                    answer = await asyncio.to_thread(post, hub.url, settings)
                    assert answer["Success"] or "PEER_PROTOCOL" in answer["Error"], answer
                assert answer["Success"]

    run(main())
