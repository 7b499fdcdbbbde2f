"""A Flask application that does not know of any probe."""

import time

from flask import Flask, Response

app = Flask(__name__)


@app.get("/item/<int:number>")
def item(number):
    return {"item": number}


@app.get("/boom")
def boom():
    raise RuntimeError("boom")


@app.get("/stream")
def stream():
    return Response((b"chunk %d\n" % i for i in range(3)), mimetype="text/plain")


@app.get("/hang/<float:seconds>")
def hang(seconds):
    time.sleep(seconds)
    return "woke up"
