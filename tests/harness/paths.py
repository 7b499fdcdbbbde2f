"""Where the harness keeps its files: one cache folder, nothing in the checkout but `build/`."""

import os
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
GOBUILD = Path(__file__).resolve().parent / "gobuild"
PAUSE_SOURCE = Path(__file__).resolve().parent / "pause" / "main.go"


def cache() -> Path:
    """`$ROLLCALL_CACHE`, else `rollcall` in the user's cache folder."""
    if explicit := os.environ.get("ROLLCALL_CACHE"):
        return Path(explicit).absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rollcall"


def binaries() -> Path:
    """Server binaries, one folder per name and version, shared by all clusters."""
    return cache() / "bin"


def images() -> Path:
    """Image archives, shared by all clusters."""
    return cache() / "images"


def clusters() -> Path:
    """One folder per cluster: keys, logs, data, what runs."""
    return cache() / "clusters"
