"""The cluster as tests and commands see it, whatever provides it.

    cluster = Cluster.up()
    cluster.kubectl("apply", "-f", "-", input=manifest)
    cluster.down()

`local` runs on Linux as root, `kind` where a Docker engine answers, `existing` only with a kubeconfig named explicitly:
never somebody's cluster by accident.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from . import binaries, images, kind
from .commands import run
from .errors import HarnessError
from .images import Image
from .local import provider as local_provider
from .local.node import Node
from .progress import step

PROVIDERS = ("local", "kind", "existing")
DEFAULT_NAME = "rollcall"


def default_provider() -> str:
    """`kind` where a Docker engine answers, else `local`."""
    return "kind" if images.docker_answers() else "local"


@dataclass(frozen=True)
class Cluster:
    """A running cluster. Commands run against its own kubeconfig and never look at the user's."""

    name: str
    provider: str
    kubeconfig: Path
    nodes: list[Node] = field(default_factory=list, compare=False)
    """Nodes that can be stopped and started; empty where the provider has none of ours."""

    @classmethod
    def up(
        cls, name: str = DEFAULT_NAME, provider: str | None = None, nodes: int = 2, kubeconfig: Path | None = None
    ) -> "Cluster":
        """Return the cluster, started if it does not run; `kubeconfig` is for provider `existing` and required there.

        Raises HarnessError when it cannot be had.
        """
        chosen = provider or ("existing" if kubeconfig else default_provider())
        if chosen == "existing":
            return cls._existing(name, kubeconfig)
        if kubeconfig is not None:
            raise HarnessError(f"a kubeconfig is for the provider `existing`; `{chosen}` writes its own")
        if chosen == "kind":
            return cls(name, "kind", kind.up(name, nodes))
        if chosen == "local":
            plan = local_provider.up(name, nodes)
            return cls(name, "local", plan.kubeconfig, local_provider.nodes(plan))
        raise HarnessError(f"there is no provider `{chosen}`; there are {', '.join(PROVIDERS)}")

    @classmethod
    def running(cls, name: str = DEFAULT_NAME) -> "Cluster":
        """The cluster of this name that was started before; HarnessError when there is none."""
        if plan := local_provider.load(name):
            return cls(name, "local", plan.kubeconfig, local_provider.nodes(plan))
        if kind.kubeconfig(name).exists():
            return cls(name, "kind", kind.kubeconfig(name))
        raise HarnessError(f"there is no cluster {name}; `python -m tests.harness up --name {name}` starts it")

    @classmethod
    def _existing(cls, name: str, kubeconfig: Path | None) -> "Cluster":
        if kubeconfig is None:
            raise HarnessError("cannot choose an existing cluster by accident: name its file with --kubeconfig")
        if not kubeconfig.is_file():
            raise HarnessError(f"cannot use the existing cluster: there is no file {kubeconfig}")
        cluster = cls(name, "existing", kubeconfig.absolute())
        cluster.kubectl("version")
        return cluster

    def kubectl(self, *args: str | Path, input: str | None = None, check: bool = True) -> str:  # noqa: A002
        """Run kubectl and return its stdout; HarnessError when `check` and it fails."""
        return run(self.command(*args), input=input, check=check, env=self.environment())

    def command(self, *args: str | Path) -> list[str]:
        """The kubectl command line, for what runs longer than one call: port-forward, logs -f, get -w."""
        return [str(part) for part in (binaries.kubectl(), *args)]

    def wait(self, *args: str, timeout_s: float = 60) -> None:
        """`kubectl wait`, e.g. `cluster.wait("pod/web", "--for=condition=Ready", "-n", "shop")`."""
        self.kubectl("wait", *args, f"--timeout={timeout_s:.0f}s")

    def remove_namespace(self, name: str) -> None:
        """Remove a namespace and wait until it is gone. Its pods first: the namespace controller looks at those that are still
        ending only after half of their grace period."""
        self.kubectl(
            "-n", name, "delete", "deployments,statefulsets,daemonsets,jobs,pods", "--all", "--cascade=foreground",
            "--ignore-not-found", "--timeout=90s",
        )  # fmt: skip
        self.kubectl("delete", "namespace", name, "--wait=true", "--timeout=90s")

    def helm(self, *args: str | Path) -> str:
        """Run helm and return its stdout; HarnessError when it fails."""
        return run([binaries.helm(), *args], env=self.environment())

    def environment(self) -> dict[str, str]:
        """The environment in which kubectl, helm and others see this cluster and no other, without any HTTP proxy."""
        clean = {key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy")}
        return clean | {"KUBECONFIG": str(self.kubeconfig)}

    def build(self, name: str) -> Image:
        """Build one of `images.IMAGES` unless it is up to date, and load it into the nodes."""
        image = images.build_image(name)
        self.load(image)
        return image

    def load(self, image: Image) -> None:
        """Make an image that was built available on every node; returns at once where it already is."""
        if self.provider == "existing":
            raise HarnessError(f"cannot load {image.reference}: an existing cluster takes its images from a registry")
        if self.provider == "kind":
            with step(f"load {image.reference}"):
                kind.load(self.name, image)
        elif lacking := [node for node in self.nodes if node.alive and not node.has(image)]:
            with step(f"load {image.reference} into {len(lacking)} nodes"), ThreadPoolExecutor() as pool:
                list(pool.map(lambda node: node.load(image), lacking))

    def down(self) -> None:
        """Remove the cluster; an existing one is left alone."""
        if self.provider == "kind":
            kind.down(self.name)
        elif self.provider == "local":
            local_provider.down(self.name)
