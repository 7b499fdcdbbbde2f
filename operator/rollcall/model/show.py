"""From a fleet to its picture: rounding and naming happen here, once, for every reader."""

from __future__ import annotations

import math

from rollcall_agent.wire.report import FLAG_NO_IN_FLIGHT

from .fleet import Fleet
from .picture import AgentCost, InFlight, Judgement, Picture, PodCounts, PodPicture, ResponseTime, Traffic
from .sketch import quantile_of_each
from .states import SILENT_AFTER_S, PodState
from .tally import Pod
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


_BAD = {PodState.BARE: 0, PodState.SILENT: 1, PodState.UNREADY: 2, PodState.PENDING: 3}


def worst(fleet: Fleet, most: int) -> list[tuple[str, str]]:
    """(name, reason or state) of the pods to look at first: bare, silent, unready, pending, then by name."""
    bad = sorted(
        (_BAD[pod.state], pod.facts.name, pod.reason or pod.state.value) for pod in fleet.last.pods if pod.state in _BAD
    )
    return [(name, reason) for _, name, reason in bad[:most]]


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


class _Columns:
    """What the rows say, as lists: reading a matrix element by element costs more than everything else here together."""

    def __init__(self, fleet: Fleet) -> None:
        histograms, finished, errors = fleet.generations.window(fleet.rows)
        reports = fleet.rows.reports
        self.p95: list[float] = quantile_of_each(histograms, 0.95).tolist()
        self.window_finished: list[int] = finished.tolist()
        self.window_errors: list[int] = errors.tolist()
        self.requests_per_second: list[float] = fleet.pace.requests_per_second.tolist()
        self.millicores: list[float] = fleet.pace.agent_millicores.tolist()
        self.finished: list[int] = reports["finished"].tolist()
        self.in_flight: list[int] = reports["in_flight"].tolist()
        self.bands: list[list[int]] = reports["bands"].tolist()
        self.oldest_ms: list[int] = reports["oldest_ms"].tolist()
        self.workers: list[int] = reports["workers"].tolist()
        self.rss_kib: list[int] = reports["agent_rss_kib"].tolist()
        self.flags: list[int] = reports["flags"].tolist()


def _roll(fleet: Fleet) -> list[PodPicture]:
    columns = _Columns(fleet)
    pods = sorted(fleet.last.pods, key=lambda pod: pod.facts.name)
    return [_pod(fleet, pod, columns) for pod in pods]


def _pod(fleet: Fleet, pod: Pod, columns: _Columns) -> PodPicture:
    facts, row = pod.facts, pod.row
    age_s = fleet.report_age_s(pod, fleet.last.at_s)
    live = row is not None and age_s is not None and age_s <= SILENT_AFTER_S
    figures = _figures(columns, row) if live and row is not None else _NO_FIGURES
    return PodPicture(
        name=facts.name,
        uid=facts.uid,
        node=facts.node,
        state=pod.state.value,
        reason=pod.reason,
        ready=facts.ready,
        restarts=facts.restarts,
        created_at=facts.created_at,
        started_at=facts.started_at,
        report_age=None if age_s is None else max(0.0, age_s),
        requests=0 if row is None else columns.finished[row],
        **figures,  # type: ignore[arg-type]
    )


_NO_FIGURES: dict[str, object] = {
    "requests_per_second": None, "error_ratio": None, "p95": None, "in_flight": None, "workers": 0, "agent": None,
}  # fmt: skip


def _figures(columns: _Columns, row: int) -> dict[str, object]:
    finished = columns.window_finished[row]
    seen = not columns.flags[row] & FLAG_NO_IN_FLIGHT
    return {
        "requests_per_second": _known(columns.requests_per_second[row]),
        "error_ratio": columns.window_errors[row] / finished if finished > 0 else None,
        "p95": _known(columns.p95[row]),
        "in_flight": InFlight(columns.in_flight[row], columns.bands[row], columns.oldest_ms[row] / 1000) if seen else None,
        "workers": columns.workers[row],
        "agent": AgentCost(_known(columns.millicores[row]), columns.rss_kib[row] * 1024),
    }


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value
