"""Follows one WSGI request: from the call of the application until its body is closed.

What a server looks at is left as it is: lists and tuples (their length becomes Content-Length), the server's own file wrapper
(it becomes sendfile), the `write` callable that start_response returns.
"""

from __future__ import annotations

from . import recorder

KEY = "rollcall.request"
"""Where a request's record is in its environ, or in its ASGI scope: whoever finds one does not count the request again."""


class Application:
    """Stands in for a WSGI application in front of its server."""

    def __init__(self, app) -> None:
        self._app = app

    def __call__(self, environ, start_response):
        return call(self._app, environ, start_response)

    def __getattr__(self, name):
        return getattr(self._app, name)


def wrap(app):
    """`app` with the probe in front; what is no application's traffic stays as it is."""
    module = getattr(app, "__module__", None)
    if isinstance(app, Application) or (isinstance(module, str) and module.startswith("prometheus_client")):
        return app
    return Application(app)


def call(app, environ, start_response):
    """Call `app` as its server would and count the request."""
    if KEY in environ:
        return app(environ, start_response)
    request = recorder.begin(environ.get("REQUEST_METHOD"))
    if request is None:
        return app(environ, start_response)
    environ[KEY] = request

    def respond(status, *rest, **named):
        try:
            request.status = int(status[:3])
        except Exception:
            request.status = 0
        return start_response(status, *rest, **named)

    try:
        body = app(environ, respond)
    except BaseException:
        request.finish(True)
        raise
    kind = type(body)
    if kind is list or kind is tuple:
        request.finish()
        return body
    try:
        return _follow(body, request, environ)
    except Exception:
        request.finish()
        return body


def _follow(body, request, environ):
    """`body`, or what stands in for it, such that `request` is finished when the server closes it."""
    wrapper = environ.get("wsgi.file_wrapper")
    if isinstance(wrapper, type) and isinstance(body, wrapper):
        inner = getattr(body, "close", None)

        def close():
            try:
                if inner is not None:
                    inner()
            finally:
                request.finish()

        body.close = close
        return body
    module = type(body).__module__
    if not hasattr(body, "__iter__") or module.startswith(("uwsgi", "eventlet")):
        # Not ours to wrap: the server knows this object by its type or identity.
        request.finish()
        return body
    return SizedBody(body, request) if hasattr(body, "__len__") else Body(body, request)


class Body:
    """A response body that finishes its request when it is closed, fails, or is forgotten."""

    __slots__ = ("_body", "_iterator", "_request")

    def __init__(self, body, request) -> None:
        self._body = body
        self._request = request
        self._iterator = None

    def __iter__(self):
        try:
            for chunk in self._body:
                yield chunk
        except GeneratorExit:
            raise
        except BaseException:
            self._request.finish(True)
            raise

    def __next__(self):
        if self._iterator is None:
            self._iterator = iter(self)
        return next(self._iterator)

    def close(self) -> None:
        try:
            close = getattr(self._body, "close", None)
            if close is not None:
                close()
        except BaseException:
            self._request.finish(True)
            raise
        self._request.finish()

    def __del__(self) -> None:
        try:
            self._request.finish()
        except Exception:
            return


class SizedBody(Body):
    """The same for a body that tells its number of chunks."""

    __slots__ = ()

    def __len__(self) -> int:
        return len(self._body)
