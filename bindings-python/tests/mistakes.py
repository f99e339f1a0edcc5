"""What the types must refuse, one mistake per marked line; checked, never run."""

from __future__ import annotations

from moorline import Dispatcher, Hub, Worker
from moorline.netcluster import Consumer, Provider
from moorline.volt import ClusterDaemonClient, Envelope

Worker(nmae="x")  # wrong
Worker(max_concurrent="4")  # wrong
Worker(transport="carrier pigeon")  # wrong
Hub(access="closed")  # wrong
Dispatcher(reconnect={"max_delay": 1})  # wrong
Worker().handle(1)  # wrong
ClusterDaemonClient(team_cluster="c-1")  # wrong
ClusterDaemonClient(transport="carrier pigeon")  # wrong
ClusterDaemonClient().register_handler("jobs.run", 1)  # wrong
Envelope(body="text")  # wrong
Consumer(hots="h")  # wrong
Provider(ws={"on_backlog": "wait"})  # wrong
Provider(params={"key": None})  # wrong
Consumer().send(5)  # wrong


async def main() -> None:
    await Dispatcher().call("Echo/Say", {}, timeout=5)  # wrong
    await Worker().drain("soon")  # wrong
    await Consumer().deliver({})  # wrong
    await ClusterDaemonClient().send_command("jobs.list", timeout=5)  # wrong
