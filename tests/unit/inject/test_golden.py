"""Every golden pod: the decision, the patched pod, and that a second run changes nothing."""

from __future__ import annotations

import copy

import pytest

from rollcall.inject.apply import apply
from rollcall.inject.patch import inject
from tests.golden.injection import SERVICES, SETTINGS, Case, cases, patched


@pytest.fixture(params=cases(), ids=lambda case: case.name)
def case(request: pytest.FixtureRequest) -> Case:
    return request.param


def test_the_outcome_is_the_golden_one(case: Case) -> None:
    injection = inject(case.pod, SERVICES, SETTINGS)
    assert injection.decision.reason == case.expected_reason
    assert list(injection.warnings) == case.expected_warnings
    assert patched(case.pod, injection) == case.expected_pod


def test_our_own_applier_gives_the_same(case: Case) -> None:
    assert apply(case.pod, inject(case.pod, SERVICES, SETTINGS).patch) == case.expected_pod


def test_a_second_run_changes_nothing(case: Case) -> None:
    assert inject(case.expected_pod, SERVICES, SETTINGS).patch == ()


def test_the_input_is_left_alone(case: Case) -> None:
    before = copy.deepcopy(case.pod)
    inject(case.pod, SERVICES, SETTINGS)
    assert case.pod == before


def test_a_huge_pod_gets_a_small_patch() -> None:
    pod = {
        "metadata": {"labels": {"app": "newsfeed"}},
        "spec": {
            "containers": [{"name": "web", "env": [{"name": f"V{i}", "value": "x" * 200} for i in range(10_000)]}],
            "volumes": [{"name": f"v{i}", "emptyDir": {}} for i in range(1000)],
        },
    }
    injection = inject(pod, SERVICES, SETTINGS)
    after = patched(pod, injection)
    assert injection.decision.inject
    assert len(str(injection.patch)) < 8000
    assert after["spec"]["containers"][0]["env"][:10_000] == pod["spec"]["containers"][0]["env"]
    assert after["spec"]["volumes"][:1000] == pod["spec"]["volumes"]
    assert [variable["name"] for variable in after["spec"]["containers"][0]["env"][10_000:]] == [
        "PYTHONPATH",
        "PHP_INI_SCAN_DIR",
    ]
