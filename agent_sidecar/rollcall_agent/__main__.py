"""The command `rollcall-agent`. Each command imports only what it needs: imports are paid for in every pod."""

from __future__ import annotations

import os
import sys
import time

from . import __version__

USAGE = """\
usage: rollcall-agent run              report on this pod until SIGTERM (the sidecar)
       rollcall-agent install DIR      copy the probes into DIR (the init container)
       rollcall-agent inspect [DIR]    print what the probes have written (default: /rollcall/run)
       rollcall-agent version

Environment of `run`: ROLLCALL_OPERATOR host:port, ROLLCALL_POD_UID, ROLLCALL_RUN, ROLLCALL_CA_FILE, ROLLCALL_TOKEN_FILE,
ROLLCALL_POD_PROBES where the pod's probes are, ROLLCALL_DRAIN_S seconds to end in, ROLLCALL_OTLP_PORT where to take OTLP,
ROLLCALL_ACCESS_LOG format of an access log, which comes to ROLLCALL_ACCESS_LOG_PORT or ROLLCALL_ACCESS_LOG_FILE,
ROLLCALL_TLS=off for tests; of `install`: ROLLCALL_PROBES where the image's probes are.
"""


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    words = sys.argv[1:] if arguments is None else arguments
    match words:
        case ["run"]:
            return _run()
        case ["install", target]:
            return _install(target)
        case ["inspect"] | ["inspect", _]:
            return _inspect(words[1] if len(words) > 1 else "")
        case ["version"] | ["--version"]:
            return _print(__version__)
        case ["help"] | ["--help"] | ["-h"]:
            return _print(USAGE.rstrip())
    sys.stderr.write(USAGE)
    return 2


def _print(text: str) -> int:
    sys.stdout.write(text + "\n")
    return 0


def _run() -> int:
    from .settings import SettingsError, from_environment
    from .supervisor import Supervisor

    try:
        settings = from_environment(os.environ)
    except SettingsError as error:
        sys.stderr.write(f"rollcall-agent: {error}\n")
        return 2
    return Supervisor(settings).run()


def _install(target: str) -> int:
    from .install import install, prepare_log, probes_dir

    if os.environ.get("ROLLCALL_ACCESS_LOG_OURS") == "on":
        prepare_log(os.environ.get("ROLLCALL_ACCESS_LOG_FILE", ""))
    try:
        count = install(probes_dir(os.environ.get("ROLLCALL_PROBES")), target)
    except OSError as error:
        sys.stderr.write(f"rollcall-agent: {error}\n")
        return 1
    return _print(f"{count} files in {target}")


def _inspect(folder: str) -> int:
    from .inspection import describe
    from .wire import layout

    try:
        for line in describe(folder or os.environ.get("ROLLCALL_RUN") or layout.RUN_DIR, time.monotonic_ns() // 1000):
            _print(line)
    except OSError as error:
        sys.stderr.write(f"rollcall-agent: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
