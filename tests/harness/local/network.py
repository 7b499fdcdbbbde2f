"""Bridge, node links and routes of one cluster, and nothing that leads off this machine.

The root namespace does not forward from the bridge, nodes have no default route, and what is addressed to a pod or a service
that does not exist ends in a blackhole instead of on the machine's uplink.
"""

import contextlib
import ipaddress
import json
from collections.abc import Sequence
from pathlib import Path

from ..commands import run, succeeds
from .plan import NodePlan, Plan
from .processes import Namespaces


def create(plan: Plan) -> None:
    """Make the bridge with the control plane's address, and the blackhole routes."""
    run(["ip", "link", "add", plan.bridge, "type", "bridge"])
    run(["ip", "address", "add", f"{plan.control_address}/24", "dev", plan.bridge])
    run(["ip", "link", "set", plan.bridge, "up"])
    Path(f"/proc/sys/net/ipv4/conf/{plan.bridge}/forwarding").write_text("0")
    for address_range in (plan.pods_range, plan.services_range):
        run(["ip", "route", "replace", "blackhole", address_range])


def attach(plan: Plan, node: NodePlan, namespaces: Namespaces) -> None:
    """Give the node its link to the bridge and its routes; the root namespace learns the way to its pods."""
    succeeds(["ip", "link", "delete", node.veth])  # of a node that lost its power a moment ago
    peer = ["peer", "name", "eth0", "netns", str(namespaces.holder)]
    run(["ip", "link", "add", node.veth, "type", "veth", *peer])
    run(["ip", "link", "set", node.veth, "master", plan.bridge, "up"])
    run(["ip", "route", "replace", node.pod_range, "via", node.address, "dev", plan.bridge])
    lines = [
        "link set lo up",
        f"address add {node.address}/24 dev eth0",
        "link set eth0 up",
        *(f"route add {other.pod_range} via {other.address}" for other in plan.nodes if other != node),
    ]
    run([*namespaces.enter(), "ip", "-batch", "-"], input="\n".join(lines) + "\n")
    # Without the second, only some of the packets to nowhere are refused at once and the others time out.
    kernel = "echo 1 > /proc/sys/net/ipv4/ip_forward; echo 0 > /proc/sys/net/ipv4/icmp_ratelimit"
    run([*namespaces.enter(), "sh", "-c", kernel])


def set_link(node: NodePlan, up: bool) -> None:
    """Pull or plug the node's cable."""
    run(["ip", "link", "set", node.veth, "up" if up else "down"])


def remove(plan: Plan) -> None:
    """Remove bridge, links and routes, as far as they exist."""
    for address_range in (plan.pods_range, plan.services_range):
        succeeds(["ip", "route", "delete", "blackhole", address_range])
    for link in _links():
        if link.get("master") == plan.bridge:
            succeeds(["ip", "link", "delete", str(link["ifname"])])
    succeeds(["ip", "link", "delete", plan.bridge])


def exists(plan: Plan) -> bool:
    """Whether the cluster's bridge is there."""
    return any(link["ifname"] == plan.bridge for link in _links())


def is_free(plans: Sequence[str]) -> bool:
    """Whether none of the given ranges overlaps a route or an address of this machine."""
    wanted = [ipaddress.ip_network(text) for text in plans]
    taken = []
    for route in json.loads(run(["ip", "-4", "-json", "route", "show", "table", "all"])):
        with contextlib.suppress(ValueError):  # "default" and the like
            taken.append(ipaddress.ip_network(route["dst"]))
    return not any(one.overlaps(other) for one in wanted for other in taken)


def _links() -> list[dict[str, object]]:
    links: list[dict[str, object]] = json.loads(run(["ip", "-json", "link", "show"]))
    return links


def remains(plan: Plan) -> list[str]:
    """Links and routes of the cluster that still exist, in words."""
    found = [f"link {link['ifname']}" for link in _links() if plan.bridge in (link["ifname"], link.get("master"))]
    routes = run(["ip", "-4", "route", "show", "type", "blackhole"])
    found += [f"route {text}" for text in (plan.pods_range, plan.services_range) if text in routes]
    return found
