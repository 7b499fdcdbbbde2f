"""From a fleet to its picture: rounding and naming happen here, once, for every reader."""

from __future__ import annotations

import math

import numpy as np

from rollcall_agent.wire.report import FLAG_NO_IN_FLIGHT

from .fleet import Fleet, Pod
from .picture import AgentCost, InFlight, Judgement, Picture, PodCounts, PodPicture, ResponseTime, Traffic
from .sketch import quantile_of_each
from .states import SILENT_AFTER_S, PodState, bare_reason
from .windows import WINDOW_S


def picture(fleet: Fleet, *, with_roll: bool) -> Picture:
    """The service as of its last fold; `with_roll` adds one entry per pod, by name."""
    last = fleet.last
    return Picture(
        namespace=fleet.namespace,
        name=fleet.name,
        at=last.unix_s,
        health=Judgement(last.health.state, last.health.reason, last.health.message),
        pods=PodCounts(
            desired=fleet.desired, total=sum(last.counts.values()), **{state.value: last.counts[state] for state in PodState}
        ),
        coverage=last.coverage,
        traffic=_traffic(fleet),
        totals=fleet.totals(),
        bands_ms=list(fleet.settings.bands_ms),
        bare=last.bare,
        roll=_roll(fleet) if with_roll else None,
    )


def _traffic(fleet: Fleet) -> Traffic:
    last = fleet.last
    window = last.window
    p50, p95, p99 = last.ranks
    live = last.requests_per_second is not None and window is not None
    return Traffic(
        requests_per_second=last.requests_per_second,
        window_seconds=window.span_s if window else WINDOW_S,
        window_requests_per_second=window.finished / window.span_s if live and window else None,
        error_ratio=window.error_ratio() if window else None,
        response_time=ResponseTime(window.mean_s() if window else None, p50, p95, p99),
        in_flight=InFlight(*last.in_flight) if last.in_flight else None,
    )


def _roll(fleet: Fleet) -> list[PodPicture]:
    histograms, finished, errors = fleet.generations.window(fleet.rows)
    p95 = quantile_of_each(np.maximum(histograms, 0), 0.95)
    pods = sorted(fleet.pods.values(), key=lambda pod: pod.facts.name)
    return [_pod(fleet, pod, p95, finished, errors) for pod in pods]


def _pod(fleet: Fleet, pod: Pod, p95: np.ndarray, finished: np.ndarray, errors: np.ndarray) -> PodPicture:
    facts, row = pod.facts, pod.row
    age_s = fleet.report_age_s(pod, fleet.last.at_s)
    live = row is not None and age_s is not None and age_s <= SILENT_AFTER_S
    figures: dict[str, object] = {
        "requests_per_second": None, "error_ratio": None, "p95": None, "in_flight": None, "requests": 0, "workers": 0, "agent": None,
    }  # fmt: skip
    if row is not None:
        report = fleet.rows.reports[row]
        figures["requests"] = int(report["finished"])
    if live and row is not None:
        figures |= {
            "requests_per_second": _known(float(fleet.pace.requests_per_second[row])),
            "error_ratio": float(errors[row] / finished[row]) if finished[row] > 0 else None,
            "p95": _known(float(p95[row])),
            "in_flight": None
            if report["flags"] & FLAG_NO_IN_FLIGHT
            else InFlight(int(report["in_flight"]), [int(n) for n in report["bands"]], float(report["oldest_ms"]) / 1000),
            "workers": int(report["workers"]),
            "agent": AgentCost(_known(float(fleet.pace.agent_millicores[row])), int(report["agent_rss_kib"]) * 1024),
        }
    return PodPicture(
        name=facts.name,
        uid=facts.uid,
        node=facts.node,
        state=pod.state.value,
        reason=bare_reason(facts, fleet.settings.facts) if pod.state is PodState.BARE else None,
        ready=facts.ready,
        restarts=facts.restarts,
        created_at=facts.created_at,
        started_at=facts.started_at,
        report_age=age_s,
        **figures,  # type: ignore[arg-type]
    )


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value
