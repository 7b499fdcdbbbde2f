"""Who was turned away is remembered by address: shortly, and not without end."""

from __future__ import annotations

from rollcall.ingest.strangers import MOST, REMEMBER_S, Strangers


def test_the_newest_code_for_a_while() -> None:
    now = [10.0]
    strangers = Strangers(lambda: now[0])
    assert strangers.code("10.0.0.1") is strangers.code(None) is None
    strangers.note("10.0.0.1", "NoHello")
    strangers.note("10.0.0.1", "TokenRejected")
    assert (strangers.code("10.0.0.1"), strangers.code("10.0.0.2")) == ("TokenRejected", None)
    now[0] += REMEMBER_S + 0.1
    assert strangers.code("10.0.0.1") is None


def test_a_flood_of_addresses_is_bounded() -> None:
    strangers = Strangers(lambda: 0.0)
    strangers.note("first", "NoHello")
    for number in range(MOST):
        strangers.note(f"a{number}", "NoHello")
    assert strangers.code("first") is None
    assert strangers.code(f"a{MOST - 1}") == "NoHello"
