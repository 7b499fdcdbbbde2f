"""Words and numbers that the probe takes from elsewhere: messages without secrets, stacks as steps, cgroups v1 and v2."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from _rollcall_probe import cgroup, failures, steps  # type: ignore[import-not-found]
from _rollcall_probe.redact import redact  # type: ignore[import-not-found]
from hypothesis import given, settings
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("division by zero", "division by zero"),
        ("no user anna.b+x@mail.example.com", "no user <email>"),
        ("password=hunter2 failed", "password=*** failed"),
        ('{"password": "hunter2", "user": 7}', '{"password": "***", "user": 7}'),
        ("Authorization: Bearer abcdef.ghi", "Authorization: ***"),
        ("header bearer abcdefghijkl", "header bearer ***"),
        ("api_key: k-123, next", "api_key: ***, next"),
        ("postgresql://anna:secret@db/feed is down", "postgresql://***@db/feed is down"),
        ("card 4111 1111 1111 1111 refused", "card <number> refused"),
        ("call +49 30 1234567", "call <number>"),
        ("order 123456 of 3.14159", "order 123456 of 3.14159"),
        ("id 123e4567-e89b-12d3-a456-426614174000", "id <uuid>"),
        ("hash 0123456789abcdef0123", "hash <hex>"),
        ("jwt eyJhbGciOi.eyJzdWIi.c2ln gone", "jwt <token> gone"),
        ("key AKIA1234567890abcdefGHIJ", "key <token>"),
        ("connection to 10.1.2.3:5432 refused", "connection to 10.1.2.3:5432 refused"),
    ],
)
def test_messages_hold_no_secrets(message: str, shown: str) -> None:
    assert redact(message) == shown


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=300))
def test_any_message_can_be_redacted(message: str) -> None:
    assert isinstance(redact(message), str)


@pytest.mark.parametrize(
    ("error", "name"),
    [
        (ValueError(), "exception ValueError"),
        (TimeoutError(), "timeout TimeoutError"),
        (TimeoutError(), "timeout TimeoutError" if sys.version_info >= (3, 11) else "timeout asyncio.TimeoutError"),
        (type("ReadTimeout", (OSError,), {"__module__": "httpx"})(), "timeout httpx.ReadTimeout"),
        (type("OperationalError", (Exception,), {"__module__": "psycopg"})(), "exception psycopg.OperationalError"),
    ],
)
def test_errors_have_a_kind_and_a_type(error: BaseException, name: str) -> None:
    assert failures.name_of(error) == name


class Views:
    """An application's code."""

    def show(self) -> None:
        int("x")


def test_the_place_of_an_error_is_in_the_applications_own_code() -> None:
    def view() -> None:
        Views().show()

    with pytest.raises(ValueError, match="invalid literal") as caught:
        view()
    function, file, line = failures.place_of(caught.value)
    assert file.endswith("test_words.py")
    assert function == ("Views.show" if sys.version_info >= (3, 11) else "show")
    assert "int(" in Path(__file__).read_text().splitlines()[line - 1]


def code_of(filename: str, function: str) -> Any:
    """A code object as one compiled from that file has it."""
    namespace: dict[str, Any] = {}
    exec(compile(f"def {function}(): pass", filename, "exec"), namespace)
    return namespace[function].__code__


LIBRARY = "/usr/lib/python3/site-packages/{}/connection.py"


@pytest.mark.parametrize(
    ("stack", "text"),
    [
        ([("/app/feed.py", "read", "feed", 7)], "code read (/app/feed.py:7)"),
        (
            [
                (LIBRARY.format("psycopg"), "wait", "psycopg.waiting", 3),
                (LIBRARY.format("psycopg"), "execute", "psycopg.cursor", 9),
                ("/app/feed.py", "read", "feed", 7),
            ],
            "db psycopg.wait from read (/app/feed.py:7)",
        ),
        (
            [
                (LIBRARY.format("urllib3"), "read", "urllib3.response", 3),
                (LIBRARY.format("botocore"), "send", "botocore.httpsession", 9),
                ("/app/feed.py", "read", "feed", 7),
            ],
            "http urllib3.read from read (/app/feed.py:7)",
        ),
        ([(LIBRARY.format("redis"), "recv", "redis.connection", 3)], "cache redis.recv"),
        ([(LIBRARY.format("other"), "work", "other.thing", 3)], "code other.thing.work"),
        (
            [(LIBRARY.format("other"), "work", "other.thing", 3), ("/app/feed.py", "read", "feed", 7)],
            "code read (/app/feed.py:7)",
        ),
    ],
)
def test_a_stack_in_words(stack: list[tuple[str, str, str, int]], text: str) -> None:
    found = [(code_of(filename, function), module, line) for filename, function, module, line in stack]
    assert steps.describe(found) == text


def test_the_stack_of_a_task_ends_where_it_waits() -> None:
    async def deepest() -> None:
        await asyncio.sleep(10)

    async def outer() -> None:
        await deepest()

    async def main() -> str:
        task = asyncio.ensure_future(outer())
        await asyncio.sleep(0)
        found = [entry[0].co_name for entry in steps._stack_of_task(task)]
        task.cancel()
        return " ".join(found)

    assert asyncio.run(main()) == "sleep deepest outer"


def test_a_thread_that_is_in_no_request_has_no_step() -> None:
    assert steps._stack_of_thread(sys._current_frames()[threading.get_ident()]) == []
    assert steps._stack_of_thread(None) == []


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


V2 = {
    "cgroup.controllers": "cpu memory\n",
    "cpu.stat": "usage_usec 1500\nuser_usec 900\nnr_throttled 3\nthrottled_usec 250\n",
    "cpu.max": "50000 100000\n",
    "memory.current": "5000000\n",
    "memory.stat": "anon 1\ninactive_file 1000000\n",
    "memory.max": "8000000\n",
    "memory.events": "low 0\noom 3\noom_kill 2\n",
}
V1 = {
    "cpu,cpuacct/cpu.stat": "nr_periods 5\nnr_throttled 3\nthrottled_time 250000\n",
    "cpu,cpuacct/cpu.cfs_quota_us": "50000\n",
    "cpu,cpuacct/cpu.cfs_period_us": "100000\n",
    "cpu,cpuacct/cpuacct.usage": "1500000\n",
    "memory/memory.usage_in_bytes": "5000000\n",
    "memory/memory.limit_in_bytes": "8000000\n",
    "memory/memory.stat": "rss 1\ntotal_inactive_file 1000000\n",
    "memory/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
}
READ = (1500, 250, 4_000_000, 8_000_000, 500, 2)
UNLIMITED = (1500, 250, 4_000_000, 0, 0, 2)
V2_UNLIMITED = {**V2, "cpu.max": "max 100000\n", "memory.max": "max\n"}
V1_UNLIMITED = {**V1, "cpu,cpuacct/cpu.cfs_quota_us": "-1\n", "memory/memory.limit_in_bytes": "9223372036854771712\n"}


def below(files: dict[str, str], path: str) -> dict[str, str]:
    """The same files in the cgroup `path` of a whole tree."""
    moved = {}
    for name, text in files.items():
        folder, _, file = name.rpartition("/")
        keep = name == "cgroup.controllers"
        moved[name if keep else f"{folder}/{path}/{file}".lstrip("/")] = text
    return moved


@pytest.mark.parametrize(
    ("files", "own", "expected"),
    [
        (V2, "0::/\n", READ),
        (V2_UNLIMITED, "0::/\n", UNLIMITED),
        (V2, "0::/kubepods/pod1/app\n", READ),
        (below(V2, "kubepods/pod1/app"), "0::/kubepods/pod1/app\n", READ),
        (V1, "4:memory:/\n3:cpu,cpuacct:/\n", READ),
        (V1_UNLIMITED, "4:memory:/\n3:cpu,cpuacct:/\n", UNLIMITED),
        (below(V1, "kubepods/app"), "4:memory:/kubepods/app\n3:cpu,cpuacct:/kubepods/app\n", READ),
        ({name.replace("cpu,cpuacct/cpu.", "cpu/cpu.").replace("cpu,cpuacct", "cpuacct"): text for name, text in V1.items()},
         "4:memory:/\n3:cpu:/\n2:cpuacct:/\n", READ),
    ],
)  # fmt: skip
def test_cgroups_of_both_versions(tmp_path: Path, files: dict[str, str], own: str, expected: tuple[int, ...]) -> None:
    root = write(tmp_path / "cgroup", files)
    (tmp_path / "self").write_text(own)
    assert cgroup.find(str(root), str(tmp_path / "self"))() == expected


def test_a_kernel_that_shows_no_cgroup_is_an_os_error(tmp_path: Path) -> None:
    (tmp_path / "self").write_text("0::/\n")
    (tmp_path / "cgroup").mkdir()
    with pytest.raises(OSError, match="no "):
        cgroup.find(str(tmp_path / "cgroup"), str(tmp_path / "self"))


def test_this_machines_own_cgroup_can_be_read() -> None:
    read: Callable[[], tuple[int, ...]] = cgroup.find()
    cpu_us, _, memory_bytes, *_ = read()
    assert cpu_us > 0
    assert memory_bytes > 1_000_000


def test_one_process_of_a_folder_holds_the_lock(tmp_path: Path) -> None:
    fd = cgroup.lock(str(tmp_path))
    assert fd is not None
    assert cgroup.lock(str(tmp_path)) is None
    os.close(fd)
    again = cgroup.lock(str(tmp_path))
    assert again is not None
    os.close(again)
