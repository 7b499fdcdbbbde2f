"""The news feed as a Flask application: one fast endpoint, one with a database, one slow, one that fails, one that hangs."""

from __future__ import annotations

import time

import feed
from flask import Flask
from flask.typing import ResponseReturnValue
from request_log import RequestLog


def create_app() -> Flask:
    """The WSGI application, writing one line per request to standard output."""
    app = Flask("newsfeed")

    @app.get("/")
    def home() -> ResponseReturnValue:
        return {"service": "newsfeed"}

    @app.get("/feed/<int:user>")
    def read_feed(user: int) -> ResponseReturnValue:
        return {"user": user, "posts": feed.posts_for(user)}

    @app.get("/slow")
    def slow() -> ResponseReturnValue:
        seconds = feed.slow_seconds()
        time.sleep(seconds)
        return {"slept": seconds}

    @app.get("/fail")
    def fail() -> ResponseReturnValue:
        raise RuntimeError("the recommendation model is missing")

    @app.get("/hang/<float:seconds>")
    @app.get("/hang/<int:seconds>")
    def hang(seconds: float) -> ResponseReturnValue:
        slept = feed.hang_seconds(seconds)
        time.sleep(slept)
        return {"slept": slept}

    @app.get("/healthz")
    def health() -> ResponseReturnValue:
        return {"status": "ok"}

    app.wsgi_app = RequestLog(app.wsgi_app)  # type: ignore[method-assign]
    return app
