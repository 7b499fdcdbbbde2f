"""The album keeps 15 minutes of pictures in bounded memory, and gives the last one until a moment."""

from __future__ import annotations

import itertools
import random
import zlib

import pytest

from rollcall.model.album import MOST, MOST_PER_POD, STEPS_S, Album
from rollcall.model.history import SECONDS


def test_the_last_picture_until_a_moment() -> None:
    album = Album()
    assert album.at(100.0) is None
    for at in (100.0, 105.0, 110.0):
        assert album.overdue_s(at) >= 0
        album.keep(at, b"whole %d" % at, b"summary", 1)
    assert album.overdue_s(114.9) < 0
    assert album.at(99.9) is None
    for asked, found in ((100.0, 100.0), (104.9, 100.0), (107.0, 105.0), (119.0, 110.0)):
        kept = album.at(asked)
        assert kept is not None
        assert (kept.at, zlib.decompress(kept.whole)) == (found, b"whole %d" % found)
    assert album.at(121.0) is None, "nobody looked since"
    album.keep(108.0, b"a clock that was set back", b"", 1)
    assert [kept.at for kept in album] == [100.0, 105.0, 110.0]


@pytest.mark.parametrize(("pods", "size"), [(1, 600), (100, 8_000), (100, 60_000), (1, 5_000_000)])
def test_it_is_bounded_and_as_dense_as_it_can_be(pods: int, size: int) -> None:
    album, chance, now_s = Album(), random.Random(1), 0.0
    whole = chance.randbytes(size)
    while now_s < 2000:
        now_s += 1
        if album.overdue_s(now_s) >= 0:
            album.keep(now_s, whole, b"", pods)
    kept = list(album)
    assert all(each.at > now_s - SECONDS - STEPS_S[-1] for each in kept)
    total = sum(len(each.whole) + len(each.summary) for each in kept)
    assert total <= max(MOST + MOST_PER_POD * pods, len(kept[-1].whole) + len(kept[-1].summary))
    steps = {later.at - earlier.at for earlier, later in itertools.pairwise(kept)}
    assert steps <= {next((step for step in STEPS_S if size * SECONDS <= (MOST + MOST_PER_POD * pods) * step), STEPS_S[-1])}
