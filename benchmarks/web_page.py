"""How smooth the page is with a large service: 500 pods and 2,000 dots a second, four pictures a second, in a real browser.

    python benchmarks/web_page.py [--pods 500] [--dots 2000] [--seconds 15]

The live API runs in a process of its own with simulated pods; Chromium, without a graphics card, shows the service as somebody
sees it who has just opened it. Told by the browser itself: how long each drawing takes, how much of the time its main thread
is busy and with what, how far the frames of the screen are apart while it draws, and what its memory grows by. Bounds: first
picture within a second, a drawing within 50 ms (95 % of them), four pictures a second drawn.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import sys
import time
from multiprocessing.connection import Connection
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "operator"), str(ROOT / "agent_sidecar")]

import uvloop  # noqa: E402
from aiohttp import web  # noqa: E402

from rollcall.serve.access import Access  # noqa: E402
from rollcall.serve.live import make_live_app  # noqa: E402
from tests.harness.chromium import DESK, chromium  # noqa: E402
from tests.web.world import STEP_S, World  # noqa: E402

FIRST_S, DRAWN_S, PICTURES = 1.0, 0.05, 3.5
"""Pictures come four times a second, less what the simulated pods take of the same machine."""
WATCH = """
sessionStorage.setItem('rollcall', 't-alice');
const ask = requestAnimationFrame;
window.drawn = []; window.frames = [];
window.requestAnimationFrame = (call) => ask((time) => {
  const began = performance.now();
  call(time);
  drawn.push(performance.now() - began);
  window.first ??= performance.now();
});
let before = 0;
const frame = (time) => { if (before) frames.push(time - before); before = time; ask(frame); };
ask(frame);
"""
SPENT = ("ScriptDuration", "LayoutDuration", "RecalcStyleDuration", "TaskDuration")


async def serve(pipe: Connection, pods: int, dots: int) -> None:
    """The live API; its world goes on for ever."""
    world = World()
    fleet = world.service("shop", "newsfeed", pods)
    for number in range(pods):
        # Half of all requests are told.
        world.pod(fleet, f"p{number:03d}", rate=2 * dots / pods, in_flight=(3, 1, 0, 0), failing=0.01)
    world.past(30)
    runner = web.AppRunner(
        make_live_app(world.publisher, Access(world), dict, world.why),  # type: ignore[arg-type]
        access_log=None,
    )
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    pipe.send(runner.addresses[0][1])
    due_s = time.monotonic()
    while True:
        world.step()
        await asyncio.sleep(STEP_S / 2)
        world.roll.fold(time.monotonic(), time.time())
        world.publisher.turn()
        due_s = max(due_s + STEP_S, time.monotonic())
        await asyncio.sleep(due_s - time.monotonic())


def child(pipe: Connection, pods: int, dots: int) -> None:
    """The server's process."""
    uvloop.run(serve(pipe, pods, dots))


def part(values: list[float], share: float) -> float:
    """A quantile."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))] if values else float("nan")


def look(port: int, seconds: float) -> dict[str, float]:
    """What the browser tells of so many seconds; times in seconds."""
    with chromium() as browser:
        page = browser.new_context(**DESK).new_page()
        page.add_init_script(WATCH)
        cdp = page.context.new_cdp_session(page)
        cdp.send("Performance.enable")
        page.goto(f"http://127.0.0.1:{port}/#/s/shop/newsfeed")
        page.wait_for_selector(".u-wrap canvas")
        first_s = page.evaluate("first") / 1000
        time.sleep(65)  # the dots of a minute are there

        def metrics() -> dict[str, float]:
            return {each["name"]: each["value"] for each in cdp.send("Performance.getMetrics")["metrics"]}

        page.evaluate("drawn.length = frames.length = 0")
        before, began_s = metrics(), time.monotonic()
        time.sleep(seconds)
        after, span_s = metrics(), time.monotonic() - began_s
        drawn, frames = page.evaluate("drawn"), page.evaluate("frames")
        busy = {name: (after[name] - before[name]) / span_s for name in SPENT}
        return {
            "first picture, s": first_s,
            "pictures drawn a second": len(drawn) / span_s,
            "a drawing, p50, ms": part(drawn, 0.5),
            "a drawing, p95, ms": part(drawn, 0.95),
            "a drawing, longest, ms": max(drawn, default=float("nan")),
            "between frames, p95, ms": part(frames, 0.95),
            "between frames, p99, ms": part(frames, 0.99),
            "main thread busy, %": 100 * busy["TaskDuration"],
            "of it script, %": 100 * busy["ScriptDuration"],
            "of it layout and style, %": 100 * (busy["LayoutDuration"] + busy["RecalcStyleDuration"]),
            "heap, MB": after["JSHeapUsedSize"] / 1e6,
            "nodes": after["Nodes"],
        }


def main() -> None:
    """Prints the table."""
    arguments = argparse.ArgumentParser()
    for name, default in (("pods", 500), ("dots", 2000), ("seconds", 15)):
        arguments.add_argument(f"--{name}", type=int, default=default)
    given = arguments.parse_args()
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=child, args=(theirs, given.pods, given.dots), daemon=True)
    server.start()
    found = look(ours.recv(), given.seconds)
    server.kill()
    print(f"{given.pods} pods, {given.dots} dots a second")
    for name, value in found.items():
        print(f"{name:32} {value:8.2f}")
    held = (
        found["first picture, s"] <= FIRST_S,
        found["a drawing, p95, ms"] <= 1000 * DRAWN_S,
        found["pictures drawn a second"] >= PICTURES,
    )
    print("bounds:", "held" if all(held) else "missed")
    sys.exit(not all(held))


if __name__ == "__main__":
    main()
