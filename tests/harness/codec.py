"""The two releases of the library in C that the sample service `orders` uses, the second of which is broken."""

from pathlib import Path

from . import paths
from .commands import run
from .packages import ensure_c_compiler

SOURCE = paths.REPOSITORY / "examples/orders/codec.c"


def ensure() -> None:
    """Build both into build/codec where they are missing or older than their source; raises HarnessError."""
    folder = paths.REPOSITORY / "build/codec"
    folder.mkdir(parents=True, exist_ok=True)
    for release, flags in (("codec-1.so", []), ("codec-2.so", ["-DBROKEN"])):
        library = folder / release
        if not library.exists() or library.stat().st_mtime < max(SOURCE.stat().st_mtime, Path(__file__).stat().st_mtime):
            ensure_c_compiler()
            run(["cc", "-O1", "-Wall", "-shared", "-fPIC", *flags, SOURCE, "-o", library])
