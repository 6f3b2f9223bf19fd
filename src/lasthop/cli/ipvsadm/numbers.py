"""Numbers as C reads them."""

from __future__ import annotations

import re

_STRTOL = re.compile(r"[ \t\n\v\f\r]*([+-]?[0-9]{1,30})", re.ASCII)


def number(text: str, least: int, most: int) -> int | None:
    """The decimal number `text` is all of (strtol), if it lies between `least` and `most`, both included."""
    found = _STRTOL.fullmatch(text)
    if found is None:
        return None
    value = int(found[1])
    return value if least <= value <= most else None


def leading(text: str) -> int:
    """The number `text` begins with, or 0 (atoi)."""
    found = _STRTOL.match(text)
    return 0 if found is None else int(found[1])
