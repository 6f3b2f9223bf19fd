"""Waiting for a condition: nothing in the lab or its tests sleeps and hopes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def wait_until(condition: Callable[[], object], *, timeout: float, interval: float = 0.02) -> bool:
    """Ask every `interval` seconds until `condition` holds or `timeout` seconds are over; tell whether it held."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() >= deadline:
            return bool(condition())
        time.sleep(interval)
    return True
