"""Each library's calls against the real server: counted exactly, by reason, and with the same results as without the probe."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.harness import environments
from tests.unit.probes import backends
from tests.unit.probes.library_runs import counted_calls, expected_calls, run, run_with_probe

LIBRARIES = {
    "use_sqlite3": (),
    "use_urllib3": ("http",),
    "use_psycopg": ("postgresql",),
    "use_psycopg2": ("postgresql",),
    "use_sqlalchemy": ("postgresql", "mariadb"),
    "use_pymysql": ("mariadb",),
    "use_redis": ("redis",),
    "use_pymongo": ("mongodb",),
    "use_botocore": ("aws",),
    "use_httpx": ("http",),
    "use_aiohttp": ("http",),
    "use_grpc": (),
}
"""The scenarios of `libraries/`, and the servers that they need."""
HOOKS = {
    "use_sqlite3": "sqlite3",
    "use_urllib3": "urllib3",
    "use_psycopg": "psycopg,psycopg_pool",
    "use_psycopg2": "psycopg2",
    "use_sqlalchemy": "sqlalchemy,psycopg,psycopg2,pymysql,pymysql_cursors,sqlite3",
    "use_pymysql": "pymysql,pymysql_cursors",
    "use_redis": "redis,redis_async",
    "use_pymongo": "pymongo,pymongo_topology,pymongo_topology_async",
    "use_botocore": "botocore,urllib3",
    "use_httpx": "httpx",
    "use_aiohttp": "aiohttp",
    "use_grpc": "grpc",
}


@pytest.fixture(scope="module")
def server() -> Iterator[Callable[[str], int]]:
    """Gives the port of a kind of server, which is started when it is first asked for."""
    ports: dict[str, int] = {}
    with ExitStack() as stack:

        def port(kind: str) -> int:
            if kind not in ports:
                make: Callable[[], AbstractContextManager[int]] = getattr(backends, kind)
                ports[kind] = stack.enter_context(make())
            return ports[kind]

        yield port


@pytest.fixture
def addresses(library: str, server: Callable[[str], int]) -> dict[str, int]:
    return {kind: server(kind) for kind in LIBRARIES[library]}


@pytest.fixture
def python(library: str) -> str:
    """The interpreter that has the library."""
    return str(environments.ensure(backends.AWS)) if library == "use_botocore" else sys.executable


@pytest.fixture(scope="module")
def bare() -> dict[str, dict[str, Any]]:
    """What each scenario gives without a probe, run once."""
    return {}


@pytest.fixture
def expected(library: str, addresses: dict[str, int], python: str, bare: dict[str, dict[str, Any]]) -> dict[str, Any]:
    if library not in bare:
        bare[library], _ = run(library, addresses, python)
    return bare[library]


@pytest.mark.parametrize("runtime", ["native", "pure"])
@pytest.mark.parametrize("library", LIBRARIES)
def test_calls_are_exact(
    library: str, runtime: str, addresses: dict[str, int], expected: dict[str, Any], tmp_path: Path, python: str
) -> None:
    answer, errors, found = run_with_probe(library, addresses, tmp_path, runtime, python)
    assert errors == ""
    assert answer["results"] == expected["results"]
    assert counted_calls(found) == expected_calls(expected)


@pytest.mark.parametrize(("library", "mode"), [*((name, "missing") for name in LIBRARIES), ("use_sqlite3", "raises")])
def test_a_hook_that_cannot_be_put_in(
    library: str, mode: str, addresses: dict[str, int], expected: dict[str, Any], tmp_path: Path, python: str
) -> None:
    answer, errors, found = run_with_probe(library, addresses, tmp_path, "native", python, chaos=f"{mode}:{HOOKS[library]}")
    assert answer["results"] == expected["results"]
    assert [line for line in errors.splitlines() if "rollcall: no probe in" in line] == errors.splitlines() != []
    assert counted_calls(found) == {}


@pytest.mark.parametrize(
    ("library", "place", "runtime"),
    [
        *((name, place, runtime) for name in LIBRARIES for place in ("name", "reason") for runtime in ("native", "pure")),
        ("use_sqlite3", "begin", "pure"),
    ],
)
def test_a_hook_that_fails_while_it_counts(
    library: str, place: str, runtime: str, addresses: dict[str, int], expected: dict[str, Any], tmp_path: Path, python: str
) -> None:
    answer, errors, _ = run_with_probe(library, addresses, tmp_path, runtime, python, chaos=f"calls:{place}")
    assert answer["results"] == expected["results"]
    assert 1 <= errors.count("rollcall:") == len(errors.splitlines()) <= 5, errors  # one for each library, SQLAlchemy has four
