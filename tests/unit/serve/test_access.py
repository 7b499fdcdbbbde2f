"""Callers with a client certificate, over a real TLS listener that trusts the cluster's client CA."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp.test_utils import TestClient, TestServer
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from rollcall.control.certificates import load_into, renewed
from rollcall.kube.client import KubeError
from rollcall.kube.review import User
from rollcall.serve.access import Access, RefusedError, trust_cluster_users
from rollcall.serve.live import make_live_app
from tests.unit.serve.conftest import Live, Rights

NAME = "rollcall-api.rollcall-system.svc"


async def nobody(namespace: str, pod: str) -> None:
    """There are no pods here."""


def issue(subject: list[tuple[Any, str]], signer: Any = None, issuer: x509.Name | None = None) -> tuple[x509.Certificate, Any]:
    """A certificate, self-signed CA when no signer is given."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(kind, value) for kind, value in subject])
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer or name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=signer is None, path_length=None), critical=True)
    )
    return builder.sign(signer or key, hashes.SHA256()), key


def pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


class Api:
    """What the cluster publishes about its client CA."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    async def request(self, method: str, path: str) -> Any:
        assert path.endswith("/kube-system/configmaps/extension-apiserver-authentication")
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.mark.parametrize("trusted", [True, False])
async def test_a_client_certificate_of_the_cluster_is_its_subject(live: Live, tmp_path: Path, trusted: bool) -> None:
    ca, ca_key = issue([(NameOID.COMMON_NAME, "kubernetes")])
    other, other_key = issue([(NameOID.COMMON_NAME, "kubernetes")])
    subject = [(NameOID.ORGANIZATION_NAME, "dev"), (NameOID.ORGANIZATION_NAME, "ops"), (NameOID.COMMON_NAME, "alice")]
    certificate, key = issue(subject, ca_key if trusted else other_key, (ca if trusted else other).subject)
    pair = tmp_path / "pair.pem"
    pair.write_bytes(
        pem(certificate)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    made = renewed(None, [NAME], datetime.now(UTC))
    server_tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    load_into(server_tls, made)
    assert await trust_cluster_users(Api({"data": {"client-ca-file": pem(ca).decode()}}), server_tls)  # type: ignore[arg-type]

    callers: list[User] = []
    rights = Rights(may=lambda user, *_: callers.append(user) or True)  # type: ignore[func-returns-value]
    app = make_live_app(live.publisher, Access(rights), dict, nobody)  # type: ignore[arg-type]
    server = TestServer(app, scheme="https")
    await server.start_server(ssl=server_tls)
    url = f"https://127.0.0.1:{server.port}/v1/services"
    tls = ssl.create_default_context(cadata=made.bundle.decode())
    async with aiohttp.ClientSession() as anonymous:
        assert (await anonymous.get(url, ssl=tls, server_hostname=NAME)).status == 401
    tls.load_cert_chain(pair)
    async with aiohttp.ClientSession() as session:
        if trusted:
            assert (await session.get(url, ssl=tls, server_hostname=NAME)).status == 200
            assert callers == [User("alice", ("dev", "ops", "system:authenticated"))]
        else:
            with pytest.raises(aiohttp.ClientError):
                await session.get(url, ssl=tls, server_hostname=NAME)
            assert callers == []
    await server.close()


@pytest.mark.parametrize(
    "answer",
    [{}, {"data": {}}, {"data": {"client-ca-file": ""}}, KubeError(403, "Forbidden", "no"), aiohttp.ClientConnectionError()],
)
async def test_without_a_published_ca_certificates_are_not_asked_for(answer: Any) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    assert not await trust_cluster_users(Api(answer), tls)  # type: ignore[arg-type]
    assert tls.verify_mode is ssl.CERT_NONE


async def test_rights_that_cannot_be_asked_for_are_not_there(live: Live, rights: Rights) -> None:
    rights.away = True
    with pytest.raises(RefusedError, match="could not be asked what you may read") as caught:
        await Access(rights).may(User("alice"), "shop")  # type: ignore[arg-type]
    assert caught.value.status == 503


PROXY = {"Authorization": "Bearer t-proxy"}


@pytest.fixture
def proxied(rights: Rights) -> Rights:
    """A proxy that may speak for bob of dev and ops, who may read the shop; the proxy itself may read nothing."""
    rights.users["t-proxy"] = User("proxy")
    rights.speaks_for = {("proxy", "users", "bob"), ("proxy", "groups", "dev"), ("proxy", "groups", "ops")}
    rights.may = lambda user, *_: user == User("bob", ("dev", "ops", "system:authenticated"))
    return rights


async def status_of(live: Live, rights: Rights, headers: list[tuple[str, str]]) -> tuple[int, str]:
    app = make_live_app(live.publisher, Access(rights), dict, nobody)  # type: ignore[arg-type]
    async with TestClient(TestServer(app)) as client, client.get("/v1/services/shop/newsfeed", headers=headers) as answer:
        return answer.status, await answer.text()


BOB = [*PROXY.items(), ("Impersonate-User", "bob"), ("Impersonate-Group", "dev"), ("Impersonate-Group", "ops")]


async def test_a_proxy_that_may_speaks_for_others_with_their_rights(live: Live, proxied: Rights) -> None:
    assert (await status_of(live, proxied, BOB))[0] == 200
    assert (await status_of(live, proxied, [*PROXY.items()]))[0] == 403, "its own rights are others"


@pytest.mark.parametrize(
    ("headers", "status", "words"),
    [
        ([("Impersonate-User", "bob")], 401, "send a bearer token"),
        ([("Authorization", "Bearer t-alice"), ("Impersonate-User", "bob")], 403, "may not impersonate users"),
        ([*PROXY.items(), ("Impersonate-User", "carol")], 403, "may not impersonate users"),
        ([*BOB, ("Impersonate-Group", "system:masters")], 403, "may not impersonate groups"),
        ([*PROXY.items(), ("Impersonate-User", "system:admin")], 403, "is no person"),
        ([*PROXY.items(), ("Impersonate-Group", "dev")], 400, "one Impersonate-User"),
        ([*BOB, ("Impersonate-User", "carol")], 400, "one Impersonate-User"),
        ([*BOB, ("Impersonate-Uid", "7")], 400, "nothing else"),
        ([*BOB, ("Impersonate-Extra-scopes", "all")], 400, "nothing else"),
        ([*BOB, *[("Impersonate-Group", "dev")] * 64], 400, "up to 64"),
    ],
)
async def test_whom_nobody_may_speak_for(
    live: Live, proxied: Rights, headers: list[tuple[str, str]], status: int, words: str
) -> None:
    found, said = await status_of(live, proxied, headers)
    assert found == status
    assert words in said


async def test_whether_somebody_may_speak_for_others_is_asked_each_time_it_is_not_known(live: Live, proxied: Rights) -> None:
    access = Access(proxied)  # type: ignore[arg-type]
    proxied.away = True
    with pytest.raises(RefusedError, match="whom you may impersonate") as caught:
        await access._meant(User("proxy"), {"Impersonate-User": "bob"})
    assert caught.value.status == 503
