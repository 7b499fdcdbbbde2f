"""Who calls the live API, and what they may read.

The caller is whoever they are to Kubernetes: a bearer token (TokenReview) or the client certificate of a kubeconfig, checked
against the cluster's own client CA in the TLS handshake. Who has the right to impersonate (a proxy at which people sign in) may
name somebody else, in the headers that the API server takes. Whether they may read a service is a SubjectAccessReview on
`get monitoredservices/live`.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Any

import aiohttp
from aiohttp import web

from rollcall.kube.client import Client, KubeError
from rollcall.kube.review import Reviews, User

MOST_GROUPS = 64
_AUTHENTICATION = "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication"


class RefusedError(Exception):
    """The call is refused: `status` 400, 401, 403 or 503 and a sentence that says what is missing."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


async def trust_cluster_users(client: Client, tls: ssl.SSLContext) -> bool:
    """Make the live API's TLS accept client certificates of this cluster; False when the cluster publishes no client CA."""
    try:
        config = await client.request("GET", _AUTHENTICATION)
    except (KubeError, aiohttp.ClientError):
        return False
    bundle = config.get("data", {}).get("client-ca-file", "")
    if not bundle:
        return False
    tls.load_verify_locations(cadata=bundle)
    tls.verify_mode = ssl.CERT_OPTIONAL
    return True


class Access:
    """Checks requests; raises `RefusedError`."""

    def __init__(self, reviews: Reviews) -> None:
        self._reviews = reviews

    async def caller(self, request: web.Request) -> User:
        """For whom a request is made: its authenticated caller, or whom that one may and does impersonate."""
        return await self._meant(await self._authenticated(request), request.headers)

    async def _authenticated(self, request: web.Request) -> User:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        try:
            if scheme.lower() == "bearer" and token:
                user = await self._reviews.user(token.strip())
                if user is None:
                    raise RefusedError(401, "the bearer token is not valid in this cluster")
                return user
        except (KubeError, aiohttp.ClientError, TimeoutError):
            raise RefusedError(503, "the API server could not be asked who you are; try again") from None
        certificate = request.transport.get_extra_info("peercert") if request.transport else None
        if certificate:
            return _user_of(certificate)
        raise RefusedError(401, "send a bearer token or a client certificate of this cluster")

    async def _meant(self, user: User, headers: Mapping[str, str]) -> User:
        asked = [(name, value) for name, value in headers.items() if name.lower().startswith("impersonate-")]
        if not asked:
            return user
        names = [value for name, value in asked if name.lower() == "impersonate-user"]
        groups = [value for name, value in asked if name.lower() == "impersonate-group"]
        if len(names) != 1 or len(names) + len(groups) != len(asked) or len(groups) > MOST_GROUPS:
            raise RefusedError(
                400, f"impersonate by one Impersonate-User and up to {MOST_GROUPS} Impersonate-Group, nothing else"
            )
        if names[0].startswith("system:"):
            raise RefusedError(403, f'"{names[0]}" is no person: users of the system are not impersonated here')
        try:
            for resource, name in [("users", names[0]), *(("groups", group) for group in groups)]:
                if not await self._reviews.may_impersonate(user, resource, name):
                    raise RefusedError(403, f'user "{user.name}" may not impersonate {resource} "{name}"')
        except (KubeError, aiohttp.ClientError, TimeoutError):
            raise RefusedError(503, "the API server could not be asked whom you may impersonate; try again") from None
        return User(names[0], (*groups, "system:authenticated"))

    async def check(self, user: User, namespace: str | None, name: str = "") -> None:
        """Refuse a user who may not `get monitoredservices/live` there; namespace None means all namespaces."""
        if not await self.may(user, namespace, name):
            where = f'in namespace "{namespace}"' if namespace else "in all namespaces"
            raise RefusedError(
                403,
                f'user "{user.name}" may not get monitoredservices/live in API group "rollcall.dev" {where}; '
                "a RoleBinding to the ClusterRole view, edit or admin grants it",
            )

    async def may(self, user: User, namespace: str | None, name: str = "") -> bool:
        """Whether a user may read there."""
        try:
            return await self._reviews.may_read(user, namespace, name)
        except (KubeError, aiohttp.ClientError, TimeoutError):
            raise RefusedError(503, "the API server could not be asked what you may read; try again") from None


def _user_of(certificate: dict[str, Any]) -> User:
    """Kubernetes' reading of a client certificate: common name is the user, organizations are groups."""
    subject = [pair for part in certificate.get("subject", ()) for pair in part]
    names = [value for key, value in subject if key == "commonName"]
    groups = tuple(value for key, value in subject if key == "organizationName")
    return User(names[0] if names else "", (*groups, "system:authenticated"))
