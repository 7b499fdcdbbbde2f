"""HTTP by urllib3 (and what is built on it: requests), httpx and aiohttp: one call per answer, until its headers are here.

A redirect is another call, of whatever host it leads to; aiohttp follows it within one call, of the first host. What urllib3
tries again by itself is one call.
"""

from __future__ import annotations

from .hook import Answered, Hook

_DEFAULT_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}
_MOST_NAMES = 1024
_SCHEME = len("https://")
_PARTS = 4
"""Of what httpx makes of an URL: scheme, user, host, port; then come path and query."""
_names = {}


def name_of_host(scheme, host, port):
    """`http api.example.com`, with the port where that is not the scheme's own; None without a host."""
    key = scheme, host, port
    name = _names.get(key)
    if name is None:
        if not host:
            return None
        shown = host.strip("[]").rstrip(".").lower()
        if ":" in shown:
            shown = "[" + shown + "]"
        name = "http " + shown
        if port is not None and port != _DEFAULT_PORTS.get(scheme):
            name += ":%d" % port
        _keep(key, name)
    return name


def _keep(key, name):
    """Remember the name of what an URL says, in whatever form."""
    if len(_names) >= _MOST_NAMES:
        _names.clear()
    _names[key] = name
    return name


def urllib3(module) -> None:
    """`urllib3.connectionpool`: every request of urllib3 and requests goes through `urlopen` of its host's pool."""

    def name_of(pool, args, kwargs):
        if pool.proxy is not None:
            url = args[1] if len(args) > 1 else kwargs.get("url", "")
            if url.startswith("http://"):  # asked of the proxy in plain; the rest goes through a tunnel to its own host
                from urllib.parse import urlsplit

                parts = urlsplit(url)
                return name_of_host("http", parts.hostname, parts.port)
            return name_of_host(pool.scheme, pool.host, pool.port)
        pool._rollcall_name = name = name_of_host(pool.scheme, pool.host, pool.port)
        return name

    name_of.path = ("_rollcall_name",)
    Hook("urllib3").patch(module.HTTPConnectionPool, name_of, "urlopen", settle=Answered("status"))


def httpx(module) -> None:
    """`httpx._transports.default`: what goes over a network; an application's own transports do not."""
    hook = Hook("httpx")

    def name_of(_, args, kwargs):
        url = (args[0] if args else kwargs["request"]).url
        try:
            key = tuple(url._uri_reference[:_PARTS])  # what its properties, each a function, are made of
        except (AttributeError, TypeError):
            return name_of_host(url.scheme, url.host, url.port)
        return _names.get(key) or _keep(key, name_of_host(url.scheme, url.host, url.port))

    name_of.asked = (0, ("url", "_uri_reference"), _PARTS, _names, None)
    answered = Answered("status_code")
    hook.patch(module.HTTPTransport, name_of, "handle_request", settle=answered)
    hook.patch_async(module.AsyncHTTPTransport, name_of, "handle_async_request", settle=answered)


def aiohttp(module) -> None:
    """`aiohttp.client`: all methods of a session come to `_request`."""

    def name_of(session, args, kwargs):
        try:
            asked = args[1] if len(args) > 1 else kwargs["str_or_url"]
            origin = None
            if type(asked) is str and getattr(session, "_base_url", None) is None:
                end = asked.find("/", _SCHEME)  # no authority goes beyond it
                origin = asked[:end] if end > 0 else None
                if origin in _names:
                    return _names[origin]
            url = getattr(session, "_build_url", module.URL)(asked)
            name = name_of_host(url.scheme, url.host, url.port)
        except (KeyError, TypeError, ValueError, AssertionError):
            return None  # no URL: the library says so
        return _keep(origin, name) if origin and name else name

    name_of.asked = (1, (), 0, _names, "_base_url" if hasattr(module.ClientSession, "_build_url") else None)

    Hook("aiohttp").patch_async(module.ClientSession, name_of, "_request", settle=Answered("status"))
