"""The names that injection writes into a pod. They are a contract with the agent, the probes and the informer."""

from __future__ import annotations

AGENT_CONTAINER = "rollcall-agent"
PROBES_CONTAINER = "rollcall-probes"

PROBES_VOLUME = "rollcall-probes"
RUN_VOLUME = "rollcall-run"
TOKEN_VOLUME = "rollcall-token"  # noqa: S105 - the name of a volume
CA_VOLUME = "rollcall-ca"
LOG_VOLUME = "rollcall-log"
VOLUMES = (PROBES_VOLUME, RUN_VOLUME, TOKEN_VOLUME, CA_VOLUME, LOG_VOLUME)

PROBES_PATH = "/rollcall/probes"
RUN_PATH = "/rollcall/run"
TOKEN_PATH = "/rollcall/token"  # noqa: S105 - a mount path
CA_PATH = "/rollcall/ca"
LOG_PATH = "/rollcall/log"
"""Where the agent has the folder of the application's access log."""
PYTHON_PROBE_PATH = f"{PROBES_PATH}/python"
PHP_CONF_PATH = f"{PROBES_PATH}/php/conf.d"

TOKEN_AUDIENCE = "rollcall.dev"  # noqa: S105 - an audience
TOKEN_LIFETIME_S = 3600
CA_CONFIG_MAP = "rollcall-ca"
CA_KEY = "ca.crt"

OPT_LABEL = "rollcall.dev/inject"
OPTED_IN = "enabled"
OPTED_OUT = "disabled"

INJECTED_ANNOTATION = "rollcall.dev/injected"
SERVICE_ANNOTATION = "rollcall.dev/service"
CONTAINER_ANNOTATION = "rollcall.dev/container"
SKIPPED_ANNOTATION = "rollcall.dev/skipped"
LEFT_OUT_ANNOTATION = "rollcall.dev/left-out"
RETRY_ANNOTATION = "rollcall.dev/retry-injection"
"""On a MonitoredService: another value than before lets workloads be injected again that were taken back."""

MIRROR_ANNOTATION = "kubernetes.io/config.mirror"
