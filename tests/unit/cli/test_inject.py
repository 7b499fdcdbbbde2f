"""`rollcall inject`: the same golden pods as the webhook, all kinds of workloads, and errors in one sentence."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
import yaml

from rollcall.api.manifests import from_yaml
from rollcall.cli.inject import Output, inject_file
from rollcall.cli.main import main
from rollcall.inject.patch import inject
from tests.golden.injection import FOLDER, SERVICES, SETTINGS, Case, cases

IMAGE = ("--agent-image", SETTINGS.agent_image)
TEMPLATE = {"metadata": {"labels": {"app": "newsfeed"}}, "spec": {"containers": [{"name": "web", "image": "newsfeed:1"}]}}


def written(path: Path, *documents: Any) -> str:
    path.write_text(yaml.safe_dump_all(documents))
    return str(path)


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """`rollcall inject` as the shell sees it: exit code, stdout, stderr."""

    def call(*arguments: str, stdin: str = "") -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["rollcall", "inject", *arguments])
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        code: object = 0
        try:
            main()
        except SystemExit as ended:
            code = ended.code
        captured = capsys.readouterr()
        return cast(int, code or 0), captured.out, captured.err

    return call


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.name)
def test_golden_pods_come_out_as_from_the_webhook(case: Case) -> None:
    source = str(FOLDER / f"{case.name}.in.yaml")
    assert from_yaml(inject_file(source, SERVICES, SETTINGS).text) == [case.expected_pod]
    patch = inject_file(source, SERVICES, SETTINGS, Output.PATCH).text
    assert json.loads(patch) == list(inject(case.pod, SERVICES, SETTINGS).patch)


def workload(kind: str) -> dict[str, Any]:
    spec: dict[str, Any] = {"template": TEMPLATE}
    if kind == "CronJob":
        spec = {"schedule": "* * * * *", "jobTemplate": {"spec": spec}}
    return {"kind": kind, "metadata": {"name": "newsfeed"}, "spec": spec}


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job", "CronJob"])
def test_workloads_are_injected_in_their_template(tmp_path: Path, kind: str) -> None:
    source = written(tmp_path / "in.yaml", workload(kind))
    [after] = from_yaml(inject_file(source, SERVICES, SETTINGS).text)
    template = after["spec"]["jobTemplate"]["spec"]["template"] if kind == "CronJob" else after["spec"]["template"]
    assert [container["name"] for container in template["spec"]["initContainers"]] == ["rollcall-agent", "rollcall-probes"]
    assert template["metadata"]["annotations"]["rollcall.dev/service"] == "newsfeed"
    prefix = "/spec/jobTemplate/spec/template/" if kind == "CronJob" else "/spec/template/"
    patch = json.loads(inject_file(source, SERVICES, SETTINGS, Output.PATCH).text)
    assert all(operation["path"].startswith(prefix) for operation in patch)


def test_one_file_with_everything_in_it(tmp_path: Path, run: Run) -> None:
    service = {
        "apiVersion": "rollcall.dev/v1alpha1",
        "kind": "MonitoredService",
        "metadata": {"name": "newsfeed"},
        "spec": {"selector": {"matchLabels": {"app": "newsfeed"}}},
    }
    other = {"kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"when": "2026-01-01T00:00:00Z"}}
    items = {"kind": "List", "items": [workload("Deployment"), other]}
    source = written(tmp_path / "in.yaml", items, service)
    code, out, err = run("-f", source, *IMAGE)
    assert code == 0
    assert [document["kind"] for document in from_yaml(out)] == ["Deployment", "ConfigMap", "MonitoredService"]
    assert from_yaml(out)[1] == other
    assert "Deployment newsfeed: Injected for MonitoredService newsfeed" in err


def test_stdin_and_services_from_another_file(run: Run) -> None:
    text = (FOLDER / "plain.in.yaml").read_text()
    code, out, _ = run("-f", "-", "-s", str(FOLDER / "services.yaml"), *IMAGE, stdin=text)
    assert code == 0
    assert from_yaml(out) == list(from_yaml((FOLDER / "plain.out.yaml").read_text()))[1:]


def test_what_came_out_goes_in_again_unchanged(tmp_path: Path) -> None:
    source = written(tmp_path / "in.yaml", workload("Deployment"))
    first = inject_file(source, SERVICES, SETTINGS).text
    again = tmp_path / "again.yaml"
    again.write_text(first)
    assert inject_file(str(again), SERVICES, SETTINGS).text == first


def test_classic_is_a_flag(tmp_path: Path, run: Run) -> None:
    source = written(tmp_path / "in.yaml", workload("Deployment"))
    _, out, _ = run("-f", source, "-s", str(FOLDER / "services.yaml"), "--sidecar", "classic")
    containers = from_yaml(out)[0]["spec"]["template"]["spec"]["containers"]
    assert [container["name"] for container in containers] == ["web", "rollcall-agent"]


def test_a_service_without_a_namespace_is_in_the_pods_one(tmp_path: Path) -> None:
    service = {
        "apiVersion": "rollcall.dev/v1alpha1",
        "kind": "MonitoredService",
        "metadata": {"name": "n"},
        "spec": {"selector": {"matchLabels": {"app": "newsfeed"}}},
    }
    elsewhere = workload("Deployment") | {"metadata": {"name": "newsfeed", "namespace": "elsewhere"}}
    injected = inject_file(written(tmp_path / "in.yaml", elsewhere, service), [], SETTINGS)
    assert "Injected for MonitoredService n" in injected.report[0]


def test_another_namespace_is_another_service(tmp_path: Path) -> None:
    elsewhere = workload("Deployment") | {"metadata": {"name": "newsfeed", "namespace": "elsewhere"}}
    source = written(tmp_path / "in.yaml", elsewhere)
    injected = inject_file(source, SERVICES, SETTINGS)
    assert from_yaml(injected.text) == [elsewhere]
    assert "NoMatchingService" in injected.report[0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "cannot read"),
        ("a: [", "not valid YAML in line 1"),
        ("kind: Pod", "no MonitoredService"),
        (
            "{apiVersion: rollcall.dev/v1alpha1, kind: MonitoredService, metadata: {name: x}, spec: {selector: {}}}",
            "MonitoredService x is not valid: spec.selector: selector must not be empty",
        ),
    ],
)
def test_errors_are_one_sentence_and_exit_code_2(tmp_path: Path, run: Run, text: str | None, message: str) -> None:
    source = tmp_path / "in.yaml"
    if text is not None:
        source.write_text(text)
    code, out, err = run("-f", str(source))
    assert code == 2
    assert out == ""
    assert err.startswith("rollcall: inject: ")
    assert message in err
    assert err.count("\n") == 1
