"""Puts the tables that the accuracy tests measured into docs/accuracy.md: `python -m tests.harness.accuracy`."""

import sys

from .paths import REPOSITORY

FOLDER = REPOSITORY / "build/accuracy"
TABLES = ("signals", "causes")
HEAD = "| Signal | Truth | Reported | Error | Bound |\n|---|---|---|---|---|\n"
PAGE = REPOSITORY / "docs/accuracy.md"
BEGIN, END = "<!-- measured -->\n", "<!-- end -->"


def main() -> int:
    """Replace what stands between the two marks."""
    missing = [name for name in TABLES if not (FOLDER / f"{name}.md").exists()]
    if missing:
        print(f"harness: build/accuracy lacks {', '.join(missing)}; run make accuracy", file=sys.stderr)
        return 1
    before, _, rest = PAGE.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(before + BEGIN + HEAD + "".join((FOLDER / f"{name}.md").read_text() for name in TABLES) + END + after)
    print(f"{PAGE.relative_to(REPOSITORY)} is written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
