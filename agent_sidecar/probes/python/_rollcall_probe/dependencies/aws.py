"""AWS by botocore (boto3): an operation of a client is a call, of the DynamoDB table, the S3 bucket, or the service.

botocore tries again by itself what AWS throttled, for seconds, and the application sees nothing of it. So each attempt that is
throttled counts as a call that failed for it, at once.
"""

from __future__ import annotations

import functools
from contextvars import ContextVar
from time import monotonic_ns

from .. import recorder
from .hook import Hook
from .reasons import THROTTLED, aws_code, is_throttling

_hook = Hook("botocore")
_attempts = ContextVar("rollcall.attempts", default=None)


class _Attempts:
    """The attempts of one operation: when the last one began, and whether it was throttled and counted."""

    __slots__ = ("is_told", "name", "since_ns")

    def __init__(self, name) -> None:
        self.name = name
        self.since_ns = monotonic_ns()
        self.is_told = False


def botocore(module) -> None:
    """`botocore.client`."""
    owner = module.BaseClient
    make_call, init = owner._make_api_call, owner.__init__

    @functools.wraps(init)
    def counted_init(self, *args, **kwargs):
        init(self, *args, **kwargs)
        try:
            self.meta.events.register("needs-retry", _attempted, unique_id="rollcall")
        except Exception as error:
            _hook.fail(error)

    @functools.wraps(make_call)
    def make_api_call(self, *args, **kwargs):
        record = _hook.begin(_name, self, args, kwargs)
        if record is None:
            return make_call(self, *args, **kwargs)
        attempts = _Attempts(record.name)
        token = _attempts.set(attempts)
        try:
            result = make_call(self, *args, **kwargs)
        except BaseException as error:
            if attempts.is_told:
                record.drop()
            else:
                _hook.failed(record, error)
            raise
        finally:
            _attempts.reset(token)
        record.end(None)
        return result

    owner.__init__ = counted_init
    owner._make_api_call = make_api_call


def _attempted(response=None, **_):
    """botocore asks whether to try again; that is left to it."""
    attempts, current = _attempts.get(), recorder.current
    if attempts is None or current is None:
        return
    try:
        now = monotonic_ns()
        attempts.is_told = response is not None and is_throttling(aws_code(response[1]))
        if attempts.is_told:
            current.count_call(attempts.name, now - attempts.since_ns, THROTTLED)
        attempts.since_ns = now
    except Exception as error:
        _hook.fail(error)


def _name(client, args, kwargs) -> str:
    service = client.meta.service_model.service_name
    parameters = args[1] if len(args) > 1 else kwargs.get("api_params")
    if not isinstance(parameters, dict):
        return service
    if service == "dynamodb":
        return _named(service, _table(parameters))
    if service == "s3":
        return _named(service, parameters.get("Bucket"))
    return service


def _named(service, resource) -> str:
    """The last part of a resource that is given by its ARN."""
    if not isinstance(resource, str) or not resource:
        return service
    return service + " " + resource.rpartition(":")[2].rpartition("/")[2]


def _table(parameters):
    """Of a batch or a transaction the first one."""
    table = parameters.get("TableName")
    if table is not None:
        return table
    items = parameters.get("RequestItems")
    if isinstance(items, dict):
        return next(iter(items), None)
    items = parameters.get("TransactItems")
    if isinstance(items, (list, tuple)) and items and isinstance(items[0], dict):
        for part in items[0].values():
            return part.get("TableName") if isinstance(part, dict) else None
    return None
