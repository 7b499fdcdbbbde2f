"""OpenTelemetry's SDKs of other languages, fetched once into the cache by their ordinary package managers.

Nothing of them is in the repository, and nothing of ours runs in them: they are what applications bring.
"""

import fcntl
import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from . import packages, paths
from .commands import run
from .context import tree_digest
from .progress import step

NODE = ("@opentelemetry/auto-instrumentations-node@0.81.2", "express@5.3.0")
JAVA_AGENT = "io.opentelemetry.javaagent:opentelemetry-javaagent:2.20.1"


def node_modules(requirements: Sequence[str] = NODE) -> Path:
    """A `node_modules` with these packages. Their install scripts are not needed, and not run."""
    quiet = ("--no-audit", "--no-fund", "--ignore-scripts")
    folder = _kept("Node", requirements, lambda fresh: run(["npm", "install", *quiet, "--prefix", fresh, *requirements]))
    return folder / "node_modules"


def install_modules(sample: str) -> None:
    """Fill build/node/`sample` with what the sample's package.json asks for: inside an image build there is no registry."""
    asked = json.loads((paths.REPOSITORY / "examples" / sample / "package.json").read_text())["dependencies"]
    requirements = [f"{name}@{version}" for name, version in sorted(asked.items())]
    source, target = node_modules(requirements), paths.REPOSITORY / "build/node" / sample
    mark = target / "from"
    if not mark.exists() or mark.read_text() != str(source):
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(source, target / "node_modules", symlinks=True)
        mark.write_text(str(source))


def java_agent(artifact: str = JAVA_AGENT) -> Path:
    """OpenTelemetry's agent for Java, which instruments an application when that is loaded."""
    copy = ("mvn", "-q", "-B", "dependency:copy", f"-Dartifact={artifact}")
    folder = _kept("Java", [artifact], lambda fresh: run([*copy, f"-DoutputDirectory={fresh}"], cwd=fresh))
    return next(folder.glob("*.jar"))


def compile_java() -> None:
    """Fill build/java/traced-java with the tests' Java application, compiled, and the agent: a build has no compiler."""
    agent, source = java_agent(), paths.REPOSITORY / "tests/unit/agent/otlp/App.java"
    target = paths.REPOSITORY / "build/java/traced-java"
    mark, state = target.parent / "traced-java.from", f"{agent.name} {tree_digest(source)}"
    if not mark.exists() or mark.read_text() != state:
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        shutil.copy(agent, target / "opentelemetry-javaagent.jar")
        run(["javac", "--release", "17", "-d", target, source])
        mark.write_text(state)


def _kept(language: str, requirements: Sequence[str], fill: Callable[[Path], object]) -> Path:
    """The folder in the cache that `fill` has filled for these requirements."""
    packages.ensure_sdk_tools()
    key = hashlib.sha256("\n".join(requirements).encode()).hexdigest()[:16]
    folder = paths.cache() / "sdks" / f"{language.lower()}-{key}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            with step(f"OpenTelemetry for {language} (once)"), tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
                fresh = Path(temporary, "content")
                fresh.mkdir()
                fill(fresh)
                fresh.rename(folder)
    return folder
