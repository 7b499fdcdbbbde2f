"""What the agent must not forget when its process ends: epoch, totals of dead workers, and which files are in them.

One JSON file in the shared memory volume, replaced atomically. It lives as long as the pod; a crash between writing it and
unlinking a folded file is harmless, because the file's name is in it.
"""

from __future__ import annotations

import json
import os
import time
from typing import Any

from .log import say
from .totals import Totals

VERSION = 1
MAX_ENDPOINTS = 256


class State:
    """The agent's memory across restarts of its worker process and of its container."""

    def __init__(self, folder: str) -> None:
        self.path = os.path.join(folder, "state")
        self.epoch = os.urandom(8).hex()
        self.born_us = time.monotonic_ns() // 1000
        """When the epoch began, by CLOCK_MONOTONIC, which all containers of a pod share."""
        self.totals = Totals()
        self.folded: list[str] = []
        self.endpoints: dict[str, list[int]] = {}
        self.probe_seen = False
        self.supervisor = ""
        self.cpu_base_us = 0
        self.cpu_us = 0

    def load(self) -> None:
        """Take over what an earlier process wrote; a file that cannot be read starts a new epoch, and says so."""
        try:
            with open(self.path, "rb") as file:
                value = json.loads(file.read())
            if value["version"] != VERSION:
                raise ValueError(f"version {value['version']!r}")
            totals = Totals.from_fields(value["totals"])
            folded = [str(name) for name in value["folded"]]
            endpoints = {str(name): [int(n) for n in counts] for name, counts in value["endpoints"].items()}
            cpu = int(value["cpu_base_us"]), int(value["cpu_us"])
            born_us = int(value["born_us"])
            epoch, supervisor, probe_seen = str(value["epoch"]), str(value["supervisor"]), bool(value["probe_seen"])
        except FileNotFoundError:
            return
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            say(f"state file cannot be read, a new epoch begins: {error!r}")
            return
        self.totals, self.folded, self.endpoints = totals, folded, endpoints
        self.epoch, self.supervisor, self.probe_seen = epoch, supervisor, probe_seen
        self.cpu_base_us, self.cpu_us = cpu
        self.born_us = born_us

    def adopt(self, supervisor: str) -> None:
        """Called by a worker of `supervisor`: what earlier containers used of the CPU stays counted."""
        if supervisor != self.supervisor:
            self.supervisor = supervisor
            self.cpu_base_us = self.cpu_us

    def save(self) -> None:
        """Replace the file; raises OSError."""
        value: dict[str, Any] = {
            "version": VERSION,
            "epoch": self.epoch,
            "born_us": self.born_us,
            "supervisor": self.supervisor,
            "probe_seen": self.probe_seen,
            "cpu_base_us": self.cpu_base_us,
            "cpu_us": self.cpu_us,
            "folded": self.folded,
            "endpoints": self.endpoints,
            "totals": self.totals.fields(),
        }
        temporary = self.path + ".new"
        with open(temporary, "w", encoding="utf-8") as file:
            file.write(json.dumps(value, separators=(",", ":")))
        os.replace(temporary, self.path)

    def age_ms(self) -> int:
        """Milliseconds since the epoch began."""
        return max(0, time.monotonic_ns() // 1000 - self.born_us) // 1000

    def add_endpoints(self, endpoints: dict[str, list[int]]) -> None:
        """Add a dead worker's (requests, errors, duration_us) by endpoint; past MAX_ENDPOINTS they go to `other`."""
        for name, counts in endpoints.items():
            if name not in self.endpoints and len(self.endpoints) >= MAX_ENDPOINTS:
                name = "other"
            mine = self.endpoints.setdefault(name, [0, 0, 0])
            self.endpoints[name] = [a + b for a, b in zip(mine, counts, strict=True)]
