"""Cost of keeping what must outlive the operator: 5,000 pods in 20 services, 60 endpoints each, visitors, everything changed.

    python benchmarks/store.py [--rounds 20] [--services 20] [--pods 250]

Once a second the event loop makes a moment (`keep`) and a thread writes it; a leader that takes over reads and restores it.
CPU time of each, the best of the rounds, the wall time of the writing, and the size of the file.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "operator"), str(ROOT / "agent_sidecar")]

from rollcall.model.fleet import Fleet  # noqa: E402
from rollcall.model.kept import keep, restore  # noqa: E402
from rollcall.model.roll import Roll  # noqa: E402
from rollcall.model.states import PodFacts  # noqa: E402
from rollcall.store.database import Database  # noqa: E402
from rollcall_agent.wire import facts, report  # noqa: E402

ENDPOINTS, VISITORS, TELLERS = 60, 4000, 5
NOW_S, UNIX_S = 1000.0, 1_700_000_000.0


def fleets(services: int, pods: int) -> dict[str, Fleet]:
    """Services whose pods have all reported; a few of each told of everything that can be told."""
    roll, chance, found = Roll(), random.Random(1), {}
    for service in range(services):
        fleet = found[f"{service:036d}"] = Fleet("shop", f"service-{service}")
        roll.add(fleet)
        for pod in range(pods):
            uid = f"{service:018d}-{pod:017d}"
            fleet.upsert(PodFacts(uid, f"pod-{pod}", "shop", running=True, ready=True, injected=True))
            session = roll.open(uid, "shop", f"pod-{pod}", "0123456789abcdef", 0, NOW_S)
            session.accept(report.pack({"seq": 1, "window_end_us": 1, "started": pod, "finished": pod}), NOW_S)
            if pod < TELLERS:
                names = [(number, f"GET /endpoint/{number}/<id>") for number in range(1, ENDPOINTS)]
                session.define(facts.pack_names(facts.ENDPOINT_NAMES, names))
                records = [(facts.REQUESTS, number, 0, 5) for number, _ in names]
                for _ in range(VISITORS):
                    registers = chance.randrange(facts.HLL_REGISTERS) << 8 | chance.randrange(1, 12)
                    records.append((facts.VISITOR, 0, registers, 1))
                session.accept_facts(facts.pack_facts(1, 0, records), NOW_S)
    roll.fold(NOW_S, UNIX_S)
    return found


def best(rounds: int, call: Callable[[], object]) -> tuple[float, float]:
    """CPU and wall time in ms."""
    times = []
    for _ in range(rounds):
        wall_s, cpu_s = time.perf_counter(), time.process_time()
        call()
        times.append((time.process_time() - cpu_s, time.perf_counter() - wall_s))
    return min(cpu for cpu, _ in times) * 1000, min(wall for _, wall in times) * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--services", type=int, default=20)
    parser.add_argument("--pods", type=int, default=250, help="of each service")
    given = parser.parse_args()
    watched = fleets(given.services, given.pods)
    moments = {uid: keep(fleet, NOW_S, UNIX_S) for uid, fleet in watched.items()}
    with tempfile.TemporaryDirectory() as folder:
        database = Database(Path(folder) / "kept.db")
        round_number = 0

        def write() -> None:
            nonlocal round_number
            round_number += 1  # all parts are others than before
            ends = round_number.to_bytes(4, "little")
            database.write(
                {uid: {name: value + ends for name, value in each.parts.items()} for uid, each in moments.items()}, UNIX_S
            )

        kept = best(given.rounds, lambda: [keep(fleet, NOW_S, UNIX_S) for fleet in watched.values()])
        written = best(given.rounds, write)
        size = database.bytes()
        database.write({uid: each.parts for uid, each in moments.items()}, UNIX_S)
        read = best(given.rounds, database.read)
        restored = best(
            given.rounds,
            lambda: [restore(Fleet("shop", "new"), each.parts, NOW_S, UNIX_S) for each in moments.values()],
        )
    told = sum(len(part) for moment in moments.values() for part in moment.parts.values())
    print(f"{given.services} services of {given.pods} pods, {told} bytes")
    for name, (cpu, wall) in {"keep": kept, "write": written, "read": read, "restore": restored}.items():
        print(f"{name:8} {cpu:7.1f} ms CPU {wall:7.1f} ms")
    print(f"file with its log: {size / 2**20:.1f} MiB")


if __name__ == "__main__":
    main()
