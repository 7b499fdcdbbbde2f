"""The news feed as a FastAPI application, with the routes of the Flask one: waiting costs no thread, the database does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import feed
from asgi_request_log import RequestLog
from fastapi import FastAPI


@asynccontextmanager
async def _lifespan(_app: FastAPI) -> AsyncIterator[None]:
    feed.create_database(feed.database_path())
    yield


def create_app() -> RequestLog:
    """The ASGI application, writing one line per request to standard output."""
    app = FastAPI(title="newsfeed-async", lifespan=_lifespan)

    @app.get("/")
    async def home() -> dict[str, str]:
        return {"service": "newsfeed-async"}

    # Plain `def`: FastAPI runs it in its thread pool, so SQLite does not block the event loop.
    @app.get("/feed/{user}")
    def read_feed(user: int) -> dict[str, object]:
        return {"user": user, "posts": feed.posts_for(user)}

    @app.get("/slow")
    async def slow() -> dict[str, float]:
        seconds = feed.slow_seconds()
        await asyncio.sleep(seconds)
        return {"slept": seconds}

    @app.get("/fail")
    async def fail() -> None:
        raise RuntimeError("the recommendation model is missing")

    @app.get("/hang/{seconds}")
    async def hang(seconds: float) -> dict[str, float]:
        slept = feed.hang_seconds(seconds)
        await asyncio.sleep(slept)
        return {"slept": slept}

    @app.get("/healthz")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    return RequestLog(app)
