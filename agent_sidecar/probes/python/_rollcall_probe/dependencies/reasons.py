"""Why a call failed, as an index of `facts.REASONS`, told from what was raised or answered.

Libraries wrap what they raise and word it their own way, so an exception is looked at together with what it was raised for, by
the names of its classes, its numbers, and a few words of its message. All of this happens for failures only.
"""

from __future__ import annotations

import errno
import socket

from ..wire.facts import REASONS

ERROR, TIMEOUT, REFUSED, THROTTLED, EXHAUSTED = range(len(REASONS))

_EXHAUSTED = frozenset(("EmptyPoolError", "MaxConnectionsError", "PoolTimeout", "TooManyRequests", "WaitQueueTimeoutError"))
_REFUSED = frozenset(("NameResolutionError", "NewConnectionError", "ServerSelectionTimeoutError"))
_TIMEOUT = frozenset(("QueryCanceled", "ExecutionTimeout", "timeout"))
_REFUSED_ERRNO = frozenset((errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN))
_NUMBERS = {1040: THROTTLED, 1203: THROTTLED, 1226: THROTTLED, 1205: TIMEOUT, 1969: TIMEOUT, 3024: TIMEOUT}
"""Of MySQL and MariaDB: too many connections; lock wait timeout, longest time of a statement."""
_WORDS = (
    ("too many 429 error responses", THROTTLED),
    ("no connection available", EXHAUSTED),
    ("too many connections", EXHAUSTED),
    ("too many clients already", THROTTLED),
    ("remaining connection slots", THROTTLED),
    ("max number of clients reached", THROTTLED),
    ("timed out", TIMEOUT),
    ("timeout expired", TIMEOUT),
    ("connection refused", REFUSED),
    ("could not translate host name", REFUSED),
    ("failed to resolve host", REFUSED),
    ("name or service not known", REFUSED),
    ("no route to host", REFUSED),
    ("all connection attempts failed", REFUSED),
)
_THROTTLING_CODES = frozenset(
    (
        "BandwidthLimitExceeded",
        "EC2ThrottledException",
        "LimitExceededException",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "SlowDown",
        "ThrottledException",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
    )
)
"""Of AWS; the codes that botocore tries again for this reason."""
_GRPC = {"DEADLINE_EXCEEDED": TIMEOUT, "RESOURCE_EXHAUSTED": THROTTLED, "UNAVAILABLE": REFUSED}
_GRPC_ANSWERS = frozenset(
    (
        "ALREADY_EXISTS",
        "CANCELLED",
        "FAILED_PRECONDITION",
        "INVALID_ARGUMENT",
        "NOT_FOUND",
        "OUT_OF_RANGE",
        "PERMISSION_DENIED",
        "UNAUTHENTICATED",
    )
)
"""What HTTP answers with 4xx: the caller's mistake, or none."""
_DEEPEST = 6


def reason_of(error):
    """The reason for which a call failed that raised `error`.

    None when that says nothing of the dependency, because the caller was stopped: its task was cancelled, its generator closed.
    """
    if not isinstance(error, Exception) and "Timeout" not in type(error).__name__:
        return None
    if type(error).__name__ == "CancelledError" or _grpc_code(error) in _GRPC_ANSWERS:
        return None
    depth = 0
    while error is not None and depth < _DEEPEST:
        found = _of_one(error)
        if found is not None:
            return found
        error = _inner(error)
        depth += 1
    return ERROR


def _inner(error):
    """What an exception was raised for."""
    reason = getattr(error, "reason", None)
    if isinstance(reason, BaseException):
        return reason
    return error.__cause__ or error.__context__


def _of_one(error):
    names = [kind.__name__ for kind in type(error).__mro__]
    if names[0] in _EXHAUSTED or (names[0] == "TimeoutError" and type(error).__module__.startswith("sqlalchemy")):
        return EXHAUSTED
    if _REFUSED.intersection(names) or isinstance(error, socket.gaierror):
        return REFUSED
    if isinstance(error, OSError) and error.errno in _REFUSED_ERRNO:
        return REFUSED
    if isinstance(error, TimeoutError) or _TIMEOUT.intersection(names) or any("Timeout" in name for name in names):
        return TIMEOUT
    return _of_answer(error)


def _of_answer(error):
    """What the dependency itself said."""
    code = aws_code(getattr(error, "response", None))
    if code is not None:
        return THROTTLED if code in _THROTTLING_CODES else ERROR
    if _grpc_code(error) is not None:
        return _GRPC.get(_grpc_code(error), ERROR)
    if error.args and type(error.args[0]) is int and error.args[0] in _NUMBERS:
        return _NUMBERS[error.args[0]]
    text = str(error)[:1000].lower()
    for words, reason in _WORDS:
        if words in text:
            return reason
    return None


def _grpc_code(error):
    """The name of the status that a gRPC call ended with, None for other errors."""
    if any(kind.__name__ == "RpcError" for kind in type(error).__mro__) and callable(getattr(error, "code", None)):
        return getattr(error.code(), "name", None)
    return None


def aws_code(response):
    """The code of an error that AWS answered with, None when `response` is no such answer."""
    if not isinstance(response, dict):
        return None
    error = response.get("Error")
    return error.get("Code") if isinstance(error, dict) else None


def is_throttling(code) -> bool:
    """Whether an AWS error code says that there were too many requests."""
    return code in _THROTTLING_CODES


def reason_of_status(status, headers):
    """The reason for which an HTTP answer is a failure, None when it is none."""
    if status < 429:
        return None
    if status == 429 or (status == 503 and "retry-after" in headers):
        return THROTTLED
    return ERROR if status >= 500 else None
