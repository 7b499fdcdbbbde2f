"""Whose token it is, by the keys that the API server publishes: what is not good beyond doubt is not said."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from rollcall.kube.client import KubeError
from rollcall.kube.review import Reviews
from rollcall.kube.tokens import FRESH_S, PodIdentity, PodTokens

ISSUER, AUDIENCE = "https://kubernetes.default.svc", "rollcall.dev"
OURS, THEIRS = (rsa.generate_private_key(public_exponent=65537, key_size=2048) for _ in range(2))
POD = PodIdentity("shop", "newsfeed-1", "uid-1")
BOUND: dict[str, Any] = {"namespace": "shop", "pod": {"name": "newsfeed-1", "uid": "uid-1"}}


def token(key: Any = OURS, kid: str = "k1", algorithm: str = "RS256", **changes: Any) -> str:
    now = int(time.time())
    claims = {
        "aud": [AUDIENCE], "iss": ISSUER, "exp": now + 600, "iat": now, "nbf": now,
        "sub": "system:serviceaccount:shop:default", "kubernetes.io": BOUND,
    }  # fmt: skip
    given = {name: value for name, value in (claims | changes).items() if value is not None}
    return jwt.encode(given, key, algorithm=algorithm, headers={"kid": kid})


class Api:
    """Publishes a key, unless it is `away`; counts what it is asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.away = False
        self.kid = "k1"

    async def request(self, method: str, path: str, body: Any = None, *, accept: str = "application/json") -> Any:
        assert (accept == "application/jwk-set+json") is path.endswith("jwks")
        self.asked.append(path)
        await asyncio.sleep(0)
        if self.away:
            raise KubeError(403, "Forbidden", "no")
        if path.endswith("tokenreviews"):
            return {"status": {"authenticated": False}}
        if path.endswith("jwks"):
            key = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(OURS.public_key()))
            return {
                "keys": [key | {"kid": self.kid, "alg": "RS256", "use": "sig"}, {"kid": "odd", "kty": "oct", "alg": "HS256"}]
            }
        return {"issuer": ISSUER}


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def made() -> tuple[PodTokens, Api, Clock]:
    api, clock = Api(), Clock()
    return PodTokens(api, lambda uid: uid == "uid-1", clock), api, clock  # type: ignore[arg-type]


def confused() -> str:
    """Signed with the public key as if it were a secret; by hand, because libraries refuse to."""
    import base64
    import hashlib
    import hmac

    def part(value: bytes) -> bytes:
        return base64.urlsafe_b64encode(value).rstrip(b"=")

    _, body, _ = token().encode().split(b".")
    head = part(b'{"alg": "HS256", "kid": "k1", "typ": "JWT"}')
    secret = OURS.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return b".".join((head, body, part(hmac.new(secret, head + b"." + body, hashlib.sha256).digest()))).decode()


async def test_a_pod_is_who_its_token_says() -> None:
    tokens, api, _ = made()
    assert await tokens.pod(token(), AUDIENCE) == POD
    assert await tokens.pod(token(aud=AUDIENCE), AUDIENCE) == POD
    assert api.asked == ["/openid/v1/jwks", "/.well-known/openid-configuration"]


@pytest.mark.parametrize(
    "shown",
    [
        "",
        "x.y.z",
        "\udcff",
        token(key=THEIRS),
        token(kid="k2"),
        token(key=None, algorithm="none"),
        confused(),
        token(aud=["https://kubernetes.default.svc"]),
        token(aud=None),
        token(iss="https://elsewhere"),
        token(exp=int(time.time()) - 1),
        token(exp=None),
        token(nbf=int(time.time()) + 600),
        token(sub="system:serviceaccount:bank:default"),
        token(sub="alice"),
        token(**{"kubernetes.io": None}),
        token(**{"kubernetes.io": {"namespace": "shop"}}),
        token(**{"kubernetes.io": {"namespace": "shop", "pod": "newsfeed-1"}}),
        token(**{"kubernetes.io": {"namespace": "shop", "pod": {"name": "gone", "uid": "uid-gone"}}}),
    ],
    ids=[
        *("nothing", "no token", "no text", "another key", "unknown key", "unsigned", "confused", "another audience"),
        *("no audience", "another issuer", "over", "without end", "not yet", "another namespace", "a person", "not bound"),
        *("no pod", "odd pod", "a pod that is gone"),
    ],
)
async def test_what_is_not_certain_is_not_said(shown: str) -> None:
    tokens, _, _ = made()
    assert await tokens.pod(shown, AUDIENCE) is None


async def test_the_api_server_has_the_word_where_we_have_none() -> None:
    tokens, api, _ = made()
    reviews = Reviews(api, tokens=tokens)  # type: ignore[arg-type]
    assert await reviews.pod(token()) == POD
    assert await reviews.pod(token(key=THEIRS)) is None
    assert [path for path in api.asked if path.endswith("tokenreviews")] == ["/apis/authentication.k8s.io/v1/tokenreviews"]


async def test_keys_are_read_once_for_all_and_again_after_a_while() -> None:
    tokens, api, clock = made()
    assert await asyncio.gather(*(tokens.pod(token(), AUDIENCE) for _ in range(20))) == [POD] * 20
    assert len(api.asked) == 2
    api.kid = "k2"
    assert await tokens.pod(token(kid="k2"), AUDIENCE) is None
    clock.now_s += FRESH_S + 1
    assert await tokens.pod(token(kid="k2"), AUDIENCE) == POD
    assert len(api.asked) == 4


async def test_keys_of_before_serve_while_the_api_server_is_away() -> None:
    tokens, api, clock = made()
    assert await tokens.pod(token(), AUDIENCE) == POD
    api.away = True
    clock.now_s += FRESH_S + 1
    assert await tokens.pod(token(), AUDIENCE) == POD
    silent, api, _ = made()
    api.away = True
    assert await silent.pod(token(), AUDIENCE) is None
    assert await silent.pod(token(), AUDIENCE) is None
    assert len(api.asked) == 1
