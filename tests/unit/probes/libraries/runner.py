"""Runs what one library is to be tried with, within a request: python runner.py LIBRARY ADDRESSES

Prints, as JSON, what the application saw (values, exceptions with the place that raised them) and the calls that it made, which
a probe is to have counted. Runs in the Python that the library is installed for, 3.8 and later, and knows of no probe.
"""

import asyncio
import importlib
import io
import json
import os
import re
import sys
import traceback
from wsgiref.handlers import SimpleHandler

HERE = os.path.dirname(os.path.abspath(__file__))
PROBES = "_rollcall_probe"
VARYING = re.compile("0x[0-9a-f]+|[0-9a-f]{24}")


class Seen:
    """What is seen of actions, and how many calls of which dependency they are, with the reasons of those that fail."""

    def __init__(self):
        self.results = []
        self.calls = {}

    def expect(self, name, reason="", calls=1):
        """So many calls of dependency `name`, failed for `reason` if there is one."""
        if name is not None:
            by_reason = self.calls.setdefault(name, {})
            by_reason[reason] = by_reason.get(reason, 0) + calls

    def __call__(self, name, action, reason="", calls=1):
        """Do `action()`, which is one call of dependency `name`; None: none."""
        self.expect(name, reason, calls)
        try:
            result = action()
        except BaseException as error:
            self.results.append(seen_error(error))
        else:
            self.results.append(shown(result))
            return result

    async def awaited(self, name, action, reason="", calls=1):
        """The same with what `action()` gives to be awaited."""
        self.expect(name, reason, calls)
        try:
            result = await action()
        except BaseException as error:
            self.results.append(seen_error(error))
        else:
            self.results.append(shown(result))
            return result


def shown(value):
    """A value, if it is plain; else its type."""
    if isinstance(value, (str, int, float, bool, type(None))):
        return value
    if isinstance(value, (list, tuple)):
        return [shown(item) for item in value]
    return f"{type(value).__module__}.{type(value).__qualname__}"


def seen_error(error):
    """Type and message, and the innermost place that is not a probe's."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if PROBES not in frame.filename]
    kind = f"{type(error).__module__}.{type(error).__qualname__}"
    causes = [type(cause).__name__ for cause in (error.__cause__, error.__context__) if cause is not None]
    message = VARYING.sub("<id>", str(error))
    return [kind, message, os.path.basename(frames[-1].filename), frames[-1].name, causes, error.__suppress_context__]


def main():
    """Serve one request, without a socket."""
    library, addresses = sys.argv[1:]
    sys.path.insert(0, HERE)
    seen = Seen()
    failures = []

    def application(environ, start_response):
        try:
            scenario = importlib.import_module(library).scenario(seen, json.loads(addresses))
            if scenario is not None:
                asyncio.run(scenario)
        except BaseException:
            failures.append(traceback.format_exc())
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"done"]

    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "SERVER_PROTOCOL": "HTTP/1.0"}
    SimpleHandler(io.BytesIO(), io.BytesIO(), sys.stderr, environ).run(application)
    print(json.dumps({"results": seen.results, "calls": seen.calls, "failures": failures}))
    sys.stdout.flush()
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
