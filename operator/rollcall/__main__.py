"""`rollcall-operator`: run the operator, or clean up after it.

rollcall-operator            run (the chart's Deployment does)
rollcall-operator cleanup    remove what the operator made at run time (the chart's uninstall hook does)
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import resource
import sys

import uvloop

from rollcall import __version__
from rollcall.kube.client import KubeError
from rollcall.settings import Settings, SettingsError


def main() -> None:
    """Entry point; ends with 2 on wrong settings and 1 when the cluster cannot be reached."""
    parser = argparse.ArgumentParser(prog="rollcall-operator", description="Rollcall's control plane.")
    parser.add_argument("command", nargs="?", choices=("run", "cleanup"), default="run", help="what to do (default: run)")
    parser.add_argument("--version", action="version", version=__version__)
    command = parser.parse_args().command
    try:
        settings = Settings.from_environment()
        logging.basicConfig(
            level=settings.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr
        )
        logging.getLogger("aiohttp").setLevel(logging.WARNING)
        if command == "cleanup":
            from rollcall.control.cleanup import cleanup

            uvloop.run(cleanup(settings))
        else:
            from rollcall.operator import serve

            _take_all_descriptors()
            uvloop.run(serve(settings))
    except SettingsError as error:
        parser.error(str(error))
    except KubeError as error:
        sys.exit(f"rollcall-operator: {error.message}")


def _take_all_descriptors() -> None:
    """As many connections as the container may have, not as many as a process gets that does not ask."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


if __name__ == "__main__":
    main()
