"""What the chart says by the environment, and what it may not say."""

from __future__ import annotations

from pathlib import Path

import pytest

from rollcall.settings import AgentSettings, KubeletSettings, Settings, SettingsError


def test_defaults() -> None:
    assert Settings.from_environment({}) == Settings()
    assert Settings().ingest_address == "rollcall-ingest.rollcall-system.svc:10251"


def test_everything_said() -> None:
    found = Settings.from_environment(
        {
            "ROLLCALL_NAME": "other", "ROLLCALL_NAMESPACE": "ns", "ROLLCALL_POD_NAME": "pod", "ROLLCALL_LOG_LEVEL": "debug",
            "ROLLCALL_AGENT_IMAGE": "agent:1", "ROLLCALL_AGENT_PULL_POLICY": "Always",
            "ROLLCALL_KUBELET": "true", "ROLLCALL_KUBELET_VERIFY": "false", "ROLLCALL_STORE": "/kept.db",
        }
    )  # fmt: skip
    agent, kubelet = AgentSettings("agent:1", "Always"), KubeletSettings(enabled=True, verify=False)
    assert found == Settings("other", "ns", "pod", "DEBUG", agent, kubelet, store=Path("/kept.db"))


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("ROLLCALL_LOG_LEVEL", "loud", "DEBUG, INFO, WARNING or ERROR"),
        ("ROLLCALL_AGENT_PULL_POLICY", "Sometimes", "Always, IfNotPresent or Never"),
        ("ROLLCALL_KUBELET", "yes", "true or false"),
        ("ROLLCALL_KUBELET_VERIFY", "", "true or false"),
    ],
)
def test_a_wrong_value_is_named_with_what_it_takes(name: str, value: str, words: str) -> None:
    with pytest.raises(SettingsError, match=f"{name} is .*{words}"):
        Settings.from_environment({name: value})
