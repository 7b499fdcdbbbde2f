"""`python -m load run --url http://newsfeed.shop.svc --rate 300 --duration 60 --mix '/=5,/feed/{user}=3,/slow=1'`."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from .mix import parse_mix
from .run import Plan, Run
from .schedule import Step, parse_steps

Parsed = TypeVar("Parsed")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the load that the command line asks for; 0 when a summary was written, whatever the answers were."""
    options = _parser().parse_args(arguments)
    steps = options.rates or [Step(options.rate, options.duration)]
    plan = Plan(options.url, steps, options.mix, options.timeout, options.seed, options.visitors)
    with contextlib.ExitStack() as stack:
        raw = stack.enter_context(options.raw.open("w")) if options.raw else None
        try:
            summary = asyncio.run(_run_until_signal(Run(plan, raw)))
        except OSError as error:
            print(f"load: no address for {options.url}: {error}", file=sys.stderr)
            return 1
    _write(summary, options.out)
    return 0


async def _run_until_signal(run: Run) -> dict[str, Any]:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, run.stop)
    return await run.run()


def _write(summary: dict[str, Any], out: str) -> None:
    text = json.dumps(summary, separators=(",", ":")) + "\n"
    if out == "-":
        sys.stdout.write(text)
    else:
        Path(out).write_text(text)


def _argument(parse: Callable[[str], Parsed]) -> Callable[[str], Parsed]:
    """`parse` for argparse, which swallows the message of a ValueError."""

    def convert(text: str) -> Parsed:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return convert


def _http_url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme != "http" or not parts.hostname:
        raise ValueError(f"not http://HOST[:PORT]: {text!r}")
    return text


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="load", description="Open-loop load that writes down the truth.")
    run = parser.add_subparsers(required=True, metavar="run").add_parser("run", help="send requests on a fixed schedule")
    run.add_argument("--url", type=_argument(_http_url), required=True, help="http://HOST[:PORT]")
    run.add_argument("--rate", type=float, default=100.0, help="requests per second (100)")
    run.add_argument("--duration", type=float, default=10.0, help="seconds (10)")
    run.add_argument("--rates", type=_argument(parse_steps), help="RATE:SECONDS,... instead of --rate and --duration")
    run.add_argument("--mix", type=_argument(parse_mix), default=parse_mix("/"), help="PATH=WEIGHT,...; {x} becomes a number")
    run.add_argument("--timeout", type=float, default=30.0, help="seconds for one request (30)")
    run.add_argument("--seed", type=int, default=1, help="of the sequence of endpoints (1)")
    run.add_argument("--visitors", type=int, default=0, help="so many visitors take turns, each with a cookie `sid` (0: none)")
    run.add_argument("--out", default="-", metavar="FILE", help="the summary, one JSON line (standard output)")
    run.add_argument("--raw", type=Path, metavar="FILE", help="every request as a JSON line")
    return parser


if __name__ == "__main__":
    sys.exit(main())
