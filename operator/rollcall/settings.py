"""What an installation can set, read once from the environment that the chart fills."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


class SettingsError(ValueError):
    """An environment variable is missing or has a value that cannot be used; the text names it."""


@dataclass(frozen=True)
class AgentSettings:
    """The sidecar that is injected."""

    image: str = "docker.io/rollcall/agent:dev"
    """Image of the agent, best with a tag that never moves or a digest."""

    pull_policy: str = "IfNotPresent"
    """imagePullPolicy of the injected containers."""


@dataclass(frozen=True)
class KubeletSettings:
    """Who tells what pods use that have no probe."""

    enabled: bool = True
    """Whether kubelets are asked."""

    verify: bool = True
    """Whether a kubelet must show a certificate of the cluster's CA."""


@dataclass(frozen=True)
class Ports:
    """Where the operator listens."""

    webhook: int = 10250
    """HTTPS for the API server, on every replica. Private clusters open this port towards nodes by default."""

    ingest: int = 10251
    """TLS for agents; only the lease holder answers."""

    api: int = 10252
    """HTTPS for people: the live API; only the lease holder answers."""

    metrics: int = 8080
    """Plain HTTP: /metrics, /healthz, /readyz."""


@dataclass(frozen=True)
class Settings:
    """Everything together."""

    name: str = "rollcall"
    """Prefix of our services and the name of Lease and webhook configuration."""

    namespace: str = "rollcall-system"
    """Namespace that the operator runs in."""

    pod_name: str = ""
    """Our own pod, which gets the leader label; empty outside a cluster."""

    log_level: str = "INFO"
    """DEBUG, INFO, WARNING or ERROR."""

    agent: AgentSettings = field(default_factory=AgentSettings)
    kubelet: KubeletSettings = field(default_factory=KubeletSettings)
    ports: Ports = field(default_factory=Ports)

    store: Path | None = None
    """File that keeps what must outlive the process; None: nothing is kept."""

    @classmethod
    def from_environment(cls, env: Mapping[str, str] = os.environ) -> Settings:
        """Read ROLLCALL_* variables; raises SettingsError that names the variable and the values it takes."""
        level = env.get("ROLLCALL_LOG_LEVEL", cls.log_level).upper()
        if level not in ("DEBUG", "INFO", "WARNING", "ERROR"):
            raise SettingsError(f"ROLLCALL_LOG_LEVEL is {level!r}; use DEBUG, INFO, WARNING or ERROR")
        policy = env.get("ROLLCALL_AGENT_PULL_POLICY", AgentSettings.pull_policy)
        if policy not in ("Always", "IfNotPresent", "Never"):
            raise SettingsError(f"ROLLCALL_AGENT_PULL_POLICY is {policy!r}; use Always, IfNotPresent or Never")
        return cls(
            name=env.get("ROLLCALL_NAME", cls.name),
            namespace=env.get("ROLLCALL_NAMESPACE", cls.namespace),
            pod_name=env.get("ROLLCALL_POD_NAME", cls.pod_name),
            log_level=level,
            store=Path(path) if (path := env.get("ROLLCALL_STORE", "")) else None,
            agent=AgentSettings(env.get("ROLLCALL_AGENT_IMAGE", AgentSettings.image), policy),
            kubelet=KubeletSettings(_flag(env, "ROLLCALL_KUBELET"), _flag(env, "ROLLCALL_KUBELET_VERIFY")),
        )

    @property
    def ingest_address(self) -> str:
        """host:port that agents call; the host is the name in our certificate."""
        return f"{self.name}-ingest.{self.namespace}.svc:{self.ports.ingest}"


def _flag(env: Mapping[str, str], name: str) -> bool:
    value = env.get(name, "true").lower()
    if value not in ("true", "false"):
        raise SettingsError(f"{name} is {value!r}; use true or false")
    return value == "true"
