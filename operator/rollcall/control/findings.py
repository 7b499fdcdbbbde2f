"""Conditions beside those that follow from the picture: whoever looks after something keeps its own on a service's watch."""

from __future__ import annotations

from typing import NamedTuple


class Finding(NamedTuple):
    """Status, reason and message of a condition."""

    status: str
    reason: str
    message: str
