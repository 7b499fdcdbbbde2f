"""A service of somebody else's, for payments: answers after a delay that a test sets.

`GET /charge` is answered after the delay; `PUT /delay/MILLISECONDS` sets it. Listens on port 8081.
"""

from __future__ import annotations

import json
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar


class Payments(BaseHTTPRequestHandler):
    """One connection; kept open between requests."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one packet: in two, the second may wait for the first one's acknowledgement
    delay_s: ClassVar[float] = 0.005

    def do_GET(self) -> None:
        """Charge somebody."""
        time.sleep(Payments.delay_s)
        self._answer({"paid": True})

    def do_PUT(self) -> None:
        """Be slow, or fast again."""
        Payments.delay_s = int(self.path.rpartition("/")[2]) / 1000
        self._answer({"delay_s": Payments.delay_s})

    def _answer(self, value: dict[str, object]) -> None:
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
