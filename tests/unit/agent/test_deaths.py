"""What a signal left behind of a PHP worker that had no request in flight."""

from __future__ import annotations

from pathlib import Path

from rollcall_agent.facts_log import FactsLog
from rollcall_agent.sources.folder import WorkerFolder
from rollcall_agent.state import State
from rollcall_agent.wire import layout


def test_last_words_of_a_worker_without_a_request_are_told_once_and_removed(tmp_path: Path) -> None:
    state_dir = tmp_path / "agent"
    state_dir.mkdir()
    log = FactsLog(str(state_dir))
    folder = WorkerFolder(str(tmp_path), State(str(state_dir)), log)
    left = tmp_path / "17.crash"
    left.write_bytes(layout.CRASH.pack(11, 1, 5, 0, 4096, 0x129, 0, b"/lib/broken.so", b""))
    written_s = left.stat().st_mtime
    folder.orphans(written_s + 1)
    assert folder.deaths == [], "its connection may still tell of it"
    for _ in range(2):
        folder.orphans(written_s + 3)
    [death] = folder.deaths
    assert (death.runtime, death.worker, death.unanswered) == ("php", 17, 0)
    assert death.crash is not None
    assert (death.crash.signal, death.crash.module) == (11, "/lib/broken.so")
    assert not left.exists()
