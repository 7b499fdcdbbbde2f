"""Facts, names, requests in flight and samples over real sockets, and WELCOME said again when what it says has changed."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from rollcall.ingest.agent import ACK_EVERY_S
from rollcall.model.fleet import Fleet
from rollcall.model.roll import MOST_FACTS_BYTES
from rollcall.model.show import picture
from rollcall.model.states import PodFacts
from rollcall_agent.wire import facts, frames, points, report
from tests.unit.ingest.conftest import Agent, Identity, Ingest


def tell(agent: Agent, number: int, *records: tuple[int, int, int, int], flags: int = 0) -> None:
    agent.send(frames.encode(frames.FACTS, facts.pack_facts(number, flags, records)))


def define(agent: Agent, *names: str, table: int = facts.ENDPOINT_NAMES) -> None:
    agent.send(frames.encode(frames.DEFINE, facts.pack_names(table, enumerate(names, start=1))))


async def acknowledged(ingest: Ingest, agent: Agent, **values: Any) -> dict[str, Any]:
    """The next acknowledgement, of a report that is sent for it."""
    ingest.now_s += ACK_EVERY_S
    agent.report(**values)
    return await agent.expect(frames.ACK)


def endpoints(ingest: Ingest) -> dict[str, tuple[int, int]]:
    ingest.roll.fold(ingest.now_s, ingest.now_s)
    return ingest.fleet.signals.endpoints.totals()


async def test_everything_an_agent_tells_is_in_the_picture(ingest: Ingest) -> None:
    agent = await ingest.welcomed()
    define(agent, "GET /feed", "POST /post")
    define(agent, "exception ValueError", table=facts.ERROR_NAMES)
    tell(agent, 1, (facts.REQUESTS, 1, 0, 5), (facts.FAILURES, 1, 0, 2), (facts.CELL, 1, 200, 5), (facts.ERRORS, 1, 0, 2))
    tell(agent, 2, (facts.REQUESTS, 2, 0, 3), (facts.VISITOR, 0, 7 << 8 | 3, 1))
    sample = {"type": "error", "error": "exception ValueError", "message": "no", "age_ms": 0, "line": 4}
    agent.send(frames.encode_json(frames.EVENT, sample))
    request = {"id": "7-1-1", "endpoint": "GET /feed", "elapsed_ms": 1500, "step": "", "step_ms": None, "worker": 7}
    agent.send(frames.encode_json(frames.REQUESTS, {"requests": [request], "more": 0}))
    agent.report(seq=1, window_end_us=5, flags=report.FLAG_PROBE, oldest_ms=1500)
    assert await agent.expect(frames.ACK) == {"seq": 1, "facts": 2}
    assert endpoints(ingest) == {"GET /feed": (5, 2), "POST /post": (3, 0)}
    view = picture(ingest.fleet, with_roll=True)
    assert view.errors.by_type is not None
    assert [(each.type, each.total) for each in view.errors.by_type] == [("ValueError", 2)]
    assert [each.line for each in view.errors.samples or []] == [4]
    assert [each.elapsed for each in view.longest or []] == [1.5]
    assert view.visitors is not None
    assert view.visitors.day == 1
    assert (ingest.door.counters.facts, ingest.door.counters.fact_bytes) == (2, 2 * facts.HEAD.size + 6 * facts.RECORD.size)


async def test_over_a_new_connection_the_agent_hears_what_was_taken(plain: Ingest) -> None:
    agent = await plain.welcomed()
    for number in (1, 2, 3):
        tell(agent, number, (facts.REQUESTS, 0, 0, 1))
    assert (await acknowledged(plain, agent, seq=1))["facts"] == 3
    again = await plain.connect()
    again.hello()
    assert (await again.expect(frames.WELCOME))["facts"] == 3
    tell(again, 3, (facts.REQUESTS, 0, 0, 1))
    tell(again, 4, (facts.REQUESTS, 0, 0, 1))
    assert (await acknowledged(plain, again, seq=1))["facts"] == 4
    assert endpoints(plain) == {"other": (4, 0)}
    anew = await plain.connect()
    anew.hello(epoch="e2")
    assert (await anew.expect(frames.WELCOME))["facts"] == 0


@pytest.mark.parametrize("kind", [frames.FACTS, frames.DEFINE, frames.REQUESTS, frames.EVENT])
async def test_nothing_is_taken_before_the_welcome(plain: Ingest, kind: int) -> None:
    agent = await plain.connect()
    agent.send(frames.encode(kind, facts.pack_facts(1, 0, [])))
    assert await agent.goodbye() == "BadFrame"


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (frames.FACTS, b""),
        (frames.FACTS, facts.pack_facts(1, 0, [(1, 1, 0, 1)])[:-1]),
        (frames.DEFINE, b"\1"),
        (frames.DEFINE, facts.pack_names(1, [(1, "GET /feed")])[:-1]),
    ],
)
async def test_what_is_cut_short_ends_the_connection(plain: Ingest, kind: int, body: bytes) -> None:
    bystander = await plain.welcomed(1)
    agent = await plain.welcomed()
    agent.send(frames.encode(kind, body))
    assert await agent.goodbye() == "BadFrame"
    await bystander.synced(1)


@pytest.mark.parametrize(
    ("kind", "body", "what"),
    [(frames.EVENT, b"\xff", "event"), (frames.EVENT, b"[1]", "event"), (frames.REQUESTS, b"x" * 20_000, "requests")],
)
async def test_what_cannot_be_read_and_counts_nothing_ends_nothing(plain: Ingest, kind: int, body: bytes, what: str) -> None:
    agent = await plain.welcomed()
    agent.send(frames.encode(kind, body))
    await agent.synced(1)
    assert plain.fleet.dropped == {what: 1}


async def test_a_flood_is_sent_away(plain: Ingest) -> None:
    agent = await plain.welcomed()
    body = facts.pack_facts(1, 0, [(facts.REQUESTS, 0, 0, 1)] * facts.MAX_RECORDS)
    for _ in range(MOST_FACTS_BYTES // len(body) + 1):
        agent.send(frames.encode(frames.FACTS, body))
    assert await agent.goodbye() == "TooMuch"
    assert plain.door.counters.rejected == {"TooMuch": 1}


async def test_without_a_service_welcome_says_nothing_of_facts_until_one_comes(plain: Ingest) -> None:
    plain.tokens["token-9"] = Identity("shop", "newsfeed-9", "uid-9")
    agent = await plain.connect()
    agent.hello(9)
    assert "facts" not in await agent.expect(frames.WELCOME)
    tell(agent, 1, (facts.REQUESTS, 0, 0, 1))
    assert await acknowledged(plain, agent, seq=1) == {"seq": 1, "facts": 0}
    plain.fleet.upsert(PodFacts("uid-9", "newsfeed-9", "shop", running=True, ready=True, injected=True))
    plain.roll.pod_known(plain.fleet, "uid-9", plain.now_s)
    agent.report(seq=2)  # at once, not with the next acknowledgement that is due
    assert await agent.acked() == 2
    assert (await agent.expect(frames.WELCOME))["facts"] == 0
    tell(agent, 1, (facts.REQUESTS, 0, 0, 7))
    assert await acknowledged(plain, agent, seq=3) == {"seq": 3, "facts": 1}
    assert endpoints(plain) == {"other": (7, 0)}, "what came before was not taken"


async def test_when_the_last_service_goes_welcome_says_so(plain: Ingest) -> None:
    agent = await plain.welcomed()
    tell(agent, 1, (facts.REQUESTS, 0, 0, 1))
    assert (await acknowledged(plain, agent, seq=1))["facts"] == 1
    plain.roll.drop(("shop", "newsfeed"))
    agent.report(seq=2)
    assert await agent.expect(frames.ACK) == {"seq": 2, "facts": 0}
    assert "facts" not in await agent.expect(frames.WELCOME)


async def test_a_service_that_is_made_again_sends_the_agent_back_to_begin_anew(plain: Ingest) -> None:
    agent = await plain.welcomed()
    tell(agent, 1, (facts.REQUESTS, 0, 0, 1))
    assert (await acknowledged(plain, agent, seq=1))["facts"] == 1
    plain.roll.drop(("shop", "newsfeed"))
    plain.roll.add(fleet := Fleet("shop", "newsfeed"))
    fleet.upsert(PodFacts("uid-0", "newsfeed-0", "shop", running=True, ready=True, injected=True))
    plain.roll.pod_known(fleet, "uid-0", plain.now_s)
    agent.report(seq=2)
    assert await agent.acked() == 2
    assert await agent.goodbye() == "FactsUnknown"
    again = await plain.welcomed()
    tell(again, 1, (facts.REQUESTS, 0, 0, 1), flags=facts.FLAG_PAST)
    assert (await acknowledged(plain, again, seq=1))["facts"] == 1


@pytest.mark.parametrize("number", [2, 3, 2**64 - 1])
async def test_facts_without_those_before_them_send_the_agent_back(plain: Ingest, number: int) -> None:
    agent = await plain.welcomed()
    tell(agent, number, (facts.REQUESTS, 0, 0, 1))
    assert await agent.goodbye() == "FactsUnknown"
    assert endpoints(plain) == {}


async def test_visitors_and_probe_reach_connected_agents(plain: Ingest) -> None:
    agent = await plain.connect()
    agent.hello()
    first = await agent.expect(frames.WELCOME)
    assert (first["visitors"], first["probe"]) == (None, "on")
    await acknowledged(plain, agent, seq=1)
    plain.fleet.settings = replace(plain.fleet.settings, visitors=("cookie:sid", "00ff"))
    await acknowledged(plain, agent, seq=2)
    assert (await agent.expect(frames.WELCOME))["visitors"] == {"from": "cookie:sid", "key": "00ff"}
    plain.fleet.probe_off.add("uid-0")
    await acknowledged(plain, agent, seq=3)
    assert (await agent.expect(frames.WELCOME))["probe"] == "off"
    await acknowledged(plain, agent, seq=4)
    plain.fleet.probe_off.clear()
    await acknowledged(plain, agent, seq=5)
    assert (await agent.expect(frames.WELCOME))["probe"] == "on"
    plain.fleet.probe_off = {"uid-0"}
    await acknowledged(plain, agent, seq=6)
    said = await agent.expect(frames.WELCOME)
    assert (said["probe"], said["facts"]) == ("off", 0)


async def test_a_hostile_neighbour_changes_nothing_of_ours(plain: Ingest) -> None:
    """All that a pod can say with a good token, in the names of others too."""
    honest, hostile = await plain.welcomed(1), await plain.welcomed()
    define(honest, "GET /honest")
    tell(honest, 1, (facts.REQUESTS, 1, 0, 5))
    define(hostile, "GET /honest", "GET /\x1b[2J", *(f"GET /{number}" for number in range(900)))
    tell(hostile, 1, *((kind, 1, 2**32 - 1, 2**32 - 1) for kind in range(256)))
    tell(hostile, 2, (facts.REQUESTS, 2, 0, 1))
    for body in ({"requests": 1}, {"requests": [[]]}, {"requests": [{"id": {}}]}):
        hostile.send(frames.encode(frames.REQUESTS, json.dumps(body).encode() + b" " * 40))
    hostile.send(frames.encode_json(frames.EVENT, {"type": "error", "error": [], "message": "\x00" * 9000, "age_ms": -1}))
    await honest.synced(1)
    await hostile.synced(1)
    plain.now_s += 0.5
    plain.roll.fold(plain.now_s, plain.now_s)
    view = picture(plain.fleet, with_roll=True)
    assert view.endpoints is not None
    rows = {row.endpoint: row.requests for row in view.endpoints.rows}
    assert rows["GET /honest"] == 5 + 2**32 - 1, "its own requests it may claim"
    assert "GET /\ufffd[2J" in rows
    assert view.endpoints.folded.endpoints > 0


async def test_points_are_taken_in_and_their_number_is_told(plain: Ingest) -> None:
    agent = await plain.connect()
    agent.hello(runtimes=["python", "otlp"])
    assert (await agent.expect(frames.WELCOME))["points"] == 200
    point = points.Point(0, 1, 5000, 1000, 1000, 0, 0, 0, 2)
    agent.send(frames.encode(frames.POINTS, points.pack_points([point] * 7)))
    agent.send(frames.encode_json(frames.EVENT, {"type": "sources", "sources": ["python", "accessLog"]}))
    await agent.synced(1)
    plain.roll.fold(plain.now_s, plain.now_s)
    assert len(plain.fleet.signals.points) == 7
    assert plain.fleet.sources.pods(plain.fleet.last.fresh) == {"python": 1, "accessLog": 1}
    for number in range(3, 40):
        plain.fleet.upsert(PodFacts(f"uid-{number}", f"newsfeed-{number}", "shop", running=True))
    agent.report(seq=2, window_end_us=2**41, started=2**41, finished=2**41, flags=report.FLAG_FINAL)
    await agent.expect(frames.ACK)
    assert (await agent.expect(frames.WELCOME))["points"] == 16, "1000 over 40 pods, as a power of two"


async def test_points_before_the_welcome_end_the_connection(plain: Ingest) -> None:
    agent = await plain.connect()
    agent.send(frames.encode(frames.POINTS, b""))
    assert await agent.goodbye() == "BadFrame"
