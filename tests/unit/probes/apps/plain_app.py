"""A WSGI callable without a framework."""

import time


def application(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/boom":
        raise RuntimeError("boom")
    if path.startswith("/hang/"):
        time.sleep(float(path.rpartition("/")[2]))
    if path == "/stream":
        start_response("200 OK", [("Content-Type", "text/plain")])
        return (b"chunk %d\n" % i for i in range(3))
    known = path.startswith(("/item/", "/hang/"))
    body = b"hello" if known else b"nothing here"
    start_response("200 OK" if known else "404 Not Found", [("Content-Type", "text/plain")])
    return [body]
