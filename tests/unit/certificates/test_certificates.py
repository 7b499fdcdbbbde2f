"""Certificates: issuing and renewal with a given clock, several replicas with one store, and the swap on a live listener."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509

from rollcall.control.certificates import (
    CA_LIFETIME,
    LEAF_LIFETIME,
    CertificateKeeper,
    Certificates,
    CertificateStoreError,
    dns_names,
    renewed,
)

START = datetime(2026, 1, 1, tzinfo=UTC)
NAMES = dns_names("rollcall", "rollcall-system")
DAY = timedelta(days=1)


class MemoryStore:
    """A Secret in memory with optimistic locking; each view remembers the version that it read."""

    def __init__(self, shared: dict[str, object] | None = None) -> None:
        self.shared = shared if shared is not None else {"version": 0, "data": None}
        self.seen = -1
        self.writes = 0

    async def read(self) -> dict[str, bytes] | None:
        self.seen = self.shared["version"]
        return self.shared["data"]

    async def write(self, data: dict[str, bytes]) -> bool:
        await asyncio.sleep(0)
        if self.shared["version"] != self.seen:
            return False
        self.shared.update(version=self.seen + 1, data=data)
        self.writes += 1
        return True


def leaf(certificates: Certificates) -> x509.Certificate:
    return x509.load_pem_x509_certificate(certificates.certificate)


def ca(certificates: Certificates) -> x509.Certificate:
    return x509.load_pem_x509_certificate(certificates.ca_certificate)


def bundled(certificates: Certificates) -> list[x509.Certificate]:
    return x509.load_pem_x509_certificates(certificates.bundle)


def assert_trusted(certificates: Certificates) -> None:
    """The serving certificate is signed by a CA of the bundle."""
    for candidate in bundled(certificates):
        if candidate.subject == leaf(certificates).issuer:
            leaf(certificates).verify_directly_issued_by(candidate)
            return
    pytest.fail("no CA of the bundle signed the serving certificate")


def test_the_first_certificates() -> None:
    made = renewed(None, NAMES, START)
    assert_trusted(made)
    assert made.expires == START + LEAF_LIFETIME
    assert ca(made).not_valid_after_utc == START + CA_LIFETIME
    assert ca(made).not_valid_before_utc < START
    names = leaf(made).extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(x509.DNSName)
    assert "rollcall-webhook.rollcall-system.svc" in names
    assert "rollcall-ingest.rollcall-system.svc.cluster.local" in names
    assert "rollcall-api.rollcall-system.svc" in names
    assert Certificates.from_data(made.to_data()) == made


@pytest.mark.parametrize(
    ("age", "leaf_changes", "ca_changes"),
    [
        (timedelta(0), False, False),
        (59 * DAY, False, False),
        (61 * DAY, True, False),
        (91 * DAY, True, False),
        (244 * DAY, True, True),
        (366 * DAY, True, True),
    ],
)
def test_what_is_renewed_at_which_age(age: timedelta, leaf_changes: bool, ca_changes: bool) -> None:
    made = renewed(None, NAMES, START)
    later = renewed(made, NAMES, START + age)
    assert (later.certificate != made.certificate) is leaf_changes
    assert (later.ca_certificate != made.ca_certificate) is ca_changes
    assert_trusted(later)
    assert renewed(later, NAMES, START + age) == later


def test_other_names_bring_a_new_serving_certificate_at_once() -> None:
    made = renewed(None, NAMES, START)
    moved = renewed(made, dns_names("other", "elsewhere"), START + DAY)
    assert moved.ca_certificate == made.ca_certificate
    assert moved.certificate != made.certificate


def test_two_years_day_by_day() -> None:
    """Whoever knows the bundle of the day before trusts the serving certificate of today, and the other way round."""
    current = renewed(None, NAMES, START)
    cas = {current.ca_certificate}
    for day in range(1, 730):
        now = START + day * DAY
        following = renewed(current, NAMES, now)
        assert leaf(following).not_valid_after_utc > now + DAY
        for certificates, bundle in ((following, current.bundle), (current, following.bundle)):
            issuers = [known.subject for known in x509.load_pem_x509_certificates(bundle) if now < known.not_valid_after_utc]
            assert leaf(certificates).issuer in issuers
        assert len(bundled(following)) <= 2
        current = following
        cas.add(current.ca_certificate)
    assert len(cas) == 3


def test_a_new_ca_waits_a_day_before_it_signs() -> None:
    with_leaf = renewed(renewed(None, NAMES, START), NAMES, START + 190 * DAY)
    published = renewed(with_leaf, NAMES, START + 249.5 * DAY)
    assert published.certificate == with_leaf.certificate
    assert bundled(published) == [ca(published), ca(with_leaf)]
    assert renewed(published, NAMES, START + 250.2 * DAY) == published
    settled = renewed(published, NAMES, START + 250.6 * DAY)
    assert leaf(settled).issuer == ca(published).subject


@pytest.mark.parametrize(
    "broken", [{}, {"ca.crt": b"x"}, {"ca.key": b"", "ca-current.crt": b"", "ca.crt": b"", "tls.key": b"", "tls.crt": b""}]
)
def test_an_unreadable_secret_counts_as_none(broken: dict[str, bytes]) -> None:
    assert Certificates.from_data(broken) is None


async def test_replicas_agree_on_the_first_writer() -> None:
    shared: dict[str, object] = {"version": 0, "data": None}
    keepers = [CertificateKeeper(MemoryStore(shared), NAMES) for _ in range(5)]
    agreed = await asyncio.gather(*(keeper.refresh(START) for keeper in keepers))
    assert len({certificates.certificate for certificates in agreed}) == 1
    assert shared["version"] == 1


async def test_refresh_writes_only_when_something_is_due() -> None:
    store = MemoryStore()
    keeper = CertificateKeeper(store, NAMES)
    for day in (0, 1, 30, 59):
        await keeper.refresh(START + day * DAY)
    assert store.writes == 1
    await keeper.refresh(START + 61 * DAY)
    assert store.writes == 2


async def test_a_store_that_always_refuses_ends_in_an_error() -> None:
    store = MemoryStore()

    async def refuse(data: dict[str, bytes]) -> bool:
        return False

    store.write = refuse  # type: ignore[method-assign]
    with pytest.raises(CertificateStoreError):
        await CertificateKeeper(store, NAMES).refresh(START)


async def served_serial(port: int, bundle: bytes) -> int:
    """The serial number of the certificate that a new, verifying client is served."""
    context = ssl.create_default_context(cadata=bundle.decode())
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=NAMES[0])
    served = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    assert await reader.read(2) == b"ok"
    writer.close()
    return x509.load_der_x509_certificate(served).serial_number


async def test_live_listeners_serve_the_new_certificate_without_a_restart() -> None:
    now = datetime.now(UTC)
    shared: dict[str, object] = {"version": 0, "data": None}
    keeper = CertificateKeeper(MemoryStore(shared), NAMES)
    first = await keeper.refresh(now)
    release = asyncio.Event()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"ok")
        await writer.drain()
        if await reader.read(1):
            await release.wait()
            writer.write(b"still here")
        writer.close()

    swapped = []

    async def elsewhere(swap: Callable[[], None]) -> None:
        swapped.append(await asyncio.to_thread(swap))

    async with (
        await asyncio.start_server(handle, "127.0.0.1", 0, ssl=keeper.new_context(elsewhere)) as server,
        await asyncio.start_server(handle, "127.0.0.1", 0, ssl=keeper.new_context()) as another,
    ):
        ports = [listener.sockets[0].getsockname()[1] for listener in (server, another)]
        for port in ports:
            assert await served_serial(port, first.bundle) == leaf(first).serial_number
        client = ssl.create_default_context(cadata=first.bundle.decode())
        reader, writer = await asyncio.open_connection("127.0.0.1", ports[0], ssl=client, server_hostname=NAMES[0])
        assert await reader.readexactly(2) == b"ok"

        # another replica renews; this one finds it in the store
        await CertificateKeeper(MemoryStore(shared), (*NAMES, "extra.rollcall-system.svc")).refresh(now)
        second = await keeper.refresh(now)
        assert second.certificate != first.certificate
        assert keeper.current == second
        assert len(swapped) == 1, "of a listener in another thread it is swapped there"
        for port in ports:
            assert await served_serial(port, first.bundle) == leaf(second).serial_number
        writer.write(b"?")
        release.set()
        assert await reader.readexactly(10) == b"still here"
        writer.close()
