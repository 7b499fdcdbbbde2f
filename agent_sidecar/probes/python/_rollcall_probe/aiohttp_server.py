"""Follows the requests of aiohttp's own server, whatever handles them: `web.Application` or a bare handler.

A web socket is no request: it stays open for hours. A request's record is in a context variable, because aiohttp serves each
request in a task of its own and keeps what is put on its request objects from nobody.
"""

from __future__ import annotations

import functools
from asyncio import CancelledError, current_task
from contextvars import ContextVar

from . import failures, recorder, visitors

_current = ContextVar("rollcall.request", default=None)


def protocol(module) -> None:
    """`_handle_request` calls the handler, answers for it when it fails, and sends the answer."""
    owner = module.RequestHandler
    original = owner._handle_request

    @functools.wraps(original)
    async def handle_request(self, request, *args, **kwargs):
        record = _begin(request)
        if record is None:
            return await original(self, request, *args, **kwargs)
        token = _current.set(record)
        try:
            answer = await original(self, request, *args, **kwargs)
            _answered(record, answer)
            return answer
        except (CancelledError, ConnectionError):
            if record.error is None:
                failures.abandoned(record)  # the client left, or the server shuts down
            elif not record.error.startswith("abort"):
                record.crash()  # too late for another answer
            raise
        except BaseException as error:
            failures.note(record, error)
            record.crash()
            raise
        finally:
            record.finish()
            _current.reset(token)

    owner._handle_request = handle_request
    _handle_error(owner)


def _handle_error(owner) -> None:
    """Exceptions of handlers are answered here, and go nowhere else."""
    original = owner.handle_error

    @functools.wraps(original)
    def handle_error(self, request, status=500, exc=None, message=None):
        record = _current.get()
        if record is not None and exc is not None and status >= 500:
            transport = request.transport
            if isinstance(exc, ConnectionError) and (transport is None or transport.is_closing()):
                failures.abandoned(record)
            else:
                failures.note(record, exc)
        return original(self, request, status, exc, message)

    owner.handle_error = handle_error


def _begin(request):
    try:
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return None
        record = recorder.begin_task(request.method)
        if record is not None:
            record.task = current_task()
            see = visitors.see_scope
            if see is not None:
                headers = [(name.lower(), value) for name, value in request.raw_headers]
                see({"headers": headers, "client": (request.remote, 0) if request.remote else None})
        return record
    except Exception as error:
        recorder.disable(error)
        return None


def _answered(record, answer) -> None:
    """(response, whether the client left before it was complete)"""
    try:
        response, is_cut = answer
        record.status = response.status
        if is_cut:
            failures.abandoned(record)
    except Exception as error:
        recorder.disable(error)


def routes(module) -> None:
    """The name of a route is its resource's canonical path, which contains the prefix of a sub-application."""
    owner = module.UrlDispatcher
    original = owner.resolve

    @functools.wraps(original)
    async def resolve(self, request):
        match = await original(self, request)
        try:
            record = _current.get()
            resource = match.route.resource
            if record is not None and resource is not None and record.in_flight:
                record.name(resource.canonical)
        except Exception as error:
            recorder.disable(error)
        return match

    owner.resolve = resolve
