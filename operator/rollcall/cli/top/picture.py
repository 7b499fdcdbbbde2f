"""What the app reads of a picture of the live API. Pods, of which there may be thousands, are decoded into fields that are
shown and nothing else; what comes once in a picture stays as it is in JSON.

They are no concern of the garbage collector (`gc=False`, tuples): to look through thousands of them would stop a key for longer
than everything else does.
"""

from __future__ import annotations

from typing import Any

import msgspec

Json = dict[str, Any]
NO_LABELS: dict[str, str] = {}


class InFlight(msgspec.Struct, gc=False):
    """Requests started and not finished; `oldest` in seconds."""

    total: int
    bands: tuple[int, ...]
    oldest: float


class Resources(msgspec.Struct, rename="camel", gc=False):
    """What the application's container uses."""

    cpu_millicores: float | None
    cpu_request_millicores: int | None
    cpu_limit_millicores: int | None
    throttled_ratio: float | None
    memory_bytes: int
    memory_limit_bytes: int | None
    oom_kills: int
    source: str
    age: float


class Pod(msgspec.Struct, rename="camel", gc=False):
    """One pod of a service."""

    name: str
    uid: str
    node: str | None
    state: str
    reason: str | None
    restarts: int
    created_at: float
    requests_per_second: float | None
    error_ratio: float | None
    p95: float | None
    in_flight: InFlight | None
    workers: int
    busy_workers: int | None = None
    listen_queue: int | None = None
    resources: Resources | None = None
    revision: str | None = None
    slot: str | None = None
    report_age: float | None = None
    sources: tuple[str, ...] = ()
    label_set: int = -1
    labelled: dict[str, str] | None = None
    """What `label_set` says: put here when the picture is decoded. Not a dict for each pod: making thousands takes as long as
    half of the rest."""

    @property
    def labels(self) -> dict[str, str]:
        """Those of Kubernetes."""
        return NO_LABELS if self.labelled is None else self.labelled

    @property
    def label(self) -> str:
        """The short name: its slot, or its own name until it has one."""
        return self.slot or self.name


class Service(msgspec.Struct, rename="camel"):
    """One service; lists are None in a summary."""

    namespace: str
    name: str
    at: float
    health: Json
    pods: Json
    coverage: float | None
    traffic: Json
    totals: Json
    bands_ms: list[int]
    errors: Json
    endpoints: Json | None = None
    dependencies: Json | None = None
    throttled: list[Json] = []
    bottleneck: Json | None = None
    crashes: Json | None = None
    departures: Json | None = None
    visitors: Json | None = None
    imbalance: Json | None = None
    resources: Json | None = None
    workers: Json | None = None
    longest: list[Json] | None = None
    roll: list[Pod] | None = None
    labels: dict[str, str] = {}
    label_sets: list[dict[str, str]] | None = None

    @property
    def key(self) -> tuple[str, str]:
        """Namespace and name."""
        return self.namespace, self.name

    @property
    def bands(self) -> list[int] | None:
        """Requests in flight by elapsed time; None where nothing is known."""
        found = self.traffic["inFlight"]
        return None if found is None else found["bands"]


class Fleet(msgspec.Struct):
    """All services that are shown."""

    services: list[Service]


Shown = Fleet | Service
_fleet = msgspec.json.Decoder(Fleet)
_service = msgspec.json.Decoder(Service)


def decode(data: bytes) -> Shown:
    """A picture of one or of all services, pods by slot; raises msgspec.DecodeError for anything else."""
    if data.startswith(b'{"services"'):
        return _fleet.decode(data)
    service = _service.decode(data)
    if service.roll:
        service.roll.sort(key=lambda pod: (pod.slot is None, pod.slot or pod.name))
        sets = service.label_sets or []
        for pod in service.roll:
            if 0 <= pod.label_set < len(sets):
                pod.labelled = sets[pod.label_set]
    return service
