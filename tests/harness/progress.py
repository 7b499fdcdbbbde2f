"""One line per step with its seconds, on stderr, so that a first run of ten minutes is not ten minutes of silence."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def step(what: str) -> Iterator[None]:
    """Print `what` when it begins (terminals only) and again with its duration when it ends well."""
    terminal = sys.stderr.isatty()
    if terminal:
        print(f"  ...     {what}", end="\r", file=sys.stderr, flush=True)
    begun = time.monotonic()
    try:
        yield
    except BaseException:
        if terminal:
            print(file=sys.stderr)
        raise
    print(f"  {time.monotonic() - begun:6.1f}s {what}", file=sys.stderr, flush=True)
