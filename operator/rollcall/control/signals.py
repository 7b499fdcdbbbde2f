"""The signals in the status: a few of each, rounded so that they stand still while nothing much happens. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from rollcall.api.durations import format_duration_ms
from rollcall.api.percentages import format_ratio
from rollcall.api.status import TOP
from rollcall.model.picture import Endpoints, Errors, Imbalance, LongRequest, Picture, Visitors

LONGEST_TEXT = 255
SAME_S = 2.0
"""A request's begin is told by two clocks; so much it may differ from look to look and still be the same."""
UNEVEN = 2.0


def signals_of(picture: Picture, standing: Mapping[str, Any]) -> dict[str, Any]:
    """The status fields visitors, endpoints, errors, longest and imbalance; `standing` is the status written last."""
    fields: dict[str, Any] = {
        "endpoints": _endpoints(picture.endpoints),
        "errors": _errors(picture.errors),
        "longest": _longest(picture, standing.get("longest", ())),
    }
    if picture.visitors is not None:
        fields["visitors"] = _visitors(picture.visitors)
    if picture.imbalance is not None:
        fields["imbalance"] = _imbalance(picture.imbalance)
    return fields


def rounded_rate(rate: float) -> str:
    """Requests per second with two digits below 100, else three: "0", "0.4", "12", "1240"."""
    if rate < 0.05:
        return "0"
    if rate < 10:
        return f"{rate:.1f}".removesuffix(".0")
    digits = 10 ** max(0, len(str(int(rate))) - 3)
    return str(round(rate / digits) * digits)


def rounded_count(count: float) -> int:
    """A number of people: exact up to 100, then two significant digits."""
    whole = round(count)
    unit = 10 ** max(0, len(str(whole)) - 2) if whole > 100 else 1
    return round(whole / unit) * unit


def _visitors(visitors: Visitors) -> dict[str, int]:
    return {
        "lastFiveMinutes": rounded_count(visitors.last_five_minutes),
        "hour": rounded_count(visitors.hour),
        "day": rounded_count(visitors.day),
    }


def _endpoints(endpoints: Endpoints | None) -> list[dict[str, Any]]:
    rows = [row for row in endpoints.rows if row.share] if endpoints is not None else []
    rows.sort(key=lambda row: -(row.share or 0.0))
    found = []
    for row in rows[:TOP]:
        entry = {"name": row.endpoint[:LONGEST_TEXT]}
        if row.requests_per_second is not None:
            entry["requestsPerSecond"] = rounded_rate(row.requests_per_second)
        if row.p95 is not None:
            entry["p95"] = format_duration_ms(row.p95 * 1000)
        if row.error_ratio is not None:
            entry["errors"] = format_ratio(row.error_ratio)
        found.append(entry)
    return found


def _errors(errors: Errors) -> list[dict[str, Any]]:
    now = sorted((each for each in errors.by_type or () if each.per_second), key=lambda each: -(each.per_second or 0.0))
    places: dict[tuple[str, str], str] = {}
    for sample in sorted(errors.samples or (), key=lambda sample: sample.at):
        where = f"{sample.file}:{sample.line}" if sample.line is not None else sample.file
        if where:
            places[sample.kind, sample.type] = f"{sample.function} ({where})" if sample.function else where
    found = []
    for each in now[:TOP]:
        entry = {"kind": each.kind[:63], "type": each.type[:LONGEST_TEXT], "perSecond": rounded_rate(each.per_second or 0.0)}
        place = places.get((each.kind, each.type))
        found.append(entry | ({"place": place[:LONGEST_TEXT]} if place else {}))
    return found


def _longest(picture: Picture, standing: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    last_band_s = picture.bands_ms[-1] / 1000 if picture.bands_ms else 0.0
    stuck = [request for request in picture.longest or () if request.elapsed >= last_band_s]
    return [
        {
            "pod": request.pod,
            "endpoint": request.endpoint[:LONGEST_TEXT],
            "since": _since(picture.at - request.elapsed, request, standing),
            "step": request.step[:LONGEST_TEXT],
        }
        for request in stuck[:TOP]
    ]


def _since(began: float, request: LongRequest, standing: Sequence[Mapping[str, Any]]) -> str:
    """When it began, with the very text that stands already if it is the same request."""
    for entry in standing:
        if entry["pod"] == request.pod and entry["endpoint"] == request.endpoint[:LONGEST_TEXT]:
            known = datetime.fromisoformat(entry["since"]).timestamp()
            if abs(known - began) <= SAME_S:
                return str(entry["since"])
    return datetime.fromtimestamp(round(began), UTC).isoformat().replace("+00:00", "Z")


def _imbalance(imbalance: Imbalance) -> dict[str, Any]:
    ratios = {"requests": imbalance.requests, "inFlight": imbalance.in_flight}
    fields: dict[str, Any] = {name: _halves(ratio) for name, ratio in ratios.items() if ratio is not None}
    if max((ratio for ratio in ratios.values() if ratio is not None), default=0.0) >= UNEVEN:
        fields["busiest"] = imbalance.busiest
    return fields


def _halves(ratio: float) -> str:
    return f"{round(ratio * 2) / 2:.1f}".removesuffix(".0") if ratio < 10 else f"{ratio:.0f}"
