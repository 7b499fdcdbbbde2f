"""`python -m tests.harness.demo up|down`: see the package."""

import argparse
import sys

from ..errors import HarnessError
from .show import CLUSTER, down, up


def main() -> None:
    """Entry point; an expected failure is one sentence."""
    parser = argparse.ArgumentParser(prog="python -m tests.harness.demo", description=__doc__)
    parser.add_argument("command", choices=("up", "down"), help="up: everything, then the live picture; down: remove it all")
    parser.add_argument("--provider", choices=("kind", "local"), help="default: kind where a Docker engine answers, else local")
    parser.add_argument("--seconds", type=float, default=60, help="length of the live picture (60)")
    args = parser.parse_args()
    try:
        if args.command == "up":
            up(args.provider, args.seconds)
        else:
            down()
    except HarnessError as error:
        sys.exit(f"demo: {error}\nLogs: .venv/bin/python -m tests.harness logs --name {CLUSTER}")
    except KeyboardInterrupt:
        sys.exit("\ndemo: interrupted; the cluster still runs, `make demo-down` removes it")


if __name__ == "__main__":
    main()
