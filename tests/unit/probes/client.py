"""Sends requests to an application under test, many at once, and knows what it sent."""

from __future__ import annotations

import http.client
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

PATHS = ("/item/1", "/boom", "/nope", "/stream")
EXPECTED_STATUS = {"/item/1": 200, "/boom": 500, "/nope": 404, "/stream": 200}


def get(port: int, path: str, timeout_s: float = 10.0) -> tuple[int, bytes]:
    """(status, body) of one request; a connection that ends without an answer has status 0."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read()
    except (OSError, http.client.HTTPException):
        return 0, b""
    finally:
        connection.close()


def burst(port: int, rounds: int, threads: int = 4) -> Counter[int]:
    """Send each of PATHS `rounds` times from `threads` threads; returns the number of answers by status."""
    with ThreadPoolExecutor(threads) as pool:
        answers = list(pool.map(lambda path: (path, get(port, path)[0]), PATHS * rounds))
    return Counter(status for _, status in answers)
