"""Follows one ASGI request: from the call of the application until its last body message, or until the application returns.

Only `http` scopes; web sockets and lifespan pass through untouched. A client that leaves ends the request without an error.
"""

from __future__ import annotations

from . import recorder
from .wsgi import KEY


class Application:
    """Stands in for an ASGI application in front of its server."""

    def __init__(self, app) -> None:
        self._app = app

    async def __call__(self, scope, receive, send):
        await call(self._app, scope, receive, send)

    def __getattr__(self, name):
        return getattr(self._app, name)


def wrap(app):
    """`app` with the probe in front."""
    return app if isinstance(app, Application) else Application(app)


def call(app, scope, receive, send):
    """The coroutine of `app`, counted when it is a request that nobody counts yet."""
    try:
        if scope["type"] == "http" and KEY not in scope:
            request = recorder.begin(scope.get("method"))
            if request is not None:
                scope[KEY] = request
                return _follow(app, scope, receive, send, request)
    except Exception as error:
        recorder.disable(error)
    return app(scope, receive, send)


async def _follow(app, scope, receive, send, request):
    def observe(message):
        try:
            kind = message["type"]
            if kind == "http.response.body":
                if not message.get("more_body"):
                    request.finish()
            elif kind == "http.response.start":
                request.status = int(message["status"])
        except Exception:
            request.status = request.status or 0
        return send(message)

    try:
        await app(scope, receive, observe)
    except Exception:
        request.finish(True)
        raise
    except BaseException:  # cancelled: the client left, or the server shuts down
        request.finish()
        raise
    request.finish()
