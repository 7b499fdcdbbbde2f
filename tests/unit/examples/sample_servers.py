"""The Python samples under their real servers on loopback, with what they wrote to their log."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

EXAMPLES = Path(__file__).parents[3] / "examples"
# {fd} is a listening socket made here: no port to guess, and who connects early waits in its backlog.
COMMANDS = {
    "newsfeed": ["gunicorn", "--config", str(EXAMPLES / "newsfeed/gunicorn.conf.py"), "--bind", "fd://{fd}"],
    "newsfeed-async": ["uvicorn", "--factory", "newsfeed_async:create_app", "--fd", "{fd}", "--no-access-log"],
}


@dataclass
class SampleServer:
    """A running sample: its URL, its process and the file that its standard output goes to."""

    url: str
    process: subprocess.Popen[bytes]
    output: Path

    def stop(self) -> list[dict[str, Any]]:
        """Stop it gracefully, then return its request log, one entry per request."""
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(10) in (0, -signal.SIGTERM)
        return [json.loads(line) for line in self.output.read_text().splitlines()]


def start(name: str, folder: Path) -> SampleServer:
    """Start the sample `name` under its own server, with its database and its log in `folder`."""
    environment = {
        **os.environ,
        "NEWSFEED_DB": str(folder / "newsfeed.db"),
        "PYTHONPATH": f"{EXAMPLES / 'newsfeed'}:{EXAMPLES / 'newsfeed-async'}",
    }
    output = folder / "output.log"
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listener, output.open("wb") as stdout:
        program, *options = (part.format(fd=listener.fileno()) for part in COMMANDS[name])
        process = subprocess.Popen(
            [sys.executable, "-m", program, *options],
            env=environment,
            pass_fds=[listener.fileno()],
            stdout=stdout,
            stderr=(folder / "errors.log").open("wb"),
            cwd=folder,
        )
        return SampleServer(f"http://127.0.0.1:{listener.getsockname()[1]}", process, output)
