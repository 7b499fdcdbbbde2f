"""Kubernetes resource quantities, only as far as comparing them needs: "5m", "24Mi", "1.5", "1e3".

Not arithmetic on quantities and not their canonical form: what a user wrote is passed on as it was written.
"""

from __future__ import annotations

import re
from decimal import Decimal

_SUFFIXES = {
    "": Decimal(1),
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    "k": Decimal(10**3),
    "M": Decimal(10**6),
    "G": Decimal(10**9),
    "T": Decimal(10**12),
    "P": Decimal(10**15),
    "E": Decimal(10**18),
    "Ki": Decimal(2**10),
    "Mi": Decimal(2**20),
    "Gi": Decimal(2**30),
    "Ti": Decimal(2**40),
    "Pi": Decimal(2**50),
    "Ei": Decimal(2**60),
}
_QUANTITY = re.compile(r"([+-]?(?:[0-9]+[.]?[0-9]*|[.][0-9]+))(?:([eE][+-]?[0-9]{1,2})|([numkMGTPE]|[KMGTPE]i)?)")


class QuantityError(ValueError):
    """A text that is no resource quantity."""


def parse_quantity(text: str | int | float) -> Decimal:
    """The exact value of a quantity in its base unit (cores, bytes).

    >>> parse_quantity("500m") == parse_quantity("0.5")
    True

    Raises QuantityError when the text is malformed.
    """
    found = _QUANTITY.fullmatch(str(text))
    if not found:
        raise QuantityError(f'{str(text)!r} is not a resource quantity; write it like "5m", "0.5" or "24Mi"')
    number, exponent, suffix = found.groups()
    if exponent:
        return Decimal(number + exponent)
    return Decimal(number) * _SUFFIXES[suffix or ""]
