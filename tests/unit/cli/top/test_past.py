"""What was: seconds without doubles, windows, pods as they were seen, and pictures for as long as they fit."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rollcall.cli.top.past import KEPT_S, Kept, Past, Trends, as_of, mean, pack, unknown
from rollcall.cli.top.picture import Service, decode
from tests.unit.cli import pictures
from tests.unit.cli.top.screens import NOW_S, history, roll


def told(**changes: Any) -> bytes:
    return json.dumps(history(10) | changes).encode()


def service(at: float = NOW_S, count: int = 2) -> Service:
    found = decode(json.dumps(pictures.picture(roll(count)) | {"at": at}).encode())
    assert isinstance(found, Service)
    return found


def test_seconds_come_once() -> None:
    past = Past()
    past.take(told())
    past.take(told())
    assert (past.oldest, past.newest) == (991, 1000)
    assert len(past.marks) == 1


def test_no_more_than_fifteen_minutes_are_kept() -> None:
    past = Past()
    past.take(json.dumps(history(KEPT_S, until=1000)).encode())
    past.take(json.dumps(history(5, until=1005)).encode())
    assert past.oldest == 1005 - KEPT_S + 1


def test_a_window_folds_seconds_and_has_gaps_where_nobody_looked() -> None:
    past = Past()
    past.take(told())
    rates = past.window(lambda second: second.requests_per_second, 1000, 4, 3, mean)
    assert rates == [10.0, 12.0, 15.0, 18.0]
    assert past.window(lambda second: second.requests_per_second, 1002, 2, 2, max) == [19.0, None]


def test_a_service_as_it_was_tells_nothing_of_its_pods() -> None:
    past = Past()
    past.take(told())
    second = past.at(995)
    assert second is not None
    then = as_of(service(), second)
    assert (then.at, then.traffic["requestsPerSecond"], then.roll) == (995.0, 14.0, None)
    assert then.pods["serving"] == 3
    assert then.resources is None
    assert unknown(service(), 995).traffic["requestsPerSecond"] is None


def test_trends_have_one_value_a_second() -> None:
    trends = Trends()
    for at in (1000.0, 1000.4, 1001.1, 1003.0):
        trends.take(service(at))
    assert trends.of("uid-newsfeed-1", 0, 4) == [12.5, 12.5, None, 12.5]
    assert trends.of("nobody", 0, 2) == [None, None]


def test_what_the_operator_keeps_comes_before_what_was_seen() -> None:
    trends = Trends()
    trends.seed("shop/newsfeed", history(10, until=999))
    assert trends.of("shop/newsfeed", 0, 3) == [17.0, 18.0, 19.0]


def test_of_thousands_of_pods_only_the_one_that_is_looked_at_is_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rollcall.cli.top.past.MOST_TRENDS", 1)
    trends = Trends()
    trends.watched = "uid-newsfeed-2"
    trends.take(service(count=3))
    assert trends.of("uid-newsfeed-1", 0, 1) == [None]
    assert trends.of("uid-newsfeed-2", 0, 1) == [12.5]


def test_pictures_are_kept_as_long_as_they_fit() -> None:
    data = json.dumps(pictures.picture(roll(2))).encode()
    kept = Kept(most_bytes=3 * len(pack(data)) + 10)
    for second in range(10, 15):
        assert kept.wants(second)
        kept.keep(second, pack(data))
    assert kept.at(11) is None
    found = kept.at(14)
    assert found is not None
    assert len(found.roll or ()) == 2
    assert kept.at(16) is not None, "the nearest within two seconds"
    assert kept.at(17) is None
