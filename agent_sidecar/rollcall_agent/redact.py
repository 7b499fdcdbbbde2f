"""Takes out of a message what may be personal or secret. Better one word too many than one too few.

Imported by the probe inside the application's process too: Python 3.8, standard library only."""

from __future__ import annotations

import re

_RULES = (
    # name=value and name: value of secrets, URLs with credentials
    (r"(?i)\b(pass(?:word|wd|phrase)?|pwd|secret|token|api[-_]?key|auth(?:orization)?|cookie|session|sid|credential)s?"
     r"(\s*[=:]\s*|['\"]\s*:\s*['\"]?)(?:bearer\s+|basic\s+)?[^\s,;&'\"})]+", r"\1\2***"),
    (r"(?i)\b(bearer|basic)\s+[a-z0-9._~+/=-]{6,}", r"\1 ***"),
    (r"://[^/\s:@]+:[^/\s@]+@", "://***@"),
    (r"[\w.+%-]+@[\w-]+(?:\.[\w-]+)+", "<email>"),
    (r"\beyJ[\w-]+\.[\w-]+\.[\w-]*", "<token>"),
    (r"\b[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}\b", "<uuid>"),
    (r"\b(?=[0-9a-fA-F]*[0-9])[0-9a-fA-F]{16,}\b", "<hex>"),
    (r"(?<![\w.])\+?\d(?:[ -]?\d){6,}(?![\w.])", "<number>"),
    (r"\b(?=[\w-]*\d)(?=[\w-]*[A-Za-z])[\w-]{24,}\b", "<token>"),
)  # fmt: skip
_compiled: list[tuple[re.Pattern[str], str]] = []


def redact(text: str) -> str:
    """`text` without e-mail addresses, long numbers, tokens, keys, and values of what is named like a secret."""
    if not _compiled:
        _compiled.extend((re.compile(pattern), replacement) for pattern, replacement in _RULES)
    for pattern, replacement in _compiled:
        text = pattern.sub(replacement, text)
    return text
