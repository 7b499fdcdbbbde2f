"""Where the probe goes into frameworks: route templates always, and counting where no known server counts.

The name of a route is taken when the framework has matched it, so a request that hangs in its handler has a name already.
The raw path is never used: it would be unbounded and may hold personal data.
"""

from __future__ import annotations

import functools

from . import entries, failures, recorder, wsgi

KEY = wsgi.KEY
_PREFIX = "rollcall.prefix"
"""Where the paths of the mounts that a request went through are in its scope."""


def _named(carrier, route) -> None:
    """Give the request in `carrier` (environ or scope) its route; a leading ^ of a pattern is not shown."""
    request = carrier.get(KEY)
    if request is not None and isinstance(route, str):
        route = route.lstrip("^")
        request.name(route if route.startswith("/") else "/" + route)


def werkzeug_bodies(module) -> None:
    """Flask's and werkzeug's responses need no other object around their body."""
    wsgi.closing_iterator = module.ClosingIterator


def flask(module) -> None:
    """Flask as a WSGI application; it answers what its views raise by itself."""
    entries.wsgi_entry(module.Flask)
    original = module.Flask.handle_exception

    @functools.wraps(original)
    def handle_exception(self, e):
        try:
            failures.note(module.request.environ.get(KEY), e)
        except Exception as error:
            recorder.disable(error)
        return original(self, e)

    module.Flask.handle_exception = handle_exception


def flask_routes(module) -> None:
    """`match_request` sets `request.url_rule`; the context that has it is called differently across versions."""
    owner = module.RequestContext
    if "match_request" not in vars(owner):
        owner = module.AppContext
    original = owner.match_request

    @functools.wraps(original)
    def match_request(self):
        original(self)
        try:
            matched = self.request
            rule = matched.url_rule
            if rule is not None:
                request = matched.environ.get(KEY)
                if request is not None:
                    request.name(rule.rule)
        except Exception as error:
            recorder.disable(error)

    owner.match_request = match_request


def django_wsgi(module) -> None:
    """Django as a WSGI application."""
    entries.wsgi_entry(module.WSGIHandler)


def django_asgi(module) -> None:
    """Django as an ASGI application."""
    entries.asgi_entry(module.ASGIHandler)


def django_errors(module) -> None:
    """Django answers what views raise by itself, WSGI or ASGI."""
    original = module.handle_uncaught_exception

    @functools.wraps(original)
    def handle_uncaught_exception(request, resolver, exc_info):
        try:
            failures.note(_carrier(request).get(KEY), exc_info[1])
        except Exception as error:
            recorder.disable(error)
        return original(request, resolver, exc_info)

    module.handle_uncaught_exception = handle_uncaught_exception


def _carrier(request):
    """The environ or scope of one of Django's requests."""
    carrier = getattr(request, "environ", None)
    return request.scope if carrier is None else carrier


def django_routes(module) -> None:
    """`resolve_request` has set `request.resolver_match` when it returns (Django 3.1 and later)."""
    original = module.BaseHandler.resolve_request

    @functools.wraps(original)
    def resolve_request(self, request):
        match = original(self, request)
        try:
            _named(_carrier(request), match.route)
        except Exception as error:
            recorder.disable(error)
        return match

    module.BaseHandler.resolve_request = resolve_request


def starlette(module) -> None:
    """Starlette and FastAPI as ASGI applications."""
    entries.asgi_entry(module.Starlette)


def starlette_routes(module) -> None:
    """A route is named when it is about to handle; a mount puts its path in front of what follows."""
    _named_route(module.Route)
    original = module.Mount.handle

    @functools.wraps(original)
    def handle(self, scope, receive, send):
        if KEY in scope:
            scope[_PREFIX] = scope.get(_PREFIX, "") + self.path
        return original(self, scope, receive, send)

    module.Mount.handle = handle


def fastapi_routes(module) -> None:
    """FastAPI's routes handle by themselves in newer versions."""
    if "handle" in vars(module.APIRoute):
        _named_route(module.APIRoute)


def _named_route(owner) -> None:
    original = owner.handle

    @functools.wraps(original)
    def handle(self, scope, receive, send):
        try:
            request = scope.get(KEY)
            if request is not None and not request.endpoint:
                request.name(_template(scope, self))
        except Exception as error:
            recorder.disable(error)
        return original(self, scope, receive, send)

    owner.handle = handle


def _template(scope, route) -> str:
    """The path template of a route; a route of a router that FastAPI includes lazily has its whole path in its context."""
    path = route.path
    fastapi = scope.get("fastapi")
    if fastapi:
        context = fastapi.get("effective_route_context")
        if context is not None and context.original_route is route:
            path = context.path_format
    return scope[_PREFIX] + path if _PREFIX in scope else path
