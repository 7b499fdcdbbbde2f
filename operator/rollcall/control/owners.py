"""What controls a pod, as the model wants to know it when the pod leaves: from the workloads of a namespace."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from rollcall.inject.workloads import workload_name
from rollcall.kube.objects import Workload
from rollcall.kube.pods import Pod
from rollcall.model.departures import OwnerFacts

REVISIONS = ("deployment.kubernetes.io/revision", "rollout.argoproj.io/revision")
GENERATION = "deprecated.daemonset.template.generation"
"""Annotation of a DaemonSet, and what its pods carry of it:"""
GENERATION_LABEL = "pod-template-generation"
HASH_LABEL = "controller-revision-hash"
Objects = Mapping[str, Workload]
"""By UID."""


class Owners:
    """The workloads of a namespace by plural name, each by UID."""

    def __init__(self, workloads: Mapping[str, Objects]) -> None:
        self._workloads = workloads

    def of(self, pod: Pod, present: int) -> OwnerFacts | None:
        """What controls a pod; `present` as in OwnerFacts. None where nothing does."""
        owner = pod.controller
        if owner is None:
            return None
        name = workload_name(owner.kind, owner.name, pod.metadata.labels)
        plain = OwnerFacts(owner.kind, owner.name, name, present=present)
        find = {
            "ReplicaSet": self._replica_set,
            "StatefulSet": self._stateful_set,
            "DaemonSet": self._daemon_set,
            "Job": self._job,
        }.get(owner.kind)
        objects = self._workloads.get(f"{owner.kind.lower()}s")
        if find is None or objects is None:
            return replace(plain, followed=False)
        found = objects.get(owner.uid)
        if found is None or found.metadata.deletion_timestamp is not None:
            return replace(plain, exists=False)
        return find(plain, pod, found)

    def _replica_set(self, plain: OwnerFacts, pod: Pod, found: Workload) -> OwnerFacts:
        wanted, maker = found.desired(), found.controller
        facts = replace(plain, wanted=wanted, surplus=plain.present > wanted)
        if maker is None:
            return facts
        siblings = (each for each in self._workloads["replicasets"].values() if _made_by(each, maker.uid))
        facts = replace(facts, outdated=_revision(found) < max(map(_revision, siblings), default=0))
        if maker.kind != "Deployment":
            return facts
        deployment = self._workloads["deployments"].get(maker.uid)
        if deployment is None or deployment.metadata.deletion_timestamp is not None:
            return replace(facts, exists=False)
        return replace(facts, recreated=wanted == 0 and deployment.desired() > 0)

    def _stateful_set(self, plain: OwnerFacts, pod: Pod, found: Workload) -> OwnerFacts:
        wanted, ordinal = found.desired(), _number(pod.metadata.name.rpartition("-")[2])
        if ordinal is None:
            return replace(plain, wanted=wanted, surplus=plain.present > wanted)
        start = found.spec.ordinals.start
        revision, newest = pod.metadata.labels.get(HASH_LABEL), found.status.update_revision
        kept = ordinal < found.spec.update_strategy.rolling_update.partition
        return replace(
            plain,
            wanted=wanted,
            surplus=not start <= ordinal < start + wanted,
            outdated=bool(newest) and revision != newest and not kept,
        )

    def _daemon_set(self, plain: OwnerFacts, pod: Pod, found: Workload) -> OwnerFacts:
        wanted = found.desired()
        newest, own = _number(found.metadata.annotations.get(GENERATION)), _number(pod.metadata.labels.get(GENERATION_LABEL))
        outdated = newest is not None and own is not None and own < newest
        return replace(plain, wanted=wanted, surplus=plain.present > wanted, outdated=outdated)

    def _job(self, plain: OwnerFacts, pod: Pod, found: Workload) -> OwnerFacts:
        wanted = found.desired_at_once()
        failed = found.condition("Failed", "FailureTarget")
        complete = found.condition("Complete", "SuccessCriteriaMet")
        ended = "Failed" if failed else "Complete" if complete else "Suspended" if found.spec.suspend else None
        reason = (failed.reason or "") if failed else ""
        return replace(plain, wanted=wanted, surplus=plain.present > wanted, ended=ended, ended_reason=reason)


def _made_by(workload: Workload, uid: str) -> bool:
    owner = workload.controller
    return owner is not None and owner.uid == uid


def _revision(replica_set: Workload) -> int:
    annotations = replica_set.metadata.annotations
    return max((_number(annotations.get(name)) or 0 for name in REVISIONS), default=0)


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdecimal() else None
