"""Frames: what is encoded is decoded however the stream is cut; what is not ours neither crashes nor fills the memory."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollcall_agent.wire import frames

FRAME_LISTS = st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=300)), max_size=8)


@given(FRAME_LISTS, st.lists(st.integers(1, 50), max_size=20))
def test_round_trip_however_the_stream_is_cut(sent: list[tuple[int, bytes]], cuts: list[int]) -> None:
    stream = b"".join(frames.encode(kind, body) for kind, body in sent)
    decoder = frames.Decoder()
    received: list[tuple[int, bytes]] = []
    for cut in cuts:
        received += decoder.feed(stream[:cut])
        stream = stream[cut:]
    received += decoder.feed(stream)
    assert received == sent


@given(st.lists(st.binary(max_size=400), max_size=20))
def test_random_bytes_give_frames_or_a_frame_error(chunks: list[bytes]) -> None:
    decoder = frames.Decoder(max_frame_bytes=1024)
    given_bytes = 0
    try:
        for chunk in chunks:
            given_bytes += len(chunk)
            for _, body in decoder.feed(chunk):
                assert len(body) < 1024
    except frames.FrameError:
        return


@pytest.mark.parametrize("length", [0, frames.MAX_FRAME_BYTES + 1, 2**32 - 1])
def test_an_impossible_length_is_refused_before_its_body_is_awaited(length: int) -> None:
    with pytest.raises(frames.FrameError, match=str(length)):
        frames.Decoder().feed(length.to_bytes(4, "little"))
    with pytest.raises(frames.FrameError, match=str(length)):
        frames.Decoder().feed(frames.encode(frames.REPORT, b"whole") + length.to_bytes(4, "little"))


def test_memory_is_bounded_by_one_frame() -> None:
    decoder = frames.Decoder()
    frame = frames.encode(frames.REPORT, bytes(frames.MAX_FRAME_BYTES - 1))
    tracemalloc.start()
    for _ in range(50):
        for at in range(0, len(frame), 4096):
            decoder.feed(frame[at : at + 4096])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 5 * frames.MAX_FRAME_BYTES


def test_a_frame_that_the_receiver_would_refuse_is_not_encoded() -> None:
    with pytest.raises(frames.FrameError):
        frames.encode(frames.REPORT, bytes(frames.MAX_FRAME_BYTES))


LEAVES = st.none() | st.booleans() | st.integers() | st.text(max_size=20)
JSON = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3), max_leaves=10)


@settings(max_examples=50)
@given(st.dictionaries(st.text(), JSON, max_size=5))
def test_json_bodies_round_trip(value: dict[str, object]) -> None:
    [(kind, body)] = frames.Decoder().feed(frames.encode_json(frames.EVENT, value))
    assert (kind, frames.decode_json(body)) == (frames.EVENT, value)


@settings(max_examples=200)
@given(st.binary(max_size=200) | st.text().map(str.encode))
def test_a_body_that_is_no_json_object_is_a_frame_error(body: bytes) -> None:
    try:
        assert isinstance(frames.decode_json(body), dict)
    except frames.FrameError:
        return


def test_json_that_is_nested_too_deeply_is_a_frame_error() -> None:
    with pytest.raises(frames.FrameError):
        frames.decode_json(b"[" * 60_000)
