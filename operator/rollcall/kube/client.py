"""A small asynchronous client of the Kubernetes API: raw JSON in and out, no typed models (they cost 0.7 ms per pod)."""

from __future__ import annotations

import asyncio
import base64
import os
import ssl
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp
import msgspec
import yaml

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
APPLY_PATCH = "application/apply-patch+yaml"
MERGE_PATCH = "application/merge-patch+json"
FIELD_MANAGER = "rollcall"
_TIMEOUT = aiohttp.ClientTimeout(total=30, connect=10)


class KubeError(Exception):
    """The API server answered with an error status; `status` is the HTTP code, `reason` the machine's word (`NotFound`)."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(f"{status} {reason}: {message}")
        self.status = status
        self.reason = reason
        self.message = message


@dataclass(frozen=True)
class Access:
    """Where the API server is and who we are to it. `token_file` is read again for each request, because it rotates."""

    server: str
    tls: ssl.SSLContext
    token_file: Path | None = None
    token: str | None = None

    @classmethod
    def find(cls) -> Access:
        """The pod's service account inside a cluster, else the kubeconfig of KUBECONFIG; KubeError if neither is there."""
        if (SERVICE_ACCOUNT / "token").exists() and "KUBERNETES_SERVICE_HOST" in os.environ:
            host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ.get("KUBERNETES_SERVICE_PORT", "443")
            address = f"[{host}]" if ":" in host else host
            tls = ssl.create_default_context(cafile=str(SERVICE_ACCOUNT / "ca.crt"))
            return cls(f"https://{address}:{port}", tls, SERVICE_ACCOUNT / "token")
        if path := os.environ.get("KUBECONFIG"):
            return cls.from_kubeconfig(Path(path))
        raise KubeError(0, "NoAccess", "neither a service account nor KUBECONFIG is there; the operator runs inside a cluster")

    @classmethod
    def from_kubeconfig(cls, path: Path) -> Access:
        """The current context of a kubeconfig with a client certificate or a token, embedded or in files."""
        config = yaml.safe_load(path.read_text())
        context = _named(config["contexts"], config["current-context"])["context"]
        cluster = _named(config["clusters"], context["cluster"])["cluster"]
        user = _named(config["users"], context["user"])["user"]
        tls = ssl.create_default_context(cadata=_data(cluster, "certificate-authority").decode())
        if "client-certificate" in user or "client-certificate-data" in user:
            with tempfile.NamedTemporaryFile() as pair:
                pair.write(_data(user, "client-certificate") + b"\n" + _data(user, "client-key"))
                pair.flush()
                tls.load_cert_chain(pair.name)
        return cls(cluster["server"], tls, token=user.get("token"))

    def headers(self) -> dict[str, str]:
        """The Authorization header of the next request."""
        token = self.token_file.read_text().strip() if self.token_file else self.token
        return {"Authorization": f"Bearer {token}"} if token else {}


def _named(entries: list[dict[str, Any]], name: str) -> dict[str, Any]:
    return next(entry for entry in entries if entry["name"] == name)


def _data(part: Mapping[str, str], key: str) -> bytes:
    return base64.b64decode(part[f"{key}-data"]) if f"{key}-data" in part else Path(part[key]).read_bytes()


class Client:
    """Requests to the API server; use as `async with Client(Access.find()) as client`."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._session: aiohttp.ClientSession | None = None
        self.turn = asyncio.Lock()
        """Who goes through a long answer holds it, so that of many who do only one has a slice in each round of the loop."""

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(ssl=self._access.tls, limit=0)
        self._session = aiohttp.ClientSession(connector=connector, timeout=_TIMEOUT, read_bufsize=2**20)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    @asynccontextmanager
    async def open(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = "application/json",
        accept: str = "application/json",
        timeout: aiohttp.ClientTimeout = _TIMEOUT,  # noqa: ASYNC109 (handed to aiohttp)
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """A response whose status is below 400; raises KubeError for others."""
        if self._session is None:
            raise RuntimeError("use the client as a context manager")
        headers = self._access.headers() | {"Accept": accept}
        data = None
        if body is not None:
            data = msgspec.json.encode(body)
            headers["Content-Type"] = content_type
        async with self._session.request(
            method, self._access.server + path, params=params, data=data, headers=headers, timeout=timeout
        ) as response:
            if response.status >= 400:
                raise _error(response.status, await response.read())
            yield response

    async def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        params: Mapping[str, str] | None = None,
        content_type: str = "application/json",
        accept: str = "application/json",
    ) -> Any:
        """One call, decoded; raises KubeError, or aiohttp.ClientError and TimeoutError when the server cannot be reached."""
        async with self.open(method, path, params=params, body=body, content_type=content_type, accept=accept) as response:
            raw = await response.read()
            try:
                return msgspec.json.decode(raw) if raw else None
            except (msgspec.DecodeError, UnicodeDecodeError) as error:  # a proxy's page, for example
                raise KubeError(response.status, "NotJSON", f"{method} {path}: {error}") from None

    @asynccontextmanager
    async def elsewhere(
        self, url: str, params: Mapping[str, str], tls: ssl.SSLContext, host: str
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """GET from another replica, as who we are; `host` is the name in its certificate."""
        if self._session is None:
            raise RuntimeError("use the client as a context manager")
        async with self._session.get(
            url, params=params, ssl=tls, server_hostname=host, headers=self._access.headers(), timeout=_TIMEOUT
        ) as response:
            yield response

    @property
    def user(self) -> str:
        """Who we are, if a service account's token says so; else empty."""
        _, _, token = self._access.headers().get("Authorization", "").partition(" ")
        try:
            payload = token.split(".")[1]
            subject = msgspec.json.decode(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))).get("sub", "")
        except (IndexError, ValueError, AttributeError):
            return ""
        return str(subject)

    async def apply(self, path: str, body: dict[str, Any]) -> Any:
        """Server-side apply as our one field manager."""
        params = {"fieldManager": FIELD_MANAGER, "force": "true"}
        return await self.request("PATCH", path, body, params=params, content_type=APPLY_PATCH)


def _error(status: int, raw: bytes) -> KubeError:
    try:
        answer = msgspec.json.decode(raw)
        return KubeError(status, str(answer.get("reason", "Error")), str(answer.get("message", "")))
    except (msgspec.DecodeError, UnicodeDecodeError, AttributeError):
        return KubeError(status, "Error", raw[:200].decode(errors="replace"))
