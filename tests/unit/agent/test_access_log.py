"""Access logs of a real nginx, in both formats and both ways, against the real agent."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollcall_agent.ledger import Ledger
from rollcall_agent.sources.access_log_file import LAST_TURNS, MOST_BYTES
from rollcall_agent.sources.access_log_lines import MARK, combined, rollcall, upstreams
from rollcall_agent.sources.paths import shape
from rollcall_agent.wire import facts, layout
from rollcall_agent.wire.report import FLAG_NO_IN_FLIGHT, FLAG_PROBE
from tests.unit.agent.fake_operator import FakeOperator
from tests.unit.agent.nginx import ROLLCALL, Nginx
from tests.unit.agent.pod import REPOSITORY, Pod, free_port, poll_until

REASONS = {name: facts.CALL_FAILURES * 100 + index for index, name in enumerate(facts.REASONS)}


@pytest.fixture
def pod(tmp_path: Path, operator: FakeOperator, certificate: tuple[Path, Path]) -> Iterator[Pod]:
    with Pod(tmp_path, f"localhost:{operator.port}", certificate[0]) as made:
        yield made


def serve(pod: Pod, kind: str, way: str, ours: bool = True) -> tuple[Nginx, Path]:
    """nginx, started, whose log goes to the agent, which is not started; and where the log is, if it is a file."""
    pod._env["ROLLCALL_ACCESS_LOG"] = kind
    path = pod.folder / "logs" / "access.log"
    path.parent.mkdir()
    if way == "port":
        port = free_port()
        pod._env["ROLLCALL_ACCESS_LOG_PORT"] = str(port)
        log = f"syslog:server=127.0.0.1:{port} {kind}"
    else:
        pod._env["ROLLCALL_ACCESS_LOG_FILE"] = str(path)
        pod._env["ROLLCALL_ACCESS_LOG_OURS"] = "on" if ours else "off"
        log = f"{path} {kind}"
    nginx = Nginx(pod, pod.folder, log, kind)
    nginx.start()
    return nginx, path


@pytest.mark.parametrize("way", ["port", "file"])
@pytest.mark.parametrize("kind", ["rollcall", "combined"])
def test_requests_of_nginx(pod: Pod, operator: FakeOperator, kind: str, way: str) -> None:
    nginx, _ = serve(pod, kind, way)
    pod.start_agent()
    operator.wait_for_report(seq=1)
    nginx.ask("/", 10)
    nginx.ask("/feed/12/likes", 5)
    nginx.ask("/feed/13?token=secret", 5)
    nginx.ask("/feed/fail", 2)
    nginx.ask("/away/", 1)
    nginx.ask("/wp-login.php", 3)
    nginx.ask("/feed/slow", 1, give_up_s=0.2)
    nginx.ask("/feed/slow", 1)
    seen = operator.wait_for_report(finished=28)
    assert (seen["started"], seen["errors"], seen["lost"], seen["in_flight"]) == (28, 4, 0, 0)
    assert seen["responses"] == (0, 20, 0, 4, 4)
    assert seen["flags"] & FLAG_PROBE
    assert seen["flags"] & FLAG_NO_IN_FLIGHT, "a log tells of what has ended"
    operator.wait_for(lambda: sum(row[0] for row in operator.facts.counted().values()) == 28, "endpoints")
    counted = {name: row[:2] for name, row in operator.facts.counted().items()}
    assert counted == {"GET /": (10, 0), "GET /feed/*": (14, 3), "GET /away": (1, 1), "other": (3, 0)}
    assert operator.facts.errors == {"http 503": 2, "http 502": 1, "timeout http 504": 1, "abort client": 1}
    assert {"type": "sources", "sources": ["accessLog"]} in operator.events
    if kind == "combined":
        assert sum(seen["histogram"]) == seen["duration_us"] == 0, "a format without times tells none"
        assert operator.facts.cells == {}
        return
    assert sum(seen["histogram"]) == 28
    calls = operator.facts.calls
    assert calls["http backend"][facts.CALLS] == 14
    assert calls["http backend"][REASONS["error"]] == 2
    assert calls["http backend"][REASONS["timeout"]] == 1
    assert calls[f"http 127.0.0.1:{nginx._closed}"][REASONS["refused"]] == 1
    likes = operator.facts.counted()["GET /feed/*"]
    assert 12 * 20_000 < calls["http backend"][facts.WAITED] <= likes[2]
    assert any(dependency == "http backend" for _, dependency, _, _ in operator.points)


LINE = b"rollcall1\tGET\t200\t0.010\t-\t-\t-\t-\t/feed/1\n"


def follow(pod: Pod, ours: bool = True) -> Path:
    """A log file that this test writes; the agent is not started."""
    path = pod.folder / "logs" / "access.log"
    path.parent.mkdir()
    pod._env |= {
        "ROLLCALL_ACCESS_LOG": "rollcall",
        "ROLLCALL_ACCESS_LOG_FILE": str(path),
        "ROLLCALL_ACCESS_LOG_OURS": "on" if ours else "off",
    }
    return path


def append(path: Path, lines: bytes) -> None:
    with path.open("ab") as file:
        file.write(lines)


def test_each_line_is_counted_once_while_the_worker_is_killed_again_and_again(pod: Pod, operator: FakeOperator) -> None:
    path = follow(pod)
    agent = pod.start_agent()
    operator.wait_for_report(seq=1)
    written = 0
    for kill in range(6):
        for _ in range(40):
            append(path, LINE * 150 + b"noise\n")
            written += 150
            time.sleep(0.004)
        if kill < 5:
            [worker] = poll_until(lambda: pod.children(agent), "a worker")
            os.kill(worker, signal.SIGKILL)
    seen = operator.wait_for_report(finished=written, timeout_s=30)
    assert (seen["started"], seen["errors"], seen["lost"]) == (written, 0, 0)
    assert written <= sum(seen["histogram"]) <= written + 5, "at most the one line twice that a killed worker was at"
    operator.wait_for(lambda: written <= operator.facts.counted().get("GET /feed/*", (0,))[0] <= written + 5, "by endpoint")


def test_rotation_truncation_and_what_was_there_before(pod: Pod, operator: FakeOperator) -> None:
    path = follow(pod, ours=False)
    append(path, LINE * 1000)  # of an earlier pod, in a volume of the application's
    pod.start_agent()
    operator.wait_for_report(seq=2)
    append(path, LINE * 3)
    operator.wait_for_report(finished=3)
    append(path, LINE * 2 + LINE[:20])
    path.rename(path.with_suffix(".1"))
    append(path.with_suffix(".1"), LINE[20:])  # the server has not opened the new one yet
    append(path, LINE * 4)
    operator.wait_for_report(finished=6)
    append(path.with_suffix(".1"), LINE)
    operator.wait_for_report(finished=11)
    os.truncate(path, 0)
    append(path, LINE)
    operator.wait_for_report(finished=12)
    path.unlink()
    operator.wait_for_report(seq=operator.last["seq"] + 2 * LAST_TURNS)  # it is let go of, and its number may be given again
    append(path, LINE * 5)
    operator.wait_for_report(finished=17)


def test_a_file_of_ours_is_emptied_when_it_has_grown_and_goes_on(pod: Pod, operator: FakeOperator) -> None:
    path = follow(pod)
    pod.start_agent()
    operator.wait_for_report(seq=1)
    line = LINE[:-1] + b"\t" + b"x" * 2000 + b"\n"
    count = MOST_BYTES // len(line) + 10
    append(path, line * count)
    operator.wait_for_report(finished=count, timeout_s=30)
    poll_until(lambda: path.stat().st_size == 0, "it is emptied")
    append(path, LINE * 7)
    operator.wait_for_report(finished=count + 7)


def test_a_rotation_while_the_agent_is_away_loses_nothing(pod: Pod, operator: FakeOperator) -> None:
    path = follow(pod)
    agent = pod.start_agent()
    append(path, LINE * 3)
    operator.wait_for_report(finished=3)
    [worker] = pod.children(agent)
    os.kill(worker, signal.SIGSTOP)
    append(path, LINE * 2)
    path.rename(path.with_suffix(".1"))
    append(path, LINE)
    os.kill(worker, signal.SIGKILL)
    operator.wait_for_report(finished=6)


def test_lines_are_not_counted_where_a_probe_tells_of_the_same_requests(pod: Pod, operator: FakeOperator) -> None:
    path = follow(pod)
    pod.start_agent()
    operator.wait_for_report(seq=1)
    probe = Ledger(str(pod.run), layout.RUNTIME_PYTHON, "python")
    operator.wait_for_report(workers=1)
    append(path, LINE * 5)
    probe.finished(probe.endpoint("GET /feed/<user>"), 2, False, 1_000_000)
    seen = operator.wait_for_report(finished=1)
    assert not seen["flags"] & FLAG_NO_IN_FLIGHT
    operator.wait_for_report(seq=operator.last["seq"] + 3)
    assert operator.last["finished"] == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"/", "/"),
        (b"/feed", "/feed"),
        (b"/feed/12/likes", "/feed/*"),
        (b"/12/likes", "/<id>/*"),
        (b"/index.php", "/index.php"),
        (b"/v2/users", "/v2/*"),
        (b"/0123456789abcdef", "/<id>"),
        (b"/5f2c8d1e-1111-4222-8333-123456789abc/x", "/<id>/*"),
        (b"/alice@example.com", "/<id>"),
        (b"/%61", "/<id>"),
        (b"/deadbeef", "/deadbeef"),
        (b"/" + b"a" * 41, "/<id>"),
        (b"//x", "//*"),
    ],
)
def test_a_path_becomes_a_shape(text: bytes, expected: str) -> None:
    assert shape(text.decode()) == expected


def test_lines_of_both_formats() -> None:
    asked = rollcall(b"rollcall1\tGET\t200\t0.123\tbackend\t10.0.0.1:80, 10.0.0.2:80\t-, 0.120\t502, 200\t/feed/1\tmore")
    assert asked is not None
    assert asked[:4] == (b"GET", b"/feed/1", 200, 123_000)
    assert list(upstreams(*asked[5:])) == [(b"10.0.0.2:80", 120_000, 200)], "the first was not reached"
    assert rollcall(b"rollcall1\tGET\t200\t0.000\t-\t-\t-\t-\t/")[3] == 500, "less than a millisecond"  # type: ignore[index]
    line = b'10.0.0.1 - bob [25/Nov/2026:19:17:47 +0000] "GET /feed/1?q=%22 HTTP/1.1" 200 12 "-" "curl \\x22"'
    assert combined(line) == (b"GET", b"/feed/1", 200, None, b"-", b"", b"", b"")
    for noise in (b"", b"x", b'"', b'""', b'"GET / HTTP/1.1" abc', b"rollcall1\tGET\tx\t0.1\t-\t-\t-\t-\t/", MARK):
        assert rollcall(noise) is None
        assert combined(noise) is None


@given(st.binary(max_size=300))
def test_any_line_is_read_or_refused(line: bytes) -> None:
    for parse in (rollcall, combined):
        parse(line)
    rollcall(MARK + line)


def test_the_format_in_the_documentation_is_the_one_that_is_tested() -> None:
    assert ROLLCALL in (REPOSITORY / "docs/access-logs.md").read_text()
