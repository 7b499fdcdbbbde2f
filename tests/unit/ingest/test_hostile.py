"""Whoever sends what: memory stays bounded, others are not affected, all of it is counted, and nobody speaks for another."""

from __future__ import annotations

import asyncio
import json
import resource
import subprocess
import sys
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollcall.model.fleet import Fleet
from rollcall.model.roll import MOST_REPORTS, Roll
from rollcall.model.show import picture
from rollcall_agent.wire import facts, frames, points, report
from tests.unit.ingest.conftest import Ingest, identity_of
from tests.unit.model.agents import facts as pod_facts

IDLE = 10_000
MOST_BYTES_EACH = 24_000
"""Of a connection that says nothing, in the operator's process."""
CALLERS = """
import resource, socket, sys
most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
idle = [socket.create_connection(("127.0.0.1", int(sys.argv[1]))) for _ in range(int(sys.argv[2]))]
sys.stdin.read()
"""


def descriptors(wanted: int) -> int:
    """So many, or as many as this machine lets a process have, and some for other things."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return min(wanted, most - 500)


async def test_thousands_that_say_nothing_are_sent_away_and_nobody_waits_for_them(plain: Ingest) -> None:
    bystander, count = await plain.welcomed(1), descriptors(IDLE)
    plain.door.hello_within_s = 3.0
    tracemalloc.start()
    began, _ = tracemalloc.get_traced_memory()
    callers = subprocess.Popen([sys.executable, "-c", CALLERS, str(plain.server.port), str(count)], stdin=subprocess.PIPE)
    while len(plain.door.connections) + plain.door.counters.rejected.get("NoHello", 0) < count + 1:
        await asyncio.sleep(0.01)
    now, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (now - began) / count <= MOST_BYTES_EACH
    await bystander.synced(1)
    while len(plain.door.connections) > 1:
        await asyncio.sleep(0.05)
    assert plain.door.counters.rejected == {"NoHello": count}
    await bystander.synced(2)
    callers.communicate()


async def test_a_hello_byte_by_byte_has_no_longer_than_any_other(plain: Ingest) -> None:
    plain.door.hello_within_s = 0.3
    agent = await plain.connect()
    for byte in frames.encode_json(frames.HELLO, {"wire": 1, "token": "x" * 50})[:60]:
        agent.send(bytes([byte]))
        await asyncio.sleep(0.02)
        if plain.door.counters.rejected:
            break
    assert await agent.goodbye() == "NoHello"


async def test_a_frame_byte_by_byte_holds_no_more_than_a_frame(plain: Ingest) -> None:
    agent, bystander = await plain.welcomed(), await plain.welcomed(1)
    agent.send((frames.MAX_FRAME_BYTES).to_bytes(4, "little") + bytes([frames.EVENT]))
    for _ in range(200):
        agent.send(bytes(300))
        await asyncio.sleep(0)
    await bystander.synced(1)
    held = [len(connection._rest) for connection in plain.door.connections]
    assert max(held) <= frames.MAX_FRAME_BYTES + frames.LENGTH.size


@pytest.mark.parametrize("length", [2**30, 2**31 - 1, 2**32 - 1, frames.MAX_FRAME_BYTES + 1])
async def test_a_length_of_a_gigabyte_is_not_waited_for(plain: Ingest, length: int) -> None:
    agent = await plain.welcomed()
    agent.send(length.to_bytes(4, "little"))
    assert await agent.goodbye() == "BadFrame"


async def test_a_thousand_times_the_share_of_reports_ends_one_connection(plain: Ingest) -> None:
    agent, bystander = await plain.welcomed(), await plain.welcomed(1)
    for seq in range(1000):
        agent.report(seq=seq, window_end_us=seq)
    while "TooMuch" not in plain.door.counters.rejected:
        await asyncio.sleep(0.01)
    assert plain.door.counters.rejected == {"TooMuch": 1}
    assert plain.door.counters.reports <= MOST_REPORTS + 1
    await bystander.synced(1)


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (frames.DEFINE, facts.pack_names(facts.ENDPOINT_NAMES, [(1, "GET /" + "x" * 200)])),
        (frames.EVENT, b"{}"),
        (frames.REQUESTS, b'{"requests": []}'),
        (frames.POINTS, bytes(points.RECORD.size)),
        (250, b"a type of a later version"),
    ],
    ids=["names", "events", "requests", "points", "unknown"],
)
async def test_a_flood_of_anything_else_does_too(plain: Ingest, kind: int, body: bytes) -> None:
    agent, bystander = await plain.welcomed(), await plain.welcomed(1)
    for _ in range(40):
        agent.send(frames.encode(kind, body) * 200)
    while "TooMuch" not in plain.door.counters.rejected:
        await asyncio.sleep(0.01)
    await bystander.synced(1)
    assert plain.door.counters.rejected == {"TooMuch": 1}


async def test_a_pod_tells_of_its_own_service_alone(plain: Ingest) -> None:
    """Visitors, names, crashes: nothing of it is seen in a service that does not list the pod."""
    bank = Fleet("bank", "ledger")
    bank.upsert(pod_facts("uid-9"))
    plain.roll.add(bank)
    agent = await plain.welcomed()
    agent.send(
        frames.encode(frames.DEFINE, facts.pack_names(facts.ENDPOINT_NAMES, [(1, "GET /ledger")]))
        + frames.encode(frames.FACTS, facts.pack_facts(1, 0, [(facts.VISITOR, 0, 7 << 8 | 3, 1), (facts.REQUESTS, 1, 0, 9)]))
        + frames.encode_json(frames.EVENT, {"type": "death", "signal": 11, "pod": "ledger-1", "pod_uid": "uid-9"})
        + frames.encode_json(frames.EVENT, {"type": "error", "error": "exception Forged", "pod_uid": "uid-9"})
    )
    await agent.synced(1)
    plain.roll.fold(plain.now_s, plain.now_s)
    own, other = (picture(fleet, with_roll=True) for fleet in (plain.fleet, bank))
    assert own.visitors is not None
    assert own.crashes is not None
    assert {crash.pod for crash in own.crashes.samples or ()} == {identity_of(0).name}
    assert (other.visitors, other.endpoints, other.crashes) == (None, None, None)
    assert other.errors is not None
    assert not other.errors.samples
    assert other.totals.requests == 0


async def test_names_that_would_move_a_cursor_or_a_page_are_text(plain: Ingest) -> None:
    """Control characters are replaced; what is special in HTML is data in JSON, and stays what it is."""
    evil = "GET /<script>alert(1)</script>\x1b]0;x\x07\u202e\x00\n"
    agent = await plain.welcomed()
    agent.send(
        frames.encode(frames.DEFINE, facts.pack_names(facts.ENDPOINT_NAMES, [(1, evil)]))
        + frames.encode(frames.FACTS, facts.pack_facts(1, 0, [(facts.REQUESTS, 1, 0, 1)]))
        + frames.encode_json(frames.EVENT, {"type": "error", "error": f"exception {evil}", "message": evil, "file": evil})
    )
    await agent.synced(1)
    plain.roll.fold(plain.now_s, plain.now_s)
    view = picture(plain.fleet, with_roll=True)
    assert view.endpoints is not None
    assert view.errors is not None
    [sample] = view.errors.samples or ()
    for text in (view.endpoints.rows[0].endpoint, sample.type, sample.message, sample.file):
        assert text.isprintable()
    assert "<script>" in view.endpoints.rows[0].endpoint


VALUE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)
KEYS = [
    "type", "error", "message", "function", "file", "line", "endpoint", "age_ms", "signal", "worker", "address", "module",
    "offset", "caller", "step", "elapsed_ms", "unanswered", "sources", "runtime", "requests", "id", "more",
]  # fmt: skip
EVENT = st.dictionaries(st.sampled_from(KEYS), VALUE | st.sampled_from(["error", "death", "sources", 2**63, -1]), max_size=8)
RECORD = st.tuples(st.integers(0, 255), st.integers(0, 2**16 - 1), st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("event"), EVENT),
            st.tuples(st.just("requests"), st.dictionaries(st.sampled_from(KEYS), VALUE, max_size=4) | VALUE),
            st.tuples(st.just("facts"), st.lists(RECORD, max_size=20)),
            st.tuples(st.just("define"), st.binary(max_size=200)),
            st.tuples(st.just("points"), st.binary(max_size=240)),
            st.tuples(st.just("report"), st.binary(min_size=64, max_size=report.SIZE + 8)),
        ),
        max_size=12,
    )
)
@settings(max_examples=150, deadline=None)
def test_whatever_an_agent_says_there_is_a_picture(said: list[tuple[str, object]]) -> None:
    roll, fleet = Roll(), Fleet("shop", "newsfeed")
    roll.add(fleet)
    fleet.upsert(pod_facts("uid-a"))
    session, number = roll.open("uid-a", "shop", "pod-a", "e1", 0, 1000.0), 0
    for kind, body in said:
        try:
            if kind == "event":
                session.accept_event(json.loads(json.dumps(body)), 1000.0)  # type: ignore[arg-type]
            elif kind == "requests":
                session.accept_requests(json.dumps(body).encode(), 1000.0)
            elif kind == "facts":
                number += 1
                session.accept_facts(facts.pack_facts(number, 0, body), 1000.0)  # type: ignore[arg-type]
            elif kind == "define":
                session.define(body)  # type: ignore[arg-type]
            elif kind == "points":
                session.accept_points(body, 1000.0)  # type: ignore[arg-type]
            else:
                session.accept(body, 1000.0)  # type: ignore[arg-type]
        except frames.FrameError:
            pass  # ends the connection, with a reason
        roll.fold(1000.25, 1_700_000_000.0)
    roll.fold(1000.5, 1_700_000_000.25)
    view = picture(fleet, with_roll=True)
    assert view.pods.total == 1
    json.dumps(view.totals.requests)
