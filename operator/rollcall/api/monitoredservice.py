"""The MonitoredService object as a typed value: `MonitoredService.from_object(dict)`.

For reading. Objects are patched as raw JSON elsewhere, because a typed round trip drops fields it does not know.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from pydantic import Field, ValidationError

from rollcall.api.fields import Part
from rollcall.api.spec import MonitoredServiceSpec
from rollcall.api.status import MonitoredServiceStatus

GROUP = "rollcall.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
KIND = "MonitoredService"
PLURAL = "monitoredservices"


class InvalidMonitoredServiceError(ValueError):
    """An object that is no valid MonitoredService; the text names the field and says what is wrong with it."""


class ObjectMeta(Part):
    """The part of Kubernetes' metadata that is read here."""

    name: str
    namespace: str = ""
    uid: str = ""
    generation: int = 0
    resource_version: str = ""
    creation_timestamp: str = ""
    deletion_timestamp: str | None = None
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)


class MonitoredService(Part):
    """MonitoredService watches the pods that a selector names and shows them as one service.

    How many serve, how fast they answer, how often they fail and what they are busy with at this moment.
    """

    metadata: ObjectMeta
    spec: MonitoredServiceSpec
    status: MonitoredServiceStatus = Field(default_factory=MonitoredServiceStatus)

    @classmethod
    def from_object(cls, manifest: Mapping[str, Any]) -> Self:
        """The typed value of an object as the API server or a YAML file gives it; unknown fields are tolerated.

        Raises InvalidMonitoredServiceError when the kind is another one or a field breaks a rule.
        """
        if manifest.get("kind", KIND) != KIND or str(manifest.get("apiVersion", API_VERSION)).partition("/")[0] != GROUP:
            raise InvalidMonitoredServiceError(f"not a {GROUP} {KIND}: {manifest.get('apiVersion')} {manifest.get('kind')}")
        given = {key: manifest[key] for key in ("metadata", "spec", "status") if manifest.get(key) is not None}
        try:
            return cls.model_validate(given)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            field = ".".join(str(step) for step in first["loc"])
            raise InvalidMonitoredServiceError(f"{field}: {first['msg'].removeprefix('Value error, ')}") from None

    @property
    def name(self) -> str:
        return self.metadata.name

    @property
    def namespace(self) -> str:
        return self.metadata.namespace
