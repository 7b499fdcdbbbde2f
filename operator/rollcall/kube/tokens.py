"""Tokens of pods, read with the keys that the API server publishes for this purpose (OpenID Connect discovery).

After a restart thousands of agents show their tokens at once; a TokenReview for each costs the API server ten times as much as
the signature costs us. Only what is good beyond doubt is said here: who is refused, the API server refuses.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
import jwt
import msgspec

from rollcall.kube.client import Client, KubeError

KEYS_PATH, ISSUER_PATH = "/openid/v1/jwks", "/.well-known/openid-configuration"
KEYS_KIND = "application/jwk-set+json"
"""The API server gives keys as nothing else."""
FRESH_S = 300.0
"""Keys are read again after so long, when the next token comes."""
ALGORITHMS = ("RS256", "ES256", "ES384", "ES512")
_CLAIMS = ("aud", "exp", "iss", "sub")
_SERVICE_ACCOUNT = "system:serviceaccount:"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PodIdentity:
    """The pod that a token is bound to."""

    namespace: str
    name: str
    uid: str


@dataclass(frozen=True)
class _Keys:
    issuer: str
    by_id: Mapping[str, jwt.PyJWK]


class PodTokens:
    """`known(uid)` says whether a pod exists: the token of one that is gone is for the API server to judge."""

    def __init__(self, client: Client, known: Callable[[str], bool], clock: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._known = known
        self._clock = clock
        self._keys: _Keys | None = None
        self._read_s = float("-inf")
        self._reading: asyncio.Task[None] | None = None

    async def pod(self, token: str, audience: str) -> PodIdentity | None:
        """Whose token this is; None when that is not certain."""
        if self._clock() - self._read_s > FRESH_S:
            if self._reading is None:
                self._reading = asyncio.create_task(self._read())
            await asyncio.wait({self._reading})
        return self._identity(token, audience)

    def _identity(self, token: str, audience: str) -> PodIdentity | None:
        keys = self._keys
        if keys is None:
            return None
        try:
            key = keys.by_id.get(str(jwt.get_unverified_header(token).get("kid")))
            if key is None:
                return None
            claims = jwt.decode(
                token, key, algorithms=ALGORITHMS, audience=audience, issuer=keys.issuer, options={"require": [*_CLAIMS]}
            )
            bound = claims["kubernetes.io"]
            pod = PodIdentity(str(bound["namespace"]), str(bound["pod"]["name"]), str(bound["pod"]["uid"]))
        except (jwt.PyJWTError, ValueError, LookupError, TypeError):
            return None
        ours = str(claims["sub"]).startswith(f"{_SERVICE_ACCOUNT}{pod.namespace}:")
        return pod if ours and self._known(pod.uid) else None

    async def _read(self) -> None:
        try:
            found: dict[str, Any] = await self._client.request("GET", KEYS_PATH, accept=KEYS_KIND)
            issuer: dict[str, Any] = await self._client.request("GET", ISSUER_PATH)
            keys = {str(key["kid"]): jwt.PyJWK(key) for key in found["keys"] if key.get("alg") in ALGORITHMS}
            self._keys = _Keys(str(issuer["issuer"]), keys)
        except (KubeError, aiohttp.ClientError, OSError, TimeoutError, msgspec.MsgspecError) as error:
            _log.warning("keys of tokens: %s; tokens are reviewed one by one", error or type(error).__name__)
        except (jwt.PyJWTError, LookupError, TypeError, AttributeError) as error:
            _log.warning("keys of tokens cannot be read: %r; tokens are reviewed one by one", error)
        finally:
            self._read_s = self._clock()
            self._reading = None
