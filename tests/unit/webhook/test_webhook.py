"""The webhook over real HTTP: it never denies, whatever it is sent and whatever breaks behind it."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

import jsonpatch
import pytest
from aiohttp.test_utils import TestClient, TestServer
from hypothesis import given, settings
from hypothesis import strategies as st

from rollcall.api import MonitoredService
from rollcall.serve.webhook import MAX_BODY_BYTES, make_webhook_app
from tests.golden.injection import SERVICES, SETTINGS, Case, cases

POD = {"metadata": {"generateName": "newsfeed-", "labels": {"app": "newsfeed"}}, "spec": {"containers": [{"name": "web"}]}}


class Backend:
    """What the operator gives the webhook; `broken` makes its parts fail."""

    def __init__(self) -> None:
        self.decisions: list[tuple[str, str]] = []
        self.asked: list[str] = []
        self.looked: list[str] = []
        self.ready = True
        self.broken: set[str] = set()
        self.heard = True

    def find_services(self, namespace: str) -> Sequence[MonitoredService]:
        self.asked.append(namespace)
        if "services" in self.broken:
            raise RuntimeError("no services today")
        return [service for service in SERVICES if service.namespace == namespace and self.heard]

    async def look(self, namespace: str) -> None:
        self.looked.append(namespace)
        if "look" in self.broken:
            raise RuntimeError("no looking today")
        self.heard = True

    def on_decision(self, namespace: str, reason: str, seconds: float) -> None:
        assert seconds >= 0
        if "observer" in self.broken:
            raise RuntimeError("no counting today")
        self.decisions.append((namespace, reason))


@pytest.fixture
def backend() -> Backend:
    return Backend()


@pytest.fixture
async def client(backend: Backend) -> AsyncIterator[TestClient]:
    app = make_webhook_app(backend.find_services, backend.look, lambda: SETTINGS, backend, lambda: backend.ready)
    async with TestClient(TestServer(app)) as client:
        yield client


def review(pod: Any, **request: Any) -> dict[str, Any]:
    asked = {"uid": "u-1", "operation": "CREATE", "namespace": "shop", "dryRun": False, "object": pod, **request}
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": asked}


async def answer(client: TestClient, body: Any, path: str = "/inject") -> dict[str, Any]:
    """The response part, after checking what holds for every answer."""
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()
    async with client.post(path, data=sent, headers={"Content-Type": "application/json"}) as response:
        assert response.status == 200
        got = await response.json()
    assert got["apiVersion"] == "admission.k8s.io/v1"
    assert got["kind"] == "AdmissionReview"
    assert got["response"]["allowed"] is True
    return got["response"]


def patch_of(response: dict[str, Any]) -> list[dict[str, Any]]:
    assert ("patch" in response) == (response.get("patchType") == "JSONPatch")
    return json.loads(base64.b64decode(response.get("patch", base64.b64encode(b"[]"))))


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.name)
async def test_golden_pods_get_their_golden_answer(client: TestClient, backend: Backend, case: Case) -> None:
    response = await answer(client, review(case.pod))
    assert response["uid"] == "u-1"
    assert jsonpatch.apply_patch(case.pod, patch_of(response)) == case.expected_pod
    assert response.get("warnings", []) == case.expected_warnings
    assert response["auditAnnotations"] == {"decision": case.expected_reason}
    assert backend.decisions == [("shop", case.expected_reason)]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not json",
        b"null",
        b"[]",
        b"{}",
        b'{"request": null}',
        b'{"request": {"uid": 7, "namespace": [], "object": "pod"}}',
        b'{"request": {"uid": "u", "object": {"metadata": 1}}}',
        b'{"request": {"uid": "u", "object": {"metadata": {}, "spec": {"containers": [null]}}}}',
        b'{"a":' * 100_000,
        b"\xff\xfe",
        b'{"request": {"uid": "\xff"}}',
    ],
    ids=[
        "empty",
        "text",
        "null",
        "list",
        "no request",
        "null request",
        "types",
        "metadata",
        "container",
        "deep",
        "bytes",
        "bytes in a text",
    ],
)
async def test_a_malformed_body_is_allowed_and_counted(client: TestClient, backend: Backend, body: bytes) -> None:
    response = await answer(client, body)
    assert patch_of(response) == []
    assert response["warnings"]
    assert [reason for _, reason in backend.decisions] == ["Malformed"]


async def test_a_body_above_the_limit_is_allowed_unpatched(client: TestClient, backend: Backend) -> None:
    response = await answer(client, b" " * (MAX_BODY_BYTES + 1))
    assert patch_of(response) == []
    assert [reason for _, reason in backend.decisions] == ["Malformed"]


async def test_a_pod_of_seven_megabytes_is_injected(client: TestClient) -> None:
    big = {"name": "web", "env": [{"name": "BLOB", "value": "x" * 7_000_000}]}
    assert patch_of(await answer(client, review({**POD, "spec": {"containers": [big]}})))


async def test_a_failure_behind_the_webhook_is_allowed_with_the_reason_on_the_pod(client: TestClient, backend: Backend) -> None:
    backend.broken = {"services"}
    response = await answer(client, review(POD))
    assert jsonpatch.apply_patch(POD, patch_of(response))["metadata"]["annotations"] == {"rollcall.dev/skipped": "Failed"}
    assert "Failed" in response["warnings"][0]
    assert backend.decisions == [("shop", "Failed")]


async def test_a_failing_counter_does_not_cost_the_patch(client: TestClient, backend: Backend) -> None:
    backend.broken = {"observer"}
    assert patch_of(await answer(client, review(POD)))


async def test_the_namespace_of_the_request_counts(client: TestClient, backend: Backend) -> None:
    await answer(client, review(POD, namespace="shop"))
    await answer(client, review({**POD, "metadata": {**POD["metadata"], "namespace": "other"}}, namespace=""))
    assert backend.asked == ["shop", "other", "other"]


async def test_a_pod_right_behind_its_service_is_injected(client: TestClient, backend: Backend) -> None:
    """We are asked before the watch told of the service."""
    backend.heard = False
    assert patch_of(await answer(client, review(POD)))
    assert patch_of(await answer(client, review(POD)))
    assert backend.looked == ["shop"]
    assert backend.decisions == [("shop", "Injected")] * 2


async def test_a_second_question_is_answered_like_the_first_and_what_is_not_ours_counts_once(
    client: TestClient, backend: Backend
) -> None:
    assert patch_of(await answer(client, review(POD), "/inject/again")) == patch_of(await answer(client, review(POD)))
    assert backend.decisions == [("shop", "Injected")] * 2
    stranger = review({**POD, "metadata": {"name": "redis-0"}})
    assert patch_of(await answer(client, stranger)) == patch_of(await answer(client, stranger, "/inject/again")) == []
    assert backend.decisions[2:] == [("shop", "NoMatchingService")]


async def test_a_pod_of_no_service_is_decided_when_nothing_can_be_looked_up(client: TestClient, backend: Backend) -> None:
    backend.heard, backend.broken = False, {"look"}
    assert patch_of(await answer(client, review(POD))) == []
    assert backend.decisions == [("shop", "NoMatchingService")]


async def test_a_dry_run_is_answered_and_not_counted(client: TestClient, backend: Backend) -> None:
    assert patch_of(await answer(client, review(POD, dryRun=True)))
    assert backend.decisions == []


async def test_only_creation_is_patched(client: TestClient) -> None:
    assert patch_of(await answer(client, review(POD, operation="UPDATE"))) == []


async def test_readyz_follows_the_operator(client: TestClient, backend: Backend) -> None:
    for ready, status in ((True, 200), (False, 503)):
        backend.ready = ready
        async with client.get("/readyz") as response:
            assert response.status == status


VALUE = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=6,
)


def _broken(manifest: Any, path: list[int], value: Any) -> Any:
    """The manifest with another value somewhere; `path` leads there, as far as it goes."""
    if not path or not isinstance(manifest, dict | list) or not manifest:
        return value
    if isinstance(manifest, list):
        at = path[0] % len(manifest)
        return [_broken(each, path[1:], value) if number == at else each for number, each in enumerate(manifest)]
    key = sorted(manifest)[path[0] % len(manifest)]
    return manifest | {key: _broken(manifest[key], path[1:], value)}


@given(
    case=st.sampled_from(cases()),
    path=st.lists(st.integers(0, 9), max_size=6),
    value=VALUE,
    whole=st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_whatever_is_asked_is_allowed(case: Case, path: list[int], value: Any, whole: bool) -> None:
    """Pods of which any part is something else; a patch that comes nevertheless can be applied."""
    asked = review(case.pod)
    if whole:
        asked = _broken(asked, path, value)
    else:
        asked["request"]["object"] = _broken(case.pod, path, value)

    async def scene() -> dict[str, Any]:
        backend = Backend()
        app = make_webhook_app(backend.find_services, backend.look, lambda: SETTINGS, backend, lambda: True)
        async with TestClient(TestServer(app)) as client:
            return await answer(client, asked)

    response = asyncio.run(scene())
    if "patch" in response:
        jsonpatch.apply_patch(asked["request"]["object"], patch_of(response))
