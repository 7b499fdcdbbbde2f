"""Leadership under a simulated clock: whatever the API server does to two competitors, never two leaders at once.

The event loop's own clock is simulated: waiting costs nothing, and time-outs inside the lease are part of what is tested.
"""

from __future__ import annotations

import asyncio
import copy
import selectors
from collections.abc import Coroutine
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollcall.kube.client import KubeError
from rollcall.kube.lease import DURATION_S, RENEW_S, RETRY_S, Lease


class JumpingSelector(selectors.SelectSelector):
    """Instead of waiting it moves the clock."""

    now_s = 1000.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready:
            assert timeout is not None, "nothing will ever happen again"
            self.now_s += timeout
        return ready


class SimulatedLoop(asyncio.SelectorEventLoop):
    """A loop whose time is the selector's."""

    def __init__(self) -> None:
        self._clock = JumpingSelector()
        super().__init__(self._clock)

    def time(self) -> float:
        return self._clock.now_s


def simulate(scene: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=SimulatedLoop) as runner:
        runner.run(scene)


class Api:
    """One Lease object with the conflict rules of the API server."""

    def __init__(self) -> None:
        self.lease: dict[str, Any] | None = None
        self.version = 0
        self.writes = 0

    def request(self, method: str, body: Any = None) -> Any:
        if method == "GET":
            if self.lease is None:
                raise KubeError(404, "NotFound", "no lease")
            return copy.deepcopy(self.lease)
        if method == "POST" and self.lease is not None:
            raise KubeError(409, "AlreadyExists", "there is one")
        if method == "PUT" and (
            self.lease is None or body["metadata"]["resourceVersion"] != self.lease["metadata"]["resourceVersion"]
        ):
            raise KubeError(409, "Conflict", "somebody else was faster")
        self.version += 1
        self.writes += 1
        self.lease = copy.deepcopy(body)
        self.lease["metadata"]["resourceVersion"] = str(self.version)
        return self.lease


class Line:
    """A competitor's way to the API server. `state` says what happens to its calls."""

    def __init__(self, api: Api) -> None:
        self.api, self.state = api, "good"

    async def request(self, method: str, path: str, body: Any = None) -> Any:
        state = self.state
        if state == "slow":
            await asyncio.sleep(1.7)
        elif state == "hangs before":
            await asyncio.sleep(25.0)
        elif state == "refused":
            raise ConnectionRefusedError("nobody listens")
        elif state == "error":
            raise KubeError(500, "InternalError", "etcd has no leader")
        answer = self.api.request(method, body)
        if state == "hangs after":  # the write is done, but nobody is told
            await asyncio.sleep(25.0)
        return answer


STATES = ["good", "slow", "hangs before", "hangs after", "refused", "error"]


class Contest:
    """Competitors for one lease, and a list of who led from when to when."""

    def __init__(self, count: int = 2) -> None:
        self.api = Api()
        self.lines = [Line(self.api) for _ in range(count)]
        self.leaders: set[int] = set()
        self.turns: list[tuple[float, int, bool]] = []
        loop = asyncio.get_running_loop()
        self.leases = [
            Lease(line, "rollcall-system", "rollcall", f"pod-{number}", self._on_change(number), loop.time)  # type: ignore[arg-type]
            for number, line in enumerate(self.lines)
        ]
        self.tasks = [asyncio.create_task(lease.run()) for lease in self.leases]

    def _on_change(self, number: int) -> Any:
        def change(leading: bool) -> None:
            (self.leaders.add if leading else self.leaders.discard)(number)
            self.turns.append((asyncio.get_running_loop().time(), number, leading))
            assert len(self.leaders) <= 1, self.turns

        return change

    async def stop(self, number: int) -> None:
        self.tasks[number].cancel()
        await asyncio.wait({self.tasks[number]})
        assert self.tasks[number].cancelled(), self.tasks[number].exception()

    async def settle(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        assert not any(task.done() for task in self.tasks), "a lease gave up for good"


PHASES = st.lists(
    st.tuples(st.sampled_from([0.3, 1.0, 2.5, 5.0, 9.0, 30.0]), st.sampled_from(STATES), st.sampled_from(STATES)), max_size=12
)


@given(PHASES)
@settings(max_examples=150, deadline=None)
def test_never_two_leaders_and_always_one_in_the_end(phases: list[tuple[float, str, str]]) -> None:
    async def scene() -> None:
        contest = Contest()
        for seconds, *states in phases:
            for line, state in zip(contest.lines, states, strict=True):
                line.state = state
            await contest.settle(seconds)
        for line in contest.lines:
            line.state = "good"
        await contest.settle(25 + 2 * DURATION_S + 2)
        assert len(contest.leaders) == 1
        for number in range(2):
            await contest.stop(number)
        assert not contest.leaders

    simulate(scene())


def test_a_leader_stays_leader_and_writes_every_two_seconds() -> None:
    async def scene() -> None:
        contest = Contest()
        await contest.settle(60.5)
        assert len(contest.turns) == 1
        assert contest.api.writes == 31
        assert contest.api.lease is not None
        assert contest.api.lease["spec"]["leaseTransitions"] == 1

    simulate(scene())


def test_a_leader_that_was_stopped_for_a_while_is_not_sure_before_it_has_looked() -> None:
    """As a process that a node swapped out: it wakes up and still believes that it leads."""

    async def scene() -> None:
        contest = Contest(1)
        await contest.settle(10.3)
        (lease,) = contest.leases
        assert lease.sure
        clock, lease._clock = lease._clock, lambda: asyncio.get_running_loop().time() + DURATION_S
        assert (lease.leading, lease.sure) == (True, False)
        lease._clock = clock
        await contest.stop(0)
        assert not lease.sure

    simulate(scene())


def test_release_hands_over_at_once() -> None:
    async def scene() -> None:
        contest = Contest()
        await contest.settle(10.3)
        (first,) = contest.leaders
        stopped_s = asyncio.get_running_loop().time()
        await contest.stop(first)
        assert contest.api.lease is not None
        assert contest.api.lease["spec"]["holderIdentity"] == ""
        await asyncio.sleep(RETRY_S + 0.01)
        assert contest.leaders == {1 - first}
        assert contest.turns[-1][0] - stopped_s <= RETRY_S

    simulate(scene())


@pytest.mark.parametrize(("dead", "within_s"), [(True, 2 * RETRY_S), (False, DURATION_S + RETRY_S)])
def test_a_holder_that_is_known_to_be_dead_is_not_waited_for(dead: bool, within_s: float) -> None:
    async def scene() -> None:
        contest = Contest(1)
        asked: list[str] = []

        async def gone(holder: str) -> bool:
            asked.append(holder)
            return dead and contest.lines[0].state == "refused"

        began: list[float] = []
        loop = asyncio.get_running_loop()
        other = Lease(
            Line(contest.api), "rollcall-system", "rollcall", "other", lambda _: began.append(loop.time()), loop.time, gone
        )  # type: ignore[arg-type]
        await contest.settle(3.3)
        following = asyncio.create_task(other.run())
        await contest.settle(3.0)
        assert not began, "the holder lives"
        contest.lines[0].state = "refused"  # its process is gone: it renews no more
        contest.tasks[0].cancel()
        died_s = loop.time()
        await asyncio.sleep(DURATION_S + 2 * RETRY_S)
        assert set(asked) == {"pod-0"}
        assert began[0] - died_s <= within_s
        assert dead or began[0] - died_s > 2 * RETRY_S
        following.cancel()
        await asyncio.wait({following})

    simulate(scene())


@pytest.mark.parametrize("state", ["hangs before", "hangs after", "refused", "error"])
def test_a_leader_that_is_cut_off_stops_before_the_other_begins(state: str) -> None:
    async def scene() -> None:
        contest = Contest()
        await contest.settle(10)
        (first,) = contest.leaders
        contest.lines[first].state = state
        await contest.settle(RENEW_S + DURATION_S + 2 * RETRY_S)
        (lost_s, who, leading), (won_s, other, _) = contest.turns[-2:]
        assert (who, leading, other) == (first, False, 1 - first)
        assert won_s - lost_s >= RENEW_S - RETRY_S
        contest.lines[first].state = "good"
        await contest.settle(60)
        assert contest.leaders == {1 - first}, "who comes back does not take it away again"

    simulate(scene())


def test_an_outage_for_all_ends_leadership_and_a_short_one_does_not() -> None:
    async def scene() -> None:
        contest = Contest()
        await contest.settle(10)
        for seconds, led in ((1.9, True), (30, False)):
            for line in contest.lines:
                line.state = "refused"
            await contest.settle(seconds)
            assert bool(contest.leaders) is led
            for line in contest.lines:
                line.state = "good"
            await contest.settle(DURATION_S + 2)
            assert contest.leaders

    simulate(scene())


def test_a_restarted_container_takes_its_own_lease_back_at_once() -> None:
    async def scene() -> None:
        contest = Contest(1)
        await contest.settle(3)
        contest.lines[0].state = "refused"  # it could not release
        await contest.stop(0)
        again: list[bool] = []
        lease = Lease(Line(contest.api), "rollcall-system", "rollcall", "pod-0", again.append)  # type: ignore[arg-type]
        task = asyncio.create_task(lease.run())
        await asyncio.sleep(0.1)
        assert again == [True]
        task.cancel()

    simulate(scene())
