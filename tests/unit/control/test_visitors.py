"""The secret is made once, whoever comes first, and each service has a key of its own."""

from __future__ import annotations

import hashlib
import hmac

import pytest

from rollcall.control.visitors import VisitorKeys, VisitorSecretError


class Shared:
    """One Secret with a version, as the API server keeps it."""

    def __init__(self) -> None:
        self.data: dict[str, bytes] | None = None
        self.version = 0


class Store:
    """What one replica sees of it; `before_write` is another replica that is faster."""

    def __init__(self, shared: Shared) -> None:
        self.shared, self.read_version, self.writes = shared, -1, 0
        self.before_write = lambda: None

    async def read(self) -> dict[str, bytes] | None:
        self.read_version = self.shared.version
        return self.shared.data

    async def write(self, data: dict[str, bytes]) -> bool:
        self.writes += 1
        self.before_write()
        if self.read_version != self.shared.version:
            return False
        self.shared.data, self.shared.version = data, self.shared.version + 1
        return True


async def test_all_replicas_agree_and_nothing_is_written_again() -> None:
    shared = Shared()
    first, second = VisitorKeys(Store(shared)), VisitorKeys(late := Store(shared))
    assert first.key("uid") is None
    await first.load()
    await second.load()
    assert first.key("uid") == second.key("uid")
    assert late.writes == 0


async def test_who_is_second_takes_what_is_there() -> None:
    shared = Shared()
    slow = Store(shared)

    def faster() -> None:
        if shared.data is None:
            shared.data, shared.version = {"secret": b"s" * 32}, 1

    slow.before_write = faster
    keys = VisitorKeys(slow)
    await keys.load()
    assert keys.key("uid") == hmac.new(b"s" * 32, b"uid", hashlib.sha256).hexdigest()


async def test_each_service_has_its_own_key() -> None:
    keys = VisitorKeys(Store(Shared()))
    await keys.load()
    found = {keys.key(f"uid-{number}") for number in range(100)}
    assert len(found) == 100
    assert {len(key or "") for key in found} == {64}
    assert keys.key("") is None, "an object without a UID exists in no cluster"


@pytest.mark.parametrize("broken", [b"", b"short"])
async def test_a_secret_that_is_none_is_replaced(broken: bytes) -> None:
    shared = Shared()
    shared.data = {"secret": broken, "other": b"kept"}
    await VisitorKeys(Store(shared)).load()
    assert shared.data is not None
    assert (len(shared.data["secret"]), shared.data["other"]) == (32, b"kept")


async def test_a_secret_that_never_stays_is_an_error() -> None:
    shared = Shared()
    store = Store(shared)

    def meddle() -> None:
        shared.version += 1

    store.before_write = meddle
    with pytest.raises(VisitorSecretError):
        await VisitorKeys(store).load()
