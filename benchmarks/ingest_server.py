"""The operator's own ingest server with its fold, as a process of `ingest.py`.

It serves on a socket that it inherits. A line on standard input is answered by what was counted, the end of input ends it.
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

import uvloop  # noqa: E402

from rollcall.control.certificates import Certificates, load_into  # noqa: E402
from rollcall.ingest.agent import Door  # noqa: E402
from rollcall.ingest.server import protocols  # noqa: E402
from rollcall.kube.review import PodIdentity  # noqa: E402
from rollcall.model.fleet import Fleet  # noqa: E402
from rollcall.model.roll import Roll  # noqa: E402
from rollcall.model.states import PodFacts  # noqa: E402

FOLD_S = 0.25
HELLO_WITHIN_S = 120


def serve(listener: socket.socket, certificates: Certificates | None, connections: int) -> None:
    """The operator's own server with its fold, for as many pods as there will be connections."""

    async def run() -> None:
        roll, fleet = Roll(), Fleet("shop", "newsfeed")
        roll.add(fleet)
        for number in range(connections):
            fleet.upsert(PodFacts(f"uid-{number}", f"pod-{number}", "shop", running=True, ready=True, injected=True))
        door = Door(roll, identify, time.monotonic, "0.1.0", hello_within_s=HELLO_WITHIN_S)
        loop = asyncio.get_running_loop()
        answers = asyncio.create_task(answer(door, fleet))
        tls = None
        if certificates is not None:
            tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            load_into(tls, certificates)
        server = await loop.create_server(protocols(door, tls), sock=listener)
        while not answers.done():
            roll.fold(time.monotonic(), time.time())
            await asyncio.sleep(FOLD_S)
        server.close()

    uvloop.run(run())


async def identify(token: str) -> PodIdentity:
    """Tokens are pod numbers here: what a TokenReview costs is the API server's affair."""
    return PodIdentity("shop", f"pod-{token}", f"uid-{token}")


async def answer(door: Door, fleet: Fleet) -> None:
    """A line on standard input is answered by what was counted, its end ends the server."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while await reader.readline():
        print(json.dumps({"reports": door.counters.reports, "finished": fleet.totals().requests}), flush=True)


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
    parser.add_argument("--certificates", type=Path, help="serve TLS with these")
    given = parser.parse_args()
    serve(socket.socket(fileno=given.socket), certificates_from(given.certificates), given.connections)


if __name__ == "__main__":
    main()
