"""Visitors and resources from a real php-fpm."""

from __future__ import annotations

import re
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from rollcall_agent.sources.php import KEY_BYTES
from rollcall_agent.wire import layout
from rollcall_agent.wire.facts import visitor_hash
from tests.unit.agent.pod import Pod
from tests.unit.probes.fpm import PROBES, Fpm, Listener

KEY = bytes(range(16))
COOKIE = {"HTTP_COOKIE": "theme=dark; xsid=wrong; sid=anna%2B1; other=x"}


@pytest.fixture
def agent(pod: Pod) -> Iterator[Listener]:
    with Listener(pod) as made:
        yield made


@pytest.mark.parametrize(
    ("source", "params", "identifier"),
    [
        ("cookie:sid", COOKIE, b"anna%2B1"),
        ("cookie:sid", {"HTTP_COOKIE": 'sid="quoted"'}, b"quoted"),
        ("cookie:sid", {"HTTP_COOKIE": "sid=first"}, b"first"),
        ("cookie:sid", {"HTTP_COOKIE": "theme=dark;sid=close;other=x"}, b"close"),
        ("cookie:sid", {"HTTP_COOKIE": "sid="}, None),
        ("cookie:sid", {"HTTP_COOKIE": "theme=dark"}, None),
        ("cookie:sid", {}, None),
        ("header:X-User-Id", {"HTTP_X_USER_ID": "anna"}, b"anna"),
        ("header:X-User-Id", {"HTTP_X_USER_ID": ""}, None),
        ("clientIP", {"REMOTE_ADDR": "10.1.2.3"}, b"10.1.2.3"),
    ],
)
def test_a_visitor_is_told_as_a_keyed_hash(
    pod: Pod, agent: Listener, source: str, params: dict[str, str], identifier: bytes | None
) -> None:
    fpm = Fpm(pod)
    (pod.run / "agent/visitors").write_text(f"{source}\n{KEY.hex()}\n")
    fpm.get("ok", **params)
    agent.finished(2)
    assert agent.visits == ([] if identifier is None else [visitor_hash(KEY, identifier)])


def test_of_one_request_in_eight_the_cpu_time_is_told(pod: Pod, agent: Listener) -> None:
    fpm = Fpm(pod, workers=1)
    for number in range(2, 402):
        fpm.get("ok")
        if number % 50 == 0:
            agent.read()
    agent.finished(401)
    points = [
        layout.POINT.unpack_from(agent.ledger.memory, layout.OFF_POINTS + index * layout.POINT.size) for index in range(401)
    ]
    told = [(elapsed, cpu) for _, elapsed, _, cpu, *_ in points if cpu != layout.CPU_UNKNOWN]
    assert 15 < len(told) < 120
    assert all(cpu <= elapsed for elapsed, cpu in told)
    assert any(cpu > 0 for _, cpu in told)


def test_who_asks_does_not_leave_the_php_process(pod: Pod) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(pod.run / "php.sock"))
        listener.listen(8)
        (pod.run / "agent").mkdir()
        (pod.run / "agent/visitors").write_text(f"cookie:sid\n{KEY.hex()}\n")
        fpm = Fpm(pod, workers=1)
        stream, _ = listener.accept()
        with stream:
            stream.sendall(b"c%s%s\n" % (KEY.ljust(KEY_BYTES, b"\0"), b"sid"))
            fpm.get("ok", **COOKIE)
            told = stream.recv(65536)
    assert visitor_hash(KEY, b"anna%2B1").to_bytes(8, "little") in told
    assert b"anna" not in told
    assert b"sid" not in told


def test_the_file_of_visitors_may_come_change_and_go_at_any_time(pod: Pod, agent: Listener) -> None:
    """Before the agent has said anything, a worker looks into the same file: nobody reads meanwhile."""
    fpm = Fpm(pod)
    file = pod.run / "agent/visitors"
    for text in (
        "cookie:sid\n00\n",
        "",
        "nonsense",
        "cookie:\n\n",
        ":::\nzz\n",
        f"header:X-A\n{'7' * 5000}\n",
        "cookie:sid\n01\n",
    ):
        file.write_text(text)
        answer = fpm.get("clean", **COOKIE)
        assert answer.endswith(b"[[],null,[],0]"), text
    file.unlink()
    fpm.get("ok", **COOKIE)
    agent.finished(9)
    assert sorted(agent.visits) == sorted(visitor_hash(key, b"anna%2B1") for key in (b"\0", b"\1"))  # of two streams
    agent.visits.clear()
    file.write_text("cookie:sid\n02\n")

    def seen() -> bool:
        fpm.get("ok", **COOKIE)
        return bool(agent.visits)

    agent.until(seen, "a visit")
    assert set(agent.visits) == {visitor_hash(b"\2", b"anna%2B1")}


def test_the_agents_last_line_counts_for_all_requests_that_follow(pod: Pod, agent: Listener) -> None:
    fpm = Fpm(pod, workers=1)
    agent.finished(1)
    fpm.get("ok", **COOKIE)
    agent.finished(2)
    assert agent.visits == []
    expected: list[int] = []
    for number, key in enumerate((b"\1", b"\2", b"\3")):
        (pod.run / "agent/visitors").write_text(f"cookie:sid\n{key.hex()}\n")
        agent.source._ask_at_us = 0
        agent.read()
        fpm.get("ok", **COOKIE)  # has the agent look at the file and tell
        agent.finished(3 + 4 * number)
        for _ in range(3):
            assert fpm.get("clean", **COOKIE).endswith(b"[[],null,[],0]")
        agent.finished(6 + 4 * number)
        expected += [visitor_hash(key, b"anna%2B1")] * 3
        assert agent.visits[-3:] == expected[-3:]


def test_a_worker_that_is_asked_tells_the_resources_at_its_next_request(pod: Pod, agent: Listener) -> None:
    fpm = Fpm(pod, workers=1)
    agent.finished(1)  # and asked
    before_us = time.monotonic_ns() // 1000
    for _ in range(3):
        fpm.get("ok")
    agent.finished(4)
    read_at_us, cpu_us, _, memory_bytes, *_ = agent.file.resources
    assert before_us <= read_at_us <= time.monotonic_ns() // 1000
    assert cpu_us > 0
    assert memory_bytes > 0
    first = agent.file.resources
    fpm.get("ok")
    agent.finished(5)
    assert agent.file.resources == first, "asked once a second"

    def later() -> bool:
        fpm.get("ok")
        return agent.file.resources[0] > first[0] + 900_000

    agent.until(later, "the next answer, a second later")


def read(root: Path, membership: str) -> list[int] | None:
    """What resources.php reads below a folder, run by PHP's command line."""
    code = (
        f"require '{PROBES}/php/resources.php'; "
        f"echo json_encode((new Rollcall\\Probe\\Resources('{root}', '{membership}'))->read());"
    )
    output = subprocess.run(
        ["php", "-n", "-d", "display_errors=1", "-r", code], capture_output=True, check=True, text=True
    ).stdout
    assert re.fullmatch(r"null|\[[\d,]+\]", output), output
    return None if output == "null" else [int(word) for word in output.strip("[]").split(",")]


def write(folder: Path, files: dict[str, str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text)


VERSION_2 = {
    "cpu.stat": "usage_usec 123456\nuser_usec 100000\nsystem_usec 23456\nnr_periods 10\nnr_throttled 2\nthrottled_usec 7000\n",
    "cpu.max": "150000 100000\n",
    "memory.current": "104857600\n",
    "memory.max": "268435456\n",
    "memory.stat": "anon 5\nfile 9\ninactive_file 4857600\nactive_file 1\n",
    "memory.events": "low 0\nhigh 0\nmax 3\noom 1\noom_kill 2\n",
}
EXPECTED = [123456, 7000, 100_000_000, 268_435_456, 1500, 2]
CPU_1 = {
    "cpuacct.usage": "123456789\n",
    "cpu.stat": "nr_periods 10\nnr_throttled 2\nthrottled_time 7000999\n",
    "cpu.cfs_quota_us": "150000\n",
    "cpu.cfs_period_us": "100000\n",
}
MEMORY_1 = {
    "memory.usage_in_bytes": "104857600\n",
    "memory.limit_in_bytes": "268435456\n",
    "memory.stat": "inactive_file 1\ntotal_inactive_file 4857600\n",
    "memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
}
MEMBER_1 = "5:memory:/kubepods/pod1/c1\n3:cpu,cpuacct:/kubepods/pod1/c1\n1:name=systemd:/kubepods/pod1/c1\n"


def test_version_2_in_a_container_and_on_a_node(tmp_path: Path) -> None:
    write(tmp_path / "in", VERSION_2)
    assert read(tmp_path / "in", "0::/\n") == EXPECTED
    write(tmp_path / "on", {"cpu.stat": "usage_usec 1\n"})
    write(tmp_path / "on/kubepods/c1", VERSION_2)
    assert read(tmp_path / "on", "0::/kubepods/c1\n") == EXPECTED


def test_version_1_in_a_container_and_on_a_node(tmp_path: Path) -> None:
    for where in ("in", "on"):
        below = "kubepods/pod1/c1" if where == "on" else ""
        write(tmp_path / where / "memory" / below, MEMORY_1)
        write(tmp_path / where / "cpu,cpuacct" / below, CPU_1)
        for link in ("cpu", "cpuacct"):
            (tmp_path / where / link).symlink_to("cpu,cpuacct")
        assert read(tmp_path / where, MEMBER_1) == EXPECTED, where


def test_no_limit_is_zero_and_no_cgroup_is_no_figures(tmp_path: Path) -> None:
    write(tmp_path / "2", VERSION_2 | {"cpu.max": "max 100000\n", "memory.max": "max\n"})
    assert read(tmp_path / "2", "0::/\n") == [*EXPECTED[:3], 0, 0, 2]
    write(tmp_path / "1/memory", MEMORY_1 | {"memory.limit_in_bytes": "9223372036854771712\n"})
    write(tmp_path / "1/cpu", CPU_1 | {"cpu.cfs_quota_us": "-1\n"})
    write(tmp_path / "1/cpuacct", CPU_1)
    assert read(tmp_path / "1", MEMBER_1) == [*EXPECTED[:3], 0, 0, 2]
    assert read(tmp_path / "nothing", "") is None
