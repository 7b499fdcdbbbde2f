"""What the application's containers of a service use together."""

from __future__ import annotations

import numpy as np

from rollcall_agent.wire.report import FLAG_RESOURCES

from .fleet import Fleet
from .picture import ServiceResources
from .tally import KubeletFigures, Pod

OLDEST_S = 300.0
"""What a kubelet told longer ago is not shown any more."""


def kubelet_figures(pod: Pod, now_s: float) -> KubeletFigures | None:
    """What the kubelet told of a pod, unless it is too old."""
    return pod.kubelet if pod.kubelet is not None and now_s - pod.kubelet.at_s <= OLDEST_S else None


def of_service(fleet: Fleet) -> ServiceResources | None:
    """Sums over the pods for which probe or kubelet tell; None when there is none."""
    rows, last = fleet.rows.reports[: len(fleet.last.fresh)], fleet.last
    told = last.fresh & ((rows["flags"] & FLAG_RESOURCES) != 0)
    cpu = fleet.usage.millicores[: len(told)][told]
    millicores, memory, pods = float(np.nansum(cpu)), int(rows["memory_bytes"][told].sum()), int(told.sum())
    known = not np.isnan(cpu).all() if pods else False
    for pod in fleet.kubelet_pods():
        figures = kubelet_figures(pod, last.at_s)
        if figures is not None and not (pod.row is not None and pod.row < len(told) and told[pod.row]):
            millicores, memory, pods, known = millicores + figures.cpu_millicores, memory + figures.memory_bytes, pods + 1, True
    return ServiceResources(millicores if known else None, memory, pods) if pods else None
