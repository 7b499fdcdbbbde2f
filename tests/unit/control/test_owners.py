"""What controls a pod, from the objects as controllers write them: wants fewer, has a newer revision, is gone, has ended."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from rollcall.control.owners import Owners
from rollcall.kube.objects import Workload
from rollcall.kube.pods import Pod
from rollcall.model.departures import OwnerFacts


def ref(kind: str, name: str, uid: str) -> list[dict[str, Any]]:
    return [{"apiVersion": "v1", "kind": kind, "name": name, "uid": uid, "controller": True}]


def workload(name: str, uid: str, owner: list[dict[str, Any]] | None = None, **parts: Any) -> Workload:
    meta = {"name": name, "uid": uid, "ownerReferences": owner or []} | parts.pop("metadata", {})
    return msgspec.convert({"metadata": meta} | parts, Workload)


def pod(owner: list[dict[str, Any]] | None = None, name: str = "newsfeed-7d9c-abcde", **labels: str) -> Pod:
    meta = {"name": name, "namespace": "shop", "uid": "uid-pod", "labels": labels, "ownerReferences": owner or []}
    return msgspec.convert({"metadata": meta}, Pod)


def of(found: Pod, present: int = 5, **workloads: list[Workload]) -> OwnerFacts:
    kinds = ("deployments", "replicasets", "statefulsets", "daemonsets", "jobs")
    owners = Owners({kind: {each.metadata.uid: each for each in workloads.get(kind, [])} for kind in kinds})
    facts = owners.of(found, present)
    assert facts is not None
    return facts


DEPLOYMENT = workload("newsfeed", "d", spec={"replicas": 5})
OF_DEPLOYMENT = ref("Deployment", "newsfeed", "d")
OF_SET = ref("ReplicaSet", "newsfeed-7d9c", "r1")
HASH = {"pod-template-hash": "7d9c"}


def replica_set(uid: str = "r1", replicas: int = 5, revision: str = "1", **metadata: Any) -> Workload:
    annotations = {"deployment.kubernetes.io/revision": revision}
    return workload(uid, uid, OF_DEPLOYMENT, metadata={"annotations": annotations} | metadata, spec={"replicas": replicas})


def deployed(present: int, *sets: Workload, deployment: Workload | None = DEPLOYMENT) -> OwnerFacts:
    found = pod(OF_SET, **{"pod-template-hash": "7d9c"})
    return of(found, present, replicasets=list(sets), deployments=[deployment] if deployment else [])


def test_nothing_controls_it() -> None:
    assert Owners({}).of(pod(), 1) is None


def test_a_deployment() -> None:
    assert deployed(5, replica_set()) == OwnerFacts(
        "ReplicaSet", "newsfeed-7d9c", "Deployment/newsfeed", wanted=5, present=5
    )  # fmt: skip
    assert deployed(6, replica_set()).surplus
    assert not deployed(5, replica_set()).surplus


def test_a_rollout() -> None:
    old, new = replica_set(replicas=3), replica_set("r2", 2, "2")
    assert deployed(4, old, new).outdated
    assert deployed(4, old, new).surplus
    back = replica_set(replicas=3, revision="3")
    assert not deployed(4, back, new).outdated, "rolled back: the old template is the newest revision"
    stranger = workload("other", "r9", ref("Deployment", "other", "d9"), metadata={"annotations": new.metadata.annotations})
    assert not deployed(4, old, stranger).outdated


def test_a_deployment_that_makes_all_pods_anew() -> None:
    assert deployed(5, replica_set(replicas=0)).recreated
    assert not deployed(5, replica_set(replicas=0), deployment=workload("newsfeed", "d", spec={"replicas": 0})).recreated


@pytest.mark.parametrize("metadata", [{}, {"deletionTimestamp": "2026-01-01T00:00:00Z"}])
def test_what_was_deleted_with_its_pods(metadata: dict[str, str]) -> None:
    going = workload("newsfeed", "d", metadata=metadata, spec={"replicas": 5}) if metadata else None
    assert not deployed(5, replica_set(), deployment=going).exists
    assert not deployed(5, *([replica_set(**metadata)] if metadata else [])).exists


def stateful(ordinal: int, spec: dict[str, Any], revision: str = "a", newest: str = "a") -> OwnerFacts:
    found = workload("newsfeed", "s", spec={"replicas": 3} | spec, status={"updateRevision": newest})
    owned = pod(ref("StatefulSet", "newsfeed", "s"), f"newsfeed-{ordinal}", **{"controller-revision-hash": revision})
    return of(owned, 3, statefulsets=[found])


def test_a_stateful_set() -> None:
    assert [stateful(ordinal, {}).surplus for ordinal in (0, 2, 3)] == [False, False, True]
    assert [stateful(ordinal, {"ordinals": {"start": 1}}).surplus for ordinal in (0, 1, 3)] == [True, False, False]
    assert stateful(1, {}, "a", "b").outdated
    assert not stateful(1, {}, "b", "b").outdated
    partition = {"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 2}}}
    assert [stateful(ordinal, partition, "a", "b").outdated for ordinal in (1, 2)] == [False, True]
    assert not stateful(1, {}, "a", "").outdated, "its controller has not looked yet"


def test_a_daemon_set() -> None:
    def daemon(own: str, newest: str, present: int = 2) -> OwnerFacts:
        annotations = {"deprecated.daemonset.template.generation": newest}
        found = workload("newsfeed", "ds", metadata={"annotations": annotations}, status={"desiredNumberScheduled": 2})
        return of(pod(ref("DaemonSet", "newsfeed", "ds"), **{"pod-template-generation": own}), present, daemonsets=[found])

    assert daemon("1", "2").outdated
    assert not daemon("2", "2").outdated
    assert (daemon("2", "2").surplus, daemon("2", "2", 3).surplus) == (False, True)


def test_a_job() -> None:
    def job(present: int = 1, conditions: list[dict[str, str]] | None = None, **spec: Any) -> OwnerFacts:
        found = workload("sums", "j", spec=spec, status={"conditions": conditions or []})
        return of(pod(ref("Job", "sums", "j")), present, jobs=[found])

    def condition(kind: str, reason: str = "") -> list[dict[str, str]]:
        return [{"type": kind, "status": "True", "reason": reason}]

    assert (job().ended, job().surplus, job(3, parallelism=2).surplus) == (None, False, True)
    assert job(conditions=condition("Complete")).ended == job(conditions=condition("SuccessCriteriaMet")).ended == "Complete"
    failed = job(conditions=condition("FailureTarget", "DeadlineExceeded"))
    assert (failed.ended, failed.ended_reason) == ("Failed", "DeadlineExceeded")
    suspended = job(suspend=True)
    assert (suspended.ended, suspended.wanted, suspended.surplus) == ("Suspended", 0, True)


def test_kinds_that_are_not_followed_or_not_listed_yet() -> None:
    assert not of(pod(ref("Rollout", "newsfeed", "x"))).followed
    unlisted = Owners({}).of(pod(OF_SET, **HASH), 5)
    assert unlisted is not None
    assert not unlisted.followed
