"""What a kubelet says its containers use: `/stats/summary` of one node, asked directly.

The API server could pass the question on, but `nodes/proxy` is a right to run anything on any node; `nodes/stats` is not.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from types import TracebackType
from typing import NamedTuple, Self

import aiohttp
import msgspec

from rollcall.kube.client import Access, Client
from rollcall.kube.objects import unix

PORT = 10250
WITHIN_S = 5.0
MOST_BYTES = 32 * 2**20
_TIMEOUT = aiohttp.ClientTimeout(total=WITHIN_S)


class Figures(NamedTuple):
    """What one container uses: `cpu_millicores` over the kubelet's last few seconds, its working set, `at` in Unix seconds."""

    uid: str
    container: str
    cpu_millicores: float
    memory_bytes: int
    at: float


class _Reference(msgspec.Struct, frozen=True):
    uid: str = ""


class _Cpu(msgspec.Struct, rename="camel", frozen=True):
    time: str | None = None
    usage_nano_cores: int | None = None


class _Memory(msgspec.Struct, rename="camel", frozen=True):
    working_set_bytes: int | None = None


class _Container(msgspec.Struct):
    name: str = ""
    cpu: _Cpu = _Cpu()
    memory: _Memory = _Memory()


class _Pod(msgspec.Struct, rename="camel"):
    pod_ref: _Reference = _Reference()
    containers: list[_Container] = []


class _Summary(msgspec.Struct):
    pods: list[_Pod] = []


class KubeletError(Exception):
    """A kubelet could not be asked, or did not answer as one; the text says why."""


def figures(raw: bytes) -> Iterator[Figures]:
    """The containers of a summary that have both figures; raises KubeletError when it is none."""
    try:
        summary = msgspec.json.decode(raw, type=_Summary)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise KubeletError(f"the answer is no summary: {error}") from None
    for pod in summary.pods:
        for container in pod.containers:
            nanocores, working_set = container.cpu.usage_nano_cores, container.memory.working_set_bytes
            at = _time(container.cpu.time)
            if nanocores is not None and working_set is not None and at is not None:
                yield Figures(pod.pod_ref.uid, container.name, nanocores / 1e6, working_set, at)


def _time(text: str | None) -> float | None:
    try:
        return unix(text)
    except ValueError:
        return None


class Kubelets:
    """Asks kubelets with our own token; use as a context manager.

    Their certificates are verified against the cluster's CA, unless `verify` is False: many clusters let kubelets sign their
    own. Without verification whoever takes a node's address can read the token.
    """

    def __init__(self, client: Client, access: Access, *, verify: bool = True) -> None:
        self._client = client
        self._access = access
        self._tls = access.tls
        if not verify:
            self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            self._tls.check_hostname = False
            self._tls.verify_mode = ssl.CERT_NONE
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=self._tls), timeout=_TIMEOUT)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def address(self, node: str) -> str:
        """host:port of a node's kubelet; raises KubeError, KubeletError, or an error of the connection to the API server."""
        status = (await self._client.request("GET", f"/api/v1/nodes/{node}")).get("status") or {}
        addresses = status.get("addresses") or []
        host = next((each.get("address") for each in addresses if each.get("type") == "InternalIP"), None)
        if not host:
            raise KubeletError("the node has no internal address")
        port = ((status.get("daemonEndpoints") or {}).get("kubeletEndpoint") or {}).get("Port") or PORT
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    async def ask(self, address: str) -> list[Figures]:
        """What the containers of a node use; raises KubeletError with the reason when it does not say."""
        if self._session is None:
            raise RuntimeError("use it as a context manager")
        url = f"https://{address}/stats/summary?only_cpu_and_memory=true"
        try:
            async with self._session.get(url, headers=self._access.headers(), allow_redirects=False) as response:
                raw = await response.content.read(MOST_BYTES) if response.status == 200 else b""
                while response.status == 200 and len(raw) < MOST_BYTES and (more := await response.content.read(MOST_BYTES)):
                    raw += more
        except TimeoutError:
            raise KubeletError(f"no answer within {WITHIN_S:g} s") from None
        except aiohttp.ClientConnectorCertificateError as error:
            reason = error.certificate_error
            raise KubeletError(
                f"its certificate is not of the cluster's CA ({reason}); see kubelet.verify of the chart"
            ) from None
        except (aiohttp.ClientError, OSError) as error:
            raise KubeletError(str(error) or type(error).__name__) from None
        if response.status in (401, 403):
            raise KubeletError(f"it refuses the operator's token ({response.status}); it needs `get` on nodes/stats")
        if response.status != 200:
            raise KubeletError(f"it answers {response.status}")
        return list(figures(raw))
