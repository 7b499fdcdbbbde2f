"""What the reporting pods of a service do at one moment: requests per second, and in flight where somebody can see them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rollcall_agent.wire import report

from .fold import Fold
from .pace import Pace
from .rows import Rows
from .states import SILENT_AFTER_S


def sum_moment(last: Fold, rows: Rows, pace: Pace, gone: Sequence[int]) -> None:
    """Fill in what `last` says of the moment; rows of `gone` pods do nothing now, also while they wait for a last report."""
    last.fresh = last.at_s - rows.received_s <= SILENT_AFTER_S
    last.fresh[list(gone)] = False
    flags = rows.reports["flags"]
    last.probed = last.fresh & ((flags & report.FLAG_PROBE) != 0)
    last.tells = bool(last.probed.any())
    if not last.tells:
        return  # without a probe nothing is known of requests, which is not 0
    # Column by column: a row is two kilobytes, of which this needs a few bytes.
    (probed,) = np.nonzero(last.probed)
    paces = pace.requests_per_second[probed]
    if not np.isnan(paces).all():
        last.requests_per_second = float(np.nansum(paces))
    seeing = probed[(flags[probed] & report.FLAG_NO_IN_FLIGHT) == 0]
    last.in_flight_pods = len(seeing)
    if len(seeing):
        by_band = [int(n) for n in rows.reports["bands"][seeing].sum(axis=0)]
        oldest_s = float(rows.reports["oldest_ms"][seeing].max()) / 1000
        last.in_flight = (int(rows.reports["in_flight"][seeing].sum()), by_band, oldest_s)
    last.waiting = bool(rows.reports["listen_queue"][probed].any())
