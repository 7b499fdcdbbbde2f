"""The tables: services, and the parts of a service. Each says its columns, what `/` searches, and what it says when empty."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from rollcall.cli.departures import ABNORMAL

from . import cells
from .cells import NONE, STATES, Cell, word
from .charts import bars, spark
from .filters import Fields
from .picture import Json, Pod, Service
from .table import Column, Scene, Table

PARTS = ("pods", "requests", "dependencies", "endpoints", "errors", "departures")
TREND = 12
_BLOCKS = 10


def _of(name: str) -> Callable[[Json], Any]:
    return lambda row: row[name]


def _name(row: Json, name: str, role: str = "") -> Cell:
    return word(row[name], role)


def _figure(title: str, width: int, value: Callable[[Any], Any], cell: Callable[[Any], Cell], spare: int = 0) -> Column:
    return Column(title, width, lambda row, _: cell(value(row)), value, right=True, spare=spare)


# --- services


def _serving(service: Service) -> Cell:
    pods = service.pods
    wanted = pods["total"] if pods["desired"] is None else pods["desired"]
    return Cell(f"{pods['serving']}/{wanted}", "" if pods["serving"] >= wanted else "warn")


def in_flight(bands: Sequence[int] | None) -> Cell:
    """A number in the colour of the oldest band that has any; blocks would need more than a cell."""
    if bands is None:
        return NONE
    oldest = max((band for band, count in enumerate(bands) if count), default=0)
    return Cell(str(sum(bands)), cells.LATE[min(3, oldest)] if oldest else "")


def _left(service: Service) -> Cell:
    counts = (service.departures or {}).get("lastHour") or {}
    return Cell(str(sum(counts.values())), "bad" if any(counts.get(cause) for cause in ABNORMAL) else "dim")


def _trend(key: str, scene: Scene) -> Cell:
    return Cell(spark(scene.trend(key))[0], "trend")


SERVICES = Table(
    "services",
    (
        Column("NAMESPACE", 9, lambda it, _: Cell(it.namespace, "dim"), lambda it: it.namespace, spare=1, grows=True, most=20),
        Column("SERVICE", 14, lambda it, _: Cell(it.name, "name"), lambda it: it.name, grows=True, most=30),
        Column("HEALTH", 10, lambda it, _: cells.health(it.health["state"]), lambda it: _ill(it)),
        Column("PODS", 6, lambda it, _: _serving(it), lambda it: it.pods["total"], right=True),
        _figure("RPS", 7, lambda it: it.traffic["requestsPerSecond"], cells.rate),
        Column("", TREND, lambda it, scene: _trend("/".join(it.key), scene), spare=4),
        _figure("P95", 6, lambda it: it.traffic["responseTime"]["p95"], cells.duration),
        _figure("ERRORS", 6, lambda it: it.traffic["errorRatio"], cells.failing),
        Column("FLIGHT", 6, lambda it, _: in_flight(it.bands), lambda it: it.bands and sum(it.bands), right=True),
        Column("", 12, lambda it, _: NONE, spare=3, draw=lambda it, _, width: bars(it.bands, width)),
        _figure("COV", 5, lambda it: it.coverage, cells.coverage, 2),
        _figure("USERS", 6, lambda it: (it.visitors or {}).get("concurrentUsers"), cells.whole, 5),
        Column("LEFT 1H", 7, lambda it, _: _left(it), right=True, spare=6),
        Column("", 20, lambda it, _: _complaint(it), spare=7, grows=True, most=90),
    ),
    lambda it: "/".join(it.key),
    lambda it: f"{it.namespace}/{it.name} {it.health['state']}",
    lambda it: {"namespace": it.namespace, "name": it.name, "health": it.health["state"]},
    ("namespace", "name", "health"),
    "no service yet",
    lambda it: it.labels,
)  # fmt: skip


def _ill(service: Service) -> int:
    return ("Down", "Degraded", "Unknown", "Healthy").index(service.health["state"])


def _complaint(service: Service) -> Cell:
    health = service.health
    return Cell("" if health["state"] == "Healthy" else cells.clean(health["message"] or health["reason"]), "dim")


# --- pods


def _resource(name: str) -> Callable[[Pod], Any]:
    return lambda pod: None if pod.resources is None else getattr(pod.resources, name)


def _cpu(pod: Pod) -> Cell:
    used = pod.resources
    return NONE if used is None else cells.cpu(used.cpu_millicores, used.cpu_limit_millicores, used.throttled_ratio)


def _memory(pod: Pod) -> Cell:
    used = pod.resources
    return NONE if used is None else cells.memory(used.memory_bytes, used.memory_limit_bytes)


def _flying(pod: Pod) -> int | None:
    return None if pod.in_flight is None else pod.in_flight.total


def _workers(pod: Pod) -> Cell:
    return NONE if pod.busy_workers is None else Cell(f"{pod.busy_workers}/{pod.workers}")


def _state_rank(pod: Pod) -> int:
    order = ("silent", "bare", "unready", "pending", "leaving", "serving")
    return order.index(pod.state) if pod.state in STATES else 0


PODS = Table(
    "pods",
    (
        Column("SLOT", 11, lambda it, _: word(it.label, "name"), lambda it: it.label, grows=True, most=24),
        Column("POD", 18, lambda it, _: word(it.name, "dim"), lambda it: it.name, spare=6, grows=True, most=44),
        Column("STATE", 13, lambda it, _: cells.state(it.state, it.reason), _state_rank, grows=True, most=28),
        _figure("RPS", 6, lambda it: it.requests_per_second, cells.rate),
        Column("", TREND, lambda it, scene: _trend(it.uid, scene), spare=7),
        _figure("P95", 6, lambda it: it.p95, cells.duration),
        _figure("ERR", 5, lambda it: it.error_ratio, cells.failing),
        Column("FLIGHT", 6, lambda it, _: in_flight(it.in_flight and it.in_flight.bands), _flying, right=True),
        Column("CPU", 5, lambda it, _: _cpu(it), _resource("cpu_millicores"), right=True),
        Column("MEM", 6, lambda it, _: _memory(it), _resource("memory_bytes"), right=True),
        Column("BUSY", 5, lambda it, _: _workers(it), lambda it: it.busy_workers, right=True, spare=4),
        _figure("QUEUE", 5, lambda it: it.listen_queue, lambda value: cells.count(value, "bad"), 5),
        _figure("RST", 3, lambda it: it.restarts, lambda value: cells.count(value, "warn"), 5),
        Column("AGE", 4, lambda it, scene: cells.age(scene.at - it.created_at), lambda it: -it.created_at, right=True),
        Column("NODE", 10, lambda it, _: word(it.node, "dim"), lambda it: it.node, spare=3, grows=True, most=30),
    ),
    lambda it: it.uid,
    lambda it: f"{it.name} {it.slot} {it.state} {it.reason} {it.node} {it.revision}",
    lambda it: {
        "name": it.name, "slot": it.slot or "", "state": it.state, "reason": it.reason or "", "node": it.node or "",
        "revision": it.revision or "", "source": ",".join(it.sources),
    },
    ("name", "slot", "state", "reason", "node", "revision", "source"),
    "no pod matches the selector",
    lambda it: it.labels,
)  # fmt: skip

# --- the others: rows are JSON


def _table(
    title: str,
    columns: tuple[Column, ...],
    known: tuple[str, ...],
    empty: str,
    name: Callable[[Json], str] | None = None,
    labels: Callable[[Json], Fields] | None = None,
) -> Table:
    def fields(row: Json) -> dict[str, str]:
        return {each: cells.clean(str(row.get(each) or "")) for each in known}

    return Table(
        title, columns, name or _of(known[0]), lambda row: " ".join(fields(row).values()), fields, known, empty, labels,
    )  # fmt: skip


def _number(title: str, name: str, cell: Callable[[Any], Cell], width: int = 6, spare: int = 0) -> Column:
    return Column(title, width, lambda row, _: cell(row[name]), _of(name), right=True, spare=spare)


def _slot(row: Json) -> str:
    return str(row["slot"] or row.get("pod") or row.get("name"))


def _ago(row: Json, scene: Scene) -> Cell:
    return NONE if row["at"] is None else cells.age(max(0.0, scene.at - row["at"]))


def _percentiles(spare: int) -> tuple[Column, ...]:
    return tuple(
        _number(name.upper(), name, cells.duration, 7, spare if name != "p95" else 0) for name in ("mean", "p50", "p95", "p99")
    )


REQUESTS = _table(
    "longest requests in flight",
    (
        Column("ELAPSED", 7, lambda row, scene: cells.elapsed(row["elapsed"], scene.bands_ms), _of("elapsed"), right=True),
        Column("ENDPOINT", 22, lambda row, _: _name(row, "endpoint", "name"), _of("endpoint"), grows=True, most=48),
        Column("STEP", 18, lambda row, _: _name(row, "step"), _of("step"), grows=True, most=60),
        Column("FOR", 6, lambda row, scene: cells.elapsed(row["stepElapsed"], scene.bands_ms), _of("stepElapsed"), right=True),
        Column("SLOT", 12, lambda row, _: word(_slot(row), "dim"), _slot, spare=1, grows=True, most=24),
        Column("POD", 20, lambda row, _: _name(row, "pod", "dim"), _of("pod"), spare=4, grows=True, most=44),
        Column("WORKER", 6, lambda row, _: Cell(str(row["worker"]), "dim"), _of("worker"), right=True, spare=2),
        Column("REVISION", 10, lambda row, _: _name(row, "revision", "dim"), _of("revision"), spare=3),
    ),
    ("endpoint", "step", "slot", "pod", "revision"),
    "no request has been in flight for longer than half a second",
    lambda row: f"{row['pod']}/{row['worker']}/{row['id']}",
    lambda row: row["labels"],
)  # fmt: skip

DEPENDENCIES = _table(
    "dependencies",
    (
        Column("DEPENDENCY", 22, lambda row, _: _name(row, "dependency", "name"), _of("dependency"), grows=True, most=60),
        _number("SHARE", "share", cells.share),
        _number("CALLS/S", "callsPerSecond", cells.rate, 7),
        _number("FAILED", "failureRatio", cells.failing),
        *_percentiles(2),
        _number("AT ONCE", "concurrency", cells.rate, 7, 3),
        _number("CALLS", "calls", cells.count, 9, 4),
        Column("WHY", 14, lambda row, _: _failures(row), spare=1, grows=True, most=50),
    ),
    ("dependency",),
    "no pod has called one yet that its probe can see",
)  # fmt: skip

ENDPOINTS = _table(
    "endpoints",
    (
        Column("ENDPOINT", 24, lambda row, _: _name(row, "endpoint", "name"), _of("endpoint"), grows=True, most=80),
        _number("SHARE", "share", cells.share),
        _number("RPS", "requestsPerSecond", cells.rate, 7),
        _number("ERRORS", "errorRatio", cells.failing),
        *_percentiles(2),
        _number("REQUESTS", "requests", cells.count, 10, 3),
        _number("UNANSWERED", "unanswered", lambda value: cells.count(value, "bad"), 10, 4),
    ),
    ("endpoint",),
    "no pod with a probe has answered a request yet",
)  # fmt: skip

ERRORS = _table(
    "errors",
    (
        Column("AGO", 4, _ago, _of("at"), right=True),
        Column("KIND", 9, lambda row, _: _name(row, "kind", "dim"), _of("kind"), spare=3),
        Column("TYPE", 16, lambda row, _: _name(row, "type", "bad"), _of("type"), grows=True, most=32),
        _number("PER S", "perSecond", cells.rate, 5),
        _number("TOTAL", "total", cells.count, 7),
        Column("MESSAGE", 18, lambda row, _: _name(row, "message"), _of("message"), grows=True, most=70),
        Column("WHERE", 16, lambda row, _: _name(row, "where", "name"), _of("where"), spare=1, grows=True, most=44),
        Column("ENDPOINT", 16, lambda row, _: _name(row, "endpoint", "dim"), _of("endpoint"), spare=2, grows=True, most=36),
        Column("POD", 16, lambda row, _: _name(row, "pod", "dim"), _of("pod"), spare=4, grows=True, most=44),
    ),
    ("type", "kind", "message", "where", "endpoint", "pod"),
    "no error has been counted",
    lambda row: f"{row['kind']}/{row['type']}/{row['sample']}",
)  # fmt: skip

DEPARTURES = _table(
    "departures",
    (
        Column("AGO", 4, _ago, _of("at"), right=True),
        Column("SLOT", 12, lambda row, _: word(_slot(row), "name"), _slot, grows=True, most=24),
        Column("CAUSE", 11, lambda row, _: _name(row, "cause", "bad" if row["cause"] in ABNORMAL else ""), _of("cause")),
        Column("EVIDENCE", 32, lambda row, _: _name(row, "evidence"), grows=True, most=90),
        _number("LIVED", "age", cells.age, 5, 2),
        _number("RPS", "requestsPerSecond", cells.rate, 6, 3),
        _number("P95", "p95", cells.duration, 6, 4),
        _number("FLIGHT", "inFlight", lambda value: cells.count(value, "bad"), 6, 1),
        Column("POD", 20, lambda row, _: _name(row, "name", "dim"), _of("name"), spare=5, grows=True, most=44),
        Column("NODE", 8, lambda row, _: _name(row, "node", "dim"), _of("node"), spare=6),
    ),
    ("name", "slot", "cause", "evidence", "revision", "node"),
    "no pod has left since counting began",
    lambda row: str(row["uid"]),
)  # fmt: skip


def _failures(row: Json) -> Cell:
    return Cell(", ".join(f"{cells.rate(pace).text}/s {cells.clean(why)}" for why, pace in row["failures"].items()), "bad")


def rows_of(service: Service, part: str) -> Sequence[Any] | None:
    """The rows of a part; None while only a summary is there."""
    if service.roll is None:
        return None
    if part == "pods":
        return service.roll
    if part == "requests":
        return _of_pods(service.longest or [], service.roll)
    if part == "errors":
        return _errors(service.errors)
    if part == "departures":
        return (service.departures or {}).get("recent") or []
    return ((service.endpoints if part == "endpoints" else service.dependencies) or {}).get("rows") or []


def _of_pods(rows: list[Json], roll: list[Pod]) -> list[Json]:
    """Rows with the labels of their pods."""
    names = {row["pod"] for row in rows}
    labels = {pod.name: pod.labels for pod in roll if pod.name in names}
    for row in rows:
        row["labels"] = labels.get(row["pod"], {})
    return rows


def _errors(errors: Json) -> list[Json]:
    """A row for each type with its newest sample, then one for each older sample."""
    samples: list[Json] = errors["samples"] or []
    rows, told = [], set()
    for each in errors["byType"] or []:
        kind = (each["kind"], each["type"])
        place = next((i for i, found in enumerate(samples) if (found["kind"], found["type"]) == kind), None)
        told.add(place)
        rows.append(_error(each, None if place is None else samples[place], "first"))
    older = [each for place, each in enumerate(samples) if place not in told]
    return rows + [_error(each | {"perSecond": None, "total": None}, each, f"{each['at']}/{each['pod']}") for each in older]


def _error(kind: Json, sample: Json | None, place: str) -> Json:
    found = sample or {}
    where = found.get("file") or ""
    where += f":{found['line']}" if where and found.get("line") else ""
    where += f" {found['function']}" if found.get("function") else ""
    told = {name: found.get(name) for name in ("at", "message", "endpoint", "pod")}
    return kind | told | {"where": where.strip(), "sample": place}


TABLES = {
    "services": SERVICES, "pods": PODS, "requests": REQUESTS, "dependencies": DEPENDENCIES, "endpoints": ENDPOINTS,
    "errors": ERRORS, "departures": DEPARTURES,
}  # fmt: skip
