"""Tries the hooks with the oldest and newest versions of the libraries: `python -m tests.harness.compatibility [WORD ...]`

Not part of the tests: it makes an environment for each line (minutes, once). Prints the table of docs/dependencies.md: each
version, whether every call was counted by the native recorder and by that in Python, and whether the results were the same.
Words choose the lines that contain one of them.
"""

import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from tests.unit.probes import backends
from tests.unit.probes.library_runs import counted_calls, expected_calls, run, run_with_probe
from tests.unit.probes.test_libraries import LIBRARIES

from . import environments
from .commands import run as run_command
from .errors import HarnessError


@dataclass(frozen=True)
class Line:
    """A scenario of tests/unit/probes/libraries, and the environment that it is tried in."""

    library: str
    python: str
    requirements: tuple[str, ...] = ()


LINES = (
    *(Line("use_sqlite3", python) for python in ("3.8", "3.9", "3.10", "3.12", "3.13")),
    Line("use_urllib3", "3.8", ("urllib3==1.24.3", "requests==2.22.0")),
    Line("use_urllib3", "3.12", ("urllib3", "requests")),
    Line("use_httpx", "3.8", ("httpx==0.20.0",)),
    Line("use_httpx", "3.12", ("httpx",)),
    Line("use_aiohttp", "3.8", ("aiohttp==3.7.4",)),
    Line("use_aiohttp", "3.12", ("aiohttp",)),
    Line("use_psycopg", "3.8", ("psycopg[binary]==3.0.18", "psycopg-pool==3.1.0", "backports.zoneinfo")),
    Line("use_psycopg", "3.12", ("psycopg[binary]", "psycopg-pool")),
    Line("use_psycopg2", "3.8", ("psycopg2-binary==2.8.6",)),
    Line("use_psycopg2", "3.12", ("psycopg2-binary",)),
    Line("use_pymysql", "3.8", ("PyMySQL==0.10.1",)),
    Line("use_pymysql", "3.12", ("PyMySQL",)),
    Line("use_sqlalchemy", "3.8", ("sqlalchemy==1.4.0", "psycopg2-binary==2.8.6", "PyMySQL==0.10.1")),
    Line("use_sqlalchemy", "3.12", ("sqlalchemy[asyncio]", "psycopg[binary]", "psycopg2-binary", "PyMySQL")),
    Line("use_redis", "3.8", ("redis==4.2.2",)),
    Line("use_redis", "3.12", ("redis",)),
    Line("use_pymongo", "3.8", ("pymongo==3.12.3",)),
    Line("use_pymongo", "3.12", ("pymongo",)),
    Line("use_botocore", "3.8", ("botocore==1.21.65",)),
    Line("use_botocore", "3.12", ("botocore",)),
    Line("use_grpc", "3.8", ("grpcio==1.48.2",)),
    Line("use_grpc", "3.12", ("grpcio",)),
)


def try_line(line: Line, addresses: dict[str, int]) -> str:
    """`yes`, or what was different."""
    python = str(environments.ensure(line.requirements, line.python))
    bare, _ = run(line.library, addresses, python)
    for runtime in ("native", "pure"):
        with tempfile.TemporaryDirectory() as folder:
            answer, errors, found = run_with_probe(line.library, addresses, Path(folder), runtime, python)
        if errors:
            return f"{runtime}: {errors.splitlines()[-1]}"
        if answer["results"] != bare["results"]:
            pairs = zip(answer["results"], bare["results"], strict=False)
            return f"{runtime}: another result, {next(pair for pair in pairs if pair[0] != pair[1])}"
        if counted_calls(found) != expected_calls(bare):
            return f"{runtime}: counted {counted_calls(found)} of {expected_calls(bare)}"
    return "yes"


def versions_of(line: Line) -> str:
    """`Python 3.8, urllib3 1.24.3, requests 2.22.0`, as they are installed."""
    python = str(environments.ensure(line.requirements, line.python))
    names = [requirement.partition("=")[0].partition("[")[0] for requirement in line.requirements]
    code = "import sys; from importlib.metadata import version; print(*map(version, sys.argv[1:]))"
    found = run_command([python, "-c", code, *names]).split()
    return ", ".join([f"Python {line.python}", *(f"{name} {version}" for name, version in zip(names, found, strict=True))])


def main(words: Sequence[str]) -> int:
    """Print the table; 1 when a line is not `yes`."""
    failed = False
    ports: dict[str, int] = {}
    with ExitStack() as stack:
        print("| Versions | Exact, native and pure |\n|---|---|")
        for line in LINES:
            if words and not any(word in f"{line}" for word in words):
                continue
            for kind in LIBRARIES[line.library]:
                if kind not in ports:
                    ports[kind] = stack.enter_context(getattr(backends, kind)())
            try:
                addresses = {kind: ports[kind] for kind in LIBRARIES[line.library]}
                versions, verdict = versions_of(line), try_line(line, addresses)
            except (HarnessError, AssertionError) as error:
                versions, verdict = f"{line}", f"not tried: {str(error)[-1500:]}"
            failed = failed or verdict != "yes"
            print(f"| {versions} | {verdict} |", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
