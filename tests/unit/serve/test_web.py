"""The page's files: what goes with them, how large they are, and that they are built from the sources beside them."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from rollcall.serve import web

ROOT = Path(__file__).parents[3]
STATIC = ROOT / "operator" / "rollcall" / "serve" / "static"


@pytest.mark.parametrize("path", ["/", "/app.js", "/style.css", "/icon.svg", "/licences.txt"])
async def test_files_come_with_a_policy_and_are_not_sent_twice(http: TestClient[Any, Any], path: str) -> None:
    response = await http.get(path)
    assert response.status == 200
    assert response.content_type == web.FILES[path[1:] or "index.html"]
    policy = response.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert (response.headers["X-Frame-Options"], response.headers["X-Content-Type-Options"]) == ("DENY", "nosniff")
    assert (await http.get(path, headers={"If-None-Match": response.headers["ETag"]})).status == 304


async def test_nothing_else_is_served(http: TestClient[Any, Any]) -> None:
    for path in ("/sources.sha256", "/static/app.js", "/..%2flive.py", "/index.html"):
        assert (await http.get(path)).status == 404
    assert (await http.post("/")).status == 405


def test_the_page_is_small_and_refers_to_nothing_elsewhere() -> None:
    files = {path.name: path.read_bytes() for path in STATIC.iterdir()}
    assert set(files) == {*web.FILES, "sources.sha256"}
    assert sum(map(len, files.values())) < 400_000
    page = files["index.html"].decode()
    assert "http" not in page
    assert "<script>" not in page
    assert "style=" not in page
    for name in ("app.js", "style.css"):
        assert b"https://" not in files[name]
        assert b"eval(" not in files[name]


def test_the_page_is_built_from_its_sources() -> None:
    source = ROOT / "web"
    said = hashlib.sha256()
    for path in sorted((source / "src").iterdir(), key=lambda path: path.name):
        said.update(path.name.encode() + b"\0" + path.read_bytes())
    said.update((source / "package-lock.json").read_bytes() + (source / "build.mjs").read_bytes())
    assert (STATIC / "sources.sha256").read_text().strip() == said.hexdigest(), "run make web, and commit what it writes"
