"""Properties that hold for every pod: nothing is lost, ours is added once, the class and the Pod Security level are kept."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from rollcall.inject.apply import apply
from rollcall.inject.patch import inject
from rollcall.inject.resources import is_guaranteed
from tests.golden.injection import SERVICES, SETTINGS, patched

NAMES = st.sampled_from(["web", "worker", "istio-proxy", "php"])
VALUES = st.sampled_from(["", "/srv/lib", "/a:/b", ":/srv/php", "$(BASE)/x"])
BOUNDS = st.sampled_from([None, {"cpu": "1", "memory": "64Mi"}, {"cpu": "100m", "memory": "10Mi"}, {"memory": "1Gi"}])
VARIABLES = st.fixed_dictionaries(
    {"name": st.sampled_from(["PYTHONPATH", "PHP_INI_SCAN_DIR", "OTHER"])},
    optional={"value": VALUES, "valueFrom": st.just({"fieldRef": {"fieldPath": "metadata.name"}})},
)
RESOURCES = st.builds(
    lambda requests, limits: {key: value for key, value in (("requests", requests), ("limits", limits)) if value},
    BOUNDS,
    BOUNDS,
)
CONTAINERS = st.fixed_dictionaries(
    {"name": NAMES},
    optional={
        "env": st.none() | st.lists(VARIABLES, max_size=4),
        "envFrom": st.just([{"configMapRef": {"name": "c"}}]),
        "volumeMounts": st.lists(st.just({"name": "data", "mountPath": "/data"}), max_size=1),
        "resources": RESOURCES,
        "unknown": st.just({"kept": [1, None]}),
    },
)
PODS = st.builds(
    lambda metadata, spec: {"metadata": metadata, "spec": spec},
    st.fixed_dictionaries(
        {"labels": st.sampled_from([{"app": "newsfeed"}, {"app": "legacy"}, {"app": "tuned"}, {"app": "other"}])},
        optional={"annotations": st.none() | st.just({"a/b~c": "d"})},
    ),
    st.fixed_dictionaries(
        {"containers": st.lists(CONTAINERS, min_size=1, max_size=3, unique_by=lambda container: container["name"])},
        optional={
            "initContainers": st.none()
            | st.lists(st.fixed_dictionaries({"name": st.just("init")}, optional={"resources": RESOURCES})),
            "volumes": st.none() | st.just([{"name": "data", "emptyDir": {}}]),
            "restartPolicy": st.sampled_from(["Always", "Never"]),
            "securityContext": st.just({"runAsUser": 0}),
        },
    ),
)


@given(PODS)
def test_a_second_run_changes_nothing(pod: dict[str, Any]) -> None:
    after = patched(pod, inject(pod, SERVICES, SETTINGS))
    assert inject(after, SERVICES, SETTINGS).patch == ()


@given(PODS)
def test_both_appliers_agree_and_leave_their_input_alone(pod: dict[str, Any]) -> None:
    before = copy.deepcopy(pod)
    injection = inject(pod, SERVICES, SETTINGS)
    assert apply(pod, injection.patch) == patched(pod, injection)
    assert pod == before


def without_ours(pod: dict[str, Any]) -> dict[str, Any]:
    """The pod with everything taken out that carries our names, and empty parts dropped."""
    stripped = copy.deepcopy(pod)
    stripped["metadata"]["annotations"] = {
        key: value for key, value in (stripped["metadata"].get("annotations") or {}).items() if "rollcall" not in key
    }
    spec = stripped["spec"]
    for key in ("containers", "initContainers", "volumes"):
        spec[key] = [item for item in spec.get(key) or [] if not item["name"].startswith("rollcall-")]
    for container in spec["containers"]:
        container["volumeMounts"] = [m for m in container.get("volumeMounts") or [] if not m["name"].startswith("rollcall-")]
        container["env"] = [v for v in container.get("env") or [] if v["name"] == "OTHER" or "valueFrom" in v]
    return stripped


@given(PODS)
def test_nothing_of_the_pod_is_lost(pod: dict[str, Any]) -> None:
    assert without_ours(patched(pod, inject(pod, SERVICES, SETTINGS))) == without_ours(pod)


@given(PODS)
def test_the_class_guaranteed_is_kept(pod: dict[str, Any]) -> None:
    assert is_guaranteed(patched(pod, inject(pod, SERVICES, SETTINGS))) is is_guaranteed(pod)


@given(PODS)
def test_our_containers_pass_restricted_and_have_bounds(pod: dict[str, Any]) -> None:
    spec = patched(pod, inject(pod, SERVICES, SETTINGS))["spec"]
    for container in [*(spec.get("initContainers") or []), *spec["containers"]]:
        if container["name"].startswith("rollcall-"):
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False
            assert context["capabilities"] == {"drop": ["ALL"]}
            assert context["runAsNonRoot"] is True
            assert context["seccompProfile"] == {"type": "RuntimeDefault"}
            assert ("runAsUser" in context) is ("securityContext" in pod["spec"])
            assert {"cpu", "memory"} <= container["resources"]["requests"].keys()
            assert "memory" in container["resources"]["limits"]
            assert not {"readinessProbe", "startupProbe", "livenessProbe"} & container.keys()
