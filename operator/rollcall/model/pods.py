"""The pods of a fleet as they are shown: one entry each, by name."""

from __future__ import annotations

import math

import numpy as np

from rollcall_agent.wire.report import FLAG_LISTEN_QUEUE, FLAG_NO_IN_FLIGHT, FLAG_PROBE, FLAG_RESOURCES

from .fleet import Fleet
from .labels import Labels, LabelSets
from .picture import AgentCost, InFlight, PodPicture, Resources
from .resources import kubelet_figures
from .sketch import quantile_of_each
from .states import SILENT_AFTER_S, PodState
from .tally import Pod

CRASH_LOOPING = "CrashLooping"


def roll(fleet: Fleet) -> tuple[list[PodPicture], list[Labels]]:
    """Every pod, by name, and the sets of labels that they have."""
    columns, labels = _Columns(fleet), LabelSets()
    pods = sorted(fleet.last.pods, key=lambda pod: pod.facts.name)
    return [_pod(fleet, pod, columns, labels) for pod in pods], labels.sets


class _Columns:
    """What the rows say, as lists: reading a matrix element by element costs more than everything else here together.
    Rounded to more than a screen shows: the other digits nobody measured, and all readers' bytes were full of them."""

    def __init__(self, fleet: Fleet) -> None:
        histograms, ended, failed = fleet.generations.window(fleet.rows)
        reports = fleet.rows.reports
        self.p95: list[float] = np.round(quantile_of_each(histograms, 0.95), 6).tolist()
        self.window_ended: list[int] = ended.tolist()
        self.window_failed: list[int] = failed.tolist()
        self.requests_per_second: list[float] = np.round(fleet.pace.requests_per_second, 4).tolist()
        self.millicores: list[float] = np.round(fleet.pace.agent_millicores, 2).tolist()
        self.finished: list[int] = reports["finished"].tolist()
        self.in_flight: list[int] = reports["in_flight"].tolist()
        self.bands: list[list[int]] = reports["bands"].tolist()
        self.oldest_ms: list[int] = reports["oldest_ms"].tolist()
        self.workers: list[int] = reports["workers"].tolist()
        self.rss_kib: list[int] = reports["agent_rss_kib"].tolist()
        self.flags: list[int] = reports["flags"].tolist()
        self.busy: list[int] = reports["busy_workers"].tolist()
        self.waiting: list[int] = reports["listen_queue"].tolist()
        self.sources = fleet.sources.names(len(reports))
        self.used_millicores: list[float] = np.round(fleet.usage.millicores, 2).tolist()
        self.throttled: list[float] = np.round(fleet.usage.throttled, 4).tolist()
        self.memory: list[int] = reports["memory_bytes"].tolist()
        self.memory_limit: list[int] = reports["memory_limit_bytes"].tolist()
        self.quota: list[int] = reports["cpu_quota_millis"].tolist()
        self.oom_kills: list[int] = reports["oom_kills"].tolist()
        # The agent's clock at both ends, so that no clocks are compared; as int64, because it may claim nonsense.
        read_ago_us = reports["window_end_us"].astype(np.int64) - reports["resources_at_us"].astype(np.int64)
        self.read_ago_s: list[float] = np.maximum(read_ago_us / 1e6, 0.0).tolist()


def _pod(fleet: Fleet, pod: Pod, columns: _Columns, labels: LabelSets) -> PodPicture:
    facts, row = pod.facts, pod.row
    age_s = fleet.report_age_s(pod, fleet.last.at_s)
    live = row is not None and age_s is not None and age_s <= SILENT_AFTER_S
    figures = _figures(columns, row) if live and row is not None else _NO_FIGURES
    return PodPicture(
        name=facts.name,
        uid=facts.uid,
        node=facts.node,
        state=pod.state.value,
        reason=reason_of(fleet, pod),
        ready=facts.ready,
        restarts=facts.restarts,
        created_at=facts.created_at,
        started_at=facts.started_at,
        report_age=None if age_s is None else round(max(0.0, age_s), 3),
        requests=0 if row is None else columns.finished[row],
        probed=row is not None and bool(columns.flags[row] & FLAG_PROBE),
        resources=_resources(fleet, pod, columns, age_s if live else None),
        revision=facts.revision,
        sources=[] if row is None else columns.sources[row],
        slot=fleet.slot_of(facts.uid),
        label_set=labels.place(facts.labels),
        **figures,  # type: ignore[arg-type]
    )


def reason_of(fleet: Fleet, pod: Pod) -> str | None:
    """Why it leaves, as far as is known; that its containers crash again and again; why it does not report as it should."""
    if pod.state is PodState.LEAVING:
        verdict = fleet.verdict_of(pod.facts.uid)
        return verdict.cause.value if verdict is not None else None
    if pod.facts.looping_until is not None and fleet.last.unix_s < pod.facts.looping_until:
        return CRASH_LOOPING
    return pod.reason or pod.gap


_NO_FIGURES: dict[str, object] = {
    "requests_per_second": None, "error_ratio": None, "p95": None, "in_flight": None, "workers": 0, "agent": None,
    "busy_workers": None, "listen_queue": None,
}  # fmt: skip


def _figures(columns: _Columns, row: int) -> dict[str, object]:
    """What a reporting pod tells; of requests only where a probe has attached, because nobody else knows of them."""
    ended, flags = columns.window_ended[row], columns.flags[row]
    probed = bool(flags & FLAG_PROBE)
    seen = probed and not flags & FLAG_NO_IN_FLIGHT
    return {
        "requests_per_second": _known(columns.requests_per_second[row]) if probed else None,
        "error_ratio": round(columns.window_failed[row] / ended, 5) if probed and ended > 0 else None,
        "p95": _known(columns.p95[row]) if probed else None,
        "in_flight": InFlight(columns.in_flight[row], columns.bands[row], columns.oldest_ms[row] / 1000) if seen else None,
        "workers": columns.workers[row],
        "busy_workers": columns.busy[row] if seen else None,
        "listen_queue": columns.waiting[row] if flags & FLAG_LISTEN_QUEUE else None,
        "agent": AgentCost(_known(columns.millicores[row]), columns.rss_kib[row] * 1024),
    }


def _resources(fleet: Fleet, pod: Pod, columns: _Columns, report_age_s: float | None) -> Resources | None:
    """What the application's container uses: by its probe if that reports now, else by the kubelet, else nobody knows."""
    facts, row = pod.facts, pod.row
    if row is not None and report_age_s is not None and columns.flags[row] & FLAG_RESOURCES:
        return Resources(
            cpu_millicores=_known(columns.used_millicores[row]),
            cpu_request_millicores=facts.cpu_request_millis,
            cpu_limit_millicores=columns.quota[row] or facts.cpu_limit_millis,
            throttled_ratio=_known(columns.throttled[row]),
            memory_bytes=columns.memory[row],
            memory_limit_bytes=columns.memory_limit[row] or facts.memory_limit_bytes,
            oom_kills=columns.oom_kills[row] + facts.oom_kills,
            source="probe",
            age=round(max(0.0, report_age_s) + columns.read_ago_s[row], 3),
        )
    figures = kubelet_figures(pod, fleet.last.at_s)
    if figures is None:
        return None
    return Resources(
        cpu_millicores=figures.cpu_millicores,
        cpu_request_millicores=facts.cpu_request_millis,
        cpu_limit_millicores=facts.cpu_limit_millis,
        throttled_ratio=None,
        memory_bytes=figures.memory_bytes,
        memory_limit_bytes=facts.memory_limit_bytes,
        oom_kills=facts.oom_kills,
        source="kubelet",
        age=round(max(0.0, fleet.last.at_s - figures.at_s), 3),
    )


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value
