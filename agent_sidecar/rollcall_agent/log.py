"""One line on stderr per thing worth knowing; a line that repeats is written once until another of its topic comes."""

from __future__ import annotations

import os
import sys

_last: dict[str, str] = {}
_MAX_TOPICS = 256


def say(message: str, topic: str = "") -> None:
    """Write `message`; with a `topic`, only when it differs from the topic's previous one."""
    if topic:
        if _last.get(topic) == message:
            return
        if len(_last) >= _MAX_TOPICS:
            _last.clear()
        _last[topic] = message
    line = f"rollcall-agent[{os.getpid()}]: {message}\n"
    try:
        sys.stderr.write(line)
        sys.stderr.flush()
    except (OSError, ValueError):
        return  # nobody listens; that must not stop the agent
