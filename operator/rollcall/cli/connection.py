"""From the caller's kubeconfig to the live API: a port-forward of our own, and the caller's own identity.

The certificate of the operator is checked against the ConfigMap `rollcall-ca`; the caller is known by the kubeconfig's token or
client certificate, both of which the operator has the API server verify.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import shutil
import signal
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import aiohttp
import yaml
from kubernetes import client as kube
from kubernetes import config as kube_config
from kubernetes.client.rest import RESTClientObject
from yarl import URL

_FORWARDING = re.compile(rb"Forwarding from 127\.0\.0\.1:(\d+)")
_FORWARD_WITHIN_S = 10.0
CHANGES_S = 10.0
_AGAIN_S = 0.5
T = TypeVar("T")
FORBIDDEN = 4
"""The exit code where the caller may not read, or is not known."""


class CliError(Exception):
    """A sentence for the user, on stderr; the command ends with `code`. What is `final` will not be better in a moment, what is
    `passing` will: another replica begins to lead."""

    def __init__(self, message: str, code: int = 1, *, final: bool = False, passing: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.final = final
        self.passing = passing


@dataclass(frozen=True)
class Target:
    """Which cluster, and where in it the operator is."""

    context: str | None = None
    kubeconfig: str | None = None
    namespace: str | None = None
    operator_namespace: str = "rollcall-system"
    operator_name: str = "rollcall"

    @property
    def server_name(self) -> str:
        """The name in the certificate of the live API."""
        return f"{self.operator_name}-api.{self.operator_namespace}.svc"

    def kubectl(self, *args: str) -> list[str]:
        """A kubectl command line against this cluster, to be run in `environment`."""
        found = shutil.which("kubectl")
        if found is None:
            raise CliError("kubectl is not in PATH; rollcall uses it to reach the operator")
        return [found, *([f"--context={self.context}"] if self.context else []), *args]

    @property
    def environment(self) -> dict[str, str]:
        """KUBECONFIG may be a list of files, which the option of kubectl may not."""
        return dict(os.environ) | ({"KUBECONFIG": self.kubeconfig} if self.kubeconfig else {})


@dataclass(frozen=True)
class Caller:
    """The caller's identity, and the trust in the operator's certificate."""

    target: Target
    tls: ssl.SSLContext
    headers: dict[str, str]
    settings: kube.Configuration
    """How the official client reaches the API server as the caller."""


def identify(target: Target) -> Caller:
    """Read the kubeconfig and the operator's CA; raises CliError that says what is missing."""
    settings = kube.Configuration()
    try:
        kube_config.load_kube_config(config_file=target.kubeconfig, context=target.context, client_configuration=settings)
        _, active = kube_config.list_kube_config_contexts(config_file=target.kubeconfig)
    except (kube_config.ConfigException, OSError) as error:
        raise CliError(f"no usable kubeconfig: {error}") from None
    except (yaml.YAMLError, AttributeError, TypeError, KeyError, ValueError) as error:
        raise CliError(f"no usable kubeconfig: it cannot be read: {' '.join(str(error).split())}") from None
    if target.namespace is None:
        target = replace(target, namespace=(active or {}).get("context", {}).get("namespace") or "default")
    tls = ssl.create_default_context(cadata=_read_ca(target, settings))
    if settings.cert_file:
        tls.load_cert_chain(settings.cert_file, settings.key_file)
    return Caller(target, tls, _headers(settings), settings)


def _read_ca(target: Target, settings: kube.Configuration) -> str:
    """By the client's connection, without its models of all resources: to import those takes half a second of each command."""
    where = f"namespace {target.operator_namespace}"
    url = f"{settings.host}/api/v1/namespaces/{target.operator_namespace}/configmaps/rollcall-ca"
    try:
        pool = RESTClientObject(settings).pool_manager
        found = pool.request("GET", url, headers=_headers(settings), timeout=10, retries=False)
    except Exception as error:  # urllib3 raises many kinds when the server cannot be reached
        raise CliError(f"the API server cannot be reached: {_root(error)}") from None
    if found.status == 404:
        raise CliError(
            f"Rollcall is not installed in {where}; install the chart, or name its namespace by --operator-namespace"
        )
    if found.status in (401, 403):
        raise CliError(f"you may not get configmaps/rollcall-ca in {where}: {found.reason}")
    if found.status != 200:
        raise CliError(f"the API server answered {found.status} {found.reason}")
    try:
        return str(json.loads(found.data)["data"]["ca.crt"])
    except (ValueError, KeyError, TypeError):
        raise CliError(f"configmaps/rollcall-ca in {where} has no certificate: the operator writes it when it starts") from None


def _headers(settings: kube.Configuration) -> dict[str, str]:
    """The caller's token, if that is how the caller is known."""
    # by this way round, because the client keeps the token under other names in other versions
    known: list[dict[str, str]] = list(settings.auth_settings().values())  # type: ignore[arg-type]
    return {entry["key"]: entry["value"] for entry in known if entry["in"] == "header" and entry["value"]}


def _root(error: BaseException) -> str:
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    return str(error) or type(error).__name__


@asynccontextmanager
async def port_forward(target: Target) -> AsyncIterator[int]:
    """A local port that leads to the live API as long as the context lasts; raises CliError when kubectl cannot open it."""
    command = target.kubectl(
        "port-forward", "-n", target.operator_namespace, f"svc/{target.operator_name}-api", ":443", "--address=127.0.0.1"
    )
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env=target.environment
    )
    drain: asyncio.Task[bytes] | None = None
    try:
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            line = await asyncio.wait_for(process.stdout.readline(), _FORWARD_WITHIN_S)
        except TimeoutError:
            what = f"no pod behind svc/{target.operator_name}-api in namespace {target.operator_namespace}"
            said = f"{what} became ready within {_FORWARD_WITHIN_S:.0f} s; rollcall doctor looks further"
            raise CliError(f"the operator cannot be reached: {said}") from None
        match = _FORWARDING.search(line)
        if match is None:
            _terminate(process)
            said = (await process.stderr.read()).decode(errors="replace").strip()
            raise CliError(f"the operator cannot be reached: {said or 'kubectl port-forward ended'}")
        drain = asyncio.create_task(process.stdout.read())
        yield int(match[1])
    finally:
        if drain is not None:
            drain.cancel()
        _terminate(process)
        await process.wait()


def _terminate(process: asyncio.subprocess.Process) -> None:
    """Not by its own method, which takes away the end of a process that has just ended from who waits for it, and asyncio then
    complains on stderr."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGTERM)


@asynccontextmanager
async def live_api(caller: Caller) -> AsyncIterator[LiveApi]:
    """The live API, ready for requests."""
    limits = aiohttp.ClientTimeout(total=None, connect=10, sock_read=10)
    async with port_forward(caller.target) as port, aiohttp.ClientSession(timeout=limits) as session:
        yield LiveApi(session, f"https://127.0.0.1:{port}", caller)


class LiveApi:
    """Requests to the live API; every failure is a CliError with the operator's own sentence."""

    def __init__(self, session: aiohttp.ClientSession, base: str, caller: Caller) -> None:
        self._session = session
        self._base = base
        self._caller = caller

    @asynccontextmanager
    async def any(self, path: str, headers: Mapping[str, str]) -> AsyncIterator[aiohttp.ClientResponse]:
        """A response with whatever status; raises what aiohttp raises."""
        async with self._session.get(
            URL(self._base + path, encoded=True),
            ssl=self._caller.tls,
            server_hostname=self._caller.target.server_name,
            headers={**headers, **self._caller.headers},
            allow_redirects=False,
        ) as response:
            yield response

    @asynccontextmanager
    async def get(self, path: str) -> AsyncIterator[aiohttp.ClientResponse]:
        """A response with status 200."""
        try:
            async with self._session.get(
                self._base + path,
                ssl=self._caller.tls,
                server_hostname=self._caller.target.server_name,
                headers=self._caller.headers,
            ) as response:
                if response.status != 200:
                    refused = response.status in (401, 403)
                    raise CliError(
                        await _sentence(response),
                        code=FORBIDDEN if refused else 1,
                        final=refused or response.status == 404,
                        passing=response.status == 503,
                    )
                yield response
        except (aiohttp.ClientError, TimeoutError) as error:
            raise CliError(f"the operator does not answer: {said_by(error)}") from None

    async def json(self, path: str) -> Any:
        """What a response with status 200 says."""
        async with self.get(path) as response:
            return await response.json()


def said_by(error: Exception) -> str:
    """An error of the connection in words for people."""
    if isinstance(error, aiohttp.ClientConnectorError):
        return "the port-forward to it has ended"
    if isinstance(error, TimeoutError):
        return "nothing came in time"
    return str(error) or type(error).__name__


async def ask(caller: Caller, work: Callable[[LiveApi], Awaitable[T]]) -> T:
    """What `work` learns from the live API, which may change hands meanwhile."""

    async def once() -> T:
        async with live_api(caller) as api:
            return await work(api)

    return await settle(once)


async def settle(work: Callable[[], Awaitable[T]], within_s: float = CHANGES_S) -> T:
    """What `work` gives, done again while the operator changes hands: after an upgrade its Service may lead for a moment
    to a replica that does not lead. Raises CliError when that lasts."""
    until_s = time.monotonic() + within_s
    while True:
        try:
            return await work()
        except CliError as error:
            if not error.passing or time.monotonic() > until_s:
                raise
            await asyncio.sleep(_AGAIN_S)


async def _sentence(response: aiohttp.ClientResponse) -> str:
    try:
        return str((await response.json())["error"])
    except (ValueError, KeyError, TypeError, aiohttp.ClientError):
        return f"the operator answered {response.status}"
