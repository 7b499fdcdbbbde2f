"""The agent's worker process: one epoll loop that reads the sources and reports on a timer that does not drift.

It may be killed at any moment: everything that counts is in the worker files, in the state file, or in memory that it shares
with the supervisor, which starts another one.
"""

from __future__ import annotations

import gc
import json
import select
import signal
import socket
import time
from typing import Any, NamedTuple

from . import __version__, control, report
from .facts_log import FactsLog
from .ledger import Ledger
from .log import say
from .orders import VISITORS_FILE, Orders
from .receivers import Receivers
from .settings import Settings
from .sources.cost import Cost
from .sources.folder import IN_FLIGHT, WorkerFolder
from .sources.php import PhpSource
from .sources.sockets import ListenQueue
from .sources.told import ToldSources
from .state import State
from .uplink import Uplink
from .wire import frames
from .wire.report import FLAG_FINAL, FLAG_NO_IN_FLIGHT, FLAG_PROBE

PHP_PAUSE_S = 0.1
"""After PHP messages were read, others wait this long: under load that makes 10 wake-ups a second out of a thousand. A report
reads them in any case."""
DRAIN_TICK_S = 0.1
FINAL_RESERVE_S = 2.0
"""The part of the drain time that is kept for the last report and its acknowledgement."""
SAVE_EVERY_S = 30.0


class Inheritance(NamedTuple):
    """What the supervisor hands to a worker by forking."""

    supervisor_pid: int
    supervisor_id: str
    channel: socket.socket
    heartbeat: memoryview
    ledger: Ledger | None
    connections: dict[int, socket.socket]
    drain_deadline: float | None
    receivers: Receivers


def run(settings: Settings, given: Inheritance) -> int:
    """Work until the supervisor ends or the drain is over; returns the exit code."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the supervisor is asked to end, and asks us
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    worker = Worker(settings, given)
    gc.collect()
    gc.freeze()
    return worker.loop()


class Worker:
    """One worker process's loop and what it drives."""

    def __init__(self, settings: Settings, given: Inheritance) -> None:
        self._given = given
        self._epoll = select.epoll()
        self._state = State(settings.state_dir)
        self._state.load()
        self._state.adopt(given.supervisor_id)
        self._facts = FactsLog(settings.state_dir)
        self._facts.load(self._state.epoch)
        self._folder = WorkerFolder(settings.run_dir, self._state, self._facts)
        self._orders = Orders(settings.state_dir, settings.probes_dir)
        self._listen_queue = ListenQueue()
        self._welcomes_of = 0
        self._told_longest = False
        self._php = self._open_php(given, f"{settings.state_dir}/{VISITORS_FILE}")
        self._php_paused_until = 0.0
        self._php_seen = False
        self._told = ToldSources(given.receivers, self._epoll)
        self._sources: list[str] = []
        self._said_sources: list[str] = []
        now = time.monotonic()
        self._cost = Cost(given.supervisor_pid, self._state.cpu_base_us, now)
        self._pod_uid = settings.pod_uid
        self._uplink = Uplink(settings, self._epoll, self._hello)
        self._epoll.register(given.channel.fileno(), select.EPOLLIN)
        self._tick_at = now
        self._save_at = now
        self._deadline = given.drain_deadline
        self._final_seq = 0
        self._final_connection = 0
        self._ended = False

    def _open_php(self, given: Inheritance, visitors_file: str) -> PhpSource | None:
        if given.ledger is None:
            return None
        php = PhpSource(given.ledger, self._tell_closed, visitors_file)
        for number, connection in given.connections.items():
            php.add(number, connection)
        self._epoll.register(php.fileno, select.EPOLLIN)
        return php

    def _tell_closed(self, number: int) -> None:
        try:
            control.send_closed(self._given.channel, number)
        except OSError as error:
            say(f"cannot tell the supervisor: {error}", "control")

    def _hello(self) -> dict[str, Any]:
        self._said_sources = sources = self._find_sources()
        return {
            "agent": __version__,
            "epoch": self._state.epoch,
            "pod_uid": self._pod_uid,
            "runtimes": sources,
            "uptime_ms": self._state.age_ms(),
            "facts_from": self._facts.first,
        }

    def _find_sources(self) -> list[str]:
        """What tells of requests, as HELLO names it."""
        found = self._folder.runtimes()
        return [*found, "php"] if self._php_seen and "php" not in found else found

    def loop(self) -> int:
        """Turn until the end; returns the exit code."""
        while not self._ended:
            now = time.monotonic()
            due = min(self._tick_at, self._uplink.deadline(), self._told.due(now))
            if self._php_paused_until:
                due = min(due, self._php_paused_until)
            for fd, _ in self._epoll.poll(max(0.0, due - now)):
                self._dispatch(fd)
            now = time.monotonic()
            if self._php is not None and self._php_paused_until and now >= self._php_paused_until:
                self._php_paused_until = 0.0
                self._epoll.modify(self._php.fileno, select.EPOLLIN)
            self._told.turn(now)
            if now >= self._tick_at:
                self._tick(now)
            self._uplink.step(now)
        return 0

    def _dispatch(self, fd: int) -> None:
        now = time.monotonic()
        if fd == self._uplink.fileno:
            was_live = self._uplink.live
            self._uplink.on_ready(now)
            if self._uplink.live and not was_live:
                self._tick_at = now  # the first report goes out with the welcome
        elif fd == self._uplink.wakeup:
            self._uplink.on_wakeup(now)
        elif fd == self._given.channel.fileno():
            self._obey(now)
        elif self._told.owns(fd):
            self._told.ready(fd, now)
        elif self._php is not None and fd == self._php.fileno:
            self._php.read(time.monotonic_ns() // 1000)
            self._epoll.modify(fd, 0)
            self._php_paused_until = now + PHP_PAUSE_S

    def _obey(self, now: float) -> None:
        while (order := control.receive_order(self._given.channel)) is not None:
            kind, value, descriptor = order
            if kind == "connection" and self._php is not None and descriptor >= 0:
                self._php.add(int(value), socket.socket(fileno=descriptor))
            elif kind == "drain":
                self._deadline = value
                self._tick_at = now
                self._uplink.hurry(now)
            elif kind == "end":
                self._ended = True
                return

    def _tick(self, now: float) -> None:
        interval = self._uplink.interval_s if self._deadline is None else min(DRAIN_TICK_S, self._uplink.interval_s)
        self._tick_at += interval
        if self._tick_at <= now:
            self._tick_at = now + interval
        now_us = time.monotonic_ns() // 1000
        self._given.heartbeat[0] = now_us
        self._heed()
        if self._php is not None:
            self._php.read(now_us)
            if self._php.workers:
                self._state.probe_seen = self._php_seen = True
            for death in self._php.deaths:
                self._folder.count_death(death)
            self._php.deaths.clear()
        self._told.tick(now_us, self._sources)
        self._folder.scan(now_us, self._uplink.bounds_ms)
        self._sources = self._find_sources()
        if self._php is not None:
            self._folder.orphans(time.time())
        self._cost.refresh_memory(now)
        self._save_now_and_then(now)
        if self._deadline is not None:
            self._drain(now, now_us)
        elif self._uplink.ready:
            self._report(now, now_us, 0)

    def _heed(self) -> None:
        """Take in what the operator said since the last tick."""
        uplink = self._uplink
        welcome, uplink.welcome = uplink.welcome, None
        if welcome is not None:
            known = welcome.get("facts")
            number = known if isinstance(known, int) and known >= 0 else None
            self._facts.welcomed(number, self._state.age_ms(), new=self._welcomes_of != uplink.connections)
            self._welcomes_of = uplink.connections
            self._told_longest = True  # an empty list tells a new connection that there are none
            self._orders.obey(welcome)
        if uplink.facts_acked:
            self._facts.acknowledged(uplink.facts_acked)

    def _others(self, now: float, now_us: int) -> bytes:
        """Frames that go with a report: names and facts, points, samples of errors and deaths, the longest requests."""
        parts: list[bytes] = []
        points = b""
        if self._facts.wanted:
            points = self._folder.points(now_us, self._uplink.bounds_ms[0] * 1000, self._uplink.most_points)
        try:
            for table, body in self._facts.frames(now, self._state.epoch):
                parts.append(frames.encode(frames.DEFINE if table else frames.FACTS, body))
        except OSError as error:
            say(f"cannot write the file of facts: {error}", "facts")
        if points:
            parts.append(frames.encode(frames.POINTS, points))  # after the names of its ids
        if self._sources != self._said_sources:
            self._said_sources = self._sources
            parts.append(frames.encode_json(frames.EVENT, {"type": "sources", "sources": self._sources}))
        for death in self._folder.deaths:
            parts.append(frames.encode_json(frames.EVENT, death.event(now_us)))
        self._folder.deaths.clear()
        for sample in self._folder.samples:
            at_us = sample.pop("at_us", now_us)
            age_ms = max(0, now_us - at_us) // 1000 if isinstance(at_us, int) else 0
            parts.append(frames.encode_json(frames.EVENT, {"type": "error", **sample, "age_ms": age_ms}))
        self._folder.samples.clear()
        found = self._folder.longest(now_us, self._uplink.bounds_ms)
        if found["requests"] or self._told_longest:
            self._told_longest = bool(found["requests"])
            parts.append(frames.encode(frames.REQUESTS, json.dumps(found, separators=(",", ":")).encode()))
        return b"".join(parts)

    def _report(self, now: float, now_us: int, flags: int) -> None:
        others = self._others(now, now_us)
        totals, in_flight = self._folder.sum()
        if self._state.probe_seen:
            flags |= FLAG_PROBE
        if self._sources and not any(name in IN_FLIGHT for name in self._sources):
            active = self._told.in_flight(now_us)
            if active is None:
                flags |= FLAG_NO_IN_FLIGHT
            else:
                in_flight.add_young(active)
        body = report.body(
            self._uplink.next_seq(),
            now_us,
            totals,
            in_flight,
            report.Moment(self._workers, self._folder.busy, self._listen_queue.read(), self._folder.resources()),
            self._cost.cpu_us(now),
            self._cost.memory_kib,
            flags,
        )
        self._uplink.send(body, others, now)

    @property
    def _workers(self) -> int:
        return self._folder.workers + (self._php.workers if self._php is not None else 0)

    def _drain(self, now: float, now_us: int) -> None:
        """Wait for the application's workers to end, send the last report, wait for its acknowledgement."""
        assert self._deadline is not None
        if self._final_connection != self._uplink.connections:
            self._final_seq = 0  # another connection knows nothing of it, and numbers its reports anew
        if (self._final_seq and self._uplink.acked >= self._final_seq) or now >= self._deadline:
            if not self._final_seq:
                say("ending without an acknowledged last report", "drain")
            self._ended = True
        elif self._uplink.ready and not self._final_seq:
            last = not (self._workers or self._told.connections) or now >= self._deadline - FINAL_RESERVE_S
            self._report(now, now_us, FLAG_FINAL if last else 0)
            if last:
                self._final_seq = self._uplink.next_seq() - 1
                self._final_connection = self._uplink.connections

    def _save_now_and_then(self, now: float) -> None:
        """Folding saves by itself; this keeps epoch, CPU time and the probe flag."""
        if now >= self._save_at:
            self._save_at = now + SAVE_EVERY_S
            self._state.cpu_us = self._cost.cpu_us(now)
            try:
                self._state.save()
            except OSError as error:
                say(f"cannot write the state file: {error}", "state")
