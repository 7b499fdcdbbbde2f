"""From a request in an application to the picture, and nothing in between but the real thing: probe, agent, ingest, fold."""

from __future__ import annotations

import asyncio
import http.client
import sys
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rollcall.ingest.agent import Door
from rollcall.ingest.server import IngestServer
from rollcall.model.fleet import Fleet
from rollcall.model.picture import Picture
from rollcall.model.roll import Roll
from rollcall.model.show import picture
from tests.unit.agent.pod import Pod, free_port
from tests.unit.ingest.conftest import Identity
from tests.unit.model.agents import facts
from tests.unit.probes import client

APPS = Path(__file__).parents[1] / "probes" / "apps"
FOLD_S = 0.25
PATIENCE_S = 15.0


class Operator:
    """Ingest and fold in this process, for one service with one pod."""

    def __init__(self) -> None:
        self.roll, self.fleet = Roll(), Fleet("shop", "newsfeed")
        self.fleet.settings = replace(self.fleet.settings, visitors=("cookie:sid", "00" * 32))
        self.roll.add(self.fleet)
        self.fleet.upsert(facts("uid-1", started_at=time.time()))
        self.door = Door(self.roll, self.identify, time.monotonic, "0.1.0")
        self.server = IngestServer(self.door, 0, None)

    async def identify(self, token: str) -> Identity | None:
        return Identity("shop", "newsfeed-1", "uid-1") if token == "the-token" else None

    async def fold(self) -> None:
        while True:
            self.roll.fold(time.monotonic(), time.time())
            await asyncio.sleep(FOLD_S)

    async def until(self, what: str, seen: Callable[[Picture], Any]) -> Picture:
        """The first picture in which something is seen."""
        began_s = time.monotonic()
        while True:
            view = picture(self.fleet, with_roll=True)
            if seen(view):
                return view
            assert time.monotonic() - began_s < PATIENCE_S, f"not seen: {what}; {view}"
            await asyncio.sleep(0.05)


@pytest.fixture
async def operator() -> AsyncIterator[Operator]:
    made = Operator()
    await made.server.start()
    folding = asyncio.create_task(made.fold())
    yield made
    folding.cancel()
    await made.server.stop()


@asynccontextmanager
async def application(operator: Operator, folder: Path) -> AsyncIterator[tuple[Pod, int]]:
    """A Flask application under gunicorn with the real probe, beside a real agent."""
    port = free_port()
    options = ["--workers", "2", "--threads", "4", "--worker-class", "gthread", "--bind", f"127.0.0.1:{port}"]
    with Pod(folder, f"127.0.0.1:{operator.server.port}", None) as pod:
        pod.start_agent()
        command = [sys.executable, "-m", "gunicorn", *options, "flask_app:app"]
        await asyncio.to_thread(pod.start_application, command, port, APPS)
        yield pod, port


def rows(view: Picture) -> dict[str, tuple[int, int]]:
    return {row.endpoint: (row.requests, row.errors) for row in view.endpoints.rows} if view.endpoints else {}


async def test_endpoints_errors_and_totals_are_those_that_were_sent(operator: Operator, tmp_path: Path) -> None:
    async with application(operator, tmp_path) as (_, port):
        await operator.until("the pod reports", lambda view: view.pods.serving)
        sent: Counter[int] = Counter()
        for _ in range(4):
            sent += await asyncio.to_thread(client.burst, port, 25)
            await asyncio.sleep(0.6)
        view = await operator.until("all requests", lambda view: view.totals.requests == sent.total())
        view = await operator.until("all facts", lambda view: sum(row[0] for row in rows(view).values()) == sent.total())
    assert sum(errors for _, errors in rows(view).values()) == view.totals.errors == sent[500]
    per_path = sent.total() // len(client.PATHS)
    assert sorted(requests for requests, _ in rows(view).values()) == [per_path] * len(client.PATHS), rows(view)
    assert not [name for name in rows(view) if "/item/1" in name], "a template, never the path"
    assert view.errors.by_type is not None
    assert sum(each.total for each in view.errors.by_type if each.kind == "exception") == sent[500]
    (sample, *_) = view.errors.samples or []
    assert (sample.pod, Path(sample.file).name) == ("pod-1", "flask_app.py")
    line = (APPS / "flask_app.py").read_text().splitlines()[(sample.line or 0) - 1]
    assert "raise" in line or "/ 0" in line, line


async def test_a_hung_request_is_listed_while_it_hangs(operator: Operator, tmp_path: Path) -> None:
    async with application(operator, tmp_path) as (_, port):
        await operator.until("the pod reports", lambda view: view.pods.serving)
        began_s = time.monotonic()
        hanging = threading.Thread(target=client.get, args=(port, "/hang/6.0"))
        hanging.start()
        view = await operator.until("the request", lambda view: view.longest)
        seen_s = time.monotonic() - began_s
        (request,) = view.longest or []
        assert 0.5 <= request.elapsed <= seen_s < 6.0, "listed while it hangs, with its own time"
        assert (request.endpoint, request.pod) == ("GET /hang/<float:seconds>", "pod-1")
        view = await operator.until("its step", lambda view: view.longest and view.longest[0].step)
        assert "flask_app.py" in (view.longest or [])[0].step
        view = await operator.until("its band", lambda view: view.traffic.in_flight and view.traffic.in_flight.bands[1])
        assert view.workers is not None
        assert view.workers.busy == 1
        await operator.until("its end", lambda view: view.longest == [] and view.totals.requests == 1)
        hanging.join()


async def test_visitors_are_counted_by_their_cookie(operator: Operator, tmp_path: Path) -> None:
    async with application(operator, tmp_path) as (_, port):
        await operator.until("the pod reports", lambda view: view.pods.serving)
        await asyncio.to_thread(client.burst, port, 5)
        await asyncio.sleep(2.0)  # the probes have attached and looked at what visitors are known by

        def visit() -> None:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            for visitor in [*range(300), *range(150)]:
                connection.request("GET", "/item/1", headers={"Cookie": f"theme=dark; sid=user-{visitor}"})
                assert connection.getresponse().read()
            connection.close()

        await asyncio.to_thread(visit)
        view = await operator.until(
            "everybody",
            lambda view: view.totals.requests == 450 + 5 * len(client.PATHS) and view.visitors and view.visitors.day >= 290,
        )
        await asyncio.sleep(1.5)
        view = picture(operator.fleet, with_roll=True)
        assert view.visitors is not None
        for found in (view.visitors.last_five_minutes, view.visitors.hour, view.visitors.day):
            assert found == pytest.approx(300, rel=0.02)
        assert view.visitors.concurrent_users is not None


async def test_a_new_operator_hears_everything_once(operator: Operator, tmp_path: Path) -> None:
    async with application(operator, tmp_path) as (_, port):
        await operator.until("the pod reports", lambda view: view.pods.serving)
        sent = await asyncio.to_thread(client.burst, port, 20)
        before = await operator.until("all facts", lambda view: sum(row[0] for row in rows(view).values()) == sent.total())
        operator.roll.drop(("shop", "newsfeed"))
        operator.fleet = Fleet("shop", "newsfeed")
        operator.roll.add(operator.fleet)
        operator.fleet.upsert(facts("uid-1"))
        operator.roll.pod_known(operator.fleet, "uid-1", time.monotonic())
        sent += await asyncio.to_thread(client.burst, port, 20)
        view = await operator.until("all facts again", lambda view: sum(row[0] for row in rows(view).values()) >= sent.total())
        assert rows(view) == {endpoint: (2 * requests, 2 * errors) for endpoint, (requests, errors) in rows(before).items()}
        await asyncio.sleep(1.5)
        assert rows(picture(operator.fleet, with_roll=True)) == rows(view), "and not more than once"


async def test_resources_are_those_of_the_cgroup(operator: Operator, tmp_path: Path) -> None:
    async with application(operator, tmp_path) as (_, port):
        await asyncio.to_thread(client.burst, port, 5)  # a probe attaches with its first request
        view = await operator.until("resources", lambda view: view.roll and view.roll[0].resources)
        view = await operator.until(
            "CPU", lambda view: view.roll and view.roll[0].resources and view.roll[0].resources.cpu_millicores is not None
        )
        assert view.roll is not None
        used = view.roll[0].resources
        assert used is not None
        assert used.source == "probe"
        assert used.memory_bytes > 10 * 2**20
        assert used.age < 3
