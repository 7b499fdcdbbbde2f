"""Follows one ASGI request: from the call of the application until its last body message, or until the application returns.

Only `http` scopes; web sockets and lifespan pass through untouched. A client that leaves ends the request without an error.
"""

from __future__ import annotations

from . import recorder
from .wsgi import KEY


def wrap(app):
    """`app` with the probe in front of it."""
    begin = recorder.begin

    async def application(scope, receive, send):
        request = begin(scope["method"]) if scope["type"] == "http" and KEY not in scope else None
        if request is None:
            return await app(scope, receive, send)
        scope[KEY] = request

        def observe(message):
            try:
                kind = message["type"]
                if kind == "http.response.body":
                    if not message.get("more_body"):
                        request.finish()
                elif kind == "http.response.start":
                    request.status = message["status"]
            except Exception as error:
                recorder.disable(error)
            return send(message)

        try:
            return await app(scope, receive, observe)
        except Exception:
            request.finish(True)
            raise
        finally:
            request.finish()  # cancelled: the client left, or the server shuts down

    application.rollcall_wrapped = True
    return application
