"""FACTS add up to what was counted, each once, whatever happens between probe, agent and operator."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollcall_agent.additions import Additions
from rollcall_agent.facts_log import LATE_S, FactsLog
from rollcall_agent.ledger import Ledger
from rollcall_agent.sources.folder import WorkerFolder
from rollcall_agent.sources.harvest import Harvest
from rollcall_agent.sources.worker_file import WorkerFile
from rollcall_agent.state import State
from rollcall_agent.wire import facts, frames, layout
from rollcall_agent.wire.grid import bucket_of_ns
from tests.unit.agent.fake_operator import Facts

BOUNDS = (1000, 3000, 8000)
EPOCH = "0123456789abcdef"
Rows = dict[str, tuple[int, int, int]]


def make_ledger(folder: Path) -> Ledger:
    return Ledger(str(folder), layout.RUNTIME_PYTHON, "python")


def take(file: WorkerFile, harvest: Harvest) -> Additions:
    file.read(10**9, BOUNDS)
    found = harvest.take()
    assert found is not None
    return found


class World:
    """A pod with workers, its agent, and an operator; the truth is kept beside them. Time passes by `now`."""

    def __init__(self, run: Path) -> None:
        self.run = run
        (run / "agent").mkdir()
        self.ledgers: list[Ledger] = []
        self.truth: Rows = {}
        self.errors: dict[str, int] = {}
        self.calls: dict[str, list[int]] = {}
        """By dependency: calls, failed by reason (five), duration_us, waited_us."""
        self.unanswered: dict[tuple[str, int], int] = {}
        self.deaths: dict[int, int] = {}
        self.operator = Facts()
        self.now = 100.0
        self.connected = False
        self.start_agent()

    def start_agent(self) -> None:
        """A process of the agent begins, perhaps after another was killed."""
        state_dir = str(self.run / "agent")
        self.state = State(state_dir)
        self.state.load()
        self.state.epoch = EPOCH
        self.log = FactsLog(state_dir)
        self.log.load(EPOCH)
        self.folder = WorkerFolder(str(self.run), self.state, self.log)
        self.connected = False

    def begin_worker(self) -> None:
        self.ledgers.append(make_ledger(self.run))

    def end_worker(self, open_requests: int = 0, signal: int = 0) -> None:
        if not self.ledgers:
            return
        ledger = self.ledgers.pop(0)
        endpoint = ledger.endpoint("GET /hangs")
        ledger.use_slots(open_requests)
        for slot in range(open_requests):
            ledger.open_slot(slot, 1 + slot, endpoint)
        if signal:
            crash = (signal, 1, 2**62, 0, 4096, 0x129, 0, b"/lib/broken.so", b"")
            layout.CRASH.pack_into(ledger.memory, layout.OFF_CRASH, *crash)
            self.deaths[signal] = self.deaths.get(signal, 0) + 1
        if open_requests:
            place = ("GET /hangs", signal)
            self.unanswered[place] = self.unanswered.get(place, 0) + open_requests
        ledger.detach()

    def call(self, dependency: str, elapsed_ns: int, reason: int | None) -> None:
        """A request calls a dependency, and waits for it."""
        if not self.ledgers:
            self.begin_worker()
        ledger = self.ledgers[-1]
        index = ledger.dependency(dependency)
        ledger.called(index, elapsed_ns, reason)
        ledger.waited(index, elapsed_ns // 1000)
        row = self.calls.setdefault(dependency, [0] * 8)
        row[0] += 1
        if reason is not None:
            row[1 + reason] += 1
        row[6] += elapsed_ns // 1000
        row[7] += elapsed_ns // 1000

    def told_calls(self) -> dict[str, list[int]]:
        """The same as the operator has it."""
        kinds = [facts.CALLS, *(facts.CALL_FAILURES * 100 + n for n in range(5)), facts.CALL_DURATION, facts.WAITED]
        return {name: [row.get(kind, 0) for kind in kinds] for name, row in self.operator.calls.items()}

    def serve(self, endpoint: str, elapsed_ns: int, failed: bool) -> None:
        if not self.ledgers:
            self.begin_worker()
        ledger = self.ledgers[-1]
        ledger.finished(ledger.endpoint(endpoint), 5 if failed else 2, failed, elapsed_ns)
        requests, failures, duration_us = self.truth.get(endpoint, (0, 0, 0))
        self.truth[endpoint] = (requests + 1, failures + failed, duration_us + elapsed_ns // 1000)
        if failed:
            ledger.error("exception ValueError")
            self.errors["exception ValueError"] = self.errors.get("exception ValueError", 0) + 1

    def connect(self) -> None:
        self.operator.names.clear()
        self.log.welcomed(self.operator.number, 60_000, new=True)
        self.connected = True

    def drop_connection(self) -> None:
        self.connected = False

    def replace_operator(self) -> None:
        """Another one, which knows nothing."""
        self.operator = Facts()
        self.connected = False

    def tick(self, arrives: bool = True, acknowledged: bool = True) -> None:
        """One turn of the agent; what is sent may not arrive: then the connection is broken."""
        self.now += 0.5
        self.folder.scan(round(self.now * 1e6), BOUNDS)
        if not self.connected:
            self.connect()
        for table, body in self.log.frames(self.now, EPOCH):
            if arrives:
                self.operator.take(frames.DEFINE if table else frames.FACTS, body)
        if not arrives:
            self.connected = False
        elif acknowledged:
            self.log.acknowledged(self.operator.number)


ACTIONS = st.lists(
    st.one_of(
        st.tuples(
            st.just("serve"),
            st.sampled_from(["GET /a", "GET /b/<id>", "POST /ä", "other"]),
            st.integers(1, 10**11),
            st.booleans(),
        ),
        st.tuples(
            st.just("call"),
            st.sampled_from(["postgresql orders", "http ä.example.com", "other"]),
            st.integers(1, 10**11),
            st.sampled_from([None, 0, 1, 2, 3, 4]),
        ),
        st.sampled_from(
            [
                ("tick",),
                ("tick", False),
                ("tick", True, False),
                ("begin_worker",),
                ("end_worker",),
                ("end_worker", 2),
                ("end_worker", 1, 11),
                ("end_worker", 0, 6),
                ("start_agent",),
                ("replace_operator",),
                ("drop_connection",),
            ]
        ),
    ),
    max_size=60,
)


@settings(max_examples=150, deadline=None)
@given(ACTIONS)
def test_every_request_is_told_once(tmp_path_factory: pytest.TempPathFactory, actions: list[tuple[object, ...]]) -> None:
    world = World(tmp_path_factory.mktemp("run"))
    for name, *rest in actions:
        getattr(world, name)(*rest)
    world.tick()
    world.tick()
    assert {name: row for name, row in world.operator.counted().items() if row[0]} == world.truth
    assert world.operator.errors == world.errors
    assert world.told_calls() == world.calls
    assert world.operator.unanswered == world.unanswered
    assert world.operator.deaths == world.deaths
    for name, cells in world.operator.call_cells.items():
        assert sum(cells.values()) <= world.calls[name][0]
    for name, cells in world.operator.cells.items():
        assert sum(cells.values()) <= world.truth[name][0]
    while world.ledgers:
        world.end_worker()


def test_cells_are_the_response_times_of_each_endpoint(tmp_path: Path) -> None:
    world = World(tmp_path)
    random_ns = random.Random(7)
    expected: dict[str, dict[int, int]] = {}
    world.connect()
    world.tick()
    for number in range(3000):
        endpoint, elapsed_ns = f"GET /{number % 5}", int(random_ns.lognormvariate(16, 1.5))
        world.serve(endpoint, elapsed_ns, False)
        bucket = bucket_of_ns(elapsed_ns)
        expected.setdefault(endpoint, {})[bucket] = expected.setdefault(endpoint, {}).get(bucket, 0) + 1
        if number % 200 == 0:
            world.tick()
    world.tick()
    assert world.operator.cells == expected


def test_a_request_that_waits_in_its_slot_is_told_and_not_told_again_when_it_is_counted(tmp_path: Path) -> None:
    ledger = make_ledger(tmp_path)
    endpoint = ledger.endpoint("GET /a")
    ledger.use_slots(1)
    ended = (1000, endpoint, 2, 5_000_000, 0)
    layout.SLOT.pack_into(ledger.memory, layout.OFF_SLOTS, *ended)
    file = WorkerFile(ledger.path)
    harvest = Harvest(file)
    assert take(file, harvest).rows == {"GET /a": (1, 0, 5000)}
    assert not take(file, harvest)
    ledger.settling()
    ledger.finished(endpoint, 2, False, 5_000_000)
    file.read(10**9, BOUNDS)
    assert harvest.take() is None, "the writer is at it"
    ledger.close_slot(0)
    ledger.settling()
    assert not take(file, harvest)
    file.close()
    ledger.detach()


def test_a_journal_that_was_overrun_still_gives_every_request_a_bucket(tmp_path: Path) -> None:
    ledger = make_ledger(tmp_path)
    first, second = ledger.endpoint("GET /early"), ledger.endpoint("GET /late")
    for _ in range(1000):
        ledger.finished(first, 2, False, 8_000_000)
    for _ in range(layout.JOURNAL + 100):
        ledger.finished(second, 2, False, 2_000_000)
    file = WorkerFile(ledger.path)
    found = take(file, Harvest(file))
    assert found.rows["GET /early"][0] == 1000
    assert found.rows["GET /late"][0] == layout.JOURNAL + 100
    assert found.cells == {
        ("GET /early", bucket_of_ns(8_000_000)): 1000,
        ("GET /late", bucket_of_ns(2_000_000)): layout.JOURNAL + 100,
    }
    file.close()
    ledger.detach()


def test_samples_and_visitors_come_through_their_rings(tmp_path: Path) -> None:
    ledger = make_ledger(tmp_path)
    file = WorkerFile(ledger.path)
    harvest = Harvest(file)
    for number in range(layout.SAMPLES + 3):
        ledger.sample({"error": "exception ValueError", "message": f"message {number}", "line": number})
    for number in range(1, layout.VISITS + 11):
        ledger.visit(number)
    found = take(file, harvest)
    assert [sample["line"] for sample in harvest.samples] == list(range(3, layout.SAMPLES + 3))
    assert found.visits == list(range(11, layout.VISITS + 11)), "the oldest were overwritten"
    harvest.samples.clear()
    ledger.sample({"message": "x" * 5000, "file": "y" * 500})
    take(file, harvest)
    [sample] = harvest.samples
    assert sample["message"] == "x" * 50
    file.close()
    ledger.detach()


def test_facts_held_back_for_long_are_of_the_past_and_have_no_response_times(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.tick()
    world.serve("GET /a", 10**6, False)
    world.tick()
    assert world.operator.past == []
    world.serve("GET /a", 10**6, False)
    world.now += LATE_S + 10
    world.tick()
    assert world.operator.past == [2]
    assert world.operator.counted()["GET /a"][0] == 2
    assert sum(world.operator.cells["GET /a"].values()) == 1
    world.end_worker()


def test_an_operator_that_wants_none_gets_none_and_later_all(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.connected = True
    world.log.welcomed(None, 0, new=True)
    world.serve("GET /a", 10**6, False)
    world.tick()
    assert world.operator.number == 0
    world.log.welcomed(0, 1000, new=False)
    world.tick()
    assert world.operator.counted() == {"GET /a": (1, 0, 1000)}
    world.log.welcomed(0, 1000, new=False)  # said before our first facts arrived
    world.serve("GET /a", 10**6, False)
    world.tick()
    assert world.operator.counted()["GET /a"][0] == 2
    assert world.operator.past == []
    world.end_worker()


def test_a_visitors_register_is_told_once_a_minute_and_when_it_grows(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.begin_worker()
    key = b"k" * 32
    hashes = [facts.visitor_hash(key, f"visitor {number}".encode()) for number in range(400)]
    for hashed in hashes * 2:
        world.ledgers[0].visit(hashed)
    world.tick()
    seen = {}
    for hashed in hashes:
        register, rank = facts.register_and_rank(hashed)
        seen[register] = max(rank, seen.get(register, 0))
    assert world.operator.visitors == seen
    followed = [hashed & 0xFFFFFFFF for hashed in hashes if facts.is_sighted(hashed)]
    assert world.operator.sightings == followed * 2 != []
    world.operator.visitors.clear()
    world.ledgers[0].visit(hashes[0])
    world.tick()
    assert world.operator.visitors == {}
    world.now += 61
    world.ledgers[0].visit(hashes[0])
    world.tick()
    assert list(world.operator.visitors) == [facts.register_and_rank(hashes[0])[0]]
    world.end_worker()


def test_endpoints_past_the_ids_are_other_and_counted_as_folded(tmp_path: Path) -> None:
    log = FactsLog(str(tmp_path))
    log.welcomed(0, 0, new=True)
    found = Additions()
    for number in range(facts.MAX_IDS + 20):
        found.add_row(f"GET /{number}", 1, 0, 10)
    log.take(found)
    operator = Facts()
    for table, body in log.frames(1.0, EPOCH):
        operator.take(frames.DEFINE if table else frames.FACTS, body)
    counted = operator.counted()
    assert len(counted) == facts.MAX_IDS
    assert counted["other"][0] == 21


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"version":1,"epoch":"0123456789abcdef"}', b"\xff"])
def test_a_file_that_cannot_be_read_begins_anew(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "facts").write_bytes(content)
    log = FactsLog(str(tmp_path))
    log.load(EPOCH)
    assert log.number == 0
    assert log.cursors == {}


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=2000))
def test_names_of_any_bytes_are_read_or_refused(body: bytes) -> None:
    try:
        found = facts.unpack_names(body)
    except ValueError:
        return
    assert all(0 <= table <= 255 and 0 <= index <= 0xFFFF for table, index, _ in found)
