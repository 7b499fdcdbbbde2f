"""Kubelets over real TLS: what they tell, and every way in which they refuse, each in one sentence."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from rollcall.kube import kubelet as module
from rollcall.kube.client import Access, Client
from rollcall.kube.kubelet import Figures, KubeletError, Kubelets, figures
from tests.harness.local.certificates import Authority
from tests.unit.kube.conftest import ApiServer

TIME = "2026-03-01T10:00:05Z"
SUMMARY = {
    "node": {"nodeName": "node-1"},
    "pods": [
        {
            "podRef": {"name": "a", "namespace": "shop", "uid": "uid-a"},
            "containers": [
                {
                    "name": "web",
                    "cpu": {"time": TIME, "usageNanoCores": 12_345_678, "usageCoreNanoSeconds": 9},
                    "memory": {"time": TIME, "usageBytes": 99, "workingSetBytes": 4096},
                },
                {"name": "fresh", "cpu": {"time": TIME, "usageCoreNanoSeconds": 9}, "memory": {"workingSetBytes": 1}},
                {"name": "ended"},
            ],
        }
    ],
}


class Node:
    """What a kubelet answers, and what it was asked."""

    def __init__(self) -> None:
        self.status, self.body, self.hangs = 200, json.dumps(SUMMARY).encode(), False
        self.asked: list[tuple[str, str]] = []
        self.address = ""

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append((request.path_qs, request.headers["Authorization"]))
        if self.hangs:
            await asyncio.sleep(30)
        return web.Response(status=self.status, body=self.body)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("pki"), "ca")


@pytest.fixture
async def node(authority: Authority) -> AsyncIterator[Node]:
    made, app = Node(), web.Application()
    app.router.add_get("/stats/summary", made.answer)
    pair = authority.issue("node", hosts=["127.0.0.1"])
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(pair.certificate, pair.key)
    server = TestServer(app)
    await server.start_server(ssl=tls)
    made.address = f"127.0.0.1:{server.port}"
    yield made
    await server.close()


def access(ca: Path | None) -> Access:
    return Access("http://unused", ssl.create_default_context(cafile=str(ca) if ca else None), token="secret")


async def ask(node: Node, ca: Path | None, *, verify: bool = True) -> list[Figures]:
    async with Client(access(ca)) as client, Kubelets(client, access(ca), verify=verify) as kubelets:
        return await kubelets.ask(node.address)


async def test_containers_with_both_figures_are_told(node: Node, authority: Authority) -> None:
    assert await ask(node, authority.pair.certificate) == [Figures("uid-a", "web", 12.345678, 4096, 1772359205.0)]
    assert node.asked == [("/stats/summary?only_cpu_and_memory=true", "Bearer secret")]


async def test_a_stranger_gets_no_token(node: Node, tmp_path: Path) -> None:
    other = Authority(tmp_path, "other")
    for ca in (other.pair.certificate, None):
        with pytest.raises(KubeletError, match=r"not of the cluster.s CA"):
            await ask(node, ca)
    assert node.asked == []
    assert await ask(node, None, verify=False), "unless somebody wants it so"


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (401, b"Unauthorized", "refuses the operator's token .401."),
        (403, b"Forbidden", "nodes/stats"),
        (302, b"", "answers 302"),
        (500, b"no", "answers 500"),
        (200, b"<html>", "no summary"),
        (200, b"", "no summary"),
        (200, b'{"pods": [{"containers": 3}]}', "no summary"),
    ],
)
async def test_refusals(node: Node, authority: Authority, status: int, body: bytes, words: str) -> None:
    node.status, node.body = status, body
    with pytest.raises(KubeletError, match=words):
        await ask(node, authority.pair.certificate)


async def test_one_that_hangs_is_given_up(node: Node, authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_TIMEOUT", module.aiohttp.ClientTimeout(total=0.2))
    node.hangs = True
    with pytest.raises(KubeletError, match="no answer"):
        await ask(node, authority.pair.certificate)


async def test_one_that_is_not_there(node: Node, authority: Authority) -> None:
    node.address = "127.0.0.1:1"
    with pytest.raises(KubeletError, match="127"):
        await ask(node, authority.pair.certificate)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (
            {"addresses": [{"type": "Hostname", "address": "n"}, {"type": "InternalIP", "address": "10.0.0.7"}]},
            "10.0.0.7:10250",
        ),
        (
            {
                "addresses": [{"type": "InternalIP", "address": "fd00::7"}],
                "daemonEndpoints": {"kubeletEndpoint": {"Port": 10255}},
            },
            "[fd00::7]:10255",
        ),
        ({"addresses": [{"type": "Hostname", "address": "n"}]}, None),
        ({}, None),
    ],
)
async def test_addresses(api: ApiServer, client: Client, status: dict[str, Any], expected: str | None) -> None:
    api.refuse = lambda request: web.json_response({"metadata": {"name": request.path.rpartition("/")[2]}, "status": status})
    async with Kubelets(client, access(None)) as kubelets:
        if expected is None:
            with pytest.raises(KubeletError, match="no internal address"):
                await kubelets.address("node-1")
        else:
            assert await kubelets.address("node-1") == expected


def test_times_that_are_none_are_left_out() -> None:
    odd = {
        "podRef": {"uid": "u"},
        "containers": [{"name": "x", "cpu": {"time": "then", "usageNanoCores": 1}, "memory": {"workingSetBytes": 1}}],
    }
    assert list(figures(json.dumps({"pods": [odd]}).encode())) == []
