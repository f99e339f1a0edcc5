"""The executor for Python: scripts go through the endpoint that facades are made of. See README.md."""

import asyncio
import json
import logging
import re
import sys

from moorline import MoorlineError, _endpoint
from moorline._blobs import unpack
from moorline._native import Scripted

EVENT = '{"out":{"kind":"event","event":'
COMMAND = re.compile(r'"command":\[("(\w+)",(\d+),(.*))\]\}$', re.DOTALL)


class Watched:  # The native handle, and word of when the application has taken all that waited.
    def __init__(self, native, drained):
        self.fileno, self.submit, self.close = native.fileno, native.submit, native.close
        self._native, self._drained = native, drained

    def drain(self):
        taken = self._native.drain()
        if not taken[3]:
            self._drained.set()
        return taken


class Application(_endpoint.Endpoint):
    def __init__(self, first):
        opening = json.loads(first)
        self._dialect, self._role = opening["dialect"], opening["role"]
        self.drained, self.told, self.calls = asyncio.Event(), [], {}

        def native(dialect, role, options):
            self.script = Scripted(dialect, role, options, first)
            return Watched(self.script.native(), self.drained)

        _endpoint.Native = native
        super().__init__(json.loads(opening["options"]))

    def give(self, triple, name, number, body):
        number, text = int(number), b"[%b]" % triple.encode()
        if name in ("call", "snapshot") or (name == "send" and number):
            self.calls[number] = asyncio.ensure_future(self.call(name, number, text))
        elif name == "cancel" and number in self.calls:
            self.calls[number].cancel()
        elif name == "stop":
            self._stop(json.loads(body)["drain_ms"])
        else:
            self._send_text(text)

    async def call(self, name, number, text):
        try:
            part = {"event": "call_part", "call": number}
            on_part = lambda value: self.told.append({**part, "part": value})
            value = await self._request(name, text, on_part)
        except MoorlineError as error:
            value = (error.code, error.message, error.status)
        self.told.append({"event": "call_done", "call": number, "value": value})

    def _encode(self, name, number, body):
        return body if isinstance(body, bytes) else super()._encode(name, number, body)

    def _send(self, name, number=0, body=None):
        if name != "start":  # The script says when.
            super()._send(name, number, body)

    def _on_text(self, text):
        self.told.append({"event": "message", "peer": None, "payload": json.loads(text)})

    def takes(self, line):
        event = json.loads(line)["out"]["event"]
        if event["event"] == "call_done":
            call, error, value = event["call"], event.get("error"), event.get("value")
            value = unpack(value, event["blobs"]) if "blobs" in event else value
            if self.calls[call].cancelled():
                return True  # Who cancels a call waits for nothing.
            if error:
                value = (error["code"], error["message"], error.get("status"))
            event = {"event": "call_done", "call": call, "value": value}
        return event in self.told and self.told.remove(event) is None


def hears(kind):
    def hear(self, event):
        if not kind.startswith("call_"):
            self.told.append(event)
        getattr(super(Application, self), f"_on_{kind}", id)(event)
    return hear

Application._heard = {kind: hears(kind) for kind in _endpoint._KINDS | _endpoint._CONTENT}


async def main():
    application = None
    for line in sys.stdin.read().rstrip("\n").split("\n"):
        if line.startswith('{"trace":'):
            if application is not None:
                await application.close()
            application = Application(line)
            application.connected = asyncio.ensure_future(application.connect())
        elif application.script.begin(line):
            application.give(*COMMAND.search(line).groups())
        await asyncio.sleep(0)
        application._flush()
        *said, turn = application.script.end().rstrip("\n").split("\n")
        if any(line.startswith(EVENT) for line in said):
            await asyncio.wait_for(application.drained.wait(), 10)
        application.drained.clear()
        await asyncio.sleep(0)
        said = [it for it in said if not it.startswith(EVENT) or application.takes(it)]
        said += [f"unexpected {told}" for told in application.told]
        application.told.clear()
        sys.stdout.write("\n".join([*said, turn, ""]))
    await application.close()


logging.disable()
asyncio.run(main())
