"""Counts distinct visitors without knowing them: what identifies one is hashed with the service's key; only hashes are kept.

Where visitors are known from, and the key, stand in a file that the agent writes when the operator says so. `see_environ`
(WSGI) and `see_scope` (ASGI) are None as long as none are counted. A visitor whose header was seen in the last seconds costs
one look-up.
"""

from __future__ import annotations

import os

from .wire import facts

VISITORS_FILE = "agent/visitors"
MAX_SEEN = 8192
"""Headers that are remembered between two calls of `forget`; a full memory is emptied."""

see_environ = None
see_scope = None
_settings = [None, None]  # content of the file, and what stands for its state on disk
_seen = {}


def refresh(process) -> None:
    """Look whether the file has changed; called now and then."""
    path = os.path.join(process.run_dir, VISITORS_FILE)
    try:
        status = os.stat(path)
        state = status.st_mtime_ns, status.st_ino
    except OSError:
        state = None
    if state == _settings[1]:
        return
    _settings[1] = state
    content = None
    if state is not None:
        with open(path, encoding="ascii") as file:
            content = file.read(1024)
    if content != _settings[0]:
        _settings[0] = content
        _install(process, content)


def forget() -> None:
    """Tell every visitor again that comes from now on: windows that begin later want to know of him."""
    _seen.clear()


def stop() -> None:
    """Count none, in a forked child until it has a file of its own."""
    global see_environ, see_scope
    see_environ = see_scope = None
    _settings[:] = [None, None]
    _seen.clear()


def _install(process, content) -> None:
    global see_environ, see_scope
    see_environ = see_scope = None
    forget()
    lines = (content or "").split("\n")
    if len(lines) < 2 or not lines[0]:
        return
    kind, _, name = lines[0].partition(":")
    key = bytes.fromhex(lines[1])

    def told(text, identifier) -> None:
        hashed = facts.visitor_hash(key, identifier) if identifier else 0
        if len(_seen) >= MAX_SEEN:
            _seen.clear()
        _seen[text] = hashed if hashed and facts.is_sighted(hashed) else 0
        if hashed:
            process.rare.put(process.ledger.visit, hashed)

    def see(text, identify) -> None:
        known = _seen.get(text)
        if known == 0:
            return
        if known is None:
            told(text, identify(text))
        else:
            process.rare.put(process.ledger.visit, known)

    see_environ, see_scope = _guarded(_READERS[kind](name, see)) if kind in _READERS else (None, None)


def _guarded(pair):
    from . import recorder

    def guard(function):
        def call(carrier) -> None:
            try:
                function(carrier)
            except Exception as error:
                stop()
                recorder.say("visitors are not counted any more", error)

        return call

    return guard(pair[0]), guard(pair[1])


def _cookies(name, see):
    prefix = name + "="

    def identify(text):
        for part in text.split(";"):
            part = part.strip()
            if part.startswith(prefix):
                return part[len(prefix) :].strip('"').encode("latin-1", "replace")
        return b""

    def environ_cookie(environ) -> None:
        text = environ.get("HTTP_COOKIE")
        if text:
            see(text, identify)

    def scope_cookie(scope) -> None:
        for header, value in scope["headers"]:
            if header == b"cookie":
                see(value.decode("latin-1"), identify)

    return environ_cookie, scope_cookie


def _header(name, see):
    variable = "HTTP_" + name.upper().replace("-", "_")
    lower = name.lower().encode("ascii")

    def identify(text):
        return text.strip().encode("latin-1", "replace")

    def environ_header(environ) -> None:
        text = environ.get(variable)
        if text:
            see(text, identify)

    def scope_header(scope) -> None:
        for header, value in scope["headers"]:
            if header == lower:
                see(value.decode("latin-1"), identify)

    return environ_header, scope_header


def _address(_, see):
    def identify(text):
        return text.encode("latin-1", "replace")

    def environ_address(environ) -> None:
        text = environ.get("REMOTE_ADDR")
        if text:
            see(text, identify)

    def scope_address(scope) -> None:
        client = scope.get("client")
        if client:
            see(client[0], identify)

    return environ_address, scope_address


_READERS = {"cookie": _cookies, "header": _header, "clientIP": _address}
