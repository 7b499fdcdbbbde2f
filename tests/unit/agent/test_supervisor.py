"""The agent as a container runs it: supervisor and worker processes, TLS, signals."""

from __future__ import annotations

import os
import signal
import socket
import time
from pathlib import Path

from rollcall_agent.ledger import Ledger
from rollcall_agent.wire import frames, layout
from rollcall_agent.wire.report import FLAG_FINAL, FLAG_LISTEN_QUEUE, FLAG_PROBE
from tests.unit.agent.fake_operator import FakeOperator, make_certificate
from tests.unit.agent.pod import Pod, poll_until


def test_hello_says_who_is_calling(pod: Pod, operator: FakeOperator) -> None:
    pod.start_agent()
    operator.wait_for(lambda: operator.hellos, "a HELLO")
    hello = operator.hellos[0]
    assert (hello["wire"], hello["token"], hello["pod_uid"]) == (1, "the-token", "uid-1")
    assert len(hello["epoch"]) == 16
    assert 0 < hello["uptime_ms"] < 15_000
    seen = operator.wait_for_report(seq=3)
    assert seen["flags"] & FLAG_PROBE == 0, "no probe has attached"
    assert seen["agent_cpu_us"] > 0


def test_a_worker_that_is_killed_or_hangs_is_replaced_and_totals_stay(pod: Pod, operator: FakeOperator) -> None:
    agent = pod.start_agent()
    probe = Ledger(str(pod.run), layout.RUNTIME_PYTHON, "python")
    for _ in range(3):
        probe.finished(probe.endpoint("GET /a"), 2, False, 5_000_000)
    operator.wait_for_report(finished=3, workers=1)
    [worker] = pod.children(agent)
    os.kill(worker, signal.SIGKILL)
    operator.wait_for(lambda: len(operator.hellos) == 2, "the next worker connects")
    probe.detach()  # the application's worker ends while the agent's is away or not: it is folded once
    seen = operator.wait_for_report(finished=3, workers=0)
    assert (seen["started"], seen["lost"]) == (3, 0)
    assert operator.hellos[0]["epoch"] == operator.hellos[1]["epoch"]
    assert agent.poll() is None


def test_sigterm_waits_for_the_applications_workers_and_for_the_last_acknowledgement(pod: Pod, operator: FakeOperator) -> None:
    agent = pod.start_agent()
    probe = Ledger(str(pod.run), layout.RUNTIME_PYTHON, "python")
    operator.wait_for_report(workers=1)
    agent.send_signal(signal.SIGTERM)
    probe.finished(0, 2, False, 1000)
    seen = operator.wait_for_report(finished=1)
    assert not seen["flags"] & FLAG_FINAL, "a worker lives"
    operator.acknowledge = False
    probe.detach()
    final = operator.wait_for_report(flags=FLAG_FINAL | FLAG_PROBE | FLAG_LISTEN_QUEUE)
    assert (final["finished"], final["workers"]) == (1, 0)
    assert agent.poll() is None, "the last report is not acknowledged"
    operator.acknowledge = True
    operator.drop_connections()
    assert agent.wait(timeout=10) == 0
    assert operator.last["flags"] & FLAG_FINAL, "said again on the next connection"


def test_without_an_operator_it_ends_when_the_drain_time_is_over(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with Pod(tmp_path, f"127.0.0.1:{port}", None, ROLLCALL_DRAIN_S="0.5") as pod:
        agent = pod.start_agent()
        poll_until((pod.run / "agent/state").exists, "the worker runs")
        began = time.monotonic()
        agent.send_signal(signal.SIGTERM)
        assert agent.wait(timeout=10) == 0
        assert 0.4 < time.monotonic() - began < 5


def test_it_waits_for_the_ca_and_takes_a_new_one_on_the_next_connect(
    tmp_path: Path, operator: FakeOperator, certificate: tuple[Path, Path]
) -> None:
    ca = tmp_path / "mounted.crt"
    with Pod(tmp_path, f"localhost:{operator.port}", ca) as pod:
        agent = pod.start_agent()
        poll_until(lambda: "mounted.crt" in pod.log(agent), "the missing CA is mentioned")
        other = tmp_path / "other"
        other.mkdir()
        ca.write_bytes(make_certificate(other)[0].read_bytes())
        poll_until(lambda: "verify failed" in pod.log(agent), "another CA's operator is refused")
        assert operator.hellos == [], "no token for a stranger"
        ca.write_bytes(certificate[0].read_bytes())
        operator.wait_for(lambda: operator.hellos, "connected with the right CA")


def test_the_operators_name_is_verified(tmp_path: Path) -> None:
    certificate = make_certificate(tmp_path, host="somebody-else.test")
    with FakeOperator(certificate) as operator, Pod(tmp_path, f"localhost:{operator.port}", certificate[0]) as pod:
        agent = pod.start_agent()
        poll_until(lambda: "mismatch" in pod.log(agent), "the name is refused")
        assert operator.hellos == []


def test_a_rejected_token_is_not_offered_again_at_once(pod: Pod, operator: FakeOperator) -> None:
    operator.answer_hello = lambda _: frames.encode_json(frames.GOODBYE, {"code": "TokenRejected", "message": "not you"})
    agent = pod.start_agent()
    poll_until(lambda: "TokenRejected: not you" in pod.log(agent), "the reason is told")
    refused = time.monotonic()
    operator.answer_hello = None
    operator.wait_for_report(seq=1)
    assert time.monotonic() - refused > 4


def test_an_operator_that_does_not_read_makes_the_agent_skip_reports(pod: Pod, operator: FakeOperator) -> None:
    """Reports are cumulative: what is skipped is contained in the next one."""
    agent = pod.start_agent()
    probe = Ledger(str(pod.run), layout.RUNTIME_PYTHON, "python")
    operator.wait_for_report(workers=1)
    with operator.changed:  # the operator's threads stop here
        for _ in range(50):
            probe.finished(0, 2, False, 1000)
        [worker] = pod.children(agent)
        before = _resident_kib(worker)
        state = pod.run / "agent" / "state"
        written = state.stat().st_mtime_ns
        probe.detach()
        poll_until(lambda: state.stat().st_mtime_ns != written, "the loop goes on folding")
        assert _resident_kib(worker) - before < 2048
    assert operator.wait_for_report(finished=50)["workers"] == 0


def _resident_kib(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4


def test_a_restarted_container_goes_on_counting(pod: Pod, operator: FakeOperator) -> None:
    first = pod.start_agent()
    probe = Ledger(str(pod.run), layout.RUNTIME_PYTHON, "python")
    probe.finished(0, 5, True, 1000)
    operator.wait_for_report(finished=1)
    probe.detach()
    operator.wait_for_report(workers=0)
    used = operator.last["agent_cpu_us"]
    first.kill()
    first.wait()
    pod.start_agent()
    operator.wait_for(lambda: len(operator.hellos) == 2, "the second container connects")
    seen = operator.wait_for_report(seq=2)
    assert (seen["started"], seen["finished"], seen["errors"]) == (1, 1, 1)
    assert operator.hellos[0]["epoch"] == operator.hellos[1]["epoch"]
    assert operator.hellos[1]["uptime_ms"] > operator.hellos[0]["uptime_ms"], "the age is the epoch's, not the container's"
    assert seen["agent_cpu_us"] > 0.5 * used
    assert len(list(pod.run.rglob("php-*.worker"))) == 1, "the first container's PHP file was folded"
