"""What a user may ask for in a MonitoredService: its spec, with defaults, descriptions and rules.

A field exists only when something in the operator obeys it. Docstrings and descriptions here are what `kubectl explain` shows.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import ConfigDict, Field, StringConstraints, model_validator

from rollcall.api.durations import PATTERN as DURATION_PATTERN
from rollcall.api.durations import parse_duration_ms
from rollcall.api.fields import DNS_LABEL, LABEL_KEY, LABEL_VALUE, Duration, Part, Percentage, Quantity, part, rule, rules
from rollcall.api.percentages import parse_ratio
from rollcall.api.quantities import parse_quantity
from rollcall.api.signals import Signals

VALUES_FIT_OPERATOR = "values must be given for In and NotIn, and must be left out for Exists and DoesNotExist"
SELECTOR_NOT_EMPTY = "selector must not be empty: name at least one label in matchLabels or matchExpressions"

LabelValue = Annotated[str, StringConstraints(max_length=63)]


class SelectorOperator(StrEnum):
    IN = "In"
    NOT_IN = "NotIn"
    EXISTS = "Exists"
    DOES_NOT_EXIST = "DoesNotExist"


class Requirement(Part):
    """One condition on a label of the pod."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "(has(self.values) && size(self.values) > 0) == (self.operator in ['In', 'NotIn'])",
                VALUES_FIT_OPERATOR,
                ".values",
            )
        )
    )

    key: str = Field(
        max_length=317,
        description="The label's key.",
        json_schema_extra=rules(
            rule(f"self.matches('{LABEL_KEY}')", 'must be a label key, such as "app" or "example.com/tier"')
        ),
    )
    operator: SelectorOperator = Field(description="How the label is compared: In, NotIn, Exists or DoesNotExist.")
    values: tuple[LabelValue, ...] = Field(
        default=(),
        max_length=50,
        description="The values to compare with: at least one for In and NotIn, none for Exists and DoesNotExist.",
        json_schema_extra={
            "x-kubernetes-list-type": "atomic",
            **rules(
                rule(f"self.all(v, v.matches('{LABEL_VALUE}'))", "values must be label values: at most 63 of A-Z a-z 0-9 - _ .")
            ),
        },
    )

    @model_validator(mode="after")
    def _values_fit_operator(self) -> Self:
        if bool(self.values) != (self.operator in (SelectorOperator.IN, SelectorOperator.NOT_IN)):
            raise ValueError(VALUES_FIT_OPERATOR)
        if not re.fullmatch(LABEL_KEY, self.key):
            raise ValueError(f"key {self.key!r} is not a label key")
        return self


class Selector(Part):
    """Which pods of the namespace belong to this service. All conditions must hold. A change is applied at once."""

    match_labels: dict[str, LabelValue] = Field(
        default_factory=dict,
        max_length=20,
        description="Labels that the pod must carry, with these very values.",
        json_schema_extra=rules(
            rule(
                f"self.all(k, size(k) > 0 && size(k) <= 317 && self[k].matches('{LABEL_VALUE}'))",
                "matchLabels must hold label keys with label values: at most 63 of A-Z a-z 0-9 - _ .",
            )
        ),
    )
    match_expressions: tuple[Requirement, ...] = Field(
        default=(),
        max_length=20,
        description="Conditions on labels that equality cannot say.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        if not self.match_labels and not self.match_expressions:
            raise ValueError(SELECTOR_NOT_EMPTY)
        for key, value in self.match_labels.items():
            if not re.fullmatch(LABEL_KEY, key) or not re.fullmatch(LABEL_VALUE, value):
                raise ValueError(f"matchLabels: {key!r}: {value!r} is not a valid label")
        return self

    def as_dict(self) -> dict[str, Any]:
        """The selector as Kubernetes writes it, for `rollcall.inject.selectors`."""
        return self.model_dump(mode="json", by_alias=True)


class InjectionMode(StrEnum):
    AUTO = "Auto"
    OFF = "Off"


class SidecarKind(StrEnum):
    AUTO = "Auto"
    NATIVE = "Native"
    CLASSIC = "Classic"


class Requests(Part):
    """What the scheduler sets aside for the agent in each pod. Never empty: without a CPU request an HPA on CPU stops."""

    cpu: Quantity = Field(default="5m", description="CPU set aside for the agent.")
    memory: Quantity = Field(default="24Mi", description="Memory set aside for the agent.")


class Limits(Part):
    """What the agent may use at most in each pod."""

    cpu: Quantity | None = Field(default=None, description="CPU that the agent may use at most; no limit when left out.")
    memory: Quantity = Field(default="48Mi", description="Memory that the agent may use at most.")


def _within(resource: str) -> dict[str, str]:
    """The rule that the request of a resource stays within its limit; an unreadable quantity is refused by its own field."""
    request, limit = f"string(self.requests.{resource})", f"string(self.limits.{resource})"
    given = f"has(self.requests) && has(self.limits) && has(self.requests.{resource}) && has(self.limits.{resource})"
    return rule(
        f"!({given} && isQuantity({request}) && isQuantity({limit})) || quantity({request}).compareTo(quantity({limit})) <= 0",
        f"requests.{resource} must not be above limits.{resource}: lower the request or raise the limit",
        f".requests.{resource}",
    )


class AgentResources(Part):
    """Requests and limits of the agent. In a pod of class Guaranteed requests are raised to the limits."""

    model_config = ConfigDict(json_schema_extra=rules(_within("cpu"), _within("memory")))

    requests: Requests = part(Requests, "What the scheduler sets aside for the agent in each pod.")
    limits: Limits = part(Limits, "What the agent may use at most in each pod.")

    @model_validator(mode="after")
    def _requests_within_limits(self) -> Self:
        for name, request, limit in (
            ("cpu", self.requests.cpu, self.limits.cpu),
            ("memory", self.requests.memory, self.limits.memory),
        ):
            if limit is not None and parse_quantity(request) > parse_quantity(limit):
                raise ValueError(f"requests.{name} {request} is above limits.{name} {limit}")
        return self


class Injection(Part):
    """How the agent gets into pods. Running pods are never touched: a change reaches pods that are created after it."""

    mode: InjectionMode = Field(
        default=InjectionMode.AUTO,
        description="Auto puts the agent into every new matching pod of an opted-in namespace; Off leaves pods as they are.",
    )
    sidecar: SidecarKind = Field(
        default=SidecarKind.AUTO,
        description="Native is an init container that keeps running (Kubernetes 1.29 and later), Classic a plain container; "
        "Auto takes Native where the cluster can.",
    )
    resources: AgentResources = part(AgentResources, "Requests and limits of the agent.")


DEFAULT_BANDS = ("1s", "3s", "8s")
BANDS_INCREASE = "bands must be exactly three durations, each longer than the one before, such as [1s, 3s, 8s]"


class Objectives(Part):
    """What good looks like. Health is judged against it."""

    p95: Duration | None = Field(
        default=None,
        description="Response time that 95 of 100 requests should stay below; left out, response time is not judged.",
    )
    errors: Percentage = Field(default="1%", description="Share of requests that may fail.")
    bands: tuple[Duration, Duration, Duration] = Field(
        default=DEFAULT_BANDS,
        description="Three ages that divide the requests in flight into four bands, from young to stuck.",
        json_schema_extra={
            "x-kubernetes-list-type": "atomic",
            **rules(
                rule(
                    f"size(self) != 3 || self.exists(b, !b.matches('{DURATION_PATTERN}')) || "
                    "(duration(self[1]) - duration(self[0]) >= duration('1ms') && "
                    "duration(self[2]) - duration(self[1]) >= duration('1ms'))",
                    BANDS_INCREASE,
                )
            ),
        },
    )

    @model_validator(mode="after")
    def _bands_increase(self) -> Self:
        first, second, third = self.bands_ms
        if not first < second < third:
            raise ValueError(BANDS_INCREASE)
        return self

    @property
    def p95_ms(self) -> int | None:
        """The response time objective in milliseconds, None when there is none."""
        return None if self.p95 is None else parse_duration_ms(self.p95)

    @property
    def errors_ratio(self) -> float:
        """The tolerated share of failing requests, 0.0 to 1.0."""
        return parse_ratio(self.errors)

    @property
    def bands_ms(self) -> tuple[int, int, int]:
        """The bounds of the bands in milliseconds, increasing."""
        first, second, third = (parse_duration_ms(band) for band in self.bands)
        return first, second, third


class RepairMode(StrEnum):
    OFF = "Off"
    RESTART = "Restart"


class Coverage(Part):
    """What is done about pods that do not report."""

    repair: RepairMode = Field(
        default=RepairMode.OFF,
        description=(
            "Off: bare pods are listed and left alone. Restart: those that would be covered after a restart are evicted, one "
            "after the other, obeying PodDisruptionBudgets."
        ),
    )


class MonitoredServiceSpec(Part):
    """What to watch and what is good."""

    selector: Selector = Field(
        description="Which pods of the namespace belong to this service.",
        json_schema_extra=rules(
            rule(
                "(has(self.matchLabels) && size(self.matchLabels) > 0) || "
                "(has(self.matchExpressions) && size(self.matchExpressions) > 0)",
                SELECTOR_NOT_EMPTY,
            )
        ),
    )
    container: str | None = Field(
        default=None,
        max_length=63,
        description="Which container of the pod is the application; left out, the first that is no known proxy. "
        "The pod annotation rollcall.dev/container overrides it.",
        json_schema_extra=rules(
            rule(
                f"self.matches('{DNS_LABEL}')",
                "must be the name of a container: at most 63 of a-z 0-9 and '-', with no '-' at either end",
            )
        ),
    )
    injection: Injection = part(Injection, "How the agent gets into pods.")
    signals: Signals = part(Signals, "Where the numbers come from.")
    objectives: Objectives = part(Objectives, "What good looks like.")
    coverage: Coverage = part(Coverage, "What is done about pods that do not report.")
    minimum_coverage: Percentage = Field(
        default="80%",
        description="Share of the pods that must report; below it the numbers speak for too few, and health is Unknown.",
    )

    @model_validator(mode="after")
    def _container_is_a_name(self) -> Self:
        if self.container is not None and not re.fullmatch(DNS_LABEL, self.container):
            raise ValueError(f"container: {self.container!r} is not the name of a container")
        return self

    @property
    def minimum_coverage_ratio(self) -> float:
        """The coverage that is asked for, 0.0 to 1.0."""
        return parse_ratio(self.minimum_coverage)
