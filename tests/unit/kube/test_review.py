"""Who is calling: the review's word counts, made for our audience, and remembered for a while."""

from __future__ import annotations

from typing import Any

import pytest

from rollcall.kube import review
from rollcall.kube.client import KubeError
from rollcall.kube.review import REMEMBER_NO_S, REMEMBER_S, PodIdentity, Reviews, User

EXTRA = {
    "authentication.kubernetes.io/pod-name": ["newsfeed-1"],
    "authentication.kubernetes.io/pod-uid": ["uid-1"],
    "authentication.kubernetes.io/node-name": ["node-1"],
}
GOOD = {
    "authenticated": True,
    "audiences": ["rollcall.dev"],
    "user": {"username": "system:serviceaccount:shop:default", "groups": ["system:authenticated"], "extra": EXTRA},
}


class Api:
    """Answers reviews and counts them."""

    def __init__(self, status: dict[str, Any]) -> None:
        self.status = status
        self.asked: list[dict[str, Any]] = []

    async def request(self, method: str, path: str, body: Any) -> Any:
        assert method == "POST"
        self.asked.append(body["spec"])
        if "error" in self.status:
            raise KubeError(500, "InternalError", "no")
        return {"status": self.status}


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def reviews(status: dict[str, Any]) -> tuple[Reviews, Api, Clock]:
    api, clock = Api(status), Clock()
    return Reviews(api, clock), api, clock  # type: ignore[arg-type]


def user(**changes: Any) -> dict[str, Any]:
    return GOOD | {"user": GOOD["user"] | changes}  # type: ignore[operator]


async def test_a_pod_is_who_its_token_is_bound_to() -> None:
    asker, api, _ = reviews(GOOD)
    assert await asker.pod("t") == PodIdentity("shop", "newsfeed-1", "uid-1")
    assert api.asked == [{"token": "t", "audiences": ["rollcall.dev"]}]


@pytest.mark.parametrize(
    "status",
    [
        {},
        {"authenticated": False, "error": ""} | {"authenticated": False},
        GOOD | {"authenticated": False},
        GOOD | {"audiences": []},
        GOOD | {"audiences": ["https://kubernetes.default.svc"]},
        user(username="alice"),
        user(username="system:node:node-1"),
        user(extra={}),
        user(extra=None),
        user(extra={"authentication.kubernetes.io/pod-name": ["newsfeed-1"]}),
    ],
)
async def test_who_is_no_pod_of_ours(status: dict[str, Any]) -> None:
    status.pop("error", None)
    asker, _, _ = reviews(status)
    assert await asker.pod("t") is None


async def test_answers_are_remembered_good_ones_longer() -> None:
    for status, keep_s in ((GOOD, REMEMBER_S), ({"authenticated": False}, REMEMBER_NO_S)):
        asker, api, clock = reviews(status)
        for step_s, asked in ((0.0, 1), (keep_s - 0.1, 1), (0.2, 2)):
            clock.now_s += step_s
            await asker.pod("t")
            assert len(api.asked) == asked
        await asker.pod("another")
        assert len(api.asked) == 3


async def test_audiences_are_remembered_apart() -> None:
    asker, api, _ = reviews(GOOD)
    assert await asker.user("t") is not None
    assert await asker.user("t", "rollcall.dev") is not None
    assert [spec.get("audiences") for spec in api.asked] == [None, ["rollcall.dev"]]


async def test_trouble_is_not_remembered() -> None:
    asker, api, _ = reviews({"error": True})
    for _ in range(2):
        with pytest.raises(KubeError):
            await asker.pod("t")
    api.status = GOOD
    assert await asker.pod("t") is not None


async def test_memory_is_bounded_and_holds_no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(review, "MOST", 3)
    asker, api, _ = reviews(GOOD)
    for number in range(5):
        await asker.pod(f"secret-{number}")
    assert len(asker._pods._answers) == 3
    assert b"secret" not in repr(asker._pods._answers).encode()
    await asker.pod("secret-4")
    assert len(api.asked) == 5
    await asker.pod("secret-0")
    assert len(api.asked) == 6


async def test_what_is_over_is_let_go() -> None:
    """Pods come and go for weeks; their tokens are not kept until there are too many."""
    asker, _, clock = reviews(GOOD)
    for number in range(9):
        await asker.pod(f"secret-{number}")
    clock.now_s += review.REMEMBER_S
    await asker.pod("secret-3")
    assert len(asker._pods._answers) == 1


async def test_rights_are_asked_as_that_user_and_remembered_by_place() -> None:
    asker, api, clock = reviews({"allowed": True})
    alice = User("alice", ("dev",), (("scopes", ("a", "b")),))
    assert await asker.may_read(alice, "shop", "newsfeed")
    assert api.asked == [
        {
            "user": "alice",
            "groups": ["dev"],
            "extra": {"scopes": ["a", "b"]},
            "resourceAttributes": {
                "group": "rollcall.dev", "resource": "monitoredservices", "subresource": "live", "verb": "get",
                "name": "newsfeed", "namespace": "shop",
            },
        }
    ]  # fmt: skip
    await asker.may_read(alice, "shop", "newsfeed")
    assert len(api.asked) == 1
    for place in (("shop", ""), (None, ""), ("bank", "newsfeed")):
        await asker.may_read(alice, *place)
    await asker.may_read(User("bob", ("dev",)), "shop", "newsfeed")
    assert len(api.asked) == 5
    assert "namespace" not in api.asked[2]["resourceAttributes"]
    clock.now_s += 31
    api.status = {"allowed": False}
    assert not await asker.may_read(alice, "shop", "newsfeed")


async def test_impersonation_is_a_right_over_users_and_groups() -> None:
    asker, api, _ = reviews({"allowed": True})
    assert await asker.may_impersonate(User("proxy"), "groups", "dev")
    assert api.asked[0]["resourceAttributes"] == {"resource": "groups", "verb": "impersonate", "name": "dev"}
    api.status = {"allowed": False}
    assert not await asker.may_impersonate(User("proxy"), "groups", "system:masters")
    assert not await asker.may_impersonate(User("proxy"), "users", "dev")
