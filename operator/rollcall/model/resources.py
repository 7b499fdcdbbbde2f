"""What the application's containers of a service use together, and how many of their workers are busy."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from rollcall_agent.wire.report import FLAG_LISTEN_QUEUE, FLAG_NO_IN_FLIGHT, FLAG_RESOURCES

from .fleet import Fleet
from .picture import ServiceResources, Workers
from .states import PodFacts
from .tally import KubeletFigures, Pod

OLDEST_S = 300.0
"""What a kubelet told longer ago is not shown any more."""


def kubelet_figures(pod: Pod, now_s: float) -> KubeletFigures | None:
    """What the kubelet told of a pod, unless it is too old."""
    return pod.kubelet if pod.kubelet is not None and now_s - pod.kubelet.at_s <= OLDEST_S else None


def _told(fleet: Fleet) -> npt.NDArray[np.bool_]:
    """By row: whether a probe reports resources at the moment."""
    fresh = fleet.last.fresh
    told: npt.NDArray[np.bool_] = fresh & ((fleet.rows.reports["flags"][: len(fresh)] & FLAG_RESOURCES) != 0)
    return told


def without(fleet: Fleet) -> list[PodFacts]:
    """Running pods whose resources no probe reports at the moment: whom to ask the kubelets for."""
    known = _told(fleet)
    return [
        pod.facts
        for pod in fleet.pods.values()
        if pod.facts.running and (pod.row is None or pod.row >= len(known) or not known[pod.row])
    ]


def of_service(fleet: Fleet) -> ServiceResources | None:
    """Sums over the pods for which probe or kubelet tell; None when there is none."""
    rows, last, told = fleet.rows.reports, fleet.last, _told(fleet)
    cpu = fleet.usage.millicores[: len(told)][told]
    cpu = cpu[~np.isnan(cpu)]
    millicores, memory, pods = float(cpu.sum()), int(rows["memory_bytes"][: len(told)][told].sum()), int(told.sum())
    known = len(cpu) > 0
    for pod in fleet.kubelet_pods():
        figures = kubelet_figures(pod, last.at_s)
        if figures is not None and not (pod.row is not None and pod.row < len(told) and told[pod.row]):
            millicores, memory, pods, known = millicores + figures.cpu_millicores, memory + figures.memory_bytes, pods + 1, True
    return ServiceResources(millicores if known else None, memory, pods) if pods else None


def workers_of(fleet: Fleet) -> Workers | None:
    """Workers of the reporting pods with a probe; None when there is none, and parts None that no pod tells of."""
    rows, probed = fleet.rows.reports[: len(fleet.last.probed)], fleet.last.probed
    if not probed.any():
        return None
    seen, listening = probed & ((rows["flags"] & FLAG_NO_IN_FLIGHT) == 0), probed & ((rows["flags"] & FLAG_LISTEN_QUEUE) != 0)
    return Workers(
        total=int(rows["workers"][probed].sum()),
        busy=int(rows["busy_workers"][seen].sum()) if seen.any() else None,
        listen_queue=int(rows["listen_queue"][listening].sum()) if listening.any() else None,
    )
