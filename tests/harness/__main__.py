"""Command line of the harness: `python -m tests.harness up`."""

import argparse
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

from . import paths
from .cluster import DEFAULT_NAME, PROVIDERS, Cluster
from .errors import HarnessError
from .guide import shell_environment
from .images import IMAGES, build_image
from .local import provider as local_provider

_Parser = argparse.ArgumentParser
_Command = Callable[[argparse.Namespace], int | None]


def main() -> int:
    """Run one command; 1 and one sentence on stderr when it cannot be done."""
    arguments = _parser().parse_args()
    try:
        return int(arguments.run(arguments) or 0)
    except HarnessError as error:
        print(f"harness: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        print("harness: interrupted; `down` removes what was started", file=sys.stderr)
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.harness",
        description="The local Kubernetes cluster that Rollcall is developed and tested on.",
        epilog=f"Everything is kept in {paths.cache()} (ROLLCALL_CACHE or XDG_CACHE_HOME change it).",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    up = _command(commands, "up", _up, "start the cluster; does nothing when it already runs")
    up.add_argument("--provider", choices=PROVIDERS, help="default: kind where a Docker engine answers, else local")
    up.add_argument("--nodes", type=int, default=2, metavar="N", help="number of nodes (default: 2)")
    up.add_argument("--kubeconfig", type=Path, help="the cluster to use, for --provider existing; required there")

    _command(commands, "down", _down, "remove the cluster and everything of it but the cache")
    _command(commands, "status", _status, "what runs, nodes, pods that are not ready")
    _command(commands, "kubeconfig", _kubeconfig, "print the kubeconfig's path: export KUBECONFIG=$(... kubeconfig)")
    _command(commands, "env", _env, 'print what lets a shell use the cluster: eval "$(... env)"')

    logs = _command(commands, "logs", _logs, "list the components that log, or print the end of one log")
    logs.add_argument("component", nargs="?", help="e.g. kube-apiserver or NODE.kubelet; without it: the list")
    logs.add_argument("--lines", type=int, default=100, metavar="N", help="how many lines (default: 100)")

    names = f"default: all of {', '.join(IMAGES)}"
    images = _command(commands, "images", _images, "build images and load them into the cluster's nodes")
    images.add_argument("image", nargs="*", metavar="IMAGE", help=names)
    build = _command(commands, "build", _build, "build images, without a cluster")
    build.add_argument("image", nargs="*", metavar="IMAGE", help=names)
    return parser


def _command(commands: "argparse._SubParsersAction[_Parser]", name: str, run: _Command, text: str) -> _Parser:
    parser = commands.add_parser(name, help=text, description=text)
    parser.add_argument("--name", default=DEFAULT_NAME, help=f"name of the cluster (default: {DEFAULT_NAME})")
    parser.set_defaults(run=run)
    return parser


def _up(arguments: argparse.Namespace) -> None:
    cluster = Cluster.up(arguments.name, arguments.provider, arguments.nodes, arguments.kubeconfig)
    print(f"export KUBECONFIG={cluster.kubeconfig}")


def _down(arguments: argparse.Namespace) -> None:
    Cluster.running(arguments.name).down()


def _status(arguments: argparse.Namespace) -> int:
    cluster = Cluster.running(arguments.name)
    complete = True
    if cluster.provider == "local" and (plan := local_provider.load(cluster.name)):
        for component, runs in local_provider.running(plan).items():
            print(f"{component:28} {'runs' if runs else 'DOES NOT RUN'}")
            complete = complete and runs
    print(cluster.kubectl("get", "nodes", "-o", "wide"), end="")
    print(cluster.kubectl("get", "pods", "-A", "--field-selector=status.phase!=Running,status.phase!=Succeeded"), end="")
    return 0 if complete else 1


def _env(arguments: argparse.Namespace) -> None:
    for name, value in shell_environment(Cluster.running(arguments.name)).items():
        print(f"export {name}={shlex.quote(value)}{':$PATH' if name == 'PATH' else ''}")


def _kubeconfig(arguments: argparse.Namespace) -> None:
    print(Cluster.running(arguments.name).kubeconfig)


def _logs(arguments: argparse.Namespace) -> None:
    folder = Cluster.running(arguments.name).kubeconfig.parent / "logs"
    if arguments.component is None:
        print("\n".join(sorted(file.stem for file in folder.glob("*.log"))))
        return
    file = folder / f"{arguments.component}.log"
    if not file.is_file():
        raise HarnessError(f"there is no log of {arguments.component}; `logs` without a name lists them")
    print("\n".join(file.read_text(errors="replace").splitlines()[-arguments.lines :]))


def _images(arguments: argparse.Namespace) -> None:
    cluster = Cluster.running(arguments.name)
    for name in arguments.image or IMAGES:
        print(cluster.build(name).reference)


def _build(arguments: argparse.Namespace) -> None:
    for name in arguments.image or IMAGES:
        print(build_image(name).archive)


if __name__ == "__main__":
    sys.exit(main())
