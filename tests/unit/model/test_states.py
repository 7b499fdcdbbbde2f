"""The truth tables: which bucket a pod is in, and why a bare pod is bare."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from rollcall.model.states import GRACE_S, REMEDIES, SILENT_AFTER_S, BareReason, PodState, ServiceFacts, bare_reason, state_of
from tests.unit.model.agents import facts

NOW = 1000.0
YOUNG, OLD = NOW - GRACE_S + 0.1, NOW - GRACE_S


@pytest.mark.parametrize(
    ("pod", "report_age_s", "state"),
    [
        # not running: nothing else matters
        ({"running": False, "ready": False}, None, PodState.PENDING),
        ({"running": False, "ready": True}, 0.1, PodState.PENDING),
        ({"running": False, "injected": False}, None, PodState.PENDING),
        # running without an agent
        ({"injected": False}, None, PodState.BARE),
        ({"injected": False, "ready": False}, None, PodState.BARE),
        ({"injected": False}, 0.1, PodState.BARE),
        # injected, never heard of
        ({"started_at": None}, None, PodState.PENDING),
        ({"started_at": YOUNG}, None, PodState.PENDING),
        ({"started_at": OLD}, None, PodState.SILENT),
        ({"started_at": OLD, "ready": False}, None, PodState.SILENT),
        # injected, heard of
        ({}, 0.0, PodState.SERVING),
        ({"started_at": None}, 0.0, PodState.SERVING),
        ({}, SILENT_AFTER_S, PodState.SERVING),
        ({}, SILENT_AFTER_S + 0.01, PodState.SILENT),
        ({"started_at": YOUNG}, SILENT_AFTER_S + 0.01, PodState.SILENT),
        ({"ready": False}, 0.2, PodState.UNREADY),
        ({"ready": False}, 60.0, PodState.SILENT),
        # being deleted: whatever else is true
        ({"leaving": True}, 0.1, PodState.LEAVING),
        ({"leaving": True}, None, PodState.LEAVING),
        ({"leaving": True, "running": False}, None, PodState.LEAVING),
        ({"leaving": True, "injected": False}, None, PodState.LEAVING),
        ({"leaving": True}, 60.0, PodState.LEAVING),
    ],
)
def test_state(pod: dict[str, Any], report_age_s: float | None, state: PodState) -> None:
    assert state_of(facts(**pod), report_age_s, NOW) is state


def test_only_a_ready_reporting_injected_running_pod_that_stays_serves() -> None:
    bits = ("running", "ready", "injected", "leaving")
    for values, age_s in product(product([False, True], repeat=4), [None, 0.0, SILENT_AFTER_S, 2.0]):
        pod = dict(zip(bits, values, strict=True))
        serves = state_of(facts(**pod), age_s, NOW) is PodState.SERVING
        expected = pod == {"running": True, "ready": True, "injected": True, "leaving": False} and age_s is not None
        assert serves == (expected and age_s != 2.0), (pod, age_s)


BEFORE = ServiceFacts(created_at=500.0)


@pytest.mark.parametrize(
    ("pod", "service", "reason"),
    [
        ({"skipped": "NoRoom"}, BEFORE, "NoRoom"),
        ({"skipped": "NoRoom", "created_at": 100.0, "opted_out": True}, BEFORE, "NoRoom"),
        ({"created_at": 499.9}, BEFORE, BareReason.CREATED_BEFORE),
        ({"created_at": 499.9, "opted_out": True}, BEFORE, BareReason.CREATED_BEFORE),
        ({"created_at": 500.0}, BEFORE, BareReason.WEBHOOK_UNAVAILABLE),
        ({"opted_out": True}, ServiceFacts(namespace_enabled=False, injection_off=True), BareReason.NAMESPACE_NOT_ENABLED),
        ({"opted_out": True}, ServiceFacts(injection_off=True), BareReason.INJECTION_OFF),
        ({"opted_out": True, "host_network": True}, ServiceFacts(), BareReason.OPTED_OUT),
        ({"host_network": True}, ServiceFacts(), BareReason.HOST_NETWORK),
        ({}, ServiceFacts(), BareReason.WEBHOOK_UNAVAILABLE),
    ],
)
def test_bare_reason(pod: dict[str, Any], service: ServiceFacts, reason: str) -> None:
    given = {"injected": False, "created_at": 600.0} | pod
    assert bare_reason(facts(**given), service) == reason


def test_every_reason_has_a_remedy() -> None:
    assert set(REMEDIES) == set(BareReason)
    assert all(len(remedy) > 20 for remedy in REMEDIES.values())
