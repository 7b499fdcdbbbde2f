"""Whether one pod gets more than its share: a load balancer that favours one is seen."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .fleet import Fleet
from .picture import Imbalance


def imbalance(fleet: Fleet) -> Imbalance | None:
    """Busiest serving pod ÷ mean of all serving pods with a probe; None with fewer than two of them, or without traffic."""
    probed, serving = fleet.last.probed, fleet.serving
    size = min(len(probed), len(serving))
    (rows,) = np.nonzero(probed[:size] & serving[:size])
    if len(rows) < 2:
        return None
    finished, in_flight = fleet.generations.finished(fleet.rows, rows), fleet.pace.in_flight[rows]
    requests, flying = _ratio(finished), _ratio(in_flight)
    if requests is None and flying is None:
        return None
    busiest = int(rows[np.argmax(finished if requests is not None else in_flight)])
    return Imbalance(requests, flying, fleet.name_of(busiest))


def _ratio(values: npt.NDArray[np.number]) -> float | None:
    mean = float(values.sum()) / len(values)
    return float(values.max()) / mean if mean > 0 else None
