"""The page's files, beside the live API on the same port: nothing in them is secret, so who reads them is not asked.

They are read once, when the process starts. The policy that goes with them lets the page load its own files and talk to its own
origin, and nothing else: no inline script or style, no other site's frame, no markup made from strings.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from importlib import resources

from aiohttp import web

HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
    ),
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-cache",
}
FILES: Mapping[str, str] = {
    "index.html": "text/html",
    "app.js": "text/javascript",
    "style.css": "text/css",
    "icon.svg": "image/svg+xml",
    "licences.txt": "text/plain",
}
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def add_page(router: web.UrlDispatcher) -> None:
    """Serve the page at `/`, and its files."""
    static = resources.files("rollcall.serve") / "static"
    bodies = {name: (static / name).read_bytes() for name in FILES}
    for name, body in bodies.items():
        page = name == "index.html"  # its tag stands for all files: an open page asks whether it is still that one
        tag = _tag(*bodies.values()) if page else _tag(body)
        router.add_get("/" if page else f"/{name}", _file(body, FILES[name], tag))


def _tag(*bodies: bytes) -> str:
    return f'"{hashlib.sha256(b"".join(bodies)).hexdigest()[:16]}"'


def _file(body: bytes, kind: str, tag: str) -> Handler:
    async def answer(request: web.Request) -> web.StreamResponse:
        headers = {**HEADERS, "ETag": tag}
        if request.headers.get("If-None-Match") == tag:
            return web.Response(status=304, headers=headers)
        response = web.Response(body=body, content_type=kind, charset="utf-8", headers=headers)
        response.enable_compression()
        return response

    return answer
