"""Builds the images of this repository from their ordinary Dockerfiles, with docker or with buildah.

An image is built again only when a file that its Dockerfile copies has changed. The result is an archive in the cache that
any node can import.
"""

import fcntl
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from . import base_images, codec, context, native, packages, paths, sdks, wheels
from .commands import run, succeeds
from .errors import HarnessError
from .progress import step

_LOCAL_PYTHON, _DOCKER_PYTHON = "3.11", "3.13"
"""The Python of the debootstrap base, and of the base that the Dockerfiles name themselves."""


@dataclass(frozen=True)
class Recipe:
    """How one image is made."""

    dockerfile: str
    base: str = "python"
    """A name in `base_images.BASES`."""
    wheels: Mapping[str, Callable[[], Sequence[str]]] = field(default_factory=dict)
    """Folders of build/wheels that the Dockerfile copies, each with the requirements it is filled for."""
    prepare: Callable[[], None] = lambda: None
    """What else the Dockerfile copies that has to be made first."""


def _listed(sample: str) -> Recipe:
    folder = f"examples/{sample}"
    return Recipe(f"{folder}/Dockerfile", wheels={sample: lambda: wheels.listed(f"{folder}/requirements.txt")})


IMAGES = {
    "operator": Recipe("operator/Dockerfile", wheels={"operator": lambda: wheels.extra("operator"), "own": lambda: wheels.OWN}),
    "agent": Recipe("agent_sidecar/Dockerfile", prepare=native.ensure),
    "newsfeed": _listed("newsfeed"),
    "newsfeed-async": _listed("newsfeed-async"),
    "legacy": Recipe("examples/legacy/Dockerfile", base="php", prepare=codec.ensure_recode),
    "orders": replace(_listed("orders"), prepare=codec.ensure_codec),
    "backing": Recipe(
        "tests/harness/backing/Dockerfile",
        base="servers",
        wheels={"backing": lambda: wheels.listed("tests/harness/backing/requirements.txt")},
    ),
    "catalog": Recipe("examples/catalog/Dockerfile", base="node", prepare=lambda: sdks.install_modules("catalog")),
    "edge": Recipe("examples/edge/Dockerfile", base="php"),
    "traced-python": Recipe(
        "tests/harness/traced/python.Dockerfile",
        wheels={"traced-python": lambda: wheels.listed("tests/harness/traced/requirements.txt")},
    ),
    "traced-java": Recipe("tests/harness/traced/java.Dockerfile", base="java", prepare=sdks.compile_java),
    "load": Recipe("tests/harness/load/Dockerfile"),
}


@dataclass(frozen=True)
class Image:
    """A built image: what pods call it, its archive, and the digest of what it was built from."""

    reference: str
    archive: Path
    inputs: str


def build_image(name: str) -> Image:
    """Build the image `name` of IMAGES unless it is up to date; its reference is docker.io/rollcall/NAME:dev.

    Raises HarnessError when there is no such image or its build fails.
    """
    if name not in IMAGES:
        raise HarnessError(f"there is no image {name}; there are {', '.join(IMAGES)}")
    recipe = IMAGES[name]
    return build(f"docker.io/rollcall/{name}:dev", name, recipe)


def build(reference: str, name: str, recipe: Recipe) -> Image:
    """Build any Dockerfile below the repository the same way; `name` names its archive and its wheels."""
    dockerfile = paths.REPOSITORY / recipe.dockerfile
    if not dockerfile.is_file():
        raise HarnessError(f"cannot build {name}: there is no {recipe.dockerfile}")
    docker = docker_answers()
    with _locked():
        for folder, requirements in recipe.wheels.items():
            wheels.prepare(folder, requirements(), _DOCKER_PYTHON if docker else _LOCAL_PYTHON)
        recipe.prepare()
        base = "" if docker else base_images.BASES[recipe.base].reference
        inputs = context.digest(dockerfile, base, reference)
        image = Image(reference, paths.images() / f"{name}-{inputs}.tar", inputs)
        if not image.archive.exists():
            with step(f"build {reference}"):
                _build(docker, image, recipe, dockerfile)
            for outdated in paths.images().glob(f"{name}-{'[0-9a-f]' * 16}.tar"):
                if outdated != image.archive:
                    outdated.unlink()
    return image


def docker_answers() -> bool:
    """Whether there is a Docker engine to build and run with."""
    return succeeds(["docker", "info"])


@contextmanager
def _locked() -> Iterator[None]:
    """One build at a time: they share folders below build/wheels and the archives."""
    paths.images().mkdir(parents=True, exist_ok=True)
    with (paths.images() / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _build(docker: bool, image: Image, recipe: Recipe, dockerfile: Path) -> None:
    fresh = image.archive.with_suffix(".tmp")
    fresh.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        context.stage(dockerfile, Path(folder))
        if docker:
            run(["docker", "build", "--file", dockerfile, "--tag", image.reference, folder])
            run(["docker", "save", "--output", fresh, image.reference])
        else:
            base = base_images.BASES[recipe.base]
            _pull_base(base)
            _buildah(
                "build",
                "--layers",
                "--file",
                dockerfile,
                "--build-arg",
                f"BASE={base.reference}",
                "--tag",
                image.reference,
                folder,
            )
            _buildah("push", image.reference, f"docker-archive:{fresh}:{image.reference}")
    fresh.rename(image.archive)


def _pull_base(base: base_images.Base) -> None:
    archive = base_images.ensure(base)
    if base.reference not in _buildah("images", "--format", "{{.Name}}:{{.Tag}}"):
        _buildah("pull", f"docker-archive:{archive}")


def _buildah(*arguments: str | Path) -> str:
    packages.ensure_build_tools()
    storage = paths.cache() / "buildah"
    places: list[str | Path] = ["--root", storage / "root", "--runroot", storage / "run"]
    # Chroot isolation needs no runtime and no network of its own; the build sees no package index.
    environment = os.environ | {"BUILDAH_ISOLATION": "chroot", "STORAGE_DRIVER": "overlay"}
    return run(["buildah", *places, *arguments], env=environment)
