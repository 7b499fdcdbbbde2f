"""Where a service's numbers come from: the part `signals` of its spec."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, Self

from pydantic import ConfigDict, Field, model_validator

from rollcall.api.fields import Part, part, rule, rules


class PythonSignals(Part):
    """The probe for Python applications (WSGI and ASGI)."""

    enabled: bool = Field(default=True, description="Whether the probe is put on the application's PYTHONPATH.")
    python_path: str | None = Field(
        default=None,
        min_length=1,
        max_length=1024,
        description="PYTHONPATH that the image itself sets. A variable of the pod replaces the image's, and the webhook cannot "
        "read the image, so name it here and it is kept behind the probe. Not needed when the pod's manifest sets PYTHONPATH.",
    )


class PhpSignals(Part):
    """The probe for PHP applications under php-fpm."""

    enabled: bool = Field(default=True, description="Whether the probe is put on the application's PHP_INI_SCAN_DIR.")


VISITORS_PATTERN = "^(clientIP|(cookie|header):[A-Za-z0-9!#$%&*+.^_|~-]{1,64})$"
VISITORS_FROM = 'must say what a visitor is known by: "cookie:NAME", "header:NAME" or "clientIP", such as "cookie:sid"'


class VisitorSignals(Part):
    """What distinct end users are known by. It is hashed in the pod with a key of this service and leaves the pod in no other
    form."""

    origin: str = Field(
        alias="from",
        max_length=80,
        description="cookie:NAME, header:NAME or clientIP. A session cookie is best; many people share one client address.",
        json_schema_extra=rules(rule(f"self.matches('{VISITORS_PATTERN}')", VISITORS_FROM)),
    )

    @model_validator(mode="after")
    def _origin_is_known(self) -> Self:
        if not re.fullmatch(VISITORS_PATTERN, self.origin):
            raise ValueError(f"from: {self.origin!r} {VISITORS_FROM}")
        return self


Port = Annotated[int, Field(ge=1024, le=65535, json_schema_extra={"format": "int32"})]


class OtlpSignals(Part):
    """Requests that applications in any language tell of themselves by OpenTelemetry. The agent takes OTLP over HTTP on the
    pod's loopback, and the application gets the variables that make its SDK send there, where the pod does not set them."""

    enabled: bool = Field(default=False, description="Whether the agent takes OTLP.")
    port: Port = Field(default=4318, description="Where the agent takes it, on 127.0.0.1 of the pod.")


class LogFormat(StrEnum):
    ROLLCALL = "rollcall"
    COMBINED = "combined"


LOG_PATH_PATTERN = "^(/[A-Za-z0-9_-][A-Za-z0-9._-]*){2,}$"
LOG_PATH = 'must be a file below a folder, neither of which is hidden, such as "/var/log/rollcall/access.log"'
LOG_FOLDERS = ("/rollcall/", "/proc/", "/sys/", "/dev/")
LOG_FOLDER = f"must not be in {', '.join(LOG_FOLDERS)}"
LOG_WAY = "must have either port, for a web server that logs as to syslog, or path, for one that logs to a file"


class AccessLogSignals(Part):
    """Requests from the log of a web server, for pods that no probe and no SDK tells of."""

    model_config = ConfigDict(json_schema_extra=rules(rule("has(self.port) != has(self.path)", LOG_WAY)))

    format: LogFormat = Field(
        description="rollcall is our own, with response times and upstreams (docs/access-logs.md); combined is nginx's default "
        "and has no times."
    )
    port: Port | None = Field(default=None, description="UDP port of the pod's loopback to which the server logs as to syslog.")
    path: str | None = Field(
        default=None,
        max_length=256,
        description="File that the server writes. Where the pod mounts no volume at its folder, an empty one is mounted there.",
        json_schema_extra=rules(
            rule(f"self.matches('{LOG_PATH_PATTERN}')", LOG_PATH),
            rule(f"!{list(LOG_FOLDERS)}.exists(folder, self.startsWith(folder))", LOG_FOLDER),
        ),
    )

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.port is None) == (self.path is None):
            raise ValueError(LOG_WAY)
        if self.path is not None and not re.fullmatch(LOG_PATH_PATTERN, self.path):
            raise ValueError(f"path: {self.path!r} {LOG_PATH}")
        if self.path is not None and self.path.startswith(LOG_FOLDERS):
            raise ValueError(f"path: {self.path!r} {LOG_FOLDER}")
        return self


class Signals(Part):
    """Where the numbers come from. The probes are on by default and do nothing in an application that they do not fit."""

    python: PythonSignals = part(PythonSignals, "The probe for Python applications.")
    php: PhpSignals = part(PhpSignals, "The probe for PHP applications.")
    otlp: OtlpSignals = part(OtlpSignals, "What applications in other languages tell of themselves by OpenTelemetry.")
    access_log: AccessLogSignals | None = Field(default=None, description="The log of a web server; left out, none is read.")
    visitors: VisitorSignals | None = Field(
        default=None, description="What distinct end users are known by; left out, no visitors are counted."
    )
