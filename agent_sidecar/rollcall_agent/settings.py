"""What the agent is told by its environment; nothing here reads a file or opens a connection."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from .wire import layout

ACCESS_LOG_FORMATS = ("rollcall", "combined")


class AccessLog(NamedTuple):
    """How a web server's log comes: in which format, and to a port of the pod's loopback or into a file."""

    format: str
    port: int
    file: str
    ours: bool
    """Whether the file is in a volume of ours, where nobody else reads it: then it is emptied when it grows."""


class Settings(NamedTuple):
    """One agent's settings; durations in seconds."""

    run_dir: str
    operator_host: str
    operator_port: int
    tls: bool
    ca_file: str
    token_file: str
    pod_uid: str
    probes_dir: str
    """Where this pod's probes are; the agent may take them out."""
    drain_s: float
    """From SIGTERM to the end: time for the application's workers to end and for the last report to be acknowledged."""
    otlp_port: int
    """Where OTLP is taken on the pod's loopback; 0: it is not."""
    access_log: AccessLog | None

    @property
    def state_dir(self) -> str:
        """The agent's own folder inside the shared one."""
        return f"{self.run_dir}/agent"

    @property
    def worker_dir(self) -> str:
        """The folder that the agent opens for worker files, see `layout.worker_dir`."""
        return f"{self.run_dir}/workers"

    @property
    def php_socket(self) -> str:
        """Where PHP probes connect to."""
        return f"{self.run_dir}/php.sock"


class SettingsError(ValueError):
    """An environment variable cannot be understood."""


def from_environment(env: Mapping[str, str]) -> Settings:
    """Settings from `ROLLCALL_*`; raises SettingsError naming the variable at fault."""
    host, port = _address(env.get("ROLLCALL_OPERATOR", "rollcall-ingest.rollcall-system.svc:10251"))
    return Settings(
        run_dir=env.get("ROLLCALL_RUN") or layout.RUN_DIR,
        operator_host=host,
        operator_port=port,
        tls=env.get("ROLLCALL_TLS", "on").lower() != "off",
        ca_file=env.get("ROLLCALL_CA_FILE") or "/rollcall/ca/ca.crt",
        token_file=env.get("ROLLCALL_TOKEN_FILE") or "/rollcall/token/token",
        pod_uid=env.get("ROLLCALL_POD_UID", ""),
        probes_dir=env.get("ROLLCALL_POD_PROBES") or "/rollcall/probes",
        drain_s=_seconds(env, "ROLLCALL_DRAIN_S", 10.0),
        otlp_port=_port(env, "ROLLCALL_OTLP_PORT"),
        access_log=_access_log(env),
    )


def _access_log(env: Mapping[str, str]) -> AccessLog | None:
    kind = env.get("ROLLCALL_ACCESS_LOG")
    if not kind:
        return None
    if kind not in ACCESS_LOG_FORMATS:
        raise SettingsError(f"ROLLCALL_ACCESS_LOG={kind!r}: {' or '.join(ACCESS_LOG_FORMATS)} is needed")
    port, file = _port(env, "ROLLCALL_ACCESS_LOG_PORT"), env.get("ROLLCALL_ACCESS_LOG_FILE", "")
    if bool(port) == bool(file):
        raise SettingsError("ROLLCALL_ACCESS_LOG needs either ROLLCALL_ACCESS_LOG_PORT or ROLLCALL_ACCESS_LOG_FILE")
    return AccessLog(kind, port, file, env.get("ROLLCALL_ACCESS_LOG_OURS", "off").lower() == "on")


def _port(env: Mapping[str, str], name: str) -> int:
    text = env.get(name) or "0"
    if not text.isdecimal() or int(text) > 65535:
        raise SettingsError(f"{name}={text!r}: a port is needed")
    return int(text)


def _address(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise SettingsError(f"ROLLCALL_OPERATOR={text!r}: host:port is needed")
    return host.strip("[]"), int(port)


def _seconds(env: Mapping[str, str], name: str, default: float) -> float:
    text = env.get(name)
    if not text:
        return default
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 3600:
        raise SettingsError(f"{name}={text!r}: seconds between 0 and 3600 are needed")
    return value
