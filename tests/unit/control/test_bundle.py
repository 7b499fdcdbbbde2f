"""The CA's public part: into the webhook configuration and every namespace that needs it, and out again."""

from __future__ import annotations

import base64

import aiohttp
import pytest

from rollcall.control.bundle import Bundle
from rollcall.kube.client import KubeError
from tests.unit.control.fakes import FakeClient

HOOKS = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/rollcall"


def map_of(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/configmaps/rollcall-ca"


@pytest.fixture
def client() -> FakeClient:
    made = FakeClient()
    made.objects[HOOKS] = {
        "metadata": {"resourceVersion": "7"},
        "webhooks": [
            {"name": "pods.rollcall.dev", "clientConfig": {"service": {"name": "rollcall-webhook"}}, "failurePolicy": "Ignore"}
        ],
    }
    return made


def bundle(client: FakeClient) -> Bundle:
    return Bundle(client, "rollcall-system", "rollcall")  # type: ignore[arg-type]


async def test_publish_reaches_everybody_and_changes_nothing_else(client: FakeClient) -> None:
    await bundle(client).publish("PEM", {"shop", "bank"})
    (hook,) = client.objects[HOOKS]["webhooks"]
    assert hook["clientConfig"] == {"service": {"name": "rollcall-webhook"}, "caBundle": base64.b64encode(b"PEM").decode()}
    assert hook["failurePolicy"] == "Ignore"
    for namespace in ("shop", "bank", "rollcall-system"):
        assert client.objects[map_of(namespace)]["data"] == {"ca.crt": "PEM"}
    assert client.objects[HOOKS]["metadata"] == {"resourceVersion": "7"}, "guarded against a change in between"


async def test_publish_is_idempotent_and_follows_what_changes(client: FakeClient) -> None:
    kept = bundle(client)
    await kept.publish("PEM", {"shop"})
    client.writes.clear()
    await kept.publish("PEM", {"shop"})
    assert client.writes == []
    await kept.publish("PEM", {"bank"})
    assert sorted(client.writes) == [("APPLY", map_of("bank")), ("DELETE", map_of("shop"))]
    client.writes.clear()
    await kept.publish("NEW", {"bank"})
    assert sorted(client.writes) == [("APPLY", map_of("bank")), ("APPLY", map_of("rollcall-system")), ("PATCH", HOOKS)]
    client.writes.clear()
    kept.forget()
    await kept.publish("NEW", {"bank"})
    assert len(client.writes) == 2


async def test_our_own_namespace_always_has_it(client: FakeClient) -> None:
    kept = bundle(client)
    await kept.publish("PEM", {"rollcall-system"})
    await kept.publish("PEM", set())
    assert map_of("rollcall-system") in client.objects


@pytest.mark.parametrize("error", [KubeError(403, "Forbidden", "no"), aiohttp.ClientConnectionError("no"), TimeoutError()])
async def test_one_failure_does_not_keep_it_from_others_and_is_tried_again(client: FakeClient, error: Exception) -> None:
    kept = bundle(client)
    client.fail = {map_of("shop"): error, HOOKS: error}
    await kept.publish("PEM", {"shop", "bank"})
    assert map_of("bank") in client.objects
    assert map_of("shop") not in client.objects
    client.fail = {}
    client.writes.clear()
    await kept.publish("PEM", {"shop", "bank"})
    assert sorted(client.writes) == [("APPLY", map_of("shop")), ("PATCH", HOOKS)]


async def test_a_namespace_that_is_gone_is_no_trouble(client: FakeClient) -> None:
    kept = bundle(client)
    await kept.publish("PEM", {"shop"})
    del client.objects[map_of("shop")]
    await kept.publish("PEM", set())
    client.writes.clear()
    await kept.publish("PEM", set())
    assert client.writes == []
