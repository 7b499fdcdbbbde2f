"""What is fuzzed holds for its seeds, and for seeds that are cut, doubled and changed in places: the same in each run."""

from __future__ import annotations

import random

import pytest

from tests.fuzz.__main__ import NAMES
from tests.fuzz.targets import targets

TARGETS = targets()


def changed(seed: bytes, dice: random.Random) -> bytes:
    """Some bytes of it others, or a part left out or said twice."""
    data = bytearray(seed)
    for _ in range(dice.randint(1, 8)):
        at, end = sorted(dice.randint(0, len(data)) for _ in range(2))
        match dice.randint(0, 2):
            case 0:
                data[at:end] = b""
            case 1:
                data[at:at] = data[at:end]
            case _:
                data[at : at + 1] = dice.randbytes(dice.randint(1, 4))
    return bytes(data)


def test_the_names_are_those_of_the_targets() -> None:
    assert set(NAMES) == set(TARGETS)


@pytest.mark.parametrize("name", NAMES)
def test_a_target_takes_whatever_comes(name: str) -> None:
    dice, target = random.Random(name), TARGETS[name]
    for seed in target.seeds:
        target.run(seed)
        for _ in range(300 // len(target.seeds)):
            target.run(changed(seed, dice))
