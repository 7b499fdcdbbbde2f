"""The operator's process: everything is put together here, and nothing is decided here.

Every replica answers the webhook and follows objects and pods; the lease holder also serves its term (`control.term`): agents,
folds, statuses, live API. All of it is one asyncio loop, so that the model needs no locks; but the webhook, for which others
wait, has a thread of its own and only reads (`serve.apart`).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar, cast

import aiohttp
import kopf
import msgspec
from aiohttp import web

from rollcall import __version__
from rollcall.api.monitoredservice import API_VERSION, GROUP, KIND, PLURAL, VERSION
from rollcall.control.announcements import Announcer
from rollcall.control.breaker import Breaker
from rollcall.control.bundle import Bundle
from rollcall.control.certificates import CertificateKeeper, CertificateStoreError, dns_names
from rollcall.control.coverage import Coverage
from rollcall.control.handlers import quieten, registry_for
from rollcall.control.handover import Handover
from rollcall.control.kubelets import KubeletPoller
from rollcall.control.newest import Newest
from rollcall.control.repair import Repairer
from rollcall.control.services import Services
from rollcall.control.status import StatusWriter
from rollcall.control.takeback import Judge
from rollcall.control.term import Job, LeaderLabel, Term
from rollcall.control.visitors import VisitorKeys, VisitorSecretError
from rollcall.control.why import Explainer
from rollcall.facts import ProcessFacts
from rollcall.garbage import Collector
from rollcall.ingest.agent import Door
from rollcall.ingest.server import IngestServer
from rollcall.inject.render import InjectSettings
from rollcall.kube.client import Access, Client, KubeError
from rollcall.kube.informer import Informer
from rollcall.kube.kubelet import Kubelets
from rollcall.kube.lease import Lease
from rollcall.kube.objects import Manifest
from rollcall.kube.review import Reviews
from rollcall.kube.secrets import SecretStore
from rollcall.kube.tokens import PodTokens
from rollcall.model.kept import Parts
from rollcall.model.roll import Roll
from rollcall.serve import access as live_access
from rollcall.serve import listen
from rollcall.serve.apart import Apart, across
from rollcall.serve.kept import KeptApi
from rollcall.serve.live import make_live_app
from rollcall.serve.metrics import OperatorMetrics, make_metrics_app
from rollcall.serve.publisher import Publisher
from rollcall.serve.webhook import make_webhook_app
from rollcall.settings import Settings
from rollcall.store.keeper import Keeper
from rollcall.store.mirror import Mirror

NATIVE_SINCE = (1, 29)
CERTIFICATES_S = 60.0
BRIDGE_S = 20.0
"""By then kopf follows MonitoredServices, also on a busy node."""
CALM_STEP_S, CALM_STEPS, CALM_WITHIN_S = 0.05, 20, 20.0
"""Ready when so many steps in a row took not much longer than they should; after `CALM_WITHIN_S` in any case."""
LINGER_S = 3.0
"""After SIGTERM the webhook goes on for so long, until every node has heard that this pod is leaving."""
T = TypeVar("T")
_log = logging.getLogger(__name__)


class Operator:
    """One replica. `run` until SIGTERM or SIGINT."""

    def __init__(self, settings: Settings, client: Client, kubelets: Kubelets | None = None) -> None:
        self._settings = settings
        self._kubelets = kubelets
        self._client = client
        self._identity = settings.pod_name or f"{settings.name}-{id(self):x}"
        self._reviews = Reviews(client, tokens=PodTokens(client, lambda uid: self._services.has_pod(uid)))
        self._roll = Roll()
        self._door = Door(self._roll, self._reviews.pod, time.monotonic, __version__)
        self._publisher = Publisher(self._roll)
        self._metrics = OperatorMetrics(self._door, self._publisher)
        self._visitors = VisitorKeys(SecretStore(client, settings.namespace, f"{settings.name}-visitors"))
        self._services = Services(
            client, self._roll, self._namespaces_changed, self._visitors.key, Breaker(settings.agent.image)
        )
        self._newest = Newest(client, self._services.put)
        self._coverage = Coverage(client, self._services, self._roll, self._door.strangers)
        self._explainer = Explainer(client, self._services, self._coverage)
        self._store = Keeper(
            settings.store,
            self._roll,
            lambda: self._services.uids,
            lambda: self._lease is not None and self._lease.sure,
        )
        self._lease: Lease | None = None
        self._facts = ProcessFacts()
        self._apart = Apart("webhook")
        self._webhook: web.AppRunner | None = None
        self._keeper = CertificateKeeper(
            SecretStore(client, settings.namespace, f"{settings.name}-certs"), dns_names(settings.name, settings.namespace)
        )
        names = dns_names(settings.name, settings.namespace)
        self._mirror = Mirror(
            client,
            self._store,
            settings.namespace,
            self._identity,
            lambda: "" if self._lease is None or self._lease.leading else self._lease.holder,
            lambda: self._keeper.current.bundle,
            names[0],
            settings.ports.api,
        )
        self._metrics.watch_store(self._store)
        self._metrics.certificate_seconds_left = lambda: (self._keeper.current.expires - datetime.now(UTC)).total_seconds()
        self._bundle = Bundle(client, settings.namespace, settings.name)
        self._term: Term | None = None
        self._primed = asyncio.Event()
        self._trusted = False
        self._calm = False
        self._listening = False
        self._leaving = False
        self._native = True

    def _namespaces_changed(self) -> None:
        if self._term is not None:
            self._term.namespaces_changed.set()

    # --- readiness

    def not_ready(self) -> list[str]:
        """What a pod of ours still waits for before it may answer the webhook."""
        waits = {
            "shutting down": self._leaving,
            "certificates": not self._listening,
            "MonitoredService objects": not self._primed.is_set(),
            "webhook configuration": not self._trusted,
            "namespaces": not self._services.synced,
            "its start to be over": not self._calm,
        }
        return [name for name, waiting in waits.items() if waiting]

    # --- life

    async def run(self) -> None:
        """Start everything, serve, and end in an order in which nothing is lost."""
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await self._retry("certificates", self._refresh_certificates)
        await self._retry("visitors' key", self._visitors.load)
        self._native = await self._retry("API server version", self._supports_native_sidecars)
        await self._store.open()
        runners = await self._listen()
        term = self._term = self._make_term()
        lease = self._lease = Lease(
            self._client, self._settings.namespace, self._settings.name, self._identity, term.lead, gone=self._mirror.gone
        )
        kopf_stop = asyncio.Event()
        jobs = {
            "services": self._services.run(),
            "kopf": self._run_kopf(kopf_stop),
            "term": term.run(),
            "certificates": self._keep_certificates(),
            "facts": self._keep_looking(),
            "bridge": self._bridge(),
            "mirror": self._mirror.run(),
        }
        tasks = [asyncio.create_task(job, name=name) for name, job in jobs.items()]
        await self._primed.wait()
        await self._retry("webhook configuration", self._publish_webhook)
        tasks.append(asyncio.create_task(lease.run(), name="lease"))
        settling = asyncio.create_task(self._settle())
        stopping = asyncio.create_task(stop.wait())
        done, _ = await asyncio.wait([stopping, *tasks], return_when=asyncio.FIRST_COMPLETED)
        _log.info("ending: %s", ", ".join("signal" if task is stopping else task.get_name() for task in done))
        settling.cancel()
        await self._end(tasks, kopf_stop, runners)
        for task in done - {stopping}:
            task.result()

    async def _end(self, tasks: list[asyncio.Task[None]], kopf_stop: asyncio.Event, runners: list[web.AppRunner]) -> None:
        """First the term with its last status write, then the lease, then the webhook, so that a successor finds all totals."""
        assert self._webhook is not None
        self._leaving = True
        by_name = {task.get_name(): task for task in tasks}
        for name in ("term", "lease"):
            await _cancel(by_name[name])
        await asyncio.gather(listen.drain(runners, LINGER_S), self._apart.do(listen.drain([self._webhook], LINGER_S)))
        kopf_stop.set()
        for name in ("certificates", "facts", "bridge", "mirror", "services"):
            await _cancel(by_name[name])
        await asyncio.wait({by_name["kopf"]}, timeout=5)
        for runner in runners:
            await runner.cleanup()
        await self._apart.do(self._webhook.cleanup())
        await self._apart.stop()
        await self._store.close()

    async def _memory(self) -> Mapping[str, Parts]:
        await self._mirror.last()
        return await self._store.load()

    def _make_term(self) -> Term:
        settings, client, services = self._settings, self._client, self._services
        jobs: list[Job] = [
            Handover(client, services, settings.namespace, settings.name),
            StatusWriter(client, services, self._metrics.status_writes),
            Judge(client, services, settings.agent.image),
            Announcer(client, services),
            self._coverage,
            Repairer(client, services),
            self._store,
        ]
        if self._kubelets is not None:
            jobs.append(KubeletPoller(self._kubelets, services))
        return Term(
            self._roll,
            self._services,
            self._publisher,
            IngestServer(self._door, settings.ports.ingest, self._keeper.new_context()),
            jobs,
            self._bundle,
            LeaderLabel(self._client, settings.namespace, settings.pod_name),
            lambda: self._keeper.current.bundle.decode(),
            self._metrics.fold_seconds.observe,
            self._memory,
        )

    async def _listen(self) -> list[web.AppRunner]:
        ports = self._settings.ports
        api_tls = self._keeper.new_context()
        if not await live_access.trust_cluster_users(self._client, api_tls):
            _log.warning("the cluster publishes no client CA: the live API takes bearer tokens only")
        here = asyncio.get_running_loop()
        webhook = make_webhook_app(
            self._services.of_namespace,
            lambda namespace: across(here, self._newest.look(namespace)),
            self._inject_settings,
            self._metrics,
            lambda: not self.not_ready(),
        )
        kept = KeptApi(self._store, lambda: self._client.user)
        access = live_access.Access(self._reviews)
        live = make_live_app(self._publisher, access, self._facts.read, self._explainer.why, kept.answer)
        metrics = make_metrics_app(self._metrics, self.not_ready)
        self._apart.start()
        self._webhook = await self._apart.do(listen.serve(webhook, ports.webhook, self._keeper.new_context(self._apart.call)))
        runners = [
            await listen.serve(live, ports.api, api_tls),
            await listen.serve(metrics, ports.metrics, None),
        ]
        self._listening = True
        return runners

    def _inject_settings(self) -> InjectSettings:
        agent = self._settings.agent
        return InjectSettings(
            agent_image=agent.image,
            pull_policy=agent.pull_policy,
            operator_address=self._settings.ingest_address,
            native=self._native,
            paused=self._services.breaker.open,
        )

    # --- jobs

    async def _run_kopf(self, stop: asyncio.Event) -> None:
        quieten()
        await kopf.operator(
            registry=registry_for(self._services),
            standalone=True,
            clusterwide=True,
            identity=cast("Any", self._identity),  # or kopf asks for a user name, which an arbitrary UID does not have
            stop_flag=stop,
        )

    async def _bridge(self) -> None:
        """Follow services until kopf does, which is busy with discovery at first: their pods may come right behind them."""

        def known(manifest: Manifest) -> None:
            # A list leaves the kind of its items out.
            self._services.put(msgspec.to_builtins(manifest) | {"apiVersion": API_VERSION, "kind": KIND})

        def gone(manifest: Manifest) -> None:
            self._services.remove((manifest.metadata.namespace, manifest.metadata.name))

        path = f"/apis/{GROUP}/{VERSION}/{PLURAL}"
        informer = Informer(self._client, path, Manifest, on_change=known, on_delete=gone)
        following = asyncio.create_task(informer.run())
        try:
            await informer.watching.wait()
            self._primed.set()
            await asyncio.sleep(BRIDGE_S)
            await _cancel(following)
            await asyncio.Event().wait()
        finally:
            following.cancel()

    async def _settle(self) -> None:
        """Wait until the loop answers at once. What starts beside us holds it up for seconds on a busy node, and a webhook that
        answers too late is one that was not asked."""
        until_s, calm = time.monotonic() + CALM_WITHIN_S, 0
        while calm < CALM_STEPS and time.monotonic() < until_s:
            began_s = time.monotonic()
            await asyncio.sleep(CALM_STEP_S)
            calm = calm + 1 if time.monotonic() - began_s < 2 * CALM_STEP_S else 0
        self._calm = True

    async def _publish_webhook(self) -> None:
        """Be trusted by the API server before this pod is ready: a pod created right after the installation is injected."""
        await self._bundle.publish_webhook(self._keeper.current.bundle.decode())
        self._trusted = True

    async def _refresh_certificates(self) -> None:
        await self._keeper.refresh(datetime.now(UTC))

    async def _keep_certificates(self) -> None:
        while True:
            await asyncio.sleep(CERTIFICATES_S)
            before = self._keeper.current.bundle
            await self._retry("certificates", self._refresh_certificates)
            if self._keeper.current.bundle != before:
                self._namespaces_changed()

    async def _keep_looking(self) -> None:
        collector = Collector(time.monotonic())
        while True:
            self._facts.sample()
            self._services.look_at_image()
            collector.round(time.monotonic())
            await asyncio.sleep(1)

    async def _supports_native_sidecars(self) -> bool:
        version = await self._client.request("GET", "/version")
        return (int(version["major"]), int(version["minor"].rstrip("+"))) >= NATIVE_SINCE

    async def _retry(self, what: str, call: Callable[[], Awaitable[T]]) -> T:
        pause_s = 0.5
        while True:
            try:
                return await call()
            except (KubeError, CertificateStoreError, VisitorSecretError, aiohttp.ClientError, OSError, TimeoutError) as error:
                _log.warning("%s: %s; again in %.1f s", what, error or type(error).__name__, pause_s)
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, 10.0)


async def _cancel(task: asyncio.Task[Any]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


def serve(settings: Settings) -> Coroutine[Any, Any, None]:
    """The whole life of the process as one coroutine."""

    async def life() -> None:
        access = Access.find()
        async with Client(access) as client, Kubelets(client, access, verify=settings.kubelet.verify) as kubelets:
            await Operator(settings, client, kubelets if settings.kubelet.enabled else None).run()

    return life()
