"""What a person sees: unknown is a dash and never 0, old says so, and large fleets fit."""

from __future__ import annotations

import time
from typing import Any

import pytest
from rich.console import Console, RenderableType

from rollcall.cli import screen
from rollcall.cli.top import line, path_of, render, stream_of
from rollcall.model.picture import InFlight, ResponseTime, Traffic
from tests.unit.cli.pictures import picture, pod, unheard


def text(thing: RenderableType, width: int = 140) -> str:
    console = Console(width=width, color_system=None, force_terminal=False)
    with console.capture() as capture:
        console.print(thing)
    return capture.get()


def cells(shown: str, name: str) -> list[str]:
    """The row of a pod or service."""
    (row,) = [row for row in shown.splitlines() if name in row.split()[:2]]
    return row.split()


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "–"),
        (0.0, "0.0"),
        (0.4, "0.4"),
        (9.96, "10.0"),
        (12.5, "12"),
        (1240.4, "1\u2009240"),
        (1e6, "1\u2009000\u2009000"),
    ],
)
def test_rate(value: float | None, shown: str) -> None:
    assert str(screen.rate(value)) == shown


@pytest.mark.parametrize(("value", "shown"), [(None, "–"), (0.0871, "87ms"), (1.234, "1.23s"), (0.0034, "3.4ms")])
def test_duration(value: float | None, shown: str) -> None:
    assert str(screen.duration(value)) == shown


@pytest.mark.parametrize(("value", "shown"), [(None, "–"), (0.0, "0%"), (0.0012, "0.1%"), (0.5, "50%")])
def test_ratio(value: float | None, shown: str) -> None:
    assert str(screen.ratio(value)) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(None, "–"), (-3, "0s"), (45, "45s"), (119, "119s"), (120, "2m"), (7200, "2h"), (172800, "2d"), (1e7, "115d")],
)
def test_age(seconds: float | None, shown: str) -> None:
    assert screen.age(seconds) == shown


def test_the_equalizer_has_room_for_twelve() -> None:
    assert str(screen.equalizer(None)) == "–"
    assert str(screen.equalizer({"total": 0, "bands": [0, 0, 0, 0], "oldest": 0})) == "  0 "
    assert str(screen.equalizer({"total": 3, "bands": [2, 0, 0, 1], "oldest": 9})) == "  3 ▮▮▮"
    full = screen.equalizer({"total": 900, "bands": [800, 50, 30, 20], "oldest": 9})
    assert str(full) == "900 " + "▮" * 12


def test_a_service_and_its_pods() -> None:
    shown = text(render(picture([pod("newsfeed-1"), pod("newsfeed-2", error_ratio=0.02)]), 40))
    for words in (
        "shop/newsfeed",
        "Healthy",
        "objectives are met",
        "requests/s 1\u2009240",
        "p50 21ms",
        "p95 87ms",
        "p99 1.23s",
        "errors 0.1%",
    ):
        assert words in shown
    assert "2 of 2 desired: ● 2 serving" in shown
    assert "total 5000 requests, 6 errors, 1 unanswered" in shown
    assert "oldest 4s" in shown
    assert cells(shown, "newsfeed-2") == ["newsfeed-2", "–", "●", "serving", "12", "87ms", "2%", "2", "▮▮", "2m", "node-1"]


def test_what_is_not_known_is_a_dash() -> None:
    shown = text(
        render(
            picture(
                [unheard("a", "pending"), unheard("b", "bare", "OptedOut")],
                traffic=Traffic(None, 10, None, None, ResponseTime(), None),
            ),
            40,
        )
    )
    assert cells(shown, "a") == ["a", "–", "○", "pending", "–", "–", "–", "–", "2m", "–"]
    assert cells(shown, "b") == ["b", "–", "◌", "bare", "OptedOut", "–", "–", "–", "–", "2m", "–"]
    assert "requests/s –" in shown
    assert "p95 –" in shown
    assert "in flight –" in shown
    services = text(render({"services": [picture()]}, 40))
    assert cells(services, "newsfeed") == ["shop", "newsfeed", "0/0", "Healthy", *["–"] * 7]


def test_zero_is_zero() -> None:
    idle = picture([pod("a", requests_per_second=0.0, in_flight=InFlight(0, [0, 0, 0, 0], 0.0), p95=None)])
    assert cells(text(render(idle, 40)), "a") == ["a", "–", "●", "serving", "0.0", "–", "0%", "0", "2m", "node-1"]


def test_empty_screens_say_what_to_do() -> None:
    assert "kubectl apply" in text(render({"services": []}, 40))
    assert "no pod matches the selector" in text(render(picture([]), 40))


@pytest.mark.parametrize("state", ["serving", "unready", "pending", "silent", "bare", "leaving"])
def test_every_state_has_a_sign_and_a_count(state: str) -> None:
    shown = text(render(picture([pod("a", state)]), 40))
    assert f"1 {state}" in shown


def test_five_thousand_pods_fit_and_the_ill_ones_come_first() -> None:
    roll = [pod(f"newsfeed-{number:04}") for number in range(5000)]
    roll[4321] = unheard("newsfeed-4321", "silent")
    shown = text(render(picture(roll), 30))
    assert len(shown.splitlines()) <= 30
    pods = [row for row in shown.splitlines() if row.startswith("newsfeed-")]
    assert pods[0].startswith("newsfeed-4321")
    assert f"… and {5000 - len(pods)} more" in shown


@pytest.mark.parametrize("width", [60, 80, 200])
def test_no_width_breaks_it(width: int) -> None:
    shown = text(render(picture([pod("newsfeed-7d9c-abcde")]), 24), width)
    assert max(len(row) for row in shown.splitlines()) <= width


def test_the_footer_tells_the_age_of_a_picture() -> None:
    now_s = time.monotonic()
    assert str(screen.footer(now_s, None)) == "ctrl-c ends"
    assert str(screen.footer(now_s - 5.2, None)) == "STALE for 5s"
    assert str(screen.footer(now_s - 200, "the operator does not answer")) == "STALE for 3m  the operator does not answer"
    assert str(screen.footer(now_s, "gone")).startswith("STALE for 0s")


def test_a_line_for_logs() -> None:
    assert line(picture([pod("a"), unheard("b", "silent")])) == (
        "shop/newsfeed       Healthy  pods=2/2 pending=0 serving=1 unready=0 silent=1 bare=0 leaving=0 "
        "rps=1\u2009240 p95=87ms errors=0.1% inflight=[28, 2, 1, 0]"
    )
    assert line(picture()).endswith("rps=– p95=– errors=– inflight=–")


@pytest.mark.parametrize(
    ("service", "everywhere", "path", "stream"),
    [
        ("newsfeed", False, "/v1/services/shop/newsfeed", "/v1/services/shop/newsfeed/stream"),
        (None, False, "/v1/services?namespace=shop", "/v1/services/stream?namespace=shop"),
        (None, True, "/v1/services", "/v1/services/stream"),
    ],
)
def test_paths(service: str | None, everywhere: bool, path: str, stream: str) -> None:
    assert path_of(service, "shop", all_namespaces=everywhere) == path
    assert stream_of(path) == stream


def test_pictures_of_tests_have_the_live_apis_names() -> None:
    shape: dict[str, Any] = picture([pod("a")])
    assert {"requestsPerSecond", "responseTime", "inFlight"} <= set(shape["traffic"])
    assert {"createdAt", "errorRatio"} <= set(shape["roll"][0])
