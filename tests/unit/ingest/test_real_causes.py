"""Whose fault it is, with nothing in between but the real thing: probe, agent, ingest, fold."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from rollcall.model.picture import Picture
from tests.unit.agent.pod import Pod, free_port
from tests.unit.ingest.test_real_agent import APPS, Operator, operator
from tests.unit.probes import client

__all__ = ["operator"]
WAITING_APP = """
import sqlite3, threading, time
from flask import Flask

app = Flask(__name__)
local = threading.local()


def database():
    if not hasattr(local, "found"):
        local.found = sqlite3.connect("orders.db")
        local.found.create_function("nap", 1, lambda seconds: time.sleep(seconds))
    return local.found


@app.route("/orders")
def orders():
    database().execute("select nap(0.08)").fetchall()
    return "ok"


@app.route("/think")
def think():
    until = time.thread_time() + 0.05
    while time.thread_time() < until:
        pass
    return "ok"
"""


@asynccontextmanager
async def application(operator: Operator, folder: Path, where: Path, app: str, **env: str) -> AsyncIterator[int]:
    """An application under gunicorn with the real probe, beside a real agent."""
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "--workers", "2", "--bind", f"127.0.0.1:{port}", app]
    with Pod(folder, f"127.0.0.1:{operator.server.port}", None) as pod:
        pod.start_agent()
        await asyncio.to_thread(pod.start_application, command, port, where, **env)
        yield port


async def load(operator: Operator, port: int, path: str, seconds: float) -> int:
    """One request after the other; returns how many were answered."""
    until_s, answered = time.monotonic() + seconds, 0
    while time.monotonic() < until_s:
        status, _ = await asyncio.to_thread(client.get, port, path)
        answered += status == 200
    return answered


@pytest.fixture
def waiting(tmp_path: Path) -> Path:
    (tmp_path / "waiting_app.py").write_text(WAITING_APP)
    return tmp_path


async def test_a_slow_database_is_named_with_its_share(operator: Operator, waiting: Path) -> None:
    async with application(operator, waiting, waiting, "waiting_app:app") as port:
        await operator.until("the pod reports", lambda view: view.pods.serving)
        sent = await load(operator, port, "/orders", 4.0)

        def all_calls(view: Picture) -> bool:
            return view.dependencies is not None and view.dependencies.rows[0].calls == sent

        view = await operator.until("all calls", all_calls)
        assert view.dependencies is not None
        (row,) = view.dependencies.rows
        assert (row.dependency, row.failed) == ("sqlite orders.db", 0)
        assert row.p50 == pytest.approx(0.08, rel=0.15)
        assert row.share is not None
        assert row.share > 0.85
        assert view.bottleneck is not None
        slow = view.bottleneck.slow  # all of the window has in it what waits at other sockets of this machine, too
        assert slow is not None
        assert (slow.kind, slow.dependency, slow.share > 0.85) == ("dependency", "sqlite orders.db", True)
        assert view.bottleneck.shares.dependency > 5 * view.bottleneck.shares.cpu
        assert view.sources == {"python": 1}
        assert (view.traffic.pods, view.traffic.in_flight_pods) == (1, 1)


async def test_own_code_is_told_by_the_cpu_time_of_its_requests(operator: Operator, waiting: Path) -> None:
    """Each computes for 50 ms; how long it waits for a processor of this machine meanwhile, nobody knows."""
    async with application(operator, waiting, waiting, "waiting_app:app") as port:
        await operator.until("the pod reports", lambda view: view.pods.serving)
        sent = await load(operator, port, "/think", 3.0)
        store = operator.fleet.signals.points
        view = await operator.until("its points", lambda _: store.last(60.0, operator.fleet.last.at_s)["weight"].sum() == sent)
        told = store.last(60.0, operator.fleet.last.at_s)
        assert told["cpu_us"].min() >= 50_000
        assert told["cpu_us"].mean() < 75_000
        assert set(store.pods(60.0, operator.fleet.last.at_s).tolist()) == {"pod-1"}
        view = await operator.until("the slow ones", lambda view: view.bottleneck and view.bottleneck.slow)
        assert view.bottleneck is not None
        assert view.bottleneck.slow is not None
        shares = view.bottleneck.slow.shares
        assert (shares.dependency, shares.unknown) == (0, 0)
        had = told["cpu_us"] / told["elapsed_us"]  # on a busy machine little of a request's time is that of a processor
        assert 0.9 * had.min() <= shares.cpu <= 1.1 * had.max()
        assert view.bottleneck.shares.cpu > 0


async def test_a_crash_names_library_endpoint_and_revision(operator: Operator, tmp_path: Path) -> None:
    library = tmp_path / "libbroken.so"
    subprocess.run(["cc", "-O0", "-w", "-shared", "-fPIC", str(APPS / "breaks.c"), "-o", str(library)], check=True)
    operator.fleet.upsert(replace(operator.fleet.pods["uid-1"].facts, revision="7f9c"))
    async with application(operator, tmp_path, APPS, "breaking_app:app", BROKEN=str(library)) as port:
        assert (await asyncio.to_thread(client.get, port, "/"))[0] == 200
        await operator.until("the request", lambda view: view.totals.requests == 1)
        assert await asyncio.to_thread(client.get, port, "/break/in_the_c_library") == (0, b"")
        crashed_s = time.monotonic()
        view = await operator.until("the crash", lambda view: view.crashes and view.crashes.groups and view.crashes.recent)
        assert time.monotonic() - crashed_s < 2.0
        assert view.crashes is not None
        (group,) = view.crashes.groups
        assert (group.signal, group.module, group.endpoint, group.revision) == (
            "SIGSEGV", str(library), "GET /break/<way>", "7f9c",
        )  # fmt: skip
        assert (view.crashes.total, view.crashes.newest) == (1, "SIGSEGV")
        view = await operator.until("the request that nobody answered", lambda view: view.totals.lost == 1)
        assert view.traffic.error_ratio == pytest.approx(0.5)
        view = await operator.until("its endpoint", lambda view: view.endpoints and view.endpoints.rows[-1].unanswered == 1)
        assert view.pods.serving == 1, "the container stays up"
