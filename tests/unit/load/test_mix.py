"""The endpoint mix: parsed from a line, and the same sequence for the same seed."""

from __future__ import annotations

from collections import Counter
from itertools import islice

import pytest

from tests.harness.load.mix import Endpoint, draw, parse_mix

MIX = parse_mix("/=5,/feed/{user}=3,/slow=1,/hang.php?s=10=0.5")


@pytest.mark.parametrize(
    ("text", "mix"),
    [
        ("/", [Endpoint("/", 1)]),
        ("/=5,/feed/42=3", [Endpoint("/", 5), Endpoint("/feed/42", 3)]),
        ("/hang.php?s=10=0.1", [Endpoint("/hang.php?s=10", 0.1)]),
    ],
)
def test_mix_is_parsed(text: str, mix: list[Endpoint]) -> None:
    assert parse_mix(text) == mix


@pytest.mark.parametrize("text", ["", "feed=1", "/=x", "/=0", "/=-1", "/=1,"])
def test_bad_mix_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"not PATH=WEIGHT|a path starts with /"):
        parse_mix(text)


def test_the_same_seed_gives_the_same_requests_and_another_does_not() -> None:
    first, again, other = (list(islice(draw(MIX, seed), 500)) for seed in (7, 7, 8))
    assert first == again
    assert first != other


def test_weights_are_kept() -> None:
    seen = Counter(template for template, _ in islice(draw(MIX, 1), 20_000))
    for endpoint in MIX:
        assert seen[endpoint.template] / 20_000 == pytest.approx(endpoint.weight / 9.5, rel=0.1)


def test_variables_are_filled_with_numbers() -> None:
    paths = {path for template, path in islice(draw(MIX, 1), 20_000) if template == "/feed/{user}"}
    assert paths == {f"/feed/{user}" for user in range(200)}
