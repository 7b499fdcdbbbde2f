"""The samples as files: they know nothing of Rollcall, and what selects them fits them."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

EXAMPLES = Path(__file__).parents[3] / "examples"
SAMPLES = ["newsfeed", "newsfeed-async", "legacy", "catalog", "edge"]


@pytest.mark.parametrize("sample", [sample for sample in SAMPLES if sample != "edge"])  # its log's format is called so
def test_the_application_does_not_know_rollcall(sample: str) -> None:
    sources = [
        path for path in (EXAMPLES / sample).rglob("*") if path.suffix in {".py", ".php", ".conf", ".txt", ".js", ".json"}
    ]
    assert len(sources) >= 3
    assert [path.name for path in sources if "rollcall" in path.read_text().lower()] == []


@pytest.mark.parametrize("sample", SAMPLES)
def test_the_monitored_service_selects_the_pods(sample: str) -> None:
    deployment, service = yaml.safe_load_all((EXAMPLES / sample / "manifest.yaml").read_text())
    monitored = yaml.safe_load((EXAMPLES / sample / "monitoredservice.yaml").read_text())
    template = deployment["spec"]["template"]
    wanted = monitored["spec"]["selector"]["matchLabels"]
    assert wanted.items() <= template["metadata"]["labels"].items()
    assert service["spec"]["selector"] == wanted
    containers = {container["name"] for container in template["spec"]["containers"]}
    assert monitored["spec"].get("container", "web") in containers


@pytest.mark.parametrize("sample", SAMPLES)
def test_no_readiness_probe_is_counted_as_traffic(sample: str) -> None:
    deployment, _ = yaml.safe_load_all((EXAMPLES / sample / "manifest.yaml").read_text())
    probes = [c["readinessProbe"] for c in deployment["spec"]["template"]["spec"]["containers"] if "readinessProbe" in c]
    assert len(probes) == 1
    assert "tcpSocket" in probes[0]
