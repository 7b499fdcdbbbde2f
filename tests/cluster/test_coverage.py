"""Who does not report, and why: each reason is made to happen in a real pod, and `rollcall why` says it."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.cluster.observe import condition, until
from tests.harness.cluster import Cluster
from tests.harness.install import NAMESPACE as OPERATOR
from tests.harness.install import Rollcall, install

pytestmark = [pytest.mark.cluster, pytest.mark.patient]

NAMESPACE = "gaps"
IMAGE = "docker.io/rollcall/newsfeed:dev"
AGENT, PROBES = "rollcall-agent", "rollcall-probes"
FUTURE = (
    "import sys; sys.path.insert(0, '/opt/rollcall'); from rollcall_agent import uplink; uplink.WIRE_VERSION = 99; "
    "from rollcall_agent.__main__ import main; main(['run'])"
)
"""An agent of a version that is yet to come."""
MUTE = (
    "import sys; sys.path.insert(0, '/opt/rollcall'); from rollcall_agent.uplink import Uplink; "
    "Uplink.send = lambda *_: None; from rollcall_agent.__main__ import main; main(['run'])"
)
"""An agent that is welcomed, and says nothing; as it hears nothing either, it connects again every half minute."""
Json = dict[str, Any]


def service(name: str, **spec: Any) -> Json:
    return {
        "apiVersion": "rollcall.dev/v1alpha1",
        "kind": "MonitoredService",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"selector": {"matchLabels": {"app": name}}, **spec},
    }


def template(app: str, **labels: str) -> Json:
    return {
        "metadata": {"labels": {"app": app, **labels}},
        "spec": {
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 0,
            "containers": [
                {
                    "name": "web",
                    "image": IMAGE,
                    "command": ["python3", "-S", "-c", "import time; time.sleep(3600)"],
                    "resources": {"requests": {"cpu": "100m"}},
                }
            ],
        },
    }


def pod(name: str, app: str = "gaps", **labels: str) -> Json:
    made = {"apiVersion": "v1", "kind": "Pod", **template(app, **labels)}
    made["metadata"] |= {"name": name, "namespace": NAMESPACE}
    return made


def apply(cluster: Cluster, *objects: Json) -> None:
    cluster.kubectl("apply", "-f", "-", input=json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)}))


def dry_run(cluster: Cluster, name: str) -> Json:
    """A pod as the API server would make it, the webhook's part included."""
    made: Json = json.loads(cluster.kubectl("create", "--dry-run=server", "-o", "json", "-f", "-", input=json.dumps(pod(name))))
    return made


def injected(cluster: Cluster, name: str) -> Json:
    """A pod as the webhook makes it, which can be changed before it is created."""
    made = until(lambda: (told := dry_run(cluster, name))["metadata"].get("annotations") and told, 30, "the webhook answers")
    made["metadata"] = {key: made["metadata"][key] for key in ("name", "namespace", "labels", "annotations")}
    del made["status"]
    assert {AGENT, PROBES} == {container["name"] for container in made["spec"]["initContainers"]}
    return dict(made)


def agent_of(made: Json) -> Json:
    return next(container for container in made["spec"]["initContainers"] if container["name"] == AGENT)


def no_image(made: Json) -> None:
    for container in made["spec"]["initContainers"]:
        container["image"] = "registry.invalid/agent:9"


def other_audience(made: Json) -> None:
    for volume in made["spec"]["volumes"]:
        for source in volume.get("projected", {}).get("sources", ()):
            if "serviceAccountToken" in source:
                source["serviceAccountToken"]["audience"] = "somebody.else"


def nobody_there(made: Json) -> None:
    for variable in agent_of(made)["env"]:
        if variable["name"] == "ROLLCALL_OPERATOR":
            variable["value"] = f"rollcall-ingest.{OPERATOR}.svc:9"


def command(text: str) -> Callable[[Json], None]:
    def change(made: Json) -> None:
        agent_of(made)["command"] = ["python3", "-S", "-I", "-c", text]

    return change


CHANGES: dict[str, tuple[Callable[[Json], None], str, str]] = {
    "ImagePull": (no_image, "the image of the agent cannot be had (", "agent.image of the chart"),
    "TokenRejected": (other_audience, "is turned away, because its token is not accepted (TokenRejected)", "restart the pod"),
    "AgentOutdated": (command(FUTURE), "speaks a version of the wire that this operator does not", "restart the pod"),
    "AgentCrashed": (command("raise SystemExit(3)"), "its agent ended and was restarted", f"logs agentcrashed -c {AGENT}"),
    "NeverReported": (command(MUTE), ", but has not reported", "says what it waits for"),
    "NetworkBlocked": (nobody_there, "its agent runs, but no connection from", "NetworkPolicy"),
    "ProbeInactive": (lambda made: None, "nothing in the application has told of itself", "spec.signals.otlp"),
}


@pytest.fixture(scope="module")
def gaps(cluster: Cluster) -> Iterator[Rollcall]:
    """A service one of whose pods has each gap, and bare ones; some are older than the service."""
    cluster.load(cluster.build("newsfeed"))
    rollcall = install(cluster, "repair.enabled=true")
    namespace = {"metadata": {"name": NAMESPACE, "labels": {"rollcall.dev/inject": "enabled"}}, "apiVersion": "v1"}
    host = pod("host")
    host["spec"]["hostNetwork"] = True
    early = pod("early")
    apply(cluster, namespace | {"kind": "Namespace"})
    apply(cluster, early, pod("unselected", "nobody"))
    time.sleep(1.1)  # creation times are whole seconds
    apply(cluster, service("gaps"), host, pod("out", **{"rollcall.dev/inject": "disabled"}))
    changed = []
    for reason, (change, _, _) in CHANGES.items():
        made = copy.deepcopy(injected(cluster, reason.lower()))
        change(made)
        changed.append(made)
    apply(cluster, *changed)
    yield rollcall
    cluster.remove_namespace(NAMESPACE)
    install(cluster)


def answer(rollcall: Rollcall, name: str) -> Json:
    found: Json = json.loads(rollcall.run("why", name, "-n", NAMESPACE, "-o", "json"))
    return found


@pytest.mark.parametrize("reason", CHANGES)
def test_why_a_pod_with_an_agent_does_not_report(gaps: Rollcall, reason: str) -> None:
    name, (_, words, remedy) = reason.lower(), CHANGES[reason]
    found = until(lambda: (told := answer(gaps, name))["reason"] == reason and told, 90, f"{name}: {answer(gaps, name)}")
    assert words in found["sentence"]
    assert remedy in found["remedy"]
    assert found["services"] == ["gaps"]
    printed = gaps.run("why", name, "-n", NAMESPACE)
    assert f"[{reason}]" in printed
    assert "What to do: " in printed


@pytest.mark.parametrize(
    ("name", "reason", "words"),
    [
        ("out", "OptedOut", "rollcall.dev/inject is disabled"),
        ("host", "HostNetwork", "uses the network of its node"),
        ("early", "CreatedBefore", "it is older than its MonitoredService"),
        ("unselected", "NoMatchingService", "its labels are app=nobody, and no MonitoredService of the namespace selects them"),
    ],
)
def test_why_a_pod_is_bare_or_not_monitored(gaps: Rollcall, name: str, reason: str, words: str) -> None:
    found = until(lambda: (told := answer(gaps, name))["reason"] == reason and told, 30, reason)
    assert words in found["sentence"]
    assert found["remedy"]


def test_counts_are_in_status_metrics_and_events(cluster: Cluster, gaps: Rollcall) -> None:
    expected = dict.fromkeys(CHANGES, 1)
    gaps.wait_for(NAMESPACE, "gaps", lambda picture: picture["gaps"] == expected, "each gap once")
    status = "jsonpath={.status.gaps}"
    until(
        lambda: json.loads(cluster.kubectl("-n", NAMESPACE, "get", "msvc", "gaps", "-o", status) or "{}") == expected,
        20,
        "status",
    )
    assert f'rollcall_service_gap_pods{{namespace="{NAMESPACE}",reason="ImagePull",service="gaps"}} 1.0' in gaps.metrics()
    events = until(
        lambda: [
            event
            for event in json.loads(cluster.kubectl("-n", NAMESPACE, "get", "events", "-o", "json"))["items"]
            if event["reason"] in ("PodsNotReporting", "PodsBare")
        ],
        30,
        "events",
    )
    assert len({(event["involvedObject"]["name"], event["message"]) for event in events}) == len(events), "each only once"


def test_the_doctor_finds_what_is_missed_and_what_is_well(gaps: Rollcall) -> None:
    gaps.wait_for(NAMESPACE, "gaps", lambda picture: picture["gaps"].get("ImagePull"), "the operator has looked")
    findings = json.loads(gaps.run("doctor", "-n", NAMESPACE, "-o", "json"))
    well = {finding["what"] for finding in findings if finding["level"] == "ok"}
    assert well >= {"cluster", "CRD", "operator", "webhook", "your rights", "namespaces", "live API", "certificate"}
    missed = {finding["said"] for finding in findings if finding["what"] == "coverage"}
    assert any(said.startswith("gaps/gaps: 1 of ") and said.endswith("pods: ImagePull") for said in missed), missed
    assert not [finding for finding in findings if finding["level"] in ("failure", "unknown")]


def test_a_pod_that_is_not_there(gaps: Rollcall) -> None:
    with pytest.raises(Exception, match='there is no pod "nobody-there" in namespace "gaps"'):
        gaps.run("why", "nobody-there", "-n", NAMESPACE)


def test_bare_pods_are_restarted_one_by_one_within_the_disruption_budget(cluster: Cluster, gaps: Rollcall) -> None:
    late = {
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "late", "namespace": NAMESPACE},
        "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "late"}}, "template": template("late")},
    }  # fmt: skip
    budget = {
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "late", "namespace": NAMESPACE},
        "spec": {"minAvailable": 2, "selector": {"matchLabels": {"app": "late"}}},
    }  # fmt: skip
    metric = {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}
    scaler = {
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "late", "namespace": NAMESPACE},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "late"},
            "minReplicas": 2, "maxReplicas": 3, "metrics": [{"type": "Resource", "resource": metric}],
        },
    }  # fmt: skip
    apply(cluster, late, budget)
    cluster.kubectl("-n", NAMESPACE, "rollout", "status", "deployment/late", "--timeout=60s")
    time.sleep(1.1)
    apply(cluster, service("late", coverage={"repair": "Restart"}), scaler)
    until(
        lambda: "PodDisruptionBudget" in condition(cluster, NAMESPACE, "late", "Repairing").get("message", ""),
        30,
        "the budget holds",
    )
    picture = gaps.picture(NAMESPACE, "late")
    assert picture["bare"] == {"CreatedBefore": 2}, "nothing was restarted against the budget"
    budget["spec"]["minAvailable"] = 1
    apply(cluster, budget)
    gaps.wait_for(NAMESPACE, "late", lambda picture: picture["pods"]["serving"] == picture["pods"]["total"] == 2, "covered", 90)
    until(
        lambda: condition(cluster, NAMESPACE, "late", "Repairing").get("reason") == "NothingToRepair",
        20,
        "it says that it is done",
    )
    misled = until(lambda: condition(cluster, NAMESPACE, "late", "AutoscalerMisled"), 20, "the autoscaler is spoken of")
    assert "50% stands for 52% of the application's" in misled["message"]
    form = misled["message"].partition("use ")[2]
    assert form == (
        "{type: ContainerResource, containerResource: {name: cpu, container: web, "
        "target: {type: Utilization, averageUtilization: 50}}}"
    )


def test_injection_pauses_while_the_agents_image_cannot_be_pulled(cluster: Cluster, gaps: Rollcall) -> None:
    apply(cluster, service("next"))
    try:
        install(cluster, "repair.enabled=true", "agent.image.tag=of-another-time")
        image = lambda: agent_of(injected(cluster, "any"))["image"]  # noqa: E731
        until(lambda: image().endswith(":of-another-time"), 30, "the former operator has gone")
        apply(cluster, *(pod(f"stuck-{number}", "next") for number in range(3)))
        until(lambda: condition(cluster, NAMESPACE, "next", "Injecting").get("reason") == "ImagePull", 60, "injection pauses")
        apply(cluster, pod("free", "next"))
        cluster.wait("pod/free", "--for=condition=Ready", "-n", NAMESPACE, timeout_s=30)
        found = until(lambda: (told := answer(gaps, "free"))["state"] == "bare" and told, 20, "it runs without the agent")
        assert found["reason"] == "ImagePull"
        assert "injection pauses" in found["sentence"]
    finally:
        install(cluster, "repair.enabled=true")
    until(lambda: condition(cluster, NAMESPACE, "next", "Injecting").get("status") == "True", 60, "injection goes on")
