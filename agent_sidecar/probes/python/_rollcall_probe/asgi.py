"""Follows one ASGI request: from the call of the application until its last body message, or until the application returns.

Only `http` scopes; web sockets and lifespan pass through untouched. A client that leaves ends the request without an error. An
answer of 5xx is followed until the application returns: the exception behind it comes after its last message.
"""

from __future__ import annotations

from . import failures, recorder, visitors
from .wsgi import KEY

try:
    from asyncio import current_task
except ImportError:  # pragma: no cover
    current_task = None


def wrap(app):
    """`app` with the probe in front of it."""
    begin = recorder.begin_task

    async def application(scope, receive, send):
        if scope["type"] != "http" or KEY in scope:
            return await app(scope, receive, send)
        current = recorder.current
        request = (begin if current is None else current.begin_task)(scope["method"])
        if request is None:
            return await app(scope, receive, send)
        scope[KEY] = request
        try:
            request.task = current_task()
        except RuntimeError:  # not asyncio's event loop
            request.task = None
        see = visitors.see_scope
        if see is not None:
            see(scope)

        def observe(message):
            try:
                kind = message["type"]
                if kind == "http.response.body":
                    if not message.get("more_body") and (request.status or 500) < 500:
                        request.finish()
                elif kind == "http.response.start":
                    request.status = message["status"]
            except Exception as error:
                recorder.disable(error)
            return send(message)

        try:
            return await app(scope, receive, observe)
        except Exception as error:
            failures.note(request, error)
            request.crash()
            raise
        except BaseException:
            failures.abandoned(request)  # cancelled: the client left, or the server shuts down
            raise
        finally:
            if request.in_flight:
                _returned(request)

    application.rollcall_wrapped = True
    return application


def _returned(request) -> None:
    """The application has returned, or was cancelled, without a last message of less than 500."""
    if request.status and request.status < 500:
        failures.abandoned(request)
    request.finish()
