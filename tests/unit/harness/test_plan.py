"""Clusters of different indexes share no address, no link name and no folder."""

import ipaddress
import itertools

from tests.harness.local.plan import CLUSTERS, Plan


def test_clusters_share_nothing() -> None:
    plans = [Plan(f"c{index}", index, 3) for index in range(CLUSTERS)]
    ranges = [ipaddress.ip_network(text) for plan in plans for text in (plan.pods_range, plan.services_range)]
    ranges += [ipaddress.ip_network(f"{plan.control_address}/24", strict=False) for plan in plans]
    assert not any(one.overlaps(other) for one, other in itertools.combinations(ranges, 2))
    names = [name for plan in plans for name in (plan.bridge, *(node.veth for node in plan.nodes))]
    assert len(set(names)) == len(names)
    assert len({plan.folder for plan in plans}) == CLUSTERS


def test_addresses_of_a_cluster_lie_in_its_ranges() -> None:
    plan = Plan("c", 7, 3)
    services, pods = ipaddress.IPv4Network(plan.services_range), ipaddress.IPv4Network(plan.pods_range)
    assert ipaddress.ip_address(plan.dns_service) in services
    assert ipaddress.ip_address(plan.first_service) == services[1]
    assert all(ipaddress.IPv4Network(node.pod_range).subnet_of(pods) for node in plan.nodes)


def test_link_names_fit_the_kernel() -> None:
    plan = Plan("a-very-long-name-of-a-cluster", 7, 99)
    assert all(len(name) <= 15 for name in (plan.bridge, *(node.veth for node in plan.nodes)))
