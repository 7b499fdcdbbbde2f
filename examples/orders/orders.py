"""Orders as a Flask application that lives on others: PostgreSQL, DynamoDB, an HTTP service for payments, a library in C."""

from __future__ import annotations

import ctypes
import json
import os
import time
from typing import Any

import boto3
import psycopg_pool
import urllib3
from botocore.config import Config
from flask import Flask
from flask.typing import ResponseReturnValue
from request_log import RequestLog

HOST = os.environ.get("BACKING_HOST", "127.0.0.1")
DATABASE = os.environ.get("DATABASE_URL", f"postgresql://orders:orders@{HOST}:5432/orders")
PAYMENTS = os.environ.get("PAYMENTS_URL", f"http://{HOST}:8081")
DYNAMODB = os.environ.get("DYNAMODB_URL", f"http://{HOST}:8082")
CODEC = os.environ.get("CODEC", "/srv/codec-1.so")
"""A library that packs documents for printing; its second release is broken."""


def dynamodb() -> Any:
    """A client that tries again a few times when the table is short of capacity, as AWS's own does."""
    retries = Config(retries={"mode": "standard", "max_attempts": 4}, connect_timeout=2, read_timeout=5)
    keys = {"aws_access_key_id": "orders", "aws_secret_access_key": "orders", "region_name": "eu-central-1"}
    return boto3.client("dynamodb", endpoint_url=DYNAMODB, config=retries, **keys)


def note(value: dict[str, int]) -> None:
    """One line of JSON on standard output, in one piece."""
    os.write(1, json.dumps(value).encode() + b"\n")


def create_app() -> Flask:
    """The WSGI application, writing a line per request to standard output, and one per charge."""
    app = Flask("orders")
    pool = psycopg_pool.ConnectionPool(DATABASE, min_size=1, max_size=4, open=False)
    payments = urllib3.PoolManager(maxsize=4)
    feeds = dynamodb()

    @app.get("/")
    def home() -> ResponseReturnValue:
        return {"service": "orders"}

    @app.get("/orders/<int:user>")
    def read_orders(user: int) -> ResponseReturnValue:
        pool.open()
        with pool.connection() as connection:
            rows = connection.execute("select id, item from orders where customer = %s order by id", [user % 100]).fetchall()
        return {"user": user, "orders": [{"id": number, "item": item} for number, item in rows]}

    @app.get("/report/<float:seconds>")
    def report(seconds: float) -> ResponseReturnValue:
        """A query that the database takes long for."""
        pool.open()
        with pool.connection() as connection:
            (count,) = connection.execute("select count(*) from orders, pg_sleep(%s)", [min(seconds, 10.0)]).fetchone() or (0,)
        return {"orders": count}

    @app.get("/checkout")
    def check_out() -> ResponseReturnValue:
        began_ns = time.perf_counter_ns()
        answer = payments.request("GET", f"{PAYMENTS}/charge", timeout=10)
        note({"charge_us": (time.perf_counter_ns() - began_ns) // 1000})
        return {"paid": answer.json()["paid"]}

    @app.get("/feed/<int:user>")
    def read_feed(user: int) -> ResponseReturnValue:
        item = feeds.get_item(TableName="newsfeed", Key={"user": {"S": str(user % 100)}})
        return {"user": user, "posts": item.get("Item", {}).get("posts", {}).get("S", "")}

    @app.get("/price")
    def price() -> ResponseReturnValue:
        """Own code, and nothing else: some tens of milliseconds of CPU."""
        return {"price": sum(number * number % 7 for number in range(400_000))}

    @app.get("/print/<int:order>")
    def print_order(order: int) -> ResponseReturnValue:
        return {"packed": ctypes.CDLL(CODEC).pack(order)}

    app.wsgi_app = RequestLog(app.wsgi_app)  # type: ignore[method-assign]
    return app
