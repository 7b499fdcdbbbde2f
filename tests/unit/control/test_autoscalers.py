"""What is said of autoscalers that measure the agent as well."""

from __future__ import annotations

from typing import Any

import msgspec

from rollcall.control.autoscalers import Autoscaler, hints

WORKLOADS = {"Deployment/newsfeed": ("web", 100)}


def scaler(*metrics: dict[str, Any], target: str = "newsfeed", name: str = "newsfeed") -> Autoscaler:
    spec: dict[str, Any] = {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": target}, "maxReplicas": 9}
    if metrics:
        spec["metrics"] = list(metrics)
    return msgspec.convert({"metadata": {"name": name}, "spec": spec}, Autoscaler)


def resource(target: dict[str, Any], name: str = "cpu") -> dict[str, Any]:
    return {"type": "Resource", "resource": {"name": name, "target": target}}


def test_a_target_of_whole_pods_means_something_else_with_the_agent() -> None:
    (hint,) = hints([scaler(resource({"type": "Utilization", "averageUtilization": 60}))], WORKLOADS, 5)
    assert hint == (
        "HorizontalPodAutoscaler newsfeed measures cpu of whole pods, the agent included: with its request of 5m beside 100m, "
        "60% stands for 63% of the application's; use {type: ContainerResource, containerResource: {name: cpu, container: web, "
        "target: {type: Utilization, averageUtilization: 60}}}"
    )


def test_the_default_metric_is_cpu_of_whole_pods() -> None:
    (hint,) = hints([scaler()], WORKLOADS, 5)
    assert "80% stands for 84%" in hint


def test_averages_and_memory() -> None:
    (hint,) = hints([scaler(resource({"type": "AverageValue", "averageValue": "100Mi"}, "memory"))], WORKLOADS, 5)
    assert "what the agent uses counts as the application's" in hint
    assert "{name: memory, container: web, target: {type: AverageValue, averageValue: 100Mi}}" in hint


def test_what_is_not_misled_is_not_spoken_of() -> None:
    container = {"type": "ContainerResource", "containerResource": {"name": "cpu", "container": "web", "target": {}}}
    pods = {"type": "Pods", "pods": {"metric": {"name": "rps"}, "target": {"type": "AverageValue", "averageValue": "9"}}}
    assert hints([scaler(container, pods)], WORKLOADS, 5) == []
    assert hints([scaler(target="other")], WORKLOADS, 5) == []
    assert hints([], WORKLOADS, 5) == []


def test_without_a_request_nothing_is_worked_out() -> None:
    (hint,) = hints([scaler()], {"Deployment/newsfeed": ("web", None)}, 5)
    assert "stands for" not in hint
