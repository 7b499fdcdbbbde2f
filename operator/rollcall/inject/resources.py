"""Requests and limits of our containers: always set, and never such that a pod loses its class or is refused.

A pod is of class Guaranteed when every container's requests equal its limits for CPU and memory; ours then do the same. A pod
may also carry resources of its own, above its containers (`spec.resources`); the containers together must stay within them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from rollcall.api.quantities import QuantityError, parse_quantity
from rollcall.api.spec import AgentResources

Resources = dict[str, dict[str, str]]

# With a limit equal to a request of 5m, starting Python alone would take half a minute.
_LEAST_GUARANTEED_CPU = "50m"


def is_guaranteed(pod: Mapping[str, Any]) -> bool:
    """Whether the pod's class is Guaranteed. A missing request counts as equal to the limit, as the API server fills it."""
    return all(_has_equal_bounds(container.get("resources") or {}) for container in _containers(pod))


def agent_resources(asked: AgentResources, guaranteed: bool) -> Resources:
    """The agent's resources: as the service asks, or with requests equal to limits in a Guaranteed pod."""
    requests = {"cpu": asked.requests.cpu, "memory": asked.requests.memory}
    limits = {"memory": asked.limits.memory}
    if asked.limits.cpu is not None:
        limits["cpu"] = asked.limits.cpu
    if not guaranteed:
        return {"requests": requests, "limits": limits}
    limits.setdefault("cpu", _larger(asked.requests.cpu, _LEAST_GUARANTEED_CPU))
    return {"requests": dict(limits), "limits": limits}


def probes_resources(agent: Resources, application: Mapping[str, Any], guaranteed: bool) -> Resources:
    """The resources of the container that copies the probes and is gone before the application starts.

    In a Guaranteed pod it must have a CPU limit; it borrows the application's, idle by then, so that starting costs no time.
    """
    if not guaranteed:
        return agent
    limits = (application.get("resources") or {}).get("limits") or {}
    bounds = {name: _larger(str(limits.get(name, agent["limits"][name])), agent["limits"][name]) for name in ("cpu", "memory")}
    return {"requests": dict(bounds), "limits": bounds}


def has_room(pod: Mapping[str, Any], asked: AgentResources) -> bool:
    """Whether the agent fits below the resources of the pod as a whole, if it has any; beyond them the pod would be refused."""
    whole = pod["spec"].get("resources") or {}
    ours = agent_resources(asked, guaranteed=False)
    try:
        for name in ("cpu", "memory"):
            request = (whole.get("requests") or {}).get(name) or (whole.get("limits") or {}).get(name)
            if request is not None and parse_quantity(request) < _requested(pod, name) + parse_quantity(ours["requests"][name]):
                return False
            limit = (whole.get("limits") or {}).get(name)
            if limit is not None and name in ours["limits"] and parse_quantity(limit) < parse_quantity(ours["limits"][name]):
                return False
    except QuantityError:
        return False
    return True


def _containers(pod: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield from pod["spec"].get("initContainers") or ()
    yield from pod["spec"]["containers"]


def _requested(pod: Mapping[str, Any], name: str) -> Decimal:
    total = Decimal(0)
    for container in _containers(pod):
        resources = container.get("resources") or {}
        request = (resources.get("requests") or {}).get(name) or (resources.get("limits") or {}).get(name)
        total += parse_quantity(request) if request is not None else 0
    return total


def _has_equal_bounds(resources: Mapping[str, Any]) -> bool:
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    try:
        return all(
            name in limits and parse_quantity(requests.get(name, limits[name])) == parse_quantity(limits[name])
            for name in ("cpu", "memory")
        )
    except QuantityError:
        return False


def _larger(one: str, other: str) -> str:
    try:
        return one if parse_quantity(one) >= parse_quantity(other) else other
    except QuantityError:
        return other
