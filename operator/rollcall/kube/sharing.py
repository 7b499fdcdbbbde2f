"""What thousands of objects have in common is kept once.

A pod as it is decoded takes 6 KiB, most of it the same in every pod of its workload: labels, containers with their images and
resources, conditions. What equals a part that came before is replaced by that part, when the object is made. So parts must
never be changed in place.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import msgspec

MOST = 20_000
"""Parts that are remembered; where there are more different ones, remembering begins anew."""
_kept: dict[Hashable, Any] = {}


def share(struct: msgspec.Struct, field: str, key: Hashable) -> None:
    """Let a field of a frozen struct be the one value that is kept for its kind, field and `key`, which says all of it."""
    value, whole = getattr(struct, field), (type(struct), field, key)
    known = _kept.get(whole)
    if known is None:
        if len(_kept) >= MOST:
            _kept.clear()
        _kept[whole] = value
    elif known is not value:
        msgspec.structs.force_setattr(struct, field, known)
