"""A WSGI application whose answer does not end by itself."""

import time


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])

    def chunks():
        while True:
            yield b"more and more " * 5000
            time.sleep(0.01)

    return chunks()
