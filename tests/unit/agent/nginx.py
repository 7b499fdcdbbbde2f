"""A real nginx of this machine in front of a real upstream, as a pod's application."""

from __future__ import annotations

import http.server
import socket
import threading
import time
from pathlib import Path

from tests.unit.agent.pod import Pod, free_port

ROLLCALL = (
    "log_format rollcall 'rollcall1\\t$request_method\\t$status\\t$request_time\\t$proxy_host\\t$upstream_addr'\n"
    "                    '\\t$upstream_response_time\\t$upstream_status\\t$uri';"
)
"""As docs/access-logs.md has it; a test compares."""
CONFIGURATION = """
daemon off; master_process off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 256; }}
http {{
    {log_format}
    access_log {log};
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    upstream backend {{ server 127.0.0.1:{upstream}; }}
    server {{
        listen 127.0.0.1:{port};
        location = / {{ return 200 "here"; }}
        location /feed/ {{ proxy_pass http://backend; proxy_read_timeout 1s; }}
        location /away/ {{ proxy_pass http://127.0.0.1:{closed}; }}
    }}
}}
"""


class Nginx:
    """Started with `start`; ended with its pod."""

    def __init__(self, pod: Pod, folder: Path, log: str, kind: str) -> None:
        self.port, self._upstream, self._closed = free_port(), free_port(), free_port()
        self._pod, self._folder = pod, folder
        text = CONFIGURATION.format(
            folder=folder, log=log, port=self.port, upstream=self._upstream, closed=self._closed,
            log_format=ROLLCALL if kind == "rollcall" else "",
        )  # fmt: skip
        (folder / "nginx.conf").write_text(text)

    def start(self) -> None:
        """Start both, and wait until they answer."""
        server = http.server.ThreadingHTTPServer(("127.0.0.1", self._upstream), _Upstream)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        command = ["/usr/sbin/nginx", "-p", str(self._folder), "-c", str(self._folder / "nginx.conf")]
        process = self._pod.start(command)
        deadline = time.monotonic() + 10
        while socket.socket().connect_ex(("127.0.0.1", self.port)):
            assert process.poll() is None, self._pod.log(process)
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def ask(self, path: str, times: int = 1, method: str = "GET", give_up_s: float | None = None) -> None:
        """Send requests one after the other; with `give_up_s` the client leaves before the answer."""
        for _ in range(times):
            with socket.create_connection(("127.0.0.1", self.port)) as client:
                client.sendall(f"{method} {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
                client.settimeout(give_up_s or 10)
                try:
                    while client.recv(65536):
                        pass
                except TimeoutError:
                    assert give_up_s


class _Upstream(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        """/feed/slow hangs, /feed/fail fails, everything else takes 20 ms."""
        time.sleep(3 if "slow" in self.path else 0.02)
        try:
            self.send_response(503 if "fail" in self.path else 200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"ok")
        except OSError:
            return

    def log_message(self, *_: object) -> None:
        """Quiet."""
