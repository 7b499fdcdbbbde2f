"""Follows one WSGI request: from the call of the application until its body is closed.

What a server looks at is left as it is: lists and tuples (their length becomes Content-Length), the server's own file wrapper
(it becomes sendfile), the `write` callable that start_response returns.
"""

from __future__ import annotations

from sys import exc_info

from . import failures, recorder, visitors

KEY = "rollcall.request"
"""Where a request's record is in its environ, or in its ASGI scope: whoever finds one does not count the request again."""

closing_iterator = None
"""werkzeug's class of bodies, once it is imported: made for one response, it has a list of what to call when it is closed."""


def is_foreign(app) -> bool:
    """Whether `app` is wrapped already or is no application, but an exporter of metrics."""
    module = getattr(app, "__module__", None)
    return getattr(app, "rollcall_wrapped", False) is True or (
        isinstance(module, str) and module.startswith("prometheus_client")
    )


def wrap(app):
    """`app` with the probe in front of it."""
    begin = recorder.begin

    def application(environ, start_response):
        if KEY in environ:
            return app(environ, start_response)
        current = recorder.current
        request = (begin if current is None else current.begin)(environ.get("REQUEST_METHOD"))
        if request is None:
            return app(environ, start_response)
        environ[KEY] = request
        see = visitors.see_environ
        if see is not None:
            see(environ)

        def respond(status, headers, exc_info=None):
            request.status = status
            if exc_info is None:
                return start_response(status, headers)
            return start_response(status, headers, exc_info)

        try:
            body = app(environ, respond)
        except BaseException as error:
            failures.note(request, error)
            request.crash()
            raise
        kind = type(body)
        if kind is list or kind is tuple:
            request.finish()
            return body
        try:
            if kind is closing_iterator:
                body._callbacks.insert(0, _Closed(request))
                return body
            return _follow(body, request, environ)
        except Exception:
            request.finish()
            return body

    application.rollcall_wrapped = True
    return application


class _Closed:
    """Ends a request when its body is closed: called by werkzeug's ClosingIterator."""

    __slots__ = ("_request",)

    def __init__(self, request) -> None:
        self._request = request

    def __call__(self) -> None:
        end_body(self._request)


def end_body(request) -> None:
    """The response's body is being closed: at its end, or half-way, then while the server handles what broke it.

    A client that leaves breaks it by an OSError, or by not asking for the rest, which is no failure of the application.
    """
    error = exc_info()[1]
    if error is None:
        request.finish()
    elif isinstance(error, (OSError, GeneratorExit)):
        failures.abandoned(request)
        request.finish()
    else:
        failures.note(request, error)
        request.crash()


def _follow(body, request, environ):
    """`body`, or what stands in for it, such that `request` is finished when the server closes it."""
    wrapper = environ.get("wsgi.file_wrapper")
    if wrapper is not None and isinstance(wrapper, type) and isinstance(body, wrapper):
        inner = getattr(body, "close", None)

        def close():
            try:
                if inner is not None:
                    inner()
            finally:
                end_body(request)

        body.close = close
        return body
    if not hasattr(body, "__iter__") or type(body).__module__.startswith(("uwsgi", "eventlet")):
        # Not ours to wrap: the server knows this object by its type or identity.
        request.finish()
        return body
    return SizedBody(body, request) if hasattr(body, "__len__") else Body(body, request)


class Body:
    """A response body that finishes its request when it is closed.

    The server iterates over the real body's own iterator, at its full speed; see `end_body` for its failures.
    """

    __slots__ = ("_body", "_iterator", "_request")

    def __init__(self, body, request) -> None:
        self._body = body
        self._request = request

    def __iter__(self):
        return iter(self._body)

    def __next__(self):
        try:
            iterator = self._iterator
        except AttributeError:
            iterator = self._iterator = iter(self._body)
        return next(iterator)

    def close(self) -> None:
        try:
            close = getattr(self._body, "close", None)
            if close is not None:
                close()
        except BaseException as error:
            failures.note(self._request, error)
            self._request.crash()
            raise
        end_body(self._request)


class SizedBody(Body):
    """The same for a body that tells its number of chunks."""

    __slots__ = ()

    def __len__(self) -> int:
        return len(self._body)
