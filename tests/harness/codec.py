"""Libraries in C that samples use, in two releases, the second of which is broken: of `orders` one that it loads itself, of
`legacy` an extension of PHP."""

from pathlib import Path

from . import packages, paths
from .commands import run

_FLAGS = {"1": [], "2": ["-DBROKEN"]}


def ensure_codec() -> None:
    """build/codec/codec-N.so; raises HarnessError."""
    packages.ensure_c_compiler()
    _build(paths.REPOSITORY / "examples/orders/codec.c", "codec", [])


def ensure_recode() -> None:
    """build/recode/recode-N.so, for Debian's PHP 8.2; raises HarnessError."""
    packages.ensure_php_headers()
    includes = run(["php-config8.2", "--includes"]).split()
    _build(paths.REPOSITORY / "examples/legacy/recode.c", "recode", ["-w", *includes])


def _build(source: Path, name: str, flags: list[str]) -> None:
    folder = paths.REPOSITORY / "build" / name
    folder.mkdir(parents=True, exist_ok=True)
    for release, more in _FLAGS.items():
        library = folder / f"{name}-{release}.so"
        if not library.exists() or library.stat().st_mtime < max(source.stat().st_mtime, Path(__file__).stat().st_mtime):
            run(["cc", "-O1", "-Wall", "-shared", "-fPIC", *flags, *more, source, "-o", library])
