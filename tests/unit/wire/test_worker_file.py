"""The worker file: what the ledger writes is what the agent reads; what is no worker file harms nobody."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollcall_agent.ledger import Ledger
from rollcall_agent.sources.worker_file import BadWorkerFileError, WorkerFile
from rollcall_agent.wire import layout
from rollcall_agent.wire.grid import bucket_of_ns

BOUNDS = (1000, 3000, 8000)
REQUESTS = st.lists(
    st.tuples(
        st.sampled_from(["GET /a", "GET /b/<id>", "POST /ä", "other"]),
        st.integers(0, 5),
        st.booleans(),
        st.integers(0, 10**12),
    ),
    max_size=30,
)


@settings(max_examples=50, deadline=None)
@given(REQUESTS, st.booleans())
def test_what_is_written_is_read(requests: list[tuple[str, int, bool, int]], resume: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        ledger = Ledger(folder, layout.RUNTIME_PYTHON, "python")
        for name, status_class, error, elapsed_ns in requests:
            ledger.finished(ledger.endpoint(name), status_class, error, elapsed_ns)
            if resume:
                ledger.resume()
        file = WorkerFile(ledger.path)
        file.read(0, BOUNDS)
        totals = file.totals
        assert totals.started == totals.finished == len(requests)
        assert totals.errors == sum(error for _, _, error, _ in requests)
        assert totals.duration_us == sum(elapsed_ns // 1000 for *_, elapsed_ns in requests)
        assert totals.responses == [sum(1 for _, found, _, _ in requests if found == wanted) for wanted in range(1, 6)]
        assert all(totals.histogram[bucket_of_ns(elapsed_ns)] for *_, elapsed_ns in requests)
        assert {name: counts[0] for name, counts in file.endpoints() if counts[0]} == {
            name: sum(1 for found, *_ in requests if found == name) for name, *_ in requests
        }
        file.close()
        ledger.detach()


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=400), st.integers(0, layout.FILE_BYTES), st.booleans(), st.booleans())
def test_any_file_is_read_or_refused(noise: bytes, at: int, whole: bool, with_header: bool) -> None:
    content = bytearray(noise if not whole else layout.FILE_BYTES)
    content[at : at + len(noise)] = noise
    if with_header:
        content[: layout.HEADER.size] = layout.HEADER.pack(layout.MAGIC, layout.VERSION, 1, 0, 1, layout.SLOTS, 2**31, 2**31)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "python-1-a.worker"
        path.write_bytes(content)
        try:
            file = WorkerFile(str(path))
        except BadWorkerFileError:
            return
        file.read(10**9, BOUNDS)
        assert file.in_flight.total <= layout.SLOTS + layout.SLOTS * 64
        assert sum(file.in_flight.bands) == file.in_flight.total
        assert len(file.endpoints()) <= layout.ENDPOINTS
        file.requests_in_flight(10**9)
        file.close()


def test_the_table_of_endpoints_is_bounded_and_its_names_are_cut_at_a_character(tmp_path: Path) -> None:
    ledger = Ledger(str(tmp_path), layout.RUNTIME_PYTHON, "python")
    long = ledger.endpoint("GET /" + "ä" * 100)
    indices = [ledger.endpoint(f"GET /{i}") for i in range(100)]
    assert indices == [*range(2, layout.ENDPOINTS), *[0] * (100 - layout.ENDPOINTS + 2)]
    file = WorkerFile(ledger.path)
    names = [name for name, _ in file.endpoints()]
    assert names[0] == "other"
    assert names[long] == "GET /" + "ä" * 60
    file.close()


def test_files_of_a_folder_that_is_missing_are_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="missing"):
        Ledger(str(tmp_path / "missing"), layout.RUNTIME_PYTHON, "python")
