"""A service of somebody else's, for payments: answers after a delay that a test sets, and keeps an account of its own.

`GET /charge` is answered after the delay; `PUT /delay/MILLISECONDS` sets it, `PUT /spread/MILLISECONDS` sets a median around
which it varies (log-normal). `GET /account` lists how long each charge took since the last `PUT`, in microseconds. Port 8081.
"""

from __future__ import annotations

import json
import random
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

SIGMA = 0.3


class Payments(BaseHTTPRequestHandler):
    """One connection; kept open between requests."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one packet: in two, the second may wait for the first one's acknowledgement
    delay_s: ClassVar[float] = 0.005
    spread: ClassVar[bool] = False
    account: ClassVar[list[int]] = []

    def do_GET(self) -> None:
        """Charge somebody, or tell the account."""
        if self.path == "/account":
            self._answer(Payments.account)
            return
        began_ns = time.monotonic_ns()
        time.sleep(Payments.delay_s * (random.lognormvariate(0, SIGMA) if Payments.spread else 1))
        self._answer({"paid": True})
        self.wfile.flush()
        Payments.account.append((time.monotonic_ns() - began_ns) // 1000)

    def do_PUT(self) -> None:
        """Be slow, or fast again."""
        _, what, milliseconds = self.path.split("/")
        Payments.delay_s, Payments.spread = int(milliseconds) / 1000, what == "spread"
        Payments.account.clear()
        self._answer({"delay_s": Payments.delay_s})

    def _answer(self, value: object) -> None:
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing: who is called says it himself."""


if __name__ == "__main__":
    ThreadingHTTPServer(("", 8081), Payments).serve_forever()
