"""A Flask application whose requests hang in several ways, and fail in several ways."""

import re
import socket
import threading
import time
import urllib.request

from flask import Flask, abort

app = Flask(__name__)
held = threading.Lock()
held.acquire()


def wait_for_the_lock():
    held.acquire(timeout=3)


@app.get("/sleep")
def sleep():
    time.sleep(2.5)
    return "woke up"


@app.get("/locked")
def locked():
    wait_for_the_lock()
    return "gave up"


@app.get("/remote/<int:port>")
def remote(port):
    """Asks a server that takes the connection and never answers."""
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=2.5).read()
    except OSError:
        return "no answer"
    return "answer"


@app.get("/stuck")
def stuck():
    """Holds the interpreter's lock: nothing else runs in this process until the expression gives up."""
    re.match(r"(a+)+$", "a" * 26 + "b")
    return "matched"


@app.get("/secret")
def secret():
    raise ValueError("login of anna@example.com failed: password=hunter2 card 4111 1111 1111 1111")


@app.get("/late")
def late():
    raise TimeoutError("the database did not answer")


@app.get("/unavailable")
def unavailable():
    abort(503)


@app.get("/own/<name>")
def own(name):
    return name


@app.get("/dns")
def dns():
    raise socket.gaierror(-2, "Name or service not known")
