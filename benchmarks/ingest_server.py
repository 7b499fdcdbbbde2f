"""The operator's own ingest server with its fold, as a process of `ingest.py`.

It serves on a socket that it inherits. A line on standard input is answered by what was counted, and how old the reports were
that folds found; the end of input ends it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import socket
import ssl
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "operator"), str(ROOT / "agent_sidecar")]

import numpy as np  # noqa: E402
import uvloop  # noqa: E402

from rollcall.control.certificates import Certificates, load_into  # noqa: E402
from rollcall.ingest.agent import Door  # noqa: E402
from rollcall.ingest.server import protocols  # noqa: E402
from rollcall.kube.review import PodIdentity  # noqa: E402
from rollcall.model import roll as limits  # noqa: E402
from rollcall.model.fleet import Fleet  # noqa: E402
from rollcall.model.roll import Roll  # noqa: E402
from rollcall.model.states import PodFacts  # noqa: E402

FOLD_S = 0.25
HELLO_WITHIN_S = 120


def serve(listener: socket.socket, certificates: Certificates | None, connections: int, *, look: bool) -> None:
    """The operator's own server with its fold, for as many pods as there will be connections."""

    limits.MOST_REPORTS = 10**9  # of the saturated line each connection stands for many

    async def run() -> None:
        roll, fleet = Roll(), Fleet("shop", "newsfeed")
        roll.add(fleet)
        for number in range(connections):
            fleet.upsert(PodFacts(f"uid-{number}", f"pod-{number}", "shop", running=True, ready=True, injected=True))
        door = Door(roll, identify, time.monotonic, "0.1.0", hello_within_s=HELLO_WITHIN_S)
        loop = asyncio.get_running_loop()
        ages = Ages(fleet)
        answers = asyncio.create_task(answer(door, fleet, ages))
        tls = None
        if certificates is not None:
            tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            load_into(tls, certificates)
        server = await loop.create_server(protocols(door, tls), sock=listener)
        while not answers.done():
            roll.fold(time.monotonic(), time.time())
            if look:
                ages.sample()
            await asyncio.sleep(FOLD_S)
        server.close()

    uvloop.run(run())


async def identify(token: str) -> PodIdentity:
    """Tokens are pod numbers here: what a TokenReview costs is the API server's affair."""
    return PodIdentity("shop", f"pod-{token}", f"uid-{token}")


class Ages:
    """How old the newest report of each agent is right after a fold; agents go by the clock of the same machine."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._ms: list[np.ndarray] = []

    def sample(self) -> None:
        """A fold has just ended; its time is not in the way of the next by much: one column of the matrix is read."""
        made_us = self._fleet.rows.reports["window_end_us"]
        if made_us.any():
            self._ms.append(time.monotonic_ns() / 1e6 - made_us[made_us > 0].astype(float) / 1000)

    def take(self) -> dict[str, int]:
        """Median and 99th percentile since the last call, if anything was sampled."""
        if not self._ms:
            return {}
        p50_ms, p99_ms = np.quantile(np.concatenate(self._ms), (0.5, 0.99)).tolist()
        self._ms.clear()
        return {"p50_ms": round(p50_ms), "p99_ms": round(p99_ms)}


async def answer(door: Door, fleet: Fleet, ages: Ages) -> None:
    """A line on standard input is answered by what was counted, its end ends the server."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while await reader.readline():
        counted = {"reports": door.counters.reports, "finished": fleet.totals().requests, "facts": door.counters.facts}
        dropped = {"dropped": sum(fleet.dropped.values()) + sum(door.counters.rejected.values())}
        print(json.dumps(counted | dropped | ages.take()), flush=True)


def certificates_from(file: Path | None) -> Certificates | None:
    """Those that `ingest.py` made; None for plain TCP."""
    if file is None:
        return None
    return Certificates.from_data({key: text.encode() for key, text in json.loads(file.read_text()).items()})


def main() -> None:
    """Serve as the arguments say."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--socket", type=int, required=True, help="file descriptor of a listening socket")
    parser.add_argument("--connections", type=int, required=True, help="how many pods there are")
    parser.add_argument("--ages", action="store_true", help="look how old reports are at the folds")
    parser.add_argument("--certificates", type=Path, help="serve TLS with these")
    given = parser.parse_args()
    serve(socket.socket(fileno=given.socket), certificates_from(given.certificates), given.connections, look=given.ages)


if __name__ == "__main__":
    main()
