"""Requests and their errors: whatever the other side answers, callers see KubeError or an error of the connection."""

from __future__ import annotations

import base64
import ssl
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml
from aiohttp import web

from rollcall.control.certificates import renewed
from rollcall.kube.client import Access, Client, KubeError
from tests.unit.kube.conftest import ApiServer


@pytest.mark.parametrize(
    ("response", "status", "reason", "message"),
    [
        (
            {"status": 404, "text": '{"kind":"Status","reason":"NotFound","message":"pods \\"x\\" not found"}'},
            404,
            "NotFound",
            "not found",
        ),
        ({"status": 409, "text": '{"reason":"Conflict"}'}, 409, "Conflict", ""),
        ({"status": 502, "text": "<html>bad gateway</html>"}, 502, "Error", "bad gateway"),
        ({"status": 500, "text": ""}, 500, "Error", ""),
        ({"status": 500, "text": "[1]"}, 500, "Error", ""),
        ({"status": 403, "body": b"\xff\xfe"}, 403, "Error", ""),
        ({"status": 200, "text": "<html>log in first</html>"}, 200, "NotJSON", "malformed"),
    ],
)
async def test_errors(api: ApiServer, client: Client, response: dict[str, Any], status: int, reason: str, message: str) -> None:
    api.refuse = lambda _: web.Response(**response)
    with pytest.raises(KubeError) as caught:
        await client.request("GET", "/api/v1/anything")
    assert (caught.value.status, caught.value.reason) == (status, reason)
    assert message in caught.value.message


async def test_a_server_that_is_not_there() -> None:
    async with Client(Access("http://127.0.0.1:1", ssl.create_default_context())) as client:
        with pytest.raises(aiohttp.ClientConnectionError):
            await client.request("GET", "/version")


async def test_an_empty_answer_is_none(api: ApiServer, client: Client) -> None:
    api.refuse = lambda _: web.Response(status=200)
    assert await client.request("DELETE", "/api/v1/x") is None


async def test_apply_is_server_side_by_one_manager(api: ApiServer, client: Client) -> None:
    seen: list[tuple[str, dict[str, str], str, Any]] = []

    def answer(request: web.Request) -> web.Response:
        seen.append((request.method, dict(request.query), request.content_type, request.path))
        return web.json_response({})

    api.refuse = answer
    await client.apply("/apis/x", {"metadata": {"name": "n"}})
    assert seen == [("PATCH", {"fieldManager": "rollcall", "force": "true"}, "application/apply-patch+yaml", "/apis/x")]


async def test_the_token_is_read_again_for_each_request(api: ApiServer, tmp_path: Path, client: Client) -> None:
    token = tmp_path / "token"
    access = Access("http://x", ssl.create_default_context(), token)
    for text in ("first", "second\n"):
        token.write_text(text)
        assert access.headers() == {"Authorization": f"Bearer {text.strip()}"}
    assert Access("http://x", ssl.create_default_context()).headers() == {}


@pytest.mark.parametrize("embedded", [True, False])
def test_a_kubeconfig_with_certificates(tmp_path: Path, embedded: bool) -> None:
    made = renewed(None, ["x"], datetime.now(UTC))
    parts = {"certificate-authority": made.bundle, "client-certificate": made.certificate, "client-key": made.key}

    def given(key: str) -> dict[str, str]:
        if embedded:
            return {f"{key}-data": base64.b64encode(parts[key]).decode()}
        (tmp_path / key).write_bytes(parts[key])
        return {key: str(tmp_path / key)}

    config = {
        "current-context": "here",
        "contexts": [{"name": "other", "context": {}}, {"name": "here", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": "https://10.0.0.1:6443"} | given("certificate-authority")}],
        "users": [{"name": "u", "user": given("client-certificate") | given("client-key") | {"token": "t"}}],
    }
    path = tmp_path / "config"
    path.write_text(yaml.safe_dump(config))
    access = Access.from_kubeconfig(path)
    assert access.server == "https://10.0.0.1:6443"
    assert access.headers() == {"Authorization": "Bearer t"}
    assert len(access.tls.get_ca_certs()) == 1


def test_outside_a_cluster_without_a_kubeconfig_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("KUBERNETES_SERVICE_HOST", "KUBECONFIG"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(KubeError, match="neither a service account nor KUBECONFIG"):
        Access.find()
