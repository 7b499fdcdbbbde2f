"""How old is what the eye sees: from the end of a request to the pixel, the cell, the status and the metric that count it.

    python benchmarks/latency.py [--seconds 60] [--rate 10] [--write]

On a real cluster (the local one, which is started if need be), with Rollcall installed by its chart and the sample `newsfeed`
in two pods. Requests that fail are sent to its pods one after the other; when the last byte of an answer has come, the request
has ended. Four places show how many errors there have been, all at once, and each is watched by its own means:

- web: the page in Chromium, through `rollcall dashboard`; the number in the table of errors, when the browser draws the frame
  after the change (requestAnimationFrame);
- terminal: `rollcall top` at a pseudo-terminal; the number in the same table, when its bytes have come;
- CR status: `status.totals.errors`, by a watch;
- /metrics: `rollcall_service_errors_total`, asked for five times a second: a scraper adds its own interval.

For each request, the age is the time from its end until a place first shows a total that includes it. All clocks are this
machine's. `--write` puts the table into docs/latency.md. Bound: p95 below 1 s for web and terminal.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import pty
import random
import re
import select
import statistics
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from fcntl import ioctl
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "operator"), str(ROOT / "agent_sidecar")]

from kubernetes import client as kube  # noqa: E402
from kubernetes import watch  # noqa: E402

from tests.cluster.observe import core_api  # noqa: E402
from tests.harness.chromium import chromium  # noqa: E402
from tests.harness.cluster import DEFAULT_NAME, Cluster  # noqa: E402
from tests.harness.errors import HarnessError  # noqa: E402
from tests.harness.install import Rollcall, install  # noqa: E402

NAMESPACE, SERVICE, ERROR = "shop", "newsfeed", "RuntimeError"
WARM_UP_S, AFTER_S = 6.0, 12.0
BOUND_S = {"web": 1.0, "terminal": 1.0}
PAGE = ROOT / "docs/latency.md"
BEGIN, END = "<!-- measured -->\n", "<!-- end -->"
_ESCAPES = re.compile(r"\x1b\[[0-9;?<>=]*[a-zA-Z]|\x1b[()][A-Z0-9]|\x1b[=>]")
_ROW = re.compile(rf"{ERROR}\s+[\d.,–]+\s+(\d+)")
OBSERVER = """name => {
  window.seen = [];
  const look = () => requestAnimationFrame(() => {
    const row = [...document.querySelectorAll('tr')].find(row => row.textContent.includes(name) && row.cells.length === 3);
    const total = row ? Number(row.cells[2].textContent) : NaN;
    if (total && total !== window.seen.at(-1)?.[1]) window.seen.push([Date.now() / 1000, total]);
  });
  new MutationObserver(look).observe(document.body, {subtree: true, childList: true, characterData: true});
  look();
}"""


class Place:
    """Where people look: what total was seen when. Runs in a thread of its own, from `start` to `stop`."""

    def __init__(self, name: str, watch: Callable[[Place], None]) -> None:
        self.name = name
        self.seen: list[tuple[float, int]] = []
        self.ended = threading.Event()
        self.error: BaseException | None = None
        self._watch = watch
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """And wait for the rest; raises what the thread ended with."""
        self.ended.set()
        self._thread.join(30)
        if self.error is not None:
            raise self.error
        if not self.seen:
            raise SystemExit(f"{self.name}: nothing was seen")

    def show(self, total: int, at: float | None = None) -> None:
        """This total stands there from now on."""
        if not self.seen or total != self.seen[-1][1]:
            self.seen.append((time.time() if at is None else at, total))

    def ages(self, ends: list[float], before: int) -> list[float]:
        """Of each request, in their order; those that were not seen until the end are left out."""
        found, at = [], 0
        for number, end in enumerate(ends, before + 1):
            while at < len(self.seen) and self.seen[at][1] < number:
                at += 1
            if at < len(self.seen):
                found.append(max(0.0, self.seen[at][0] - end))
        return found

    def _run(self) -> None:
        try:
            self._watch(self)
        except BaseException as error:
            self.error = error


# --- the places


def web(rollcall: Rollcall) -> Callable[[Place], None]:
    def watching(place: Place) -> None:
        command = rollcall.command("dashboard", "-n", NAMESPACE, "--no-browser")
        with ExitStack() as stack:
            served = stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
            stack.callback(served.terminate)  # before it is waited for, whatever happens
            assert served.stdout is not None
            address = served.stdout.readline().strip()
            page = stack.enter_context(chromium()).new_page(viewport={"width": 1440, "height": 2400})
            page.goto(address)
            page.goto(address.partition("#")[0] + f"#/s/{NAMESPACE}/{SERVICE}")
            page.get_by_role("cell", name=f"exception {ERROR}").first.wait_for(timeout=60_000)
            page.evaluate(OBSERVER, ERROR)
            while not place.ended.is_set():
                page.wait_for_timeout(500)
            for at, total in page.evaluate("window.seen"):
                place.show(total, at)

    return watching


def terminal(rollcall: Rollcall) -> Callable[[Place], None]:
    def watching(place: Place) -> None:
        command = rollcall.command("top", SERVICE, "-n", NAMESPACE)
        pid, file = pty.fork()
        if pid == 0:
            os.environ |= {"TERM": "xterm-256color", "COLUMNS": "160", "LINES": "45"}
            os.execv(command[0], command)
        ioctl(file, termios.TIOCSWINSZ, struct.pack("HHHH", 45, 160, 0, 0))
        text, asked_s = "", time.monotonic()
        while not place.ended.is_set():
            if asked_s and time.monotonic() - asked_s > 3:
                os.write(file, b"x")  # the table of errors
                asked_s = 0.0
            if not select.select([file], [], [], 0.2)[0]:
                continue
            text = (text + os.read(file, 1 << 16).decode(errors="replace"))[-20_000:]
            if rows := _ROW.findall(_ESCAPES.sub(" ", text)):
                place.show(int(rows[-1]))
        os.write(file, b"q")
        time.sleep(1)
        os.close(file)
        os.waitpid(pid, 0)

    return watching


def status(cluster: Cluster) -> Callable[[Place], None]:
    def watching(place: Place) -> None:
        custom = kube.CustomObjectsApi(core_api(cluster).api_client)
        where = ("rollcall.dev", "v1alpha1", NAMESPACE, "monitoredservices")
        while not place.ended.is_set():
            for event in watch.Watch().stream(custom.list_namespaced_custom_object, *where, timeout_seconds=2):
                found = event["object"]
                if found["metadata"]["name"] == SERVICE and "totals" in found.get("status", {}):
                    place.show(found["status"]["totals"]["errors"])

    return watching


def metrics(rollcall: Rollcall) -> Callable[[Place], None]:
    line = re.compile(
        rf'^rollcall_service_errors_total{{namespace="{NAMESPACE}",service="{SERVICE}"}} ([\d.e+]+)', re.MULTILINE
    )

    def watching(place: Place) -> None:
        while not place.ended.is_set():
            began_s = time.monotonic()
            if found := line.search(rollcall.metrics()):
                place.show(int(float(found[1])))
            place.ended.wait(max(0.0, 0.2 - (time.monotonic() - began_s)))

    return watching


# --- the requests


def send(addresses: list[str], rate: float, seconds: float) -> list[float]:
    """Ask for /fail at random times; when each answer ended."""
    ends, until_s, number = [], time.monotonic() + seconds, 0
    while time.monotonic() < until_s:
        time.sleep(random.expovariate(rate))
        number += 1
        connection = http.client.HTTPConnection(addresses[number % len(addresses)], 8080, timeout=10)
        connection.request("GET", "/fail")
        answer = connection.getresponse()
        answer.read()
        ends.append(time.time())
        connection.close()
        if answer.status != 500:
            raise SystemExit(f"/fail answered {answer.status}")
    return ends


def prepare(cluster: Cluster) -> Rollcall:
    """Rollcall, and newsfeed in two pods that serve."""
    rollcall = install(cluster)
    cluster.load(cluster.build("newsfeed"))
    cluster.kubectl("apply", "-f", ROOT / "examples/namespace.yaml")
    folder = ROOT / "examples" / SERVICE
    cluster.kubectl("-n", NAMESPACE, "apply", "-f", folder / "monitoredservice.yaml", "-f", folder / "manifest.yaml")
    cluster.kubectl("-n", NAMESPACE, "rollout", "status", f"deployment/{SERVICE}", "--timeout=120s")
    rollcall.wait_for(
        NAMESPACE, SERVICE, lambda picture: picture["pods"]["serving"] == picture["pods"]["total"] == 2, "two serve"
    )
    return rollcall


def addresses_of(cluster: Cluster) -> list[str]:
    found = json.loads(cluster.kubectl("-n", NAMESPACE, "get", "pods", "-l", f"app={SERVICE}", "-o", "json"))["items"]
    return [pod["status"]["podIP"] for pod in found]


def total(rollcall: Rollcall) -> int:
    return int(rollcall.picture(NAMESPACE, SERVICE)["totals"]["errors"])


def table(places: list[Place], ends: list[float], before: int) -> tuple[str, bool]:
    """The table in Markdown, and whether bounds hold and nothing is missing."""
    lines, well = ["| Where | p50 | p95 | worst | bound of p95 | requests seen |", "|---|---|---|---|---|---|"], True
    for place in places:
        ages = place.ages(ends, before)
        cuts = statistics.quantiles(ages, n=20) if len(ages) > 20 else [float("nan")] * 19
        bound = BOUND_S.get(place.name)
        well = well and len(ages) == len(ends) and (bound is None or cuts[18] < bound)
        lines.append(
            f"| {place.name} | {statistics.median(ages):.2f} s | {cuts[18]:.2f} s | {max(ages):.2f} s "
            f"| {'–' if bound is None else f'{bound:.1f} s'} | {len(ages)} of {len(ends)} |"
        )
    return "\n".join(lines) + "\n", well


def write(text: str) -> None:
    """Into the document, between its marks."""
    before, _, rest = PAGE.read_text().partition(BEGIN)
    PAGE.write_text(before + BEGIN + text + END + rest.partition(END)[2])


def main() -> int:
    """0 when the bounds hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--rate", type=float, default=10, help="requests per second")
    parser.add_argument("--write", action="store_true", help="put the table into docs/latency.md")
    args = parser.parse_args()
    name = os.environ.get("ROLLCALL_CLUSTER", DEFAULT_NAME)
    with ExitStack() as stack:
        try:
            cluster = Cluster.running(name)
        except HarnessError:
            cluster = Cluster.up(name)
            stack.callback(cluster.down)
        rollcall = prepare(cluster)
        addresses = addresses_of(cluster)
        send(addresses, args.rate, WARM_UP_S)  # so that there is a row to look at
        places = [
            Place("web", web(rollcall)),
            Place("terminal", terminal(rollcall)),
            Place("CR status", status(cluster)),
            Place("/metrics", metrics(rollcall)),
        ]
        for place in places:
            place.start()
        time.sleep(AFTER_S)
        before = total(rollcall)
        ends = send(addresses, args.rate, args.seconds)
        time.sleep(AFTER_S)
        for place in places:
            place.stop()
        after = total(rollcall)
        cluster.remove_namespace(NAMESPACE)
    if after - before != len(ends):
        print(f"{len(ends)} requests failed, {after - before} are counted", file=sys.stderr)
        return 1
    text, well = table(places, ends, before)
    print(text, end="")
    if args.write:
        write(text)
    print(f"bounds: {'held' if well else 'BROKEN'}")
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
