"""Frameworks' entry points, where requests are counted as long as no known server of this process does.

The first server that counts takes them out again: frameworks are then called as they were written, and a sub-request that an
application makes to itself is not taken for a request.
"""

from __future__ import annotations

import functools

from . import wsgi

_open = True
_originals = []


def wsgi_entry(owner) -> None:
    """Count the requests that reach `owner.__call__(environ, start_response)`."""
    if not _open:
        return
    original = owner.__call__

    @functools.wraps(original)
    def entry(self, environ, start_response):
        return wsgi.wrap(functools.partial(original, self))(environ, start_response)

    _originals.append((owner, original))
    owner.__call__ = entry


def asgi_entry(owner) -> None:
    """Count the requests that reach `owner.__call__(scope, receive, send)`."""
    if not _open:
        return
    from . import asgi

    original = owner.__call__

    @functools.wraps(original)
    async def entry(self, scope, receive, send):
        await asgi.wrap(functools.partial(original, self))(scope, receive, send)

    _originals.append((owner, original))
    owner.__call__ = entry


def close() -> None:
    """A server counts from now on."""
    global _open
    _open = False
    while _originals:
        owner, original = _originals.pop()
        owner.__call__ = original
