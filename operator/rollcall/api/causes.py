"""The part of the status that says whose fault it is: a few entries of each kind, rounded like the rest."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from rollcall.api.fields import Int64, Part

MOST_CRASHES = 3
_Time = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
_Text = Annotated[str, StringConstraints(max_length=255)]
_Word = Annotated[str, StringConstraints(max_length=63)]


class Dependency(Part):
    """A database, cache or remote service that the application waits for."""

    name: _Text = Field(description="System and target, such as postgresql orders.")
    calls_per_second: str | None = Field(default=None, description="Calls that ended per second.")
    p95: str | None = Field(default=None, description="95th percentile of their duration.")
    failures: str | None = Field(default=None, description="Share of them that failed.")
    share: str | None = Field(
        default=None, description="Part of all response time that goes by waiting for it, in steps of 5 %."
    )


class Throttled(Part):
    """A dependency of which there is too little."""

    dependency: _Text = Field(description="System and target, such as dynamodb newsfeed.")
    reason: _Word = Field(description="refused, throttled, or exhausted (the application's own pool of connections).")
    per_second: str = Field(description="Calls per second that fail for it.")
    since: _Time = Field(description="When it began.")


class Crash(Part):
    """Crashes of workers of one kind."""

    signal: _Word | None = Field(default=None, description="The signal that ended them, such as SIGSEGV; not set: not known.")
    module: _Text | None = Field(
        default=None, description="The shared object in which it happened, or that called the C runtime in which it did."
    )
    endpoint: _Text | None = Field(default=None, description="The oldest request that was in flight.")
    revision: _Text | None = Field(default=None, description="The revision of the pods.")
    image: _Text | None = Field(default=None, description="The image of the application's container.")
    count: Int64 = Field(default=0, description="How many.")
    last: _Time = Field(description="The last one.")


class Bottleneck(Part):
    """What takes the most time, of slow requests where there are any."""

    kind: _Word = Field(alias="class", description="cpu, dependency, queue, throttling, other or unknown.")
    dependency: _Text | None = Field(default=None, description="Which one, when it is a dependency.")
    share: str = Field(description="Its part of the time, in steps of 5 %.")
