"""The metrics page of a large installation: 80 services with 255 endpoints each, 60,000 lines.

    python benchmarks/metrics_page.py [--services 80] [--rounds 5]

The same series, made and written by us and by prometheus_client's families and its `generate_latest`, by turns; CPU time, the
best of the rounds. Bound (performance.md): ten times faster than the latter. Then the whole page with the pictures of all
services that it is read from, and how long it holds up the event loop at a time.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "operator"), str(ROOT / "agent_sidecar"), str(ROOT / "benchmarks")]

from fold import facts_of  # noqa: E402
from prometheus_client import CollectorRegistry, generate_latest  # noqa: E402
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric  # noqa: E402
from prometheus_client.parser import text_string_to_metric_families  # noqa: E402
from prometheus_client.registry import Collector  # noqa: E402

from rollcall.model.fleet import Fleet  # noqa: E402
from rollcall.model.roll import Roll  # noqa: E402
from rollcall.model.states import PodFacts  # noqa: E402
from rollcall.serve import exposition  # noqa: E402
from rollcall.serve.exposition import CounterFamily, GaugeFamily  # noqa: E402
from rollcall.serve.metrics import ServiceSeries  # noqa: E402
from rollcall.serve.publisher import Publisher  # noqa: E402
from rollcall_agent.wire import facts, report  # noqa: E402

ENDPOINTS = 255
BOUND = 10


Series = list[tuple[tuple[str, ...], float]]
Page = list[tuple[str, str, str, tuple[str, ...], Series]]
"""Kind, name, text, names of labels, series."""


class Theirs(Collector):
    """The page's series, for prometheus_client."""

    def __init__(self, page: Page) -> None:
        self._page = page

    def collect(self) -> Iterator[Metric]:
        for kind, name, text, labels, series in self._page:
            family = (CounterMetricFamily if kind == "counter" else GaugeMetricFamily)(name, text, labels=labels)
            for values, value in series:
                family.add_metric(values, value)
            yield family


def busy(services: int) -> Publisher:
    """Services of two pods each that tell of all their endpoints."""
    roll, now_s = Roll(), 1000.0
    for number in range(services):
        fleet = Fleet("shop", f"service-{number}")
        roll.add(fleet)
        for pod in range(2):
            uid = f"uid-{number}-{pod}"
            fleet.upsert(PodFacts(uid, uid, "shop", running=True, ready=True, injected=True))
            session = roll.open(uid, "shop", uid, "epoch", 0, now_s)
            names = [(index, f"GET /page/{index}") for index in range(1, ENDPOINTS + 1)]
            for start in range(0, len(names), 100):
                session.define(facts.pack_names(facts.ENDPOINT_NAMES, names[start : start + 100]))
            session.accept_facts(facts_of(pod, 1, ENDPOINTS, 5000), now_s)
            session.accept(report.pack({"flags": report.FLAG_PROBE, "window_end_us": 1}), now_s)
    roll.fold(now_s + 0.25, now_s)
    publisher = Publisher(roll)
    publisher.leading = True
    publisher.turn()
    return publisher


async def page(publisher: Publisher) -> tuple[bytes, float, float]:
    """The page, the CPU seconds for it, and the longest time for which nobody else had a turn."""
    publisher.turn()
    longest_s, before_s, done = 0.0, time.thread_time(), False

    async def others() -> None:
        nonlocal longest_s, before_s
        while not done:
            now_s = time.thread_time()
            longest_s, before_s = max(longest_s, now_s - before_s), now_s
            await asyncio.sleep(0)

    beside = asyncio.create_task(others())
    await asyncio.sleep(0)
    began_s = time.thread_time()
    parts = [family.encode(open_metrics=False) async for family in ServiceSeries(publisher).families()]
    took_s, done = time.thread_time() - began_s, True
    await beside
    return b"".join(parts), took_s, longest_s


def ours(page: Page) -> bytes:
    """The same by us."""
    made: list[bytes] = []
    for kind, name, text, labels, series in page:
        family = (CounterFamily if kind == "counter" else GaugeFamily)(name, text, labels)
        for values, value in series:
            family.add(values, value)
        made.append(family.encode(open_metrics=False))
    return b"".join(made)


def series_of(text: str) -> Page:
    """What a page says, without its histograms."""
    found: Page = []
    for family in text_string_to_metric_families(text):
        if family.type != "histogram" and family.samples:
            labels = tuple(family.samples[0].labels)
            series = [(tuple(sample.labels.values()), sample.value) for sample in family.samples]
            found.append((family.type, family.name, family.documentation, labels, series))
    return found


def best_ms(call: object, rounds: int) -> float:
    """The fastest of the rounds."""
    times = []
    for _ in range(rounds):
        began_s = time.process_time()
        call()  # type: ignore[operator]
        times.append(time.process_time() - began_s)
    return min(times) * 1000


def main() -> None:
    """As the arguments say."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--services", type=int, default=80)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    publisher = busy(given.services)
    text, _, _ = asyncio.run(page(publisher))
    plain = series_of(text.decode())
    registry = CollectorRegistry()
    registry.register(Theirs(plain))
    count = sum(len(series) for *_, series in plain)
    assert ours(plain) == generate_latest(registry)
    ours_ms = best_ms(lambda: ours(plain), given.rounds)
    theirs_ms = best_ms(lambda: generate_latest(registry), given.rounds)
    ratio, verdict = theirs_ms / ours_ms, "met" if theirs_ms >= BOUND * ours_ms else "MISSED"
    print(
        f"{count} series: ours {ours_ms:.0f} ms, prometheus_client {theirs_ms:.0f} ms, {ratio:.1f} x; bound {BOUND} x {verdict}"
    )
    exposition.forget()
    first = asyncio.run(page(publisher))
    rounds = [asyncio.run(page(publisher)) for _ in range(given.rounds)]
    best_s, longest_s = min(took for _, took, _ in rounds), float(np.median([longest for _, _, longest in rounds]))
    size = f"{text.count(b'# HELP')} names, {text.count(10)} lines, {len(text) / 1e6:.1f} MB"
    print(f"whole page: {size}, read from {given.services} services")
    print(f"   the first {first[1] * 1000:.0f} ms, then {best_s * 1000:.0f} ms; others wait {longest_s * 1000:.1f} ms at most")


if __name__ == "__main__":
    main()
