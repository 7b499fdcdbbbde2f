"""Fuzzing that is led by which lines run: atheris (libFuzzer) over what strangers may send.

    python -m tests.fuzz [--seconds 60] [--folder build/fuzz] [TARGET ...]

A target that fails leaves its bytes in the folder; `--again FILE` runs them once more, without atheris. What was found to be
new is kept there, and is where the next run begins. atheris is asked for by `pip install '.[fuzz]'`.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from tests.harness.paths import REPOSITORY

NAMES = ("agent", "admission", "service", "otlp", "otlp-json", "log")
_FUZZ = """
import sys
import atheris
with atheris.instrument_imports(include=["rollcall", "rollcall_agent"]):
    from tests.fuzz.targets import targets
target = targets()[sys.argv.pop(1)]
atheris.Setup(sys.argv, lambda data: target.run(data))
atheris.Fuzz()
"""


def main() -> int:
    """0 when no target failed."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=int, default=60, help="of each target")
    parser.add_argument("--folder", type=Path, default=REPOSITORY / "build/fuzz")
    parser.add_argument("--again", type=Path, metavar="FILE", help="run one target with these bytes")
    parser.add_argument("targets", nargs="*", choices=[*NAMES, []], metavar="TARGET", help=", ".join(NAMES))
    args = parser.parse_args()
    from tests.fuzz.targets import targets

    known = targets()
    if args.again is not None:
        known[args.targets[0]].run(args.again.read_bytes())
        return 0
    failed = []
    for name in args.targets or NAMES:
        corpus = args.folder / name
        corpus.mkdir(parents=True, exist_ok=True)
        for number, seed in enumerate(known[name].seeds):
            (corpus / f"seed-{number}").write_bytes(seed)
        print(f"== {name}", flush=True)
        limits = (f"-max_total_time={args.seconds}", "-max_len=65536", "-verbosity=0")
        options = (*limits, f"-artifact_prefix={args.folder}/{name}-")
        if subprocess.run([sys.executable, "-c", _FUZZ, name, *options, str(corpus)], check=False).returncode:
            failed.append(name)
    print(f"failed: {', '.join(failed)}" if failed else "no target failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
