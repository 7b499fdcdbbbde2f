"""Our own certificate authority: one CA, one serving certificate for webhook, ingest and live API, renewed without a restart.

Pure functions decide and issue, with the time passed in; `CertificateKeeper` reads and writes them through a small store. All
replicas read the same Secret; whoever writes first wins and the others take what is there. While an old CA is still valid it
stays in the bundle, and a new one is in the bundle for a day before it is used, so that nobody stops trusting us in between.
"""

from __future__ import annotations

import contextlib
import os
import ssl
import tempfile
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Protocol

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

CA_LIFETIME = timedelta(days=365)
LEAF_LIFETIME = timedelta(days=90)
RENEW_AFTER = 2 / 3
PUBLISHED_BEFORE_USE = timedelta(days=1)
# Clocks of nodes differ; a certificate that is valid from this very second is refused by a node a second behind.
_BACKDATED = timedelta(minutes=5)
_WRITE_ATTEMPTS = 5

CA_KEY = "ca.key"
CA_CERTIFICATE = "ca-current.crt"
CA_BUNDLE = "ca.crt"
TLS_KEY = "tls.key"
TLS_CERTIFICATE = "tls.crt"


class CertificateStoreError(RuntimeError):
    """The Secret kept changing under us; try again later."""


class CertificateStore(Protocol):
    """Where all replicas keep the certificates: a Secret, with optimistic locking."""

    async def read(self) -> dict[str, bytes] | None:
        """What is stored, None when nothing is; remembers its version for the next write."""

    async def write(self, data: dict[str, bytes]) -> bool:
        """Stores it over the version read last (creates it when none was); False when someone else was faster."""


@dataclass(frozen=True)
class Certificates:
    """CA and serving certificate, all PEM. `bundle` is what others trust: the current CA first, then those before it."""

    ca_key: bytes
    ca_certificate: bytes
    bundle: bytes
    key: bytes
    certificate: bytes

    def to_data(self) -> dict[str, bytes]:
        return {
            CA_KEY: self.ca_key,
            CA_CERTIFICATE: self.ca_certificate,
            CA_BUNDLE: self.bundle,
            TLS_KEY: self.key,
            TLS_CERTIFICATE: self.certificate,
        }

    @classmethod
    def from_data(cls, data: Mapping[str, bytes]) -> Certificates | None:
        """What a Secret holds; None when a part is missing or unreadable, which is as good as nothing stored."""
        try:
            found = cls(data[CA_KEY], data[CA_CERTIFICATE], data[CA_BUNDLE], data[TLS_KEY], data[TLS_CERTIFICATE])
            serialization.load_pem_private_key(found.ca_key, None)
            serialization.load_pem_private_key(found.key, None)
            for certificate in (found.ca_certificate, found.certificate, found.bundle):
                x509.load_pem_x509_certificates(certificate)
        except (KeyError, ValueError, TypeError):
            return None
        return found

    @property
    def expires(self) -> datetime:
        """When the serving certificate ends, in UTC."""
        return _load(self.certificate).not_valid_after_utc


def dns_names(name: str, namespace: str) -> tuple[str, ...]:
    """The names that the serving certificate covers: the three Services, short and full."""
    services = [f"{name}-{part}.{namespace}.svc" for part in ("webhook", "ingest", "api")]
    return (*services, *(f"{service}.cluster.local" for service in services))


def renewed(current: Certificates | None, names: Sequence[str], now: datetime) -> Certificates:
    """The certificates that should be in use at `now`: the current ones, themselves when nothing is due.

    The CA is renewed after two thirds of its life, the serving certificate after two thirds of its own or when it does not
    cover `names`. A new CA has been published for a day before it signs, so that those who verify have it by then. CAs that
    have ended leave the bundle.
    """
    if current is None or _has_ended(current.ca_certificate, now):
        ca_key, ca = _new_ca(now)
        return _with_leaf(Certificates(ca_key, ca, ca, b"", b""), names, now)
    if _needs_leaf(current, names, now):
        current = _with_leaf(current, names, now)
    if _is_due(current.ca_certificate, now):
        ca_key, ca = _new_ca(now)
        return replace(current, ca_key=ca_key, ca_certificate=ca, bundle=ca + _valid(current.bundle, now))
    bundle = _valid(current.bundle, now)
    return current if bundle == current.bundle else replace(current, bundle=bundle)


def load_into(context: ssl.SSLContext, certificates: Certificates) -> None:
    """Puts the serving certificate into a live server context: new handshakes get it, open connections stay as they are."""
    # The ssl module reads certificates from files only; this one is readable by us alone and gone at once.
    descriptor, path = tempfile.mkstemp(prefix="rollcall-", suffix=".pem")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(certificates.key + certificates.certificate)
        context.load_cert_chain(path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)


Elsewhere = Callable[[Callable[[], None]], Awaitable[None]]
"""Has something done in the thread of a listener."""


class CertificateKeeper:
    """The certificates of this replica, kept in step with the store; call `refresh` every minute or so.

    >>> keeper = CertificateKeeper(store, dns_names("rollcall", "rollcall-system"))
    >>> await keeper.refresh(datetime.now(UTC))
    >>> webhook_tls, api_tls = keeper.new_context(), keeper.new_context()
    """

    def __init__(self, store: CertificateStore, names: Sequence[str]) -> None:
        self._store = store
        self._names = tuple(names)
        self._current: Certificates | None = None
        self._contexts: list[tuple[ssl.SSLContext, Elsewhere | None]] = []

    @property
    def current(self) -> Certificates:
        """What the last refresh agreed on. Needs one refresh before."""
        assert self._current is not None, "refresh() first"
        return self._current

    def new_context(self, elsewhere: Elsewhere | None = None) -> ssl.SSLContext:
        """A server's context, TLS 1.2 and later, for one listener; `refresh` swaps the certificate inside it from then on, by
        `elsewhere` for a listener in another thread: a handshake must not begin while that is done."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        load_into(context, self.current)
        self._contexts.append((context, elsewhere))
        return context

    async def refresh(self, now: datetime) -> Certificates:
        """Takes what the store has, renews what is due, and swaps a changed certificate into all contexts.

        Raises CertificateStoreError when others keep writing, and whatever the store raises.
        """
        before, self._current = self._current, await self._agree(now)
        if before is not None and before.certificate != self._current.certificate:
            for context, elsewhere in self._contexts:
                swap = partial(load_into, context, self._current)
                await elsewhere(swap) if elsewhere is not None else swap()
        return self._current

    async def _agree(self, now: datetime) -> Certificates:
        for _ in range(_WRITE_ATTEMPTS):
            stored = Certificates.from_data(await self._store.read() or {})
            wanted = renewed(stored, self._names, now)
            if wanted == stored or await self._store.write(wanted.to_data()):
                return wanted
        raise CertificateStoreError("the Secret with the certificates kept changing; trying again later")


def _new_ca(now: datetime) -> tuple[bytes, bytes]:
    key = ec.generate_private_key(ec.SECP256R1())
    # The serial number in the name keeps an old and a new CA apart where only names are compared.
    serial = x509.random_serial_number()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"rollcall-ca-{serial:x}"[:64])])
    usage = _key_usage(sign_certificates=True)
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    certificate = (
        _builder(name, name, key.public_key(), serial, now, CA_LIFETIME)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(identifier, critical=False)
        .sign(key, hashes.SHA256())
    )
    return _key_pem(key), certificate.public_bytes(serialization.Encoding.PEM)


def _with_leaf(current: Certificates, names: Sequence[str], now: datetime) -> Certificates:
    """A new serving certificate, signed by the current CA and not outliving it."""
    signer = serialization.load_pem_private_key(current.ca_key, None)
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    ca = _load(current.ca_certificate)
    lifetime = min(LEAF_LIFETIME, ca.not_valid_after_utc - now)
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "rollcall")])
    certificate = (
        _builder(subject, ca.subject, key.public_key(), x509.random_serial_number(), now, lifetime)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(sign_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        .sign(signer, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    return replace(current, key=_key_pem(key), certificate=pem)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, serial: int, now: datetime, lifetime: timedelta
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(serial)
        .not_valid_before(now.astimezone(UTC) - _BACKDATED)
        .not_valid_after(now.astimezone(UTC) + lifetime)
    )


def _key_usage(sign_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=sign_certificates,
        crl_sign=sign_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def _load(pem: bytes) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pem)


def _is_due(pem: bytes, now: datetime) -> bool:
    certificate = _load(pem)
    start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return now >= start + (end - start) * RENEW_AFTER


def _has_ended(pem: bytes, now: datetime) -> bool:
    return now >= _load(pem).not_valid_after_utc


def _needs_leaf(current: Certificates, names: Sequence[str], now: datetime) -> bool:
    leaf = _load(current.certificate)
    covered = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(x509.DNSName)
    trusted = any(ca.subject == leaf.issuer for ca in x509.load_pem_x509_certificates(current.bundle))
    if not trusted or not set(names) <= set(covered) or _has_ended(current.certificate, now):
        return True
    ca = _load(current.ca_certificate)
    is_settled = ca.subject == leaf.issuer or now - ca.not_valid_before_utc >= PUBLISHED_BEFORE_USE
    return is_settled and _is_due(current.certificate, now)


def _valid(bundle: bytes, now: datetime) -> bytes:
    certificates = x509.load_pem_x509_certificates(bundle)
    kept = [certificate for certificate in certificates if now < certificate.not_valid_after_utc]
    return b"".join(certificate.public_bytes(serialization.Encoding.PEM) for certificate in kept)
