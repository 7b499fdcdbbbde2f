"""Who is calling, and what they may do: TokenReview and SubjectAccessReview, remembered for a short while.

The identity of an agent is what its token says (`tokens`) or the review, never what the agent says: a token bound to a pod
carries the pod's name and UID, and the review has them in `extra`.
"""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from rollcall.inject.names import TOKEN_AUDIENCE
from rollcall.kube.client import Client
from rollcall.kube.tokens import PodIdentity, PodTokens

REMEMBER_S = 120.0
REMEMBER_NO_S = 5.0
MOST = 50_000
_POD_NAME, _POD_UID = "authentication.kubernetes.io/pod-name", "authentication.kubernetes.io/pod-uid"
_SERVICE_ACCOUNT = "system:serviceaccount:"


@dataclass(frozen=True, slots=True)
class User:
    """An authenticated caller."""

    name: str
    groups: tuple[str, ...] = ()
    extra: tuple[tuple[str, tuple[str, ...]], ...] = ()


class _Memory:
    """Answers by key, each until its time is over; the oldest go when theirs is, or when there are too many."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._answers: OrderedDict[bytes, tuple[float, Any]] = OrderedDict()

    def get(self, key: bytes) -> tuple[bool, Any]:
        until, answer = self._answers.get(key, (0.0, None))
        return until > self._clock(), answer

    def put(self, key: bytes, answer: Any, keep_s: float) -> None:
        now_s = self._clock()
        self._answers.pop(key, None)
        self._answers[key] = (now_s + keep_s, answer)
        while len(self._answers) > MOST or next(iter(self._answers.values()))[0] <= now_s:
            self._answers.popitem(last=False)


class Reviews:
    """Asks the API server; raises KubeError or aiohttp.ClientError when it cannot be asked (nobody is let in then)."""

    def __init__(self, client: Client, clock: Callable[[], float] = time.monotonic, tokens: PodTokens | None = None) -> None:
        self._client = client
        self._tokens = tokens
        self._users = _Memory(clock)
        self._pods = _Memory(clock)
        self._rights = _Memory(clock)

    async def user(self, token: str, audience: str | None = None) -> User | None:
        """Whose token this is, None when it is nobody's or made for another audience."""
        key = _key(token, audience)
        known, answer = self._users.get(key)
        if known:
            return cast("User | None", answer)
        user = await self._review(token, audience)
        self._users.put(key, user, REMEMBER_S if user else REMEMBER_NO_S)
        return user

    async def _review(self, token: str, audience: str | None) -> User | None:
        if not token:
            return None  # the API server would call the question itself invalid
        spec: dict[str, Any] = {"token": token} | ({"audiences": [audience]} if audience else {})
        review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": spec}
        status = (await self._client.request("POST", "/apis/authentication.k8s.io/v1/tokenreviews", review))["status"]
        user: User | None = None
        if status.get("authenticated") and (audience is None or audience in status.get("audiences", ())):
            found = status.get("user", {})
            extra = tuple((name, tuple(values)) for name, values in (found.get("extra") or {}).items())
            user = User(found.get("username", ""), tuple(found.get("groups") or ()), extra)
        return user

    async def pod(self, token: str) -> PodIdentity | None:
        """The pod that an agent's token is bound to, None when the API server says that it is not good for us. Nothing else of
        the answer is kept: there are thousands of agents."""
        key = _key(token, TOKEN_AUDIENCE)
        known, answer = self._pods.get(key)
        if known:
            return cast("PodIdentity | None", answer)
        pod = await self._tokens.pod(token, TOKEN_AUDIENCE) if self._tokens is not None else None
        if pod is None:
            pod = self._bound(await self._review(token, TOKEN_AUDIENCE))
        self._pods.put(key, pod, REMEMBER_S if pod else REMEMBER_NO_S)
        return pod

    @staticmethod
    def _bound(user: User | None) -> PodIdentity | None:
        if user is None or not user.name.startswith(_SERVICE_ACCOUNT):
            return None
        extra = dict(user.extra)
        if _POD_NAME not in extra or _POD_UID not in extra:
            return None
        namespace = user.name.removeprefix(_SERVICE_ACCOUNT).partition(":")[0]
        return PodIdentity(namespace, extra[_POD_NAME][0], extra[_POD_UID][0])

    async def may_read(self, user: User, namespace: str | None, name: str = "") -> bool:
        """Whether a user may `get` monitoredservices/live; namespace None asks for all namespaces."""
        resource = {
            "group": "rollcall.dev",
            "resource": "monitoredservices",
            "subresource": "live",
            "verb": "get",
            "name": name,
        }
        return await self._may(user, resource | ({"namespace": namespace} if namespace else {}))

    async def may_impersonate(self, user: User, resource: str, name: str) -> bool:
        """Whether a user may speak for another; `resource` is `users` or `groups`."""
        return await self._may(user, {"resource": resource, "verb": "impersonate", "name": name})

    async def _may(self, user: User, resource: dict[str, str]) -> bool:
        key = repr((user.name, user.groups, sorted(resource.items()))).encode()
        known, allowed = self._rights.get(key)
        if known:
            return bool(allowed)
        spec: dict[str, Any] = {
            "user": user.name,
            "groups": list(user.groups),
            "extra": {key: list(values) for key, values in user.extra},
            "resourceAttributes": resource,
        }
        review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec}
        answer = await self._client.request("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", review)
        allowed = bool(answer["status"].get("allowed"))
        self._rights.put(key, allowed, 30.0 if allowed else REMEMBER_NO_S)
        return allowed


def _key(token: str, audience: str | None) -> bytes:
    return hashlib.sha256(f"{audience}\0{token}".encode()).digest()
