"""The local door to the page: who comes in, and as whom they reach the operator."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from rollcall.cli import dashboard
from rollcall.cli.connection import CliError
from rollcall.cli.dashboard import Door
from tests.unit.agent.pod import free_port


@dataclass
class Operator:
    """Stands for the live API behind a port-forward; it remembers what it was asked."""

    session: aiohttp.ClientSession
    base: str
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    @asynccontextmanager
    async def any(self, path: str, headers: dict[str, str]) -> AsyncIterator[aiohttp.ClientResponse]:
        self.asked.append((path, headers))
        async with self.session.get(self.base + path, headers=headers) as response:
            yield response


@dataclass
class House:
    door: Door
    http: TestClient[Any, Any]
    operator: Operator

    async def sign_in(self) -> str:
        response = await self.http.post("/session", headers={"Authorization": f"Bearer {self.door.key}"})
        assert response.status == 200
        return str((await response.json())["token"])


@pytest.fixture
async def house() -> AsyncIterator[House]:
    async def page(_: web.Request) -> web.Response:
        return web.Response(text="page", content_type="text/html", headers={"Content-Security-Policy": "default-src 'none'"})

    async def refusal(_: web.Request) -> web.Response:
        return web.json_response({"error": "you may not"}, status=403)

    behind = web.Application()
    behind.router.add_get("/", page)
    behind.router.add_get("/v1/services", refusal)
    door = Door()
    async with TestServer(behind) as server, aiohttp.ClientSession() as session, TestClient(TestServer(door.app())) as http:
        operator = Operator(session, str(server.make_url("")).rstrip("/"))
        door.api = operator  # type: ignore[assignment]
        door.hosts = frozenset({f"127.0.0.1:{http.server.port}"})  # type: ignore[union-attr]
        yield House(door, http, operator)


async def test_the_key_opens_once_and_the_secret_goes_no_further(house: House) -> None:
    token = await house.sign_in()
    assert token != house.door.key
    again = await house.http.post("/session", headers={"Authorization": f"Bearer {house.door.key}"})
    assert again.status == 401
    assert "run rollcall dashboard again" in (await again.json())["error"]
    response = await house.http.get(
        "/v1/services?namespace=a%26b", headers={"Authorization": f"Bearer {token}", "Last-Event-ID": "7", "Cookie": "a=b"}
    )
    assert (response.status, await response.json()) == (403, {"error": "you may not"})
    assert house.operator.asked == [("/v1/services?namespace=a%26b", {"Last-Event-ID": "7"})]


@pytest.mark.parametrize("given", ["", "Bearer ", "Bearer wrong", "Basic YTpi", "KEY"])
async def test_without_the_secret_nothing_is_asked_of_the_operator(house: House, given: str) -> None:
    headers = {"Authorization": given.replace("KEY", f"Bearer {house.door.key}")}
    response = await house.http.get("/v1/services", headers=headers)
    assert response.status == 401
    assert house.operator.asked == []
    if given != "KEY":
        assert (await house.http.post("/session", headers=headers)).status == 401


async def test_the_page_needs_no_secret_and_keeps_its_policy(house: House) -> None:
    response = await house.http.get("/")
    assert (await response.text(), response.headers["Content-Security-Policy"]) == ("page", "default-src 'none'")


async def test_other_names_and_other_sites_are_turned_away(house: House) -> None:
    token = await house.sign_in()
    for strange in ({"Host": "evil.example"}, {"Host": "127.0.0.1:1"}, {"Origin": "https://evil.example"}, {"Origin": "null"}):
        response = await house.http.get("/v1/services", headers={"Authorization": f"Bearer {token}", **strange})
        assert response.status == 421
        assert (await house.http.post("/session", headers=strange)).status == 421
    assert house.operator.asked == []


async def test_other_paths_and_methods_are_not_passed_on(house: House) -> None:
    token = await house.sign_in()
    headers = {"Authorization": f"Bearer {token}"}
    assert (await house.http.get("/metrics", headers=headers)).status == 404
    assert (await house.http.post("/v1/services", headers=headers)).status == 405
    assert house.operator.asked == []


async def test_without_a_way_to_the_operator_it_says_why(house: House) -> None:
    token = await house.sign_in()
    house.door.api, house.door.trouble = None, "kubectl port-forward ended"
    response = await house.http.get("/v1/services", headers={"Authorization": f"Bearer {token}"})
    assert (response.status, await response.json()) == (503, {"error": "kubectl port-forward ended"})


async def test_the_command_prints_an_address_and_heals_the_way(
    house: House, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    opened: list[str] = []

    class Api(Operator):
        @asynccontextmanager
        async def get(self, path: str) -> AsyncIterator[None]:
            if path == "/v1/operator" and len(opened) == 1 and self.asked:
                raise CliError("the port-forward ended")
            yield

    @asynccontextmanager
    async def live_api(_: object) -> AsyncIterator[Api]:
        opened.append("way")
        yield Api(house.operator.session, house.operator.base)

    monkeypatch.setattr(dashboard, "live_api", live_api)
    monkeypatch.setattr(dashboard, "_AGAIN_S", 0.02)
    command = asyncio.create_task(dashboard._serve(None, "shop", 0, browser=False))  # type: ignore[arg-type]
    said = ""
    async with asyncio.timeout(10):
        while "\n" not in said:
            await asyncio.sleep(0.01)
            said += capsys.readouterr().out
        address, _, rest = said.splitlines()[0].partition("/#key=")
        assert rest.endswith("&/?namespace=shop")
        async with house.operator.session.get(f"{address}/") as response:
            assert await response.text() == "page"
        while len(opened) < 2:
            await asyncio.sleep(0.01)
        while True:  # for a moment there is no way, which is said
            async with house.operator.session.get(f"{address}/") as response:
                if response.status == 200:
                    break
    command.cancel()
    with pytest.raises(asyncio.CancelledError):
        await command


async def test_the_usual_port_is_taken_where_it_is_free(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that an address that somebody shares is that of their colleagues' page, too."""
    monkeypatch.setattr(dashboard, "PORT", free_port())
    runners = [web.AppRunner(house.door.app()) for _ in range(2)]
    for runner in runners:
        await runner.setup()
        await dashboard._listen(runner, None)
    first, second = (runner.addresses[0][1] for runner in runners)
    for runner in runners:
        await runner.cleanup()
    assert first == dashboard.PORT
    assert second not in (0, dashboard.PORT)


async def test_a_port_that_is_taken_is_one_sentence(house: House) -> None:
    port = house.http.server.port  # type: ignore[union-attr]
    with pytest.raises(CliError, match=f"port {port} of 127.0.0.1 cannot be used"):
        await dashboard._serve(None, None, int(port or 0), browser=False)  # type: ignore[arg-type]
