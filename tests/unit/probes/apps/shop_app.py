"""A Flask application that waits for a database and a remote service, in several ways."""

import os

import psycopg2
import requests
import sqlalchemy
from flask import Flask, Response

app = Flask(__name__)
API = f"http://127.0.0.1:{os.environ['API']}"
DATABASE = f"postgres:secret@127.0.0.1:{os.environ['DATABASE']}/orders"
engine = sqlalchemy.create_engine(f"postgresql+psycopg2://{DATABASE}")


@app.get("/order")
def order():
    with psycopg2.connect(f"postgresql://{DATABASE}") as connection:
        cursor = connection.cursor()
        cursor.execute("select pg_sleep(0.2)")
        cursor.execute("select 1")
    return requests.get(f"{API}/status/200").text


@app.get("/nested")
def nested():
    with engine.connect() as connection:
        return str(connection.execute(sqlalchemy.text("select 1")).scalar())


@app.get("/slow")
def slow():
    return requests.get(f"{API}/slow/2.5").text


@app.get("/down")
def down():
    return requests.get("http://127.0.0.1:1/").text


@app.get("/stream")
def stream():
    def rows():
        with engine.connect() as connection:
            yield str(connection.execute(sqlalchemy.text("select pg_sleep(0.2)")).scalar())

    return Response(rows())
