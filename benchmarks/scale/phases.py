"""The whole fleet: what is done with it, and what is seen meanwhile; one line of the table per bound."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import numpy as np

from rollcall.kube.client import MERGE_PATCH
from rollcall.kube.informer import Informer
from rollcall.kube.pods import Pod

from .live import buckets, total
from .pods import Made, question
from .processes import Used, pid_of
from .scene import FULL_S, PATIENCE_S, Scene, note, row
from .stage import BARE, HASH, SERVICES, service_of

PER_SECOND_ASKED = 1000 / 60
LIVES_S = 5.0
"""So long a pod of the churn lives."""
_STATUS = {"resource": "monitoredservices", "subresource": "status"}
_ADMISSION = "apiserver_admission_webhook_admission_duration_seconds"


class Whole:
    """All phases, one after the other."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._count: int = scene.given.pods
        self._rate: float = scene.given.churn_rate
        self._seconds: float = scene.given.seconds

    async def all(self) -> None:
        """The table."""
        row("what", "bound", "seen")
        tenth = await self.grow()
        steady = await self.steady(tenth)
        await self.first_list()
        await self.webhook()
        await self.reconnect()
        await self.churn(steady)
        operator = self._scene.operator
        lost = operator.log_lines("does not lead any more") - operator.ended
        row("leadership lost without a reason", "0", f"{lost} times", lost == 0)

    # --- phases

    async def grow(self) -> Used:
        """Pods and their agents; returns what a tenth of them took."""
        note(f"{self._count} pods through the webhook")
        scene, began_s = self._scene, time.monotonic()
        empty = await scene.settled()
        made = await scene.grow(self._count // 10)
        tenth = await scene.settled(FULL_S)
        made += await scene.grow(self._count - len(made))
        rate = self._count / (time.monotonic() - began_s - FULL_S)
        took_s = await scene.all_serve()
        bare = sum(not one.injected for one in made)
        row("pods made through the webhook, not injected", "0", f"{bare} of {self._count} at {rate:.0f}/s", bare == 0)
        row("last agent told to connect → all serve in the live API", "–", f"{took_s:.1f} s")
        fixed = tenth.kib - empty.kib - 40 * self._count // 10
        row(
            f"operator's memory: empty, and with {self._count // 10} pods",
            "–",
            f"{empty.kib / 1024:.0f}, {tenth.kib / 1024:.0f} MiB",
        )
        row(f"of which {SERVICES} services' own (a pod at 40 KiB)", "–", f"{fixed / 1024:.0f} MiB")
        return tenth

    async def steady(self, tenth: Used) -> float:
        """A minute of all agents; returns the processors that the operator uses."""
        note(f"{self._count} agents for {self._seconds:g} s")
        scene = self._scene
        await asyncio.sleep(FULL_S)
        before, api_before = scene.operator.used(), await scene.stage.metrics()
        others = {"agents": scene.agents.used} | self._control_plane()
        others_before = {name: used() for name, used in others.items()}
        text_before, _ = await scene.live.metrics()
        ages = await scene.live.ages_ms(*service_of(0), self._seconds)
        after, api_after = scene.operator.used(), await scene.stage.metrics()
        text, took_ms = await scene.live.metrics()
        cores, span_s = after.cores_since(before), after.at_s - before.at_s
        reports = total(text, "rollcall_reports_total") - total(text_before, "rollcall_reports_total")
        row(f"operator's CPU, {self._count} TLS agents, a viewer of {self._count // SERVICES}", "–", f"{cores:.1%} of a core")
        row("   per report taken in, everything included", "–", f"{(after.cpu_s - before.cpu_s) / reports * 1e6:.0f} µs")
        used = ", ".join(f"{name} {others[name]().cores_since(others_before[name]):.1%}" for name in others)
        row("CPU of others in that time", "–", used)
        per_pod = (after.kib - tenth.kib) / (self._count - self._count // 10)
        row(
            "operator's memory per pod, from a tenth to all",
            "≤ 40 KiB",
            f"{per_pod:.1f} KiB, {after.kib / 1024:.0f} MiB in all",
            per_pod <= 40,
        )
        p50, p99 = np.quantile(ages, (0.5, 0.99))
        seen = f"{p50:.0f} / {p99:.0f} / {ages.max():.0f} ms"
        row("age of what a viewer sees, p50 / p99 / max", "p99 < 1 s", seen, p99 < 1000)
        await self._nothing_dropped()
        self._writes(api_before, api_after, span_s)
        folds = [
            total(text, f"rollcall_fold_seconds_{part}") - total(text_before, f"rollcall_fold_seconds_{part}")
            for part in ("sum", "count")
        ]
        row("fold of all services, mean", "–", f"{folds[0] / folds[1] * 1000:.1f} ms, {folds[1] / span_s:.1f} times a second")
        row("/metrics", "–", f"{took_ms:.0f} ms, {text.count(chr(10))} lines")
        return cores

    def _control_plane(self) -> dict[str, Any]:
        pids = {command: pid_of(self._scene.given.name, command) for command in ("kube-apiserver", "etcd")}
        return {command: lambda pid=pid: Used(pid) for command, pid in pids.items()}

    async def _nothing_dropped(self) -> None:
        """What agents sent is what the operator counts, once nothing is on its way."""
        scene = self._scene
        said = await scene.agents.ask(pause=True)
        await asyncio.sleep(2)
        text, _ = await scene.live.metrics()
        await scene.agents.ask(pause=False)
        lost = said["sent"] - round(total(text, "rollcall_reports_total"))
        seen = f"{lost} / {said['skipped']} of {said['sent']} / {said['goodbyes'] or 0}"
        row("reports dropped / not sent in time / connections refused", "0", seen, lost == 0)

    def _writes(self, before: str, after: str, span_s: float) -> None:
        def grown(name: str, **labels: str) -> float:
            return total(after, name, **labels) - total(before, name, **labels)

        writes = sum(grown("apiserver_request_total", **_STATUS, verb=verb) for verb in ("APPLY", "PATCH"))
        rate, bound = writes / span_s, SERVICES / 5
        row("status writes, counted by the API server", f"≤ {bound:g}/s", f"{rate:.2f}/s", rate <= bound * 1.05)
        size = sum(
            grown("apiserver_request_body_size_bytes_sum", resource="monitoredservices", verb=verb)
            for verb in ("apply", "patch")
        )
        if writes and size:
            mean = size / writes
            seen = f"{mean / 1000:.1f} KB, {size / span_s / 1000:.1f} KB/s"
            row("bytes of a status write", "< 32 KB", seen, mean < 32_000)

    async def first_list(self) -> None:
        """A list of all pods, as an informer of the operator makes it, in this process."""
        note("a first list")
        found: list[Any] = []
        informer = Informer(
            self._scene.stage.client,
            "/api/v1/pods",
            Pod,
            on_change=lambda pod: found.append(pod.facts()),
            on_delete=lambda pod: None,
        )
        began_s, cpu_s = time.monotonic(), time.process_time()
        task = asyncio.create_task(informer.run())
        await informer.synced.wait()
        took_s, cpu_s = time.monotonic() - began_s, time.process_time() - cpu_s
        task.cancel()
        per_5000 = took_s / len(found) * 5000
        row(f"first list of {len(found)} pods", "≤ 5 s for 5,000", f"{took_s:.2f} s, {cpu_s:.2f} s of CPU here", per_5000 <= 5)

    async def webhook(self) -> None:
        """1,000 pods a minute, as many questions from beside, and all services listed anew in between."""
        note("1,000 pods a minute, with all services listed anew")
        scene = self._scene
        asked = round(self._seconds * PER_SECOND_ASKED)
        body = question(*service_of(0)).decode()
        await scene.asker.ask(count=5, per_second=5, body=body)  # connections are made
        before, (own_before, _) = await scene.stage.metrics(), await scene.live.metrics()
        making = asyncio.create_task(scene.pods.make_many(asked, token=False, per_second=PER_SECOND_ASKED))
        listing = asyncio.create_task(self._list_anew(self._seconds / 3))
        told = await scene.asker.ask(count=asked, per_second=PER_SECOND_ASKED, body=body)
        made = await making
        await listing
        took_ms = np.array([np.inf if one is None else one for one in told])
        p50, p99 = np.quantile(took_ms, (0.5, 0.99))
        seen = f"{p50:.1f} / {p99:.1f} / {took_ms.max():.1f} ms"
        row("webhook's answer, asked from beside, p50 / p99 / max", "p99 < 20 ms", seen, p99 < 20)
        within = buckets(before, await scene.stage.metrics(), _ADMISSION, operation="CREATE")
        answers = max(1.0, within["+Inf"])
        shares = ", ".join(f"{within[bound] / answers:.1%} in {1000 * float(bound):g} ms" for bound in ("0.025", "0.1", "0.5"))
        row(f"   {answers:.0f} answers as the API server counts", "–", shares)
        within = buckets(own_before, (await scene.live.metrics())[0], "rollcall_webhook_seconds")
        shares = ", ".join(f"{within[bound] / within['+Inf']:.1%} in {1000 * float(bound):g} ms" for bound in ("0.005", "0.02"))
        row(f"   {within['+Inf']:.0f} answers as the operator counts", "–", shares)
        await self._remove(made)

    async def _list_anew(self, after_s: float) -> None:
        """Selectors change to others that match the same: each service forgets its pods and lists them."""
        await asyncio.sleep(after_s)
        began_s = time.monotonic()
        for number in range(SERVICES):
            namespace, name = service_of(number)
            more = {"matchExpressions": [{"key": "pod-template-hash", "operator": "In", "values": [HASH]}]}
            path = f"/apis/rollcall.dev/v1alpha1/namespaces/{namespace}/monitoredservices/{name}"
            await self._scene.stage.client.request("PATCH", path, {"spec": {"selector": more}}, content_type=MERGE_PATCH)
        await asyncio.sleep(1)
        while (await self._scene.live.pods()).get("total", 0) < self._count:
            await asyncio.sleep(0.2)
        row("20 selectors changed → all pods listed anew", "–", f"{time.monotonic() - began_s:.1f} s")

    async def reconnect(self) -> None:
        """The operator is restarted: all agents come over."""
        scene, wanted = self._scene, {"total": self._count}
        await scene.live.until(wanted, PATIENCE_S)
        note("the operator is restarted")
        others = {"agents": scene.agents.used} | self._control_plane()
        others_before = {name: used() for name, used in others.items()}
        await scene.operator.stop()
        began_s = time.monotonic()
        scene.operator.start()
        await scene.live.until(wanted, PATIENCE_S)
        listed_s = time.monotonic() - began_s
        await scene.all_serve()
        took_s = time.monotonic() - began_s
        row("operator started anew → all pods on the roll", "–", f"{listed_s:.1f} s")
        row("operator started anew → all agents report again", "≤ 15 s", f"{took_s:.1f} s", took_s <= 15)
        used = {"operator": scene.operator.used().cpu_s}
        used |= {name: others[name]().cpu_s - others_before[name].cpu_s for name in others}
        row("   CPU seconds meanwhile", "–", ", ".join(f"{name} {cpu_s:.1f}" for name, cpu_s in used.items()))

    async def churn(self, steady: float) -> None:
        """Pods come and go: first where nobody looks, which is what the API server can do here, then twice in the fleet."""
        scene = self._scene
        note(f"the API server alone, {self._rate:g} pods/s made and removed")
        gone, span_s = await self._come_and_go(self._seconds / 3, BARE)
        row("API server alone: pods born and gone", "–", f"{gone / span_s:.0f}/s of {self._rate:g} wanted")
        used = [await scene.settled()]
        for number in (1, 2):
            note(f"churn {number} of 2, {self._rate:g} pods/s made and removed")
            before = scene.operator.used()
            gone, span_s = await self._come_and_go(self._seconds, "")
            cores = scene.operator.used().cores_since(before)
            took_s = await scene.all_serve()
            rate = gone / span_s
            row(
                f"churn {number}: pods born and gone", f"{self._rate:g}/s", f"{gone} at {rate:.0f}/s", rate >= self._rate * 0.95
            )
            row(
                "   operator's CPU / more per pod / right after",
                "–",
                f"{cores:.0%} / {(cores - steady) / rate * 1000:.1f} ms / {took_s:.1f} s",
            )
            used.append(await scene.settled(15))
        growth = used[2].kib / used[1].kib - 1
        seen = " → ".join(f"{one.kib / 1024:.0f}" for one in used)
        row("operator's memory before, after churn 1, 2, MiB", "≤ 5 % from 1 to 2", f"{seen}: {growth:+.1%}", growth <= 0.05)

    async def _come_and_go(self, seconds: float, namespace: str) -> tuple[int, float]:
        """For so long; where the API server does not keep up, as fast as it can."""
        began_s, pods = time.monotonic(), self._scene.pods
        waiting: set[asyncio.Task[None]] = set()
        gone = 0

        async def live_and_leave() -> None:
            nonlocal gone
            made = await pods.make(token=False, namespace=namespace)
            await asyncio.sleep(LIVES_S)
            await pods.remove(made)
            gone += 1

        while (elapsed_s := time.monotonic() - began_s) < seconds:
            room = min(self._rate * (elapsed_s + 0.1) - gone - len(waiting), (LIVES_S + 1) * self._rate - len(waiting))
            for _ in range(max(0, min(int(room), 50 - pods.making))):
                task = asyncio.ensure_future(live_and_leave())
                waiting.add(task)
                task.add_done_callback(waiting.discard)
            await asyncio.sleep(0.02)
        await asyncio.gather(*waiting)
        return gone, time.monotonic() - began_s - LIVES_S

    async def _remove(self, made: list[Made]) -> None:
        await asyncio.gather(*(self._scene.pods.remove(one) for one in made))
