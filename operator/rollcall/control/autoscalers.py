"""HorizontalPodAutoscalers that measure whole pods: the agent's request is in their sum, and shifts what their target means.

A `ContainerResource` metric measures the application's container alone; the hint shows it, ready to paste.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from rollcall.kube.objects import Metadata

KIND_PATH = "/apis/autoscaling/v2/namespaces/{namespace}/horizontalpodautoscalers"
DEFAULT_UTILIZATION = 80
"""What an autoscaler without metrics goes by: CPU, at this part of the request."""


class Target(msgspec.Struct, frozen=True, rename="camel"):
    """`target` of a metric."""

    type: str = ""
    average_utilization: int | None = None
    average_value: str | int | None = None


class ResourceMetric(msgspec.Struct, frozen=True):
    """`resource` of a metric."""

    name: str = ""
    target: Target = Target()


class MetricSpec(msgspec.Struct, frozen=True):
    """One metric; only those of whole pods have `resource`."""

    type: str = ""
    resource: ResourceMetric | None = None


class ScaleTarget(msgspec.Struct, frozen=True):
    """What is scaled."""

    kind: str = ""
    name: str = ""


class AutoscalerSpec(msgspec.Struct, frozen=True, rename="camel"):
    """Of the spec."""

    scale_target_ref: ScaleTarget = ScaleTarget()
    metrics: list[MetricSpec] | None = None


class Autoscaler(msgspec.Struct, frozen=True):
    """A HorizontalPodAutoscaler."""

    metadata: Metadata
    spec: AutoscalerSpec = AutoscalerSpec()


_DEFAULT = [MetricSpec("Resource", ResourceMetric("cpu", Target("Utilization", DEFAULT_UTILIZATION)))]


def hints(autoscalers: Iterable[Autoscaler], workloads: Mapping[str, tuple[str, int | None]], agent_millis: int) -> list[str]:
    """A sentence per autoscaler that measures CPU or memory of whole injected pods, by name. `workloads` has, for those with
    injected pods ("Deployment/newsfeed"), the application's container and its CPU request in thousandths of a CPU."""
    found = []
    for scaler in sorted(autoscalers, key=lambda each: each.metadata.name):
        target = scaler.spec.scale_target_ref
        workload = workloads.get(f"{target.kind}/{target.name}")
        if workload is None:
            continue
        for metric in scaler.spec.metrics or _DEFAULT:
            if metric.type == "Resource" and metric.resource is not None:
                found.append(_hint(scaler.metadata.name, metric.resource, *workload, agent_millis))
    return found


def _hint(name: str, metric: ResourceMetric, container: str, request_millis: int | None, agent_millis: int) -> str:
    target = metric.target
    if target.average_utilization is not None:
        goal = f"averageUtilization: {target.average_utilization}"
        meant = _meaning(metric.name, target.average_utilization, request_millis, agent_millis)
    else:
        goal, meant = f"averageValue: {target.average_value}", "; what the agent uses counts as the application's"
    form = (
        f"{{type: ContainerResource, containerResource: {{name: {metric.name}, container: {container}, "
        f"target: {{type: {target.type or 'Utilization'}, {goal}}}}}}}"
    )
    return f"HorizontalPodAutoscaler {name} measures {metric.name} of whole pods, the agent included{meant}; use {form}"


def _meaning(resource: str, percent: int, request_millis: int | None, agent_millis: int) -> str:
    if resource != "cpu" or not request_millis:
        return ""
    real = round(percent * (request_millis + agent_millis) / request_millis)
    return f": with its request of {agent_millis}m beside {request_millis}m, {percent}% stands for {real}% of the application's"
