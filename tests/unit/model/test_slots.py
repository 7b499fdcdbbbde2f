"""Slots: the lowest free number, one pod each, stable while it lives and with the next leader."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from rollcall.model.slots import KEY_BYTES, Slots, decode, slot_name


def opened(*uids: str) -> Slots:
    slots = Slots()
    slots.open({})
    come(slots, *uids)
    return slots


def come(slots: Slots, *uids: str) -> None:
    for at, uid in enumerate(uids):
        slots.want(uid, float(at))
    slots.settle()


def numbers(slots: Slots, *uids: str) -> list[int | None]:
    return [slots.number(uid) for uid in uids]


def test_names() -> None:
    assert [slot_name("newsfeed", number) for number in (1, 3, 99, 100)] == [
        "newsfeed-01",
        "newsfeed-03",
        "newsfeed-99",
        "newsfeed-100",
    ]


def test_the_lowest_free_number_in_order_of_creation() -> None:
    slots = opened()
    slots.want("young", 30.0)
    slots.want("old", 10.0)
    slots.settle()
    assert numbers(slots, "old", "young") == [1, 2]
    slots.release("old")
    come(slots, "new", "newer")
    assert numbers(slots, "young", "new", "newer") == [2, 1, 3]


def test_a_pod_waits_while_slots_are_closed() -> None:
    slots = Slots()
    come(slots, "a")
    assert slots.number("a") is None
    slots.open({})
    assert slots.number("a") == 1


def test_the_next_leader_goes_on() -> None:
    slots = opened("a", "b", "c", "d")
    slots.release("b")
    kept = slots.encode()
    assert len(kept) == 4 * KEY_BYTES
    heir = Slots()
    for uid, created_at in (("d", 4.0), ("e", 5.0), ("a", 1.0), ("f", 6.0)):  # c left meanwhile, e and f are new
        heir.want(uid, created_at)
    heir.open(decode(kept))
    assert numbers(heir, "a", "d", "e", "f") == [1, 4, 2, 3]


def test_another_selector_leaves_those_that_come_back_their_numbers() -> None:
    slots = opened("a", "b", "c")
    slots.close()
    assert numbers(slots, "a") == [None]
    for uid in ("c", "b", "x"):
        slots.want(uid, 0.0)
    slots.open({b"12345678": 9})
    assert numbers(slots, "b", "c", "x") == [2, 3, 1]


@given(st.binary(max_size=100))
def test_whatever_was_kept_can_be_read(kept: bytes) -> None:
    slots = Slots()
    slots.want("a", 0.0)
    slots.open(decode(kept))
    assert slots.number("a") == 1


uids = st.sampled_from([f"pod-{number}" for number in range(12)])


class Machine(RuleBasedStateMachine):
    """Pods come and go, leaders change; beside it the plainest way to say the same."""

    def __init__(self) -> None:
        super().__init__()
        self.slots = opened()
        self.model: dict[str, int] = {}

    @rule(uid=uids)
    def comes(self, uid: str) -> None:
        come(self.slots, uid)
        if uid not in self.model:
            self.model[uid] = min(set(range(1, 20)) - set(self.model.values()))

    @rule(uid=uids)
    def goes(self, uid: str) -> None:
        self.slots.release(uid)
        self.model.pop(uid, None)

    @rule(order=st.randoms())
    def another_leader(self, order: object) -> None:
        heir = Slots()
        living = sorted(self.model)
        order.shuffle(living)  # type: ignore[attr-defined]
        for uid in living:
            heir.want(uid, 0.0)
        heir.open(decode(self.slots.encode()))
        self.slots = heir

    @precondition(lambda self: self.model)
    @rule(uid=uids)
    def lists_anew(self, uid: str) -> None:
        self.slots.close()
        self.model.pop(uid, None)
        for living in self.model:
            self.slots.want(living, 0.0)
        self.slots.open({})

    @invariant()
    def as_the_model_says(self) -> None:
        assert {uid: self.slots.number(uid) for uid in self.model} == self.model
        assert len(self.slots) == len(self.model)
        assert len(set(self.model.values())) == len(self.model), "no slot twice"


Machine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestSlots = Machine.TestCase
