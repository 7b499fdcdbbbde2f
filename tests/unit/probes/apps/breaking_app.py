"""An application with a broken extension: /break/<way> calls it, /kill and /exit end the worker otherwise."""

import ctypes
import os
import signal
import time

from flask import Flask

app = Flask(__name__)


@app.route("/")
def index():
    return "ok"


@app.route("/break/<way>")
def break_it(way):
    return str(getattr(ctypes.CDLL(os.environ["BROKEN"]), way)(0))


@app.route("/kill")
def kill():
    os.kill(os.getpid(), signal.SIGKILL)


@app.route("/exit")
def leave():
    os._exit(3)


@app.route("/hang")
def hang():
    time.sleep(600)
