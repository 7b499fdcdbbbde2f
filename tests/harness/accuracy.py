"""Puts the table that the accuracy tests measured into docs/accuracy.md: `python -m tests.harness.accuracy`."""

import sys

from .paths import REPOSITORY

MEASURED = REPOSITORY / "build/accuracy.md"
PAGE = REPOSITORY / "docs/accuracy.md"
BEGIN, END = "<!-- measured -->\n", "<!-- end -->"


def main() -> int:
    """Replace what stands between the two marks."""
    if not MEASURED.exists():
        print("harness: there is no build/accuracy.md; run make accuracy", file=sys.stderr)
        return 1
    before, _, rest = PAGE.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(before + BEGIN + MEASURED.read_text() + END + after)
    print(f"{PAGE.relative_to(REPOSITORY)} is written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
