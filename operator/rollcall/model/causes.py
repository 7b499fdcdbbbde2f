"""The part of a picture that says whose fault it is: dependencies, throttling, crashes, and where the time goes.

As in `picture`: durations are seconds, ratios 0..1, rates per second, None means "no data". JSON names are camelCase.
"""

from __future__ import annotations

import msgspec


class DependencyRow(msgspec.Struct, frozen=True, rename="camel"):
    """One dependency over all pods: `calls` and `failed` since counting began, everything else of the last 10 seconds.
    `failures` has the failures per second of each reason that occurred. `concurrency` is the mean number of calls at the same
    time, `share` the part of all response time that went by waiting for it."""

    dependency: str
    calls_per_second: float | None
    failure_ratio: float | None
    failures: dict[str, float]
    mean: float | None
    p50: float | None
    p95: float | None
    p99: float | None
    concurrency: float | None
    share: float | None
    calls: int
    failed: int


class FoldedDependencies(msgspec.Struct, frozen=True, rename="camel"):
    """How many names of dependencies, and calls since counting began, are in the row `other`."""

    dependencies: int
    calls: int


class Dependencies(msgspec.Struct, frozen=True, rename="camel"):
    """The dependencies that are waited for longest, then those with most calls; the others added up in a row `other`."""

    rows: list[DependencyRow]
    folded: FoldedDependencies


class Throttled(msgspec.Struct, frozen=True, rename="camel"):
    """Too little of a dependency: it refuses calls, or says that they are too many, or the application's own pool has no
    connection left. `ratio` is the part of its calls; `since` is Unix seconds."""

    dependency: str
    reason: str
    per_second: float
    ratio: float | None
    since: float


class SignalCount(msgspec.Struct, frozen=True, rename="camel"):
    """Workers that one signal ended: `total` since counting began, `per_second` of the last 10 seconds."""

    signal: str
    per_second: float | None
    total: int


class Crash(msgspec.Struct, frozen=True, rename="camel"):
    """A worker that ended by a fatal signal, or with requests in flight. `at` is Unix seconds; `signal`, `module` (with
    `offset` in its file) and `caller` are None where no handler has left them; endpoint, elapsed and step are of its oldest
    request."""

    at: float
    pod: str
    revision: str | None
    image: str | None
    runtime: str
    worker: int
    signal: str | None
    address: str | None
    module: str | None
    offset: str | None
    caller: str | None
    endpoint: str | None
    step: str
    elapsed: float | None
    unanswered: int


class CrashGroup(msgspec.Struct, frozen=True, rename="camel"):
    """Crashes of one kind: the same signal, module (what called the C runtime, where it happened in that), endpoint and
    revision. `first` and `last` are Unix seconds."""

    signal: str | None
    module: str | None
    endpoint: str | None
    revision: str | None
    image: str | None
    count: int
    first: float
    last: float


class RevisionCrashes(msgspec.Struct, frozen=True, rename="camel"):
    """Crashes of one revision while its pods reported: for `seconds`, all pods together for `pod_seconds`."""

    revision: str
    crashes: int
    seconds: float
    pod_seconds: float


class RevisionChange(msgspec.Struct, frozen=True, rename="camel"):
    """Whether the newest revision crashes more or less often than the one before it: `differs` is higher, lower or no, None
    when there is nothing to compare with; `p` how probable that much would be by chance alone."""

    workload: str
    newest: RevisionCrashes
    before: RevisionCrashes | None
    differs: str | None
    p: float | None
    message: str


class Crashes(msgspec.Struct, frozen=True, rename="camel"):
    """Workers that ended by fatal signals, or by nobody knows what with requests in flight: `total` since counting began,
    `recent` those of the last five minutes, `last` when the newest one that is of now ended, Unix seconds, and `newest` its
    signal. The samples are left out in a summary; `groups` has the newest first."""

    per_second: float | None
    total: int
    recent: int
    last: float | None
    newest: str | None
    by_signal: list[SignalCount]
    groups: list[CrashGroup]
    revisions: RevisionChange | None = None
    samples: list[Crash] | None = None


class Shares(msgspec.Struct, frozen=True, rename="camel"):
    """Where the time went, as parts that add up to 1 (see docs/bottleneck.md)."""

    cpu: float
    dependency: float
    queue: float
    throttling: float
    other: float
    unknown: float


class DependencyShare(msgspec.Struct, frozen=True, rename="camel"):
    """The part of one dependency."""

    dependency: str
    share: float


class SlowRequests(msgspec.Struct, frozen=True, rename="camel"):
    """What slow requests spent their time on: those of at least `over` seconds, of which there were `of` in the window."""

    kind: str = msgspec.field(name="class")
    dependency: str | None
    share: float
    of: int
    over: float
    shares: Shares


class Bottleneck(msgspec.Struct, frozen=True, rename="camel"):
    """What takes the most time: `class`, the dependency if it is one, and its `share`. `coverage` is the part of the response
    time that comes from pods which tell of their CPU; `queue_coverage`, of their listen queue."""

    kind: str = msgspec.field(name="class")
    dependency: str | None
    share: float
    shares: Shares
    dependencies: list[DependencyShare]
    slow: SlowRequests | None
    coverage: float
    queue_coverage: float
    window_seconds: float
