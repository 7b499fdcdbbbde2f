"""Dependencies of real web applications, through probe and agent: calls, what requests waited for, points, steps in flight."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from rollcall_agent.wire import facts, points
from tests.unit.agent.fake_operator import FakeOperator
from tests.unit.agent.pod import Pod
from tests.unit.probes import backends
from tests.unit.probes.client import get
from tests.unit.probes.test_servers import GUNICORN, UVICORN
from tests.unit.probes.test_signals import kind_of, longest, start

RUNTIMES = ("native", "pure")
ORDERS = "postgresql orders"
SERVERS = {
    "threads": [*GUNICORN, "-w1", "-k", "gthread", "--threads", "4", "shop_app:app"],
    "processes": [*GUNICORN, "-w2", "shop_app:app"],
    "gevent": [*GUNICORN, "-w1", "-k", "gevent", "shop_app:app"],
    "tasks": [*UVICORN, "shop_async:app"],
}


@pytest.fixture(scope="module")
def database() -> Iterator[int]:
    with backends.postgresql() as port:
        yield port


@pytest.fixture(scope="module")
def api() -> Iterator[int]:
    with backends.http() as port:
        yield port


class Shop:
    """One of SERVERS in a pod, and what its agent told."""

    def __init__(self, pod: Pod, operator: FakeOperator, server: str, runtime: str, database: int, api: int) -> None:
        operator.welcome = {**operator.welcome, "points": 1000}
        self.operator = operator
        self.api = f"http 127.0.0.1:{api}"
        self.port = start(pod, SERVERS[server], API=str(api), DATABASE=str(database), **kind_of(runtime))

    def calls(self) -> dict[str, int]:
        return {name: counts.get(facts.CALLS, 0) for name, counts in self.operator.facts.calls.items()}

    def sum_of(self, kind: int, name: str) -> int:
        return self.operator.facts.calls.get(name, {}).get(kind, 0)

    def wait_for_calls(self, expected: dict[str, int]) -> None:
        self.operator.wait_for(lambda: self.calls() == expected, f"calls {expected}, seen {self.calls()}")

    def wait_for_points(self, count: int) -> list[tuple[str, str, str, points.Point]]:
        self.operator.wait_for(lambda: len(self.operator.points) >= count, f"{count} points, seen {self.operator.points}")
        return list(self.operator.points)


@pytest.fixture
def shop(pod: Pod, operator: FakeOperator, server: str, runtime: str, database: int, api: int) -> Shop:
    return Shop(pod, operator, server, runtime, database, api)


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("server", SERVERS)
def test_calls_and_what_requests_waited_for(shop: Shop, server: str) -> None:
    threads = [threading.Thread(target=get, args=(shop.port, "/order")) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    shop.wait_for_calls({ORDERS: 36, shop.api: 12})  # two statements and a commit
    told = shop.wait_for_points(12)
    assert {(endpoint, error) for endpoint, _, error, _ in told} == {("GET /order", "")}
    if server != "gevent":  # of which psycopg2 knows nothing, so that each request waits for the statements of all
        longest = [dependency for _, dependency, *_ in told]  # on a busy machine it may be the service once
        assert longest.count(ORDERS) > 6
        assert set(longest) <= {ORDERS, shop.api}
    assert all(200_000 <= point.waited_us <= point.elapsed_us for *_, point in told)
    shop.operator.wait_for(lambda: shop.sum_of(facts.WAITED, ORDERS) >= 12 * 200_000, "what they waited")
    waited = shop.sum_of(facts.WAITED, ORDERS) + shop.sum_of(facts.WAITED, shop.api)
    assert waited == sum(point.waited_us for *_, point in told)
    known = [point.cpu_us for *_, point in told if point.cpu_us != points.CPU_UNKNOWN]
    assert bool(known) == (server in ("threads", "processes"))
    assert all(cpu_us < 200_000 + point.elapsed_us for cpu_us, (*_, point) in zip(known, told, strict=False))


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("server", ["threads"])
def test_a_call_within_a_call_counts_once(shop: Shop) -> None:
    for _ in range(10):
        assert get(shop.port, "/nested") == (200, b"1")
    # What the dialect asks a new server for comes with the first connection.
    shop.operator.wait_for(lambda: shop.calls().get(ORDERS, 0) >= 10, "ten statements")
    before = shop.calls()[ORDERS]
    for _ in range(10):
        get(shop.port, "/nested")
    shop.wait_for_calls({ORDERS: before + 10})


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("server", ["threads", "tasks"])
def test_a_dependency_that_is_down(shop: Shop, server: str) -> None:
    for _ in range(3):
        assert get(shop.port, "/down")[0] == 500
    shop.wait_for_calls({"http 127.0.0.1:1": 3})
    refused = facts.CALL_FAILURES * 100 + facts.REASONS.index("refused")
    assert shop.operator.facts.calls["http 127.0.0.1:1"][refused] == 3
    [(endpoint, dependency, error, point), *_] = shop.wait_for_points(3)
    name = "exception httpx.ConnectError" if server == "tasks" else "exception requests.exceptions.ConnectionError"
    assert (endpoint, dependency, error, point.outcome) == ("GET /down", "http 127.0.0.1:1", name, 5 | 8)


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("server", ["threads", "processes", "tasks"])
def test_what_a_slow_request_waits_for_is_told_while_it_does(shop: Shop, server: str) -> None:
    caller = threading.Thread(target=get, args=(shop.port, "/slow"))
    caller.start()
    file = "shop_async.py" if server == "tasks" else "shop_app.py"
    step = f"{shop.api} from slow ({file}:"

    def seen() -> list[dict[str, Any]]:
        return [request for request in longest(shop.operator) if request["step"].startswith(step)]

    shop.operator.wait_for(seen, f"a request at {step}")
    [request] = seen()
    assert request["endpoint"] == "GET /slow"
    assert 0 <= request["elapsed_ms"] - request["step_ms"] < 300, "since the call began"
    caller.join()
    shop.wait_for_calls({shop.api: 1})


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("server", ["tasks"])
def test_calls_beside_each_other_and_in_a_thread(shop: Shop) -> None:
    assert get(shop.port, "/beside")[0] == 200
    shop.wait_for_calls({shop.api: 5})
    [(endpoint, dependency, _, point)] = shop.wait_for_points(1)
    assert (endpoint, dependency) == ("GET /beside", shop.api)
    assert shop.sum_of(facts.CALL_DURATION, shop.api) >= 5 * 200_000
    assert 0.98 * point.elapsed_us <= point.waited_us <= point.elapsed_us
    assert get(shop.port, "/thread")[0] == 200
    shop.wait_for_calls({shop.api: 5, ORDERS: 2})
    [_, (endpoint, dependency, _, point)] = shop.wait_for_points(2)
    assert (endpoint, dependency, point.waited_us >= 200_000) == ("GET /thread", ORDERS, True)


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("server", ["threads"])
def test_a_body_that_calls_while_it_is_sent(shop: Shop) -> None:
    get(shop.port, "/stream")
    [(endpoint, dependency, _, point)] = shop.wait_for_points(1)
    assert (endpoint, dependency) == ("GET /stream", ORDERS)
    assert 200_000 <= point.waited_us <= point.elapsed_us
