"""From a fleet to its picture: rounding and naming happen here, once, for every reader."""

from __future__ import annotations

import msgspec

from . import pods, requests
from .balance import imbalance
from .bottleneck import Measured
from .causes import Bottleneck, Crashes, Dependencies, Throttled
from .fleet import Fleet
from .picture import Departures, InFlight, Judgement, Picture, PodCounts, ResponseTime, Traffic
from .resources import of_service, workers_of
from .states import PodState
from .windows import WINDOW_S

_STATES = [(state.value, state) for state in PodState]


def picture(fleet: Fleet, *, with_roll: bool, with_lists: bool | None = None) -> Picture:
    """The service as of its last fold; `with_roll` adds one entry per pod, by name. `with_lists` (if not given, like
    `with_roll`) adds endpoints, types and samples of errors, and the longest requests in flight."""
    last = fleet.last
    lists = with_roll if with_lists is None else with_lists
    signals, traffic = fleet.signals, _traffic(fleet)
    roll, label_sets = pods.roll(fleet) if with_roll else (None, None)
    return Picture(
        namespace=fleet.namespace,
        name=fleet.name,
        at=last.unix_s,
        health=Judgement(last.health.state, last.health.reason, last.health.message),
        pods=PodCounts(
            desired=fleet.desired, total=sum(last.counts.values()), **{name: last.counts[state] for name, state in _STATES}
        ),
        coverage=last.coverage,
        traffic=traffic,
        totals=last.totals or fleet.totals(),
        bands_ms=list(fleet.settings.bands_ms),
        bare=last.bare,
        gaps=fleet.gaps,
        roll=roll,
        endpoints=signals.endpoints.picture(last.at_s, live=last.tells) if lists else None,
        errors=signals.errors.picture(last.at_s, last.unix_s, live=last.tells, with_lists=lists),
        longest=requests.longest(fleet) if lists else None,
        visitors=signals.visitors.picture(
            last.at_s, last.unix_s, traffic.window_requests_per_second, traffic.response_time.mean
        ),
        imbalance=imbalance(fleet),
        resources=of_service(fleet),
        workers=workers_of(fleet),
        sources=fleet.sources.pods(last.fresh),
        dependencies=dependencies_of(fleet) if lists else None,
        throttled=throttled_of(fleet),
        crashes=crashes_of(fleet, with_lists=lists),
        bottleneck=_bottleneck(fleet),
        departures=_departures(fleet, with_lists=lists),
        labels=fleet.labels,
        label_sets=label_sets,
    )


def _departures(fleet: Fleet, *, with_lists: bool) -> Departures:
    """What left. A pod that went since the last fold is on the roll still, and nowhere twice."""
    found = fleet.ledger.picture(fleet.last.unix_s, with_lists=with_lists)
    if not found.recent:
        return found
    listed = {pod.facts.uid for pod in fleet.last.pods}
    return msgspec.structs.replace(found, recent=[gone for gone in found.recent if gone.uid not in listed])


def dependencies_of(fleet: Fleet) -> Dependencies | None:
    """Who is called, how it goes, and what part of the time it takes."""
    last, signals = fleet.last, fleet.signals
    return signals.dependencies.picture(last.at_s, signals.endpoints.response_us(last.at_s) if last.tells else None)


def throttled_of(fleet: Fleet) -> list[Throttled]:
    """Dependencies of which there is too little."""
    last, signals = fleet.last, fleet.signals
    return signals.throttles.picture(signals.dependencies, last.at_s, last.unix_s - last.at_s)


def crashes_of(fleet: Fleet, *, with_lists: bool = False) -> Crashes | None:
    """Workers that ended before their time; with lists, also samples."""
    last, revisions = fleet.last, fleet.revisions.picture()
    return fleet.signals.crashes.picture(last.at_s, last.unix_s, live=last.tells, with_lists=with_lists, revisions=revisions)


def _bottleneck(fleet: Fleet) -> Bottleneck | None:
    """Where the time of the window went; None when no pod tells now, or no request took any."""
    return fleet.bottlenecks.at(fleet.last.at_s, lambda: _judged(fleet)) if fleet.last.tells else None


def _judged(fleet: Fleet) -> Bottleneck | None:
    last, signals = fleet.last, fleet.signals
    spent = fleet.spent.window(last.at_s)
    return fleet.bottlenecks.judge(
        Measured(
            response_us=signals.endpoints.response_us(last.at_s),
            waited_us=signals.dependencies.waited_us(last.at_s),
            cpu_us=spent.cpu_us,
            held_us=spent.held_us,
            queued_us=spent.queued_us,
            told=_part(spent.measured_us, spent.response_us),
        ),
        signals.points.last(WINDOW_S, last.at_s),
        signals.dependencies.names.names,
        fleet.settings.bands_ms[0] / 1000,
        _part(spent.listening_us, spent.response_us),
        WINDOW_S,
    )


def _part(of: int, whole: int) -> float:
    return of / whole if whole > 0 else 0.0


_BAD = {PodState.BARE: 0, PodState.SILENT: 1, PodState.UNREADY: 2, PodState.PENDING: 3}


def worst(fleet: Fleet, most: int) -> list[tuple[str, str]]:
    """(name, reason or state) of the pods to look at first: bare, silent, unready, pending, then by name."""
    bad = sorted(
        (_BAD[pod.state], pod.facts.name, pod.reason or pod.state.value) for pod in fleet.last.pods if pod.state in _BAD
    )
    return [(name, reason) for _, name, reason in bad[:most]]


def _traffic(fleet: Fleet) -> Traffic:
    last = fleet.last
    window = last.window if last.tells else None  # what pods told that tell no more is no traffic of now
    p50, p95, p99 = last.ranks
    live = last.requests_per_second is not None and window is not None
    return Traffic(
        requests_per_second=last.requests_per_second,
        window_seconds=last.window.span_s if last.window else WINDOW_S,
        window_requests_per_second=window.finished / window.span_s if live and window else None,
        error_ratio=window.error_ratio() if window else None,
        response_time=ResponseTime(window.mean_s() if window else None, p50, p95, p99),
        in_flight=InFlight(*last.in_flight) if last.in_flight else None,
        pods=int(last.probed.sum()),
        in_flight_pods=last.in_flight_pods,
    )
