"""Whose fault it is, in the status: fields, conditions, and the sentences that conditions and events share. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from rollcall.api.causes import MOST_CRASHES
from rollcall.api.durations import format_duration_ms
from rollcall.api.percentages import format_ratio
from rollcall.api.status import TOP
from rollcall.control.signals import LONGEST_TEXT, rounded_rate
from rollcall.model.causes import Bottleneck, Crashes, CrashGroup, Dependencies, Throttled
from rollcall.model.crashes import ALARM_S
from rollcall.model.departures import ABNORMAL
from rollcall.model.picture import Picture

SHOWN_FOR_S = 3600.0
SETTLED_S = 9.0
"""So much of the window of 10 s must have been seen before an absence says something."""
LONGEST_MESSAGE = 1024
STEP = 0.05
"""Parts of the time are told in such steps, because each different value is a write to etcd."""
_SHORTAGES = {"throttled": "CallsThrottled", "refused": "ConnectionsRefused", "exhausted": "PoolExhausted"}
_CRASHES = {
    "SIGSEGV": "SegmentationFault",
    "SIGBUS": "BusError",
    "SIGILL": "IllegalInstruction",
    "SIGFPE": "ArithmeticFault",
    "SIGABRT": "Aborted",
    "SIGKILL": "Killed",
    "unknown": "WorkerEnded",
}
Condition = tuple[str, str, str, str]
"""Type, status, reason, sentence."""


def causes_of(picture: Picture, standing: Mapping[str, Any]) -> dict[str, Any]:
    """The status fields dependencies, throttled, crashes and bottleneck; `standing` is the status written last."""
    fields: dict[str, Any] = {
        "dependencies": _dependencies(picture.dependencies),
        "throttled": _throttled(picture, standing.get("throttled", ())),
        "crashes": _crashes(picture, standing.get("crashes", ())),
    }
    if picture.bottleneck is not None:
        fields["bottleneck"] = _bottleneck(picture.bottleneck)
    return fields


def _dependencies(dependencies: Dependencies | None) -> list[dict[str, Any]]:
    rows = [row for row in dependencies.rows if row.calls_per_second] if dependencies is not None else []
    found = []
    for row in rows[:TOP]:
        entry = {"name": row.dependency[:LONGEST_TEXT], "callsPerSecond": rounded_rate(row.calls_per_second or 0.0)}
        if row.p95 is not None:
            entry["p95"] = format_duration_ms(row.p95 * 1000)
        if row.failure_ratio is not None:
            entry["failures"] = format_ratio(row.failure_ratio)
        if row.share is not None:
            entry["share"] = rounded_share(row.share)
        found.append(entry)
    return found


def rounded_share(share: float) -> str:
    """A part of the time, in steps of 5 %."""
    return format_ratio(round(round(share / STEP) * STEP, 2))


def _young(picture: Picture) -> bool:
    """Whether this leader has begun a moment ago, so that what it does not see may be there all the same."""
    return picture.traffic.window_seconds < SETTLED_S


def _throttled(picture: Picture, standing: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Shortages that stand in the status already keep their begin: another leader sees only their rest, at first nothing."""
    begun = {(entry["dependency"], entry["reason"]): entry["since"] for entry in standing}
    if not picture.throttled and _young(picture):
        return [dict(entry) for entry in standing]
    found = []
    for row in picture.throttled[:TOP]:
        name = row.dependency[:LONGEST_TEXT]
        since = begun.get((name, row.reason)) or _time(row.since)
        found.append({"dependency": name, "reason": row.reason, "perSecond": rounded_rate(row.per_second), "since": since})
    return found


def _crashes(picture: Picture, standing: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Kinds of the last hour, the newest first; also those that only an earlier leader has seen."""
    found: dict[tuple[str | None, ...], dict[str, Any]] = {}
    for group in picture.crashes.groups if picture.crashes is not None else ():
        named = {name: getattr(group, name) for name in ("signal", "module", "endpoint", "revision", "image")}
        entry = {name: text[:LONGEST_TEXT] for name, text in named.items() if text}
        found[_kind(entry)] = entry | {"count": group.count, "last": _time(group.last)}
    for known in standing:
        found.setdefault(_kind(known), dict(known))
    oldest = _time(picture.at - SHOWN_FOR_S)
    newest = sorted((entry for entry in found.values() if entry["last"] >= oldest), key=lambda entry: entry["last"])
    return newest[: -MOST_CRASHES - 1 : -1]


def _kind(entry: Mapping[str, Any]) -> tuple[str | None, ...]:
    return tuple(entry.get(name) for name in ("signal", "module", "endpoint", "revision"))


def _bottleneck(bottleneck: Bottleneck) -> dict[str, str]:
    fields = {"class": bottleneck.kind, "share": rounded_share(bottleneck.share)}
    return fields | ({"dependency": bottleneck.dependency[:LONGEST_TEXT]} if bottleneck.dependency is not None else {})


def _time(unix_s: float) -> str:
    return datetime.fromtimestamp(round(unix_s), UTC).isoformat().replace("+00:00", "Z")


def _clock(unix_s: float) -> str:
    return datetime.fromtimestamp(unix_s, UTC).strftime("%H:%M:%S UTC")


# --- conditions


def cause_conditions(picture: Picture, standing: Mapping[str, Any]) -> list[Condition]:
    """DependencyThrottled, WorkersCrashing, PodsLost: True is bad. What an earlier leader saw (`standing`) is not forgotten."""
    return [_throttling(picture, standing), _crashing(picture, standing), _losing(picture, standing)]


def _throttling(picture: Picture, standing: Mapping[str, Any]) -> Condition:
    kind = "DependencyThrottled"
    if picture.throttled:
        return kind, "True", _SHORTAGES[picture.throttled[0].reason], shortages(picture.throttled)
    stands = _standing(kind, standing)
    if stands is not None and _young(picture):
        return stands
    if not picture.traffic.pods:
        return kind, "Unknown", "NothingTold", "no pod tells of its requests"
    return kind, "False", "NoShortage", "no dependency refuses or throttles calls"


def _crashing(picture: Picture, standing: Mapping[str, Any]) -> Condition:
    kind, crashes, since = "WorkersCrashing", picture.crashes, picture.at - ALARM_S
    if crashes is not None and crashes.last is not None and crashes.last >= since:
        return kind, "True", crash_reason(crashes), crash_sentence(crashes)
    stands = _standing(kind, standing)
    if stands is not None and any(entry["last"] >= _time(since) for entry in standing.get("crashes", ())):
        return stands
    if not picture.traffic.pods:
        return kind, "Unknown", "NothingTold", "no pod tells of its workers"
    return kind, "False", "NoCrashes", f"no worker crashed in the last {ALARM_S / 60:.0f} minutes"


def _losing(picture: Picture, standing: Mapping[str, Any]) -> Condition:
    kind, minutes = "PodsLost", f"{ALARM_S / 60:.0f} minutes"
    recent = picture.departures.recent or () if picture.departures is not None else ()
    lost = [gone for gone in recent if gone.cause in ABNORMAL and gone.at >= picture.at - ALARM_S]
    if lost:
        causes = Counter(gone.cause for gone in lost).most_common()
        said = ", ".join(f"{count} {cause}" for cause, count in causes)
        last = f"the last was {lost[0].name} at {_clock(lost[0].at)}: {lost[0].evidence}"
        return kind, "True", causes[0][0], f"pods lost in the last {minutes}: {said}; {last}"[:LONGEST_MESSAGE]
    stands = _standing(kind, standing)
    if stands is not None and _young(picture):
        return stands
    return kind, "False", "NoneLost", f"no pod was lost in the last {minutes}; those that left were asked to, or had finished"


def _standing(kind: str, standing: Mapping[str, Any]) -> Condition | None:
    """A condition that is true in the status written last."""
    for known in standing.get("conditions", ()):
        if known["type"] == kind and known["status"] == "True":
            return kind, "True", known["reason"], known["message"]
    return None


def shortages(throttled: Sequence[Throttled]) -> str:
    """`dynamodb newsfeed: 41/s throttled (38% of its calls) since 12:04:05 UTC`, and the others."""
    said = []
    for each in throttled[:TOP]:
        part = "" if each.ratio is None else f" ({format_ratio(each.ratio)} of its calls)"
        said.append(f"{each.dependency}: {rounded_rate(each.per_second)}/s {each.reason}{part} since {_clock(each.since)}")
    return "; ".join(said)[:LONGEST_MESSAGE]


def crash_reason(crashes: Crashes) -> str:
    """One word for the signal of the newest crash."""
    signal = crashes.newest or "unknown"
    return _CRASHES.get(signal, signal.replace("signal ", "Signal"))


def crash_sentence(crashes: Crashes) -> str:
    """`SIGSEGV in feed.so at GET /feed, revision 7f9c: 12 crashes in the last 5 minutes, the last at 12:04:05 UTC`, and how
    that compares with the revision before."""
    signal = None if crashes.newest == "unknown" else crashes.newest
    group = next((group for group in crashes.groups if group.signal == signal), None)
    many = "1 crash" if crashes.recent == 1 else f"{crashes.recent} crashes"
    said = f"{crash_place(signal, group)}: {many} in the last {ALARM_S / 60:.0f} minutes"
    if crashes.last is not None:
        said += f", the last at {_clock(crashes.last)}"
    if crashes.revisions is not None:
        said += f"; {crashes.revisions.message}"
    return said[:LONGEST_MESSAGE]


def crash_place(signal: str | None, group: CrashGroup | None) -> str:
    """The signal, with the module, endpoint and revision where they are known."""
    said = signal or "a worker ended with requests in flight"
    if group is None:
        return said
    if group.module:
        said += f" in {group.module.rpartition('/')[2] or group.module}"
    if group.endpoint:
        said += f" at {group.endpoint}"
    return said + f", revision {group.revision}" if group.revision else said
