"""What the operator orders in its WELCOME, carried out in the pod: visitors to count, and probes to take out or put back.

The agent's folder in the shared volume may be read by every container of the pod. Probes are taken out by renaming Python's
folder and by putting an empty script in the place of PHP's: a php-fpm that runs already includes that file before every script,
so it must not be missing. Both work on an application that starts later, or on its next request.
"""

from __future__ import annotations

import os
from typing import Any

from .log import say

VISITORS_FILE = "visitors"
_PYTHON, _PYTHON_OUT = "python", "python.off"
_PHP, _PHP_OUT, _PHP_EMPTY = "php/rollcall.php", "php/rollcall.php.off", "php/empty.php"
MAX_KEY_HEX = 128


class Orders:
    """Carries out what a WELCOME says; each order once. `probes` is the folder of the probes, writable for the agent."""

    def __init__(self, state_dir: str, probes: str) -> None:
        self._visitors_path = os.path.join(state_dir, VISITORS_FILE)
        self._probes = probes
        self._visitors: str | None = None
        self._probe = ""

    def obey(self, welcome: dict[str, Any]) -> None:
        """Do what is new in a WELCOME; what cannot be done is said."""
        try:
            self._count_visitors(visitors_text(welcome.get("visitors")))
            self._arm(welcome.get("probe"))
        except OSError as error:
            say(f"an order of the operator was not carried out: {error}", "orders")

    def _count_visitors(self, text: str) -> None:
        if text == self._visitors:
            return
        if text:
            temporary = self._visitors_path + ".new"
            with open(temporary, "w", encoding="utf-8") as file:
                file.write(text)
            os.chmod(temporary, 0o644)
            os.replace(temporary, self._visitors_path)
        elif os.path.exists(self._visitors_path):
            os.unlink(self._visitors_path)
        self._visitors = text

    def _arm(self, order: object) -> None:
        if order not in ("on", "off") or order == self._probe:
            return
        python, python_out = self._path(_PYTHON), self._path(_PYTHON_OUT)
        if order == "off":
            if os.path.isdir(python):
                os.rename(python, python_out)
            if not os.path.exists(self._path(_PHP_OUT)) and os.path.exists(self._path(_PHP)):
                os.rename(self._path(_PHP), self._path(_PHP_OUT))
                _copy(self._path(_PHP_EMPTY), self._path(_PHP))
            say("the probes were taken out on the operator's order", "orders")
        else:
            if os.path.isdir(python_out):
                os.rename(python_out, python)
                say("the probes were put back on the operator's order", "orders")
            if os.path.exists(self._path(_PHP_OUT)):
                os.replace(self._path(_PHP_OUT), self._path(_PHP))
        self._probe = str(order)

    def _path(self, name: str) -> str:
        return os.path.join(self._probes, name)


def _copy(source: str, target: str) -> None:
    with open(source, "rb") as file:
        content = file.read()
    temporary = target + ".new"
    with open(temporary, "wb") as file:
        file.write(content)
    os.chmod(temporary, 0o644)
    os.replace(temporary, target)


def visitors_text(order: object) -> str:
    """The content of the file that probes read: where a visitor is known from, and the key in hex; empty when none are counted.

    What is no valid order counts none.
    """
    if not isinstance(order, dict):
        return ""
    source, key = order.get("from"), order.get("key")
    if not isinstance(source, str) or not isinstance(key, str) or not 0 < len(key) <= MAX_KEY_HEX or len(source) > 256:
        return ""
    kind, _, name = source.partition(":")
    if (kind not in ("cookie", "header") or not name) and source != "clientIP":
        return ""
    if any(character not in "0123456789abcdef" for character in key) or len(key) % 2 or "\n" in source or not source.isascii():
        return ""
    return f"{source}\n{key}\n"
