"""What is done with the fleet, and what is seen meanwhile: one method per phase, one line of the table per bound."""

from __future__ import annotations

import argparse
import asyncio
import time
from pathlib import Path
from typing import Any

import numpy as np

from rollcall.kube.client import MERGE_PATCH, KubeError
from rollcall.kube.informer import Informer
from rollcall.kube.pods import Pod

from .live import Live, total
from .pods import Made, Pods, paced, question
from .processes import AgentsProcess, OperatorProcess, Used
from .stage import SERVICES, SYSTEM, Stage, service_of

PER_SECOND_ASKED = 1000 / 60
LIVES_S = 5.0
"""So long a pod of the churn lives."""
PATIENCE_S = 120.0
BATCH = 100
_STATUS = {"resource": "monitoredservices", "subresource": "status"}


def row(what: str, bound: str, seen: str, met: bool | None = None) -> None:
    """One line of the table."""
    verdict = {True: "met", False: "MISSED", None: ""}[met]
    print(f"{what:<66} {bound:<22} {seen:<34} {verdict}", flush=True)


def note(text: str) -> None:
    """What is being done now."""
    print(f"   … {text}", flush=True)


class Run:
    """All phases."""

    def __init__(
        self, given: argparse.Namespace, stage: Stage, operator: OperatorProcess, agents: AgentsProcess, live: Live
    ) -> None:
        self._count: int = given.pods
        self._churn: float = given.churn
        self._seconds: float = given.seconds
        self._stage = stage
        self._operator = operator
        self._agents = agents
        self._live = live
        self._pods = Pods(stage.client)

    async def all(self, authority: Path) -> None:
        """One after the other."""
        self._operator.start()
        await self._authority(authority)
        await self._agents.start()
        row("what", "bound", "seen")
        empty = await self._settled()
        await self.grow()
        await self.steady(empty)
        await self.relist()
        await self.webhook()
        await self.reconnect()
        await self.churn()
        lost = self._operator.log_lines("does not lead any more") - self._operator.ended
        row("leadership lost without a reason", "0", f"{lost} times", lost == 0)

    async def _authority(self, file: Path) -> None:
        """The CA that agents go by, as the operator publishes it."""
        for _ in range(300):
            await asyncio.sleep(0.2)
            if len(await self._live.services()) < SERVICES:
                continue
            try:
                found = await self._stage.client.request("GET", f"/api/v1/namespaces/{SYSTEM}/configmaps/rollcall-ca")
            except KubeError:
                continue
            file.write_text(found["data"]["ca.crt"])
            return
        raise SystemExit("the operator did not begin to lead")

    async def _settled(self) -> Used:
        await asyncio.sleep(3)
        return self._operator.used()

    # --- phases

    async def grow(self) -> None:
        """Pods and their agents, as fast as the API server makes them."""
        note(f"{self._count} pods through the webhook")
        began_s = time.monotonic()
        bare = 0
        for start in range(0, self._count, BATCH):
            made = await self._pods.make_many(min(BATCH, self._count - start), token=True)
            bare += sum(not one.injected for one in made)
            await self._agents.ask(add=[(one.uid, one.token) for one in made])
        rate = self._count / (time.monotonic() - began_s)
        took_s = await self._live.until({"total": self._count, "serving": self._count}, PATIENCE_S)
        row("pods made through the webhook, not injected", "0", f"{bare} of {self._count} at {rate:.0f}/s", bare == 0)
        row("last agent told to connect → all serve in the live API", "–", f"{took_s:.1f} s")

    async def steady(self, empty: Used) -> None:
        """A minute of all agents."""
        note(f"{self._count} agents for {self._seconds:g} s")
        await asyncio.sleep(5)
        before, api_before = self._operator.used(), await self._stage.metrics()
        agents_before = self._agents.used()
        ages = await self._live.ages_ms(*service_of(0), self._seconds)
        after, api_after = self._operator.used(), await self._stage.metrics()
        cores = after.cores_since(before)
        span_s = after.at_s - before.at_s
        per_pod = (after.kib - empty.kib) / self._count
        row(f"operator's CPU, {self._count} TLS agents, a viewer of {self._count // SERVICES}", "–", f"{cores:.1%} of a core")
        row("agents' process, for comparison", "–", f"{self._agents.used().cores_since(agents_before):.1%} of a core")
        row("operator's memory per pod", "≤ 40 KiB", f"{per_pod:.1f} KiB, {after.kib / 1024:.0f} MiB in all", per_pod <= 40)
        p50, p99 = np.quantile(ages, (0.5, 0.99))
        row(
            "age of what a viewer sees, p50 / p99 / max",
            "p99 < 1 s",
            f"{p50:.0f} / {p99:.0f} / {ages.max():.0f} ms",
            p99 < 1000,
        )
        await self._nothing_dropped()
        self._writes(api_before, api_after, span_s)
        text, took_ms = await self._live.metrics()
        mean_ms = total(text, "rollcall_fold_seconds_sum") / max(1, total(text, "rollcall_fold_seconds_count")) * 1000
        row("fold of all services, mean since the start", "–", f"{mean_ms:.1f} ms")
        row("/metrics", "–", f"{took_ms:.0f} ms, {text.count(chr(10))} lines")

    async def _nothing_dropped(self) -> None:
        """What agents sent is what the operator counts, once nothing is on its way."""
        said = await self._agents.ask(pause=True)
        await asyncio.sleep(2)
        text, _ = await self._live.metrics()
        await self._agents.ask(pause=False)
        lost = said["sent"] - round(total(text, "rollcall_reports_total"))
        row(
            "reports dropped / skipped / connections refused",
            "0",
            f"{lost} / {said['skipped']} / {said['goodbyes'] or 0}",
            lost == 0,
        )

    def _writes(self, before: str, after: str, span_s: float) -> None:
        def grown(name: str, **labels: str) -> float:
            return total(after, name, **labels) - total(before, name, **labels)

        writes = grown("apiserver_request_total", **_STATUS, verb="APPLY") + grown(
            "apiserver_request_total", **_STATUS, verb="PATCH"
        )
        rate = writes / span_s
        bound = SERVICES / 5
        row("status writes, counted by the API server", f"≤ {bound:g}/s", f"{rate:.2f}/s", rate <= bound * 1.05)
        sizes = [
            grown("apiserver_request_body_size_bytes_sum", resource="monitoredservices", verb=verb)
            for verb in ("apply", "patch")
        ]
        if writes and sum(sizes):
            mean = sum(sizes) / writes
            row(
                "bytes of a status write",
                "< 32 KB",
                f"{mean / 1000:.1f} KB, {sum(sizes) / span_s / 1000:.1f} KB/s",
                mean < 32_000,
            )

    async def relist(self) -> None:
        """A list of all pods, as an informer of the operator makes it, in this process."""
        note("a first list")
        found: list[Any] = []
        informer = Informer(
            self._stage.client, "/api/v1/pods", Pod, on_change=lambda pod: found.append(pod.facts()), on_delete=lambda pod: None
        )
        began_s = time.monotonic()
        cpu_s = time.process_time()
        task = asyncio.create_task(informer.run())
        await informer.synced.wait()
        took_s, cpu_s = time.monotonic() - began_s, time.process_time() - cpu_s
        task.cancel()
        per_5000 = took_s / len(found) * 5000
        row(f"first list of {len(found)} pods", "≤ 5 s for 5,000", f"{took_s:.2f} s, {cpu_s:.2f} s of CPU here", per_5000 <= 5)

    async def webhook(self) -> None:
        """1,000 pods a minute, as many questions from here, and all services listed anew in between."""
        note("1,000 pods a minute, with all services listed anew")
        seconds = self._seconds / 2
        asked = round(seconds * PER_SECOND_ASKED)
        body = question(*service_of(0))
        making = asyncio.create_task(self._pods.make_many(asked, token=False, per_second=PER_SECOND_ASKED))
        listing = asyncio.create_task(self._list_anew(seconds / 3))
        took_ms = await paced((self._live.admit(body) for _ in range(asked)), PER_SECOND_ASKED)
        made = await making
        await listing
        p50, p99 = np.quantile(took_ms, (0.5, 0.99))
        row("webhook's answer, p50 / p99 / max", "p99 < 20 ms", f"{p50:.1f} / {p99:.1f} / {max(took_ms):.1f} ms", p99 < 20)
        await self._remove(made)

    async def _list_anew(self, after_s: float) -> None:
        """Selectors change to others that match the same: each service forgets its pods and lists them."""
        await asyncio.sleep(after_s)
        began_s = time.monotonic()
        for number in range(SERVICES):
            namespace, name = service_of(number)
            more = {"matchExpressions": [{"key": "pod-template-hash", "operator": "Exists"}]}
            path = f"/apis/rollcall.dev/v1alpha1/namespaces/{namespace}/monitoredservices/{name}"
            await self._stage.client.request("PATCH", path, {"spec": {"selector": more}}, content_type=MERGE_PATCH)
        await asyncio.sleep(1)
        while (await self._live.pods()).get("total", 0) < self._count:
            await asyncio.sleep(0.1)
        row("20 selectors changed → all pods listed anew", "–", f"{time.monotonic() - began_s:.1f} s")

    async def reconnect(self) -> None:
        """The operator is restarted: all agents come over."""
        note("the operator is restarted")
        await self._live.until({"total": self._count}, PATIENCE_S)
        await self._operator.stop()
        began_s = time.monotonic()
        self._operator.start()
        await self._live.until({"total": self._count}, PATIENCE_S)
        listed_s = time.monotonic() - began_s
        await self._live.until({"total": self._count, "serving": self._count}, PATIENCE_S)
        took_s = time.monotonic() - began_s
        row("operator started anew → all pods on the roll", "–", f"{listed_s:.1f} s")
        row("operator started anew → all agents report again", "≤ 15 s", f"{took_s:.1f} s", took_s <= 15)

    async def churn(self) -> None:
        """Pods come and go, twice; memory is that after each time."""
        used = [await self._settled()]
        for number in (1, 2):
            note(f"churn, {self._churn:g} pods/s made and removed, {number} of 2")
            before = self._operator.used()
            gone, span_s = await self._come_and_go()
            cores = self._operator.used().cores_since(before)
            took_s = await self._live.until({"total": self._count, "serving": self._count}, PATIENCE_S)
            row(
                f"churn {number}: pods born and gone / operator's CPU / right after",
                f"{self._churn:g}/s",
                f"{gone} at {gone / span_s:.0f}/s / {cores:.0%} / {took_s:.1f} s",
            )
            await asyncio.sleep(15)
            used.append(await self._settled())
        growth = used[2].kib / used[1].kib - 1
        seen = " → ".join(f"{one.kib / 1024:.0f}" for one in used)
        row(
            "operator's memory before, after churn 1, after churn 2, MiB",
            "≤ 5 % from 1 to 2",
            f"{seen}: {growth:+.1%}",
            growth <= 0.05,
        )

    async def _come_and_go(self) -> tuple[int, float]:
        began_s = time.monotonic()

        async def live_and_leave() -> None:
            made = await self._pods.make(token=False)
            await asyncio.sleep(LIVES_S)
            await self._pods.remove(made)

        pods = round(self._churn * self._seconds)
        await paced((live_and_leave() for _ in range(pods)), self._churn)
        return pods, time.monotonic() - began_s - LIVES_S

    async def _remove(self, made: list[Made]) -> None:
        await asyncio.gather(*(self._pods.remove(one) for one in made))
