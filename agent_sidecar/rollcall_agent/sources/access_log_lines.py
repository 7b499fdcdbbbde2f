"""One line of an access log → what it says. Pure, and a microsecond or two.

`rollcall` is our own format, values with a tab between them, in this order; more may follow:

    log_format rollcall 'rollcall1\\t$request_method\\t$status\\t$request_time\\t$proxy_host\\t$upstream_addr'
                        '\\t$upstream_response_time\\t$upstream_status\\t$uri';

nginx writes a tab within a value as \\x09, so it divides nothing. `combined` is nginx's default.
"""

from __future__ import annotations

from collections.abc import Iterator

MARK = b"rollcall1\t"
_FIELDS = 9
_MAX_ELAPSED_US = 7 * 86_400_000_000
LESS_THAN_US = 500
"""What stands for a time of 0.000: nginx writes whole milliseconds."""
Line = tuple[bytes, bytes, int, int | None, bytes, bytes, bytes, bytes]
"""method, path, status, response time in µs (None: not known), name of the proxied server, then addresses, times and statuses
of the upstreams that were asked, as nginx writes them."""


def rollcall(line: bytes) -> Line | None:
    """A line in our format; None when it is not."""
    fields = line.split(b"\t")
    if len(fields) < _FIELDS or fields[0] != b"rollcall1":
        return None
    _, method, status, elapsed, proxy, addresses, times, codes, path = fields[:_FIELDS]
    try:
        return method, path.rstrip(b"\r\n"), int(status), microseconds(elapsed), proxy, addresses, times, codes
    except ValueError:
        return None


def combined(line: bytes) -> Line | None:
    """A line in nginx's (and Apache's) combined format; None when it is not."""
    fields = line.split(b'"', 2)
    if len(fields) < 3:
        return None
    method, _, rest = fields[1].partition(b" ")
    status = fields[2][1:4]
    if not status.isdigit():
        return None
    return method, rest.partition(b" ")[0].partition(b"?")[0], int(status), None, b"-", b"", b"", b""


def microseconds(seconds: bytes) -> int:
    """A time as nginx writes it; raises ValueError."""
    found = int(float(seconds) * 1e6 + 0.5)
    if not 0 <= found <= _MAX_ELAPSED_US:
        raise ValueError("no time")
    return found or LESS_THAN_US


def upstreams(addresses: bytes, times: bytes, codes: bytes) -> Iterator[tuple[bytes, int, int]]:
    """(address, µs, status) of each upstream that was asked: several with a comma between, or a colon after a redirect."""
    lists = [part.replace(b" : ", b", ").split(b", ") for part in (addresses, times, codes)]
    for address, took, code in zip(*lists, strict=False):
        try:
            yield address, microseconds(took), int(code) if code.isdigit() else 0
        except (ValueError, OverflowError):
            continue  # it was not reached
