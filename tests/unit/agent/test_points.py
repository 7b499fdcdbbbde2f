"""Points: what is slow or failed comes first, the rest is a fair sample, and the weights add up."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from rollcall_agent.facts_log import FactsLog
from rollcall_agent.ledger import Ledger
from rollcall_agent.sources.folder import WorkerFolder
from rollcall_agent.sources.points import choose
from rollcall_agent.state import State
from rollcall_agent.wire import layout
from rollcall_agent.wire.points import CPU_UNKNOWN, unpack_points

BOUNDS = (1000, 3000, 8000)
SLOW_US = 1_000_000


def point(elapsed_us: int, outcome: int = 2) -> tuple[int, ...]:
    return (1, elapsed_us, 0, 0, 1, 0, 0, outcome, 0, 0)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2 * SLOW_US), st.sampled_from([2, 4, 13])), max_size=300), st.integers(0, 60))
def test_the_weights_of_each_group_add_up_to_its_size(requests: list[tuple[int, int]], room: int) -> None:
    entries = [(point(elapsed_us, outcome), number) for number, (elapsed_us, outcome) in enumerate(requests)]
    chosen = choose(entries, SLOW_US, room)
    assert len(chosen) <= room
    assert len({number for _, number, _ in chosen}) == len(chosen)
    of_group: Counter[bool] = Counter()
    for (_, elapsed_us, *_, outcome, _, _), _, weight in chosen:
        of_group[elapsed_us >= SLOW_US or bool(outcome & 8)] += weight
    for group in (True, False):
        size = sum((elapsed_us >= SLOW_US or bool(outcome & 8)) == group for elapsed_us, outcome in requests)
        assert of_group[group] in (size, 0)
        if room >= 4:
            assert of_group[group] == size, "no group is left out altogether"


def test_all_that_is_slow_or_failed_is_told_one_by_one_while_there_is_room() -> None:
    entries = [(point(5), n) for n in range(500)] + [(point(2 * SLOW_US), 1000), (point(5, 13), 1001)]
    chosen = choose(entries, SLOW_US, 50)
    assert [(number, weight) for _, number, weight in chosen[:2]] == [(1000, 1), (1001, 1)]
    assert len(chosen) == 50


def test_points_carry_the_names_that_define_tells(tmp_path: Path) -> None:
    state_dir = tmp_path / "agent"
    state_dir.mkdir()
    log = FactsLog(str(state_dir))
    folder = WorkerFolder(str(tmp_path), State(str(state_dir)), log)
    ledger = Ledger(str(tmp_path), layout.RUNTIME_PYTHON, "python")
    folder.scan(1, BOUNDS)
    endpoint, dependency = ledger.endpoint("GET /a"), ledger.dependency("redis sessions")
    ledger.error("http 503")
    ledger.finished(endpoint, 5, True, 7_000_000)
    ledger.point(9_000_000, 7000, 4000, CPU_UNKNOWN, endpoint, dependency, 1, 13)
    folder.scan(9_200_000, BOUNDS)
    [found] = unpack_points(folder.points(9_200_000, SLOW_US, 50))
    ids = log.endpoint("GET /a"), log.dependency("redis sessions"), log.error("http 503")
    assert found == (200, 1, 7000, 4000, CPU_UNKNOWN, *ids, 13, 0)
    assert folder.points(9_200_000, SLOW_US, 50) == b"", "each is told once"
    ledger.detach()
