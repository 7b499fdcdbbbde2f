"""The app against the real live API: keys in, screens out, one stream at a time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from rollcall.cli.top.session import Place
from tests.unit.cli.top.conftest import Operator, looking

FEED = Place("shop", "newsfeed")


async def test_from_the_fleet_to_a_pod(operator: Operator) -> None:
    async with looking(operator) as at:
        await at.until("newsfeed")
        assert "● live" in at.screen
        await at.press("G", "enter")
        await at.until("newsfeed-01")
        await at.press("slash", "b", "a", "r", "e", "enter")
        await at.until("1 of 11")
        await at.press("enter")
        await at.until("newsfeed-5d8f7c-g7 is bare")
        await at.press("escape", "escape")
        await at.until("newsfeed-01")
        await at.press("escape")
        await at.until("ledger")


async def test_one_stream_for_each_place_and_one_connection_for_all(operator: Operator) -> None:
    async with looking(operator) as at:
        await at.until("ledger")
        await at.press("G", "enter")
        await at.until("newsfeed-01")
        streams = [path for path in operator.paths if "/stream" in path]
        assert streams == [
            "/v1/services/stream?rate=4",
            "/v1/services/shop/newsfeed/stream?rate=4&with=seconds&since=0",
        ]
        assert operator.connections == 1


async def test_it_moves_and_a_second_comes_to_the_charts(operator: Operator) -> None:
    async with looking(operator, FEED) as at:
        await at.until("newsfeed-01")
        newest = at.app.session.past.newest
        assert newest is not None, "the past came with the stream"
        before = at.app.session.newest.at
        async with asyncio.timeout(30):
            while at.app.session.newest.at == before or at.app.session.past.newest == newest:
                operator.step()
                await asyncio.sleep(0.3)


async def test_pause_and_the_past(operator: Operator) -> None:
    async with looking(operator, FEED) as at:
        await at.until("newsfeed-01")
        await at.press(*["left"] * 24)  # this screen was not open then, however slow the machine is
        await at.until("pods are of")
        assert "newsfeed-01" in at.screen, "the operator keeps whole pictures"
        assert "ago" in at.screen
        await at.press("n")
        await at.until("● live")
        await at.press("space")
        held = at.app.session.shown
        operator.step()
        await asyncio.sleep(0.4)
        assert at.app.session.shown is held
        await at.press("space")
        await at.until("● live")


async def test_a_pod_has_a_past_too(operator: Operator) -> None:
    async with looking(operator, FEED) as at:
        await at.until("newsfeed-01")
        await at.press("enter")
        uid = at.app.session.place.pod
        async with asyncio.timeout(30):
            while sum(value is not None for value in at.app.session.trends.of(uid, 0, 10, 5)) < 3:
                await asyncio.sleep(0.02)


async def test_all_services_of_a_moment(operator: Operator) -> None:
    async with looking(operator) as at:
        await at.until("ledger")
        await at.press(*["left"] * 8)
        await at.until("❚❚")
        async with asyncio.timeout(30):
            while at.app.session.as_of is None:
                await asyncio.sleep(0.02)
        assert "newsfeed" in at.screen


async def test_an_operator_that_goes_and_comes_back(operator: Operator) -> None:
    async with looking(operator, FEED) as at:
        await at.until("newsfeed-01")
        await operator.down()
        await at.until("What you see is")
        await at.until("tried again by itself")
        assert "newsfeed-01" in at.screen
        await operator.up()
        operator.step()
        await at.until("● live")
        assert "since=0" not in operator.paths[-1], "it goes on where it broke off"


async def test_one_that_is_not_there_yet(operator: Operator) -> None:
    await operator.down()
    async with looking(operator, FEED) as at:
        await at.until("the operator cannot be reached: no pods")
        await operator.up()
        await at.until("newsfeed-01")


async def test_forbidden_says_what_is_missing_and_another_namespace_can_be_tried(operator: Operator) -> None:
    operator.world.may = {"bank"}
    async with looking(operator, FEED) as at:
        shown = await at.until("may not")
        assert "get" in shown
        assert "monitoredservices/live" in shown
        await at.press("colon", *"ns", "space", *"bank", "enter")
        await at.until("ledger")


async def test_a_service_that_there_is_not(operator: Operator) -> None:
    async with looking(operator, Place("shop", "nothing")) as at:
        await at.until('there is no MonitoredService "nothing"')
        await at.press("escape")
        await at.until("newsfeed")


async def test_no_service_yet() -> None:
    found = Operator()
    await found.up()
    async with looking(found) as at:
        await at.until("kind: MonitoredService")
    await found.down()


async def test_a_copied_command_goes_to_the_terminal(operator: Operator) -> None:
    async with looking(operator, FEED) as at:
        await at.until("newsfeed-01")
        await at.press("c")
        await at.until("copied: kubectl -n shop describe pod")
        assert at.app.clipboard == "kubectl -n shop describe pod newsfeed-5d8f7c-a1"


async def test_an_answer_of_another_version_is_said(operator: Operator) -> None:
    async with looking(operator, FEED) as at:
        await at.until("newsfeed-01")
        at.app._waiting = b'{"name": 3}'
        await at.app._take()
        await at.until("another version")


@pytest.mark.parametrize("skin", ["dark", "light", "contrast"])
async def test_skins(operator: Operator, skin: str) -> None:
    async with looking(operator, FEED) as at:
        await at.until("newsfeed-01")
        await at.press("colon", *"skin", "space", *skin, "enter")
        strip = at.app.board.render_line(1)
        assert any(segment.style and segment.style.color for segment in strip)
        assert at.app.board.skin == skin


async def test_without_colours_nothing_has_one(operator: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    async with looking(operator, FEED) as at:
        await at.until("newsfeed-01")
        styles: list[Any] = [segment.style for y in range(30) for segment in at.app.board.render_line(y)]
        assert all(style is None or (style.color is None and style.bgcolor is None) for style in styles)
        assert "░" in at.screen, "bands are told by shades"


async def test_a_row_is_clicked(operator: Operator) -> None:
    async with looking(operator) as at:
        await at.until("ledger")
        await at.pilot.click(offset=(3, 5))
        assert at.app.session.listing.here.name == "newsfeed"
        await at.pilot.click(offset=(3, 5))
        await at.until("newsfeed-01")


async def test_another_size_of_the_terminal(operator: Operator) -> None:
    async with looking(operator, FEED, (80, 24)) as at:
        await at.until("newsfeed-01")
        await at.pilot.resize_terminal(160, 45)
        await at.until("longest requests in flight")


async def test_it_ends_by_itself_after_so_many_seconds(operator: Operator) -> None:
    from rollcall.cli.top.app import TopApp
    from rollcall.cli.top.session import Session

    app = TopApp(Session(FEED), operator.connect, seconds=0.5)
    async with app.run_test():
        async with asyncio.timeout(30):
            while app.is_running:
                await asyncio.sleep(0.05)
