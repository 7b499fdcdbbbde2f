"""The door for agents over real sockets: who comes in, what is taken in, who is sent away and with which words."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any

import pytest
import uvloop
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rollcall.control.certificates import Certificates
from rollcall.ingest.agent import ACK_EVERY_S, SMALLEST_REPORT
from rollcall.ingest.strangers import LEFT
from rollcall_agent.wire import frames, report
from tests.unit.ingest.conftest import PATIENCE_S, Identity, Ingest


async def test_hello_welcome_report_acknowledgement(ingest: Ingest) -> None:
    agent = await ingest.connect()
    agent.hello()
    assert await agent.expect(frames.WELCOME) == {
        "wire": 1,
        "operator": "0.1.0",
        "interval_ms": 500,
        "bands_ms": [1000, 3000, 8000],
        "max_frame": frames.MAX_FRAME_BYTES,
        "visitors": None,
        "points": 200,
        "probe": "on",
        "facts": 0,
    }
    agent.report(seq=1, window_end_us=5, started=9, finished=7, in_flight=2)
    assert await agent.acked() == 1
    row = ingest.row()
    assert (row["finished"], row["in_flight"]) == (7, 2)
    assert ingest.door.counters.reports == 1
    assert ingest.door.counters.bytes == report.SIZE
    assert ingest.door.counters.rejected == {}


async def test_acknowledgements_are_rare_but_a_final_report_gets_one_at_once(plain: Ingest) -> None:
    agent = await plain.welcomed()
    agent.report(seq=1)
    assert await agent.acked() == 1
    plain.now_s += ACK_EVERY_S - 0.1
    agent.report(seq=2)
    agent.report(seq=3, flags=report.FLAG_PROBE | report.FLAG_FINAL)
    assert await agent.acked() == 3
    agent.report(seq=4)
    agent.report(seq=5, flags=report.FLAG_FINAL)
    assert await agent.acked() == 5
    plain.now_s += ACK_EVERY_S
    agent.report(seq=6)
    assert await agent.acked() == 6


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"token": "stolen"}, "TokenRejected"),
        ({"token": ""}, "TokenRejected"),
        ({"token": ...}, "TokenRejected"),
        ({"token": None}, "TokenRejected"),
        ({"token": {"a": 1}}, "TokenRejected"),
        ({"pod_uid": "uid-1"}, "PodMismatch"),
        ({"pod_uid": ["uid-0"]}, "PodMismatch"),
        ({"wire": 2}, "WireVersion"),
        ({"wire": 0}, "WireVersion"),
        ({"wire": "1"}, "WireVersion"),
        ({"wire": ...}, "WireVersion"),
    ],
)
async def test_who_is_not_let_in(plain: Ingest, changes: dict[str, Any], code: str) -> None:
    agent = await plain.connect()
    agent.hello(**changes)
    assert await agent.goodbye() == code
    assert plain.door.counters.rejected == {code: 1}
    assert not plain.roll.sessions
    assert all(pod.row is None for pod in plain.fleet.pods.values())


@pytest.mark.parametrize("changes", [{"pod_uid": ""}, {"pod_uid": ...}, {"uptime_ms": "old"}, {"epoch": 5}, {"more": [1, {}]}])
async def test_who_is_let_in_nevertheless(plain: Ingest, changes: dict[str, Any]) -> None:
    agent = await plain.connect()
    agent.hello(**changes)
    await agent.expect(frames.WELCOME)
    assert list(plain.roll.sessions) == ["uid-0"], "the identity is the review's"


async def test_when_nobody_can_be_asked_nobody_comes_in(plain: Ingest) -> None:
    plain.unreachable = True
    agent = await plain.connect()
    agent.hello()
    assert await agent.goodbye() == "Unavailable"
    assert plain.door.counters.rejected == {"Unavailable": 1}


@pytest.mark.parametrize(
    ("data", "greeted"),
    [
        (frames.encode(frames.REPORT, bytes(report.SIZE)), False),
        (frames.encode(frames.HELLO, b"not JSON"), False),
        (frames.encode(frames.HELLO, b"[1]"), False),
        (frames.encode(frames.HELLO, b'{"a":' * 13000), False),
        (b"\0\0\0\0", False),
        (b"\xff\xff\xff\xff\1", False),
        ((frames.MAX_FRAME_BYTES + 1).to_bytes(4, "little"), False),
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", False),
        (frames.encode_json(frames.HELLO, {"wire": 1, "token": "token-0"}), True),
        (frames.encode(frames.REPORT, bytes(SMALLEST_REPORT - 1)), True),
        (frames.encode(frames.REPORT, b""), True),
    ],
)
async def test_a_bad_frame_ends_its_connection_with_a_reason(plain: Ingest, data: bytes, greeted: bool) -> None:
    bystander = await plain.welcomed(1)
    agent = await (plain.welcomed() if greeted else plain.connect())
    agent.send(data)
    assert await agent.goodbye() == "BadFrame"
    assert plain.door.counters.rejected == {"BadFrame": 1}
    await bystander.synced(1)
    assert plain.row(1)["seq"] == 1


async def test_a_report_before_the_welcome_is_refused(plain: Ingest) -> None:
    """Also when HELLO has been said, but the token is still being looked at."""
    plain.gate.clear()
    agent = await plain.connect()
    agent.hello()
    agent.report(seq=1)
    assert await agent.goodbye() == "BadFrame"
    plain.gate.set()
    assert not plain.roll.sessions


async def test_a_second_hello_is_refused_also_while_the_first_is_looked_at(plain: Ingest) -> None:
    plain.gate.clear()
    agent = await plain.connect()
    agent.hello()
    agent.hello()
    assert await agent.goodbye() == "BadFrame"
    assert len(plain.asked) <= 1


async def test_who_says_nothing_is_sent_away(plain: Ingest) -> None:
    plain.door.hello_within_s = 0.01
    agent = await plain.connect()
    assert await agent.goodbye() == "NoHello"
    plain.door.hello_within_s = PATIENCE_S


async def test_who_said_hello_in_time_waits_as_long_as_the_review_takes(plain: Ingest) -> None:
    """An API server that is slow must not make all agents start over."""
    plain.door.hello_within_s = 0.05
    plain.gate.clear()
    agent = await plain.connect()
    agent.hello()
    late = await plain.connect()
    assert await late.goodbye() == "NoHello"
    plain.gate.set()
    await agent.expect(frames.WELCOME)


async def test_unknown_types_are_skipped(plain: Ingest) -> None:
    agent = await plain.welcomed()
    for kind in (0, frames.ACK, frames.WELCOME, 10, 200, 255):
        agent.send(frames.encode(kind, b"anything \xff"))
    await agent.synced(1)
    assert plain.row()["seq"] == 1


@pytest.mark.parametrize("size", [SMALLEST_REPORT, 200, report.SIZE - 1, report.SIZE + 1, frames.MAX_FRAME_BYTES - 1])
async def test_reports_of_other_wire_versions(plain: Ingest, size: int) -> None:
    full = report.pack({"seq": 7, "finished": 5, "started": 5, "errors": 2})
    agent = await plain.welcomed()
    agent.send(frames.encode(frames.REPORT, full[:size].ljust(size, b"\7")))
    assert await agent.acked() == 7
    row = plain.row()
    assert (row["finished"], row["errors"]) == (5, 2)
    assert row["histogram"][-1] == 0


async def test_frames_may_come_in_any_pieces(ingest: Ingest) -> None:
    agent = await ingest.welcomed()
    stream = b"".join(frames.encode(frames.REPORT, report.pack({"seq": n, "finished": n, "started": n})) for n in range(1, 6))
    cuts = (0, 1, 4, 5, 6, 1700, 1860, 1861, 5000, len(stream))
    for start, end in pairwise(cuts):
        agent.send(stream[start:end])
        await asyncio.sleep(0)
    await agent.synced(6)
    assert ingest.door.counters.reports == 6


async def test_a_goodbye_closes_and_the_pod_becomes_silent_not_gone(plain: Ingest) -> None:
    agent = await plain.welcomed()
    agent.report(seq=1, started=5, finished=5)
    await agent.expect(frames.ACK)
    agent.send(frames.encode_json(frames.GOODBYE, {"code": "Shutdown", "message": "bye"}))
    assert await agent.frame() is None
    while plain.roll.sessions:
        await asyncio.sleep(0)
    plain.roll.fold(plain.now_s + 60, 60)
    assert plain.fleet.pods["uid-0"].state == "silent"
    assert plain.fleet.totals().requests == 5


async def test_who_was_let_in_and_left_without_a_report_is_remembered(ingest: Ingest) -> None:
    """Between two connections of an agent that says nothing, its network is not what is wrong."""
    teller = await ingest.welcomed(1)
    await teller.synced(1)
    await teller.close()
    while ingest.roll.sessions:
        await asyncio.sleep(0)
    assert ingest.door.strangers.code("127.0.0.1") is None
    await (await ingest.welcomed()).close()
    while ingest.roll.sessions:
        await asyncio.sleep(0)
    assert ingest.door.strangers.code("127.0.0.1") == LEFT


async def test_a_client_that_vanishes_leaves_nothing_behind(plain: Ingest) -> None:
    plain.gate.clear()
    for greets in (True, False):
        agent = await plain.connect()
        if greets:
            agent.hello()
        await agent.close()
    welcomed = asyncio.ensure_future(plain.welcomed(1))
    while len(plain.asked) < 2:
        await asyncio.sleep(0)
    plain.gate.set()
    await (await welcomed).synced(1)
    assert list(plain.roll.sessions) == ["uid-1"]
    assert len(plain.door.connections) == 1


async def test_a_second_connection_of_a_pod_takes_over(plain: Ingest) -> None:
    first = await plain.welcomed()
    first.report(seq=1, started=5, finished=5)
    await first.expect(frames.ACK)
    second = await plain.welcomed()
    second.report(seq=1, window_end_us=9, started=8, finished=8)
    await second.expect(frames.ACK)
    assert (await first.expect(frames.GOODBYE))["code"] == "Replaced"
    assert plain.row()["finished"] == 8
    await second.synced(2)
    assert list(plain.roll.sessions) == list(plain.door.agents) == ["uid-0"]


async def test_a_living_agent_that_was_replaced_comes_back(plain: Ingest) -> None:
    """Whoever else has the pod's token: the pod does not stay silent when they are gone."""
    living = await plain.welcomed()
    other = await plain.welcomed()
    assert (await living.expect(frames.GOODBYE))["code"] == "Replaced"
    again = await plain.welcomed()
    assert (await other.expect(frames.GOODBYE))["code"] == "Replaced"
    again.report(seq=1, started=3, finished=3)
    await again.expect(frames.ACK)
    assert plain.row()["finished"] == 3


async def test_new_bands_reach_connected_agents(plain: Ingest) -> None:
    agent = await plain.welcomed()
    agent.report(seq=1)
    await agent.expect(frames.ACK)
    plain.fleet.settings = type(plain.fleet.settings)(bands_ms=(10, 20, 30))
    plain.now_s += ACK_EVERY_S
    agent.report(seq=2)
    await agent.expect(frames.ACK)
    assert (await agent.expect(frames.WELCOME))["bands_ms"] == [10, 20, 30]
    plain.now_s += ACK_EVERY_S
    agent.report(seq=3)
    await agent.expect(frames.ACK)
    agent.report(seq=4, flags=report.FLAG_FINAL)
    assert await agent.acked() == 4, "said once"


async def test_stop_sends_everybody_away_and_start_lets_them_come_back(ingest: Ingest) -> None:
    agents = [await ingest.welcomed(number) for number in range(2)]
    stranger = await ingest.connect()
    port = ingest.server.port
    await ingest.server.stop("NotLeader", "another replica leads")
    for agent in (*agents, stranger):
        assert await agent.goodbye() == "NotLeader"
    assert ingest.server.port == 0
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)
    while ingest.door.connections:
        await asyncio.sleep(0)
    assert not ingest.roll.sessions
    await ingest.server.start()
    await (await ingest.welcomed()).synced(1)


async def test_no_more_reviews_at_once_than_the_api_server_should_bear(plain: Ingest) -> None:
    plain.door.reviews = asyncio.Semaphore(1)
    plain.gate.clear()
    agents = [await plain.connect() for _ in range(3)]
    for number, agent in enumerate(agents):
        agent.hello(number)
    while not plain.asked:
        await asyncio.sleep(0)
    (await plain.connect()).send(b"\0\0\0\0")
    while "BadFrame" not in plain.door.counters.rejected:
        await asyncio.sleep(0)
    assert len(plain.asked) == 1
    plain.gate.set()
    for agent in agents:
        await agent.expect(frames.WELCOME)


JUNK = st.one_of(
    st.binary(max_size=300),
    st.builds(frames.encode, st.integers(0, 255), st.binary(max_size=2500)),
    st.builds(lambda body: frames.encode(frames.HELLO, body), st.from_regex(rb"\{.{0,40}\}", fullmatch=True)),
)


@given(junk=st.lists(JUNK, min_size=1, max_size=4), greeted=st.booleans())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_random_bytes_harm_nobody_else(certificates: Certificates, junk: list[bytes], greeted: bool) -> None:
    async def scene() -> None:
        ingest = Ingest(certificates, tls=False)
        await ingest.server.start()
        bystander = await ingest.welcomed(1)
        agent = await (ingest.welcomed() if greeted else ingest.connect())
        for data in junk:
            agent.send(data)
        agent.send(b"\xff" * 5)  # whatever it was, this ends it, or is part of its last frame
        await bystander.synced(1)
        ingest.roll.fold(ingest.now_s, ingest.now_s)
        assert ingest.row(1)["seq"] == 1
        assert ingest.fleet.pods["uid-1"].state == "serving"
        await ingest.server.stop()
        while await agent.frame() is not None:
            pass
        for each in ingest.agents:
            await each.close()

    asyncio.run(scene())


@pytest.mark.parametrize("tls", [False, True])
def test_the_same_on_the_loop_that_the_operator_runs_on(certificates: Certificates, tls: bool) -> None:
    async def scene() -> None:
        ingest = Ingest(certificates, tls=tls)
        await ingest.server.start()
        agent = await ingest.welcomed()
        await agent.synced(1)
        await ingest.server.stop()
        assert await agent.goodbye() == "Shutdown"
        await agent.close()

    uvloop.run(scene())


async def test_an_agent_of_an_unknown_pod_waits(plain: Ingest) -> None:
    plain.tokens["token-9"] = Identity("shop", "newsfeed-9", "uid-9")
    agent = await plain.welcomed(9)
    agent.report(seq=1, started=4, finished=4)
    assert await agent.acked() == 1
    assert plain.roll.waiting() == 1
    assert plain.fleet.totals().requests == 0
