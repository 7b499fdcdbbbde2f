"""DynamoDB with a table `newsfeed` whose read capacity a test sets: moto does the work, what is above it is refused here.

moto has no capacity, and a cloud's would not be at hand when a test wants it: this part is a fake, and refuses with AWS's own
words. `PUT /capacity/READS_PER_SECOND` sets it. Listens on port 8082.
"""

from __future__ import annotations

import http.client
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import boto3
from moto.server import ThreadedMotoServer

MOTO_PORT = 8083
PAUSE_S = 10.0
REFUSAL = {
    "__type": "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException",
    "message": "The level of configured provisioned throughput for the table was exceeded. "
    "Consider increasing your provisioning level with the UpdateTable API.",
}


class Capacity:
    """So many reads a second, saved up for one second at most."""

    def __init__(self) -> None:
        self.per_second = 1000.0
        self._left, self._at_s = self.per_second, time.monotonic()
        self._refused_s = -PAUSE_S
        self.refused = 0
        self._lock = threading.Lock()

    def take(self) -> bool:
        """Whether there is room for one read. The first refusal after a while is written down."""
        with self._lock:
            now_s = time.monotonic()
            self._left = min(self.per_second, self._left + (now_s - self._at_s) * self.per_second)
            self._at_s = now_s
            if self._left >= 1:
                self._left -= 1
                return True
            self.refused += 1
            if now_s - self._refused_s > PAUSE_S:
                print(f"refused {time.time():.3f}", flush=True)
            self._refused_s = now_s
            return False


class Table(BaseHTTPRequestHandler):
    """One connection; kept open between requests."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one packet: in two, the second may wait for the first one's acknowledgement
    capacity: ClassVar[Capacity] = Capacity()
    _own: http.client.HTTPConnection | None = None

    def do_PUT(self) -> None:
        """Raise or lower the capacity."""
        Table.capacity.per_second = float(self.path.rpartition("/")[2])
        print(f"so far {Table.capacity.refused} refused", flush=True)
        self._answer(200, b"{}")

    def do_POST(self) -> None:
        """Any call of the API."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if not Table.capacity.take():
            self._answer(400, json.dumps(REFUSAL).encode())
            return
        if self._own is None:
            self._own = http.client.HTTPConnection("127.0.0.1", MOTO_PORT)
        self._own.request("POST", self.path, body, dict(self.headers))
        answer = self._own.getresponse()
        self._answer(answer.status, answer.read())

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/x-amz-json-1.0")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing: who is called says it himself."""


def seed() -> None:
    """Make the table, and a feed for each of a hundred users."""
    keys = {"aws_access_key_id": "x", "aws_secret_access_key": "x", "region_name": "eu-central-1"}
    client = boto3.client("dynamodb", endpoint_url=f"http://127.0.0.1:{MOTO_PORT}", **keys)
    client.create_table(
        TableName="newsfeed",
        KeySchema=[{"AttributeName": "user", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "user", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    for user in range(100):
        client.put_item(TableName="newsfeed", Item={"user": {"S": str(user)}, "posts": {"S": f"post of {user}"}})


if __name__ == "__main__":
    ThreadedMotoServer("127.0.0.1", MOTO_PORT, verbose=False).start()
    seed()
    ThreadingHTTPServer(("", 8082), Table).serve_forever()
