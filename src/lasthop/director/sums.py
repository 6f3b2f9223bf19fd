"""What happens too often to be told one by one: hops that are learned, last hops that move, asymmetric responses.

Owns how often that is told: the first of a kind at once, then so many as came since, some seconds apart.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from lasthop.model.event import Kind, told

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from lasthop.model.asymmetry import AsymmetricResponse
    from lasthop.model.counter import CounterReport

_log = logging.getLogger(__name__)

#: Seconds between two events of a kind.
APART_S = 10.0
_LEARNED, _MOVED, _ASYMMETRIC = "event_hop_learned", "event_last_hop_moved", "event_asymmetric"


class Sums:
    """The counters of one director's data plane that are worth an event when they rise."""

    def __init__(self) -> None:
        self._told: dict[str, int] = {}
        """Counter -> its value when it was told last, or when it was seen first."""
        self._told_at: dict[str, float] = {}

    def look(
        self, counters: Iterable[CounterReport], samples: Callable[[], list[AsymmetricResponse]], now_s: float
    ) -> None:
        """Tell what rose. `samples` are the newest asymmetric responses, the newest first; `now_s` is monotonic."""
        values = {each.name: each.value for each in counters}
        if number := self._risen(_LEARNED, values, now_s):
            beside = told(Kind.HOPS_LEARNED, count=number)
            _log.info("%d hop%s learned from packets", number, " was" if number == 1 else "s were", extra=beside)
        if number := self._risen(_MOVED, values, now_s):
            beside = told(Kind.LAST_HOPS_MOVED, count=number)
            whose = "a connection's last hop" if number == 1 else f"the last hops of {number} connections"
            _log.info("%s moved: requests came from elsewhere", whose, extra=beside)
        if number := self._risen(_ASYMMETRIC, values, now_s):
            _tell_asymmetric(number, samples())

    def _risen(self, counter: str, values: Mapping[str, int], now_s: float) -> int:
        """By how much, if that may be told now."""
        value = values.get(counter, 0)
        before = self._told.setdefault(counter, value)
        if value < before:  # the data plane was made anew
            self._told[counter] = value
        if value <= before or now_s - self._told_at.get(counter, -APART_S) < APART_S:
            return 0
        self._told[counter], self._told_at[counter] = value, now_s
        return value - before


def _tell_asymmetric(number: int, samples: list[AsymmetricResponse]) -> None:
    what = "an asymmetric response" if number == 1 else f"{number} asymmetric responses"
    if not samples:
        _log.warning("%s", what, extra=told(Kind.ASYMMETRIC, count=number))
        return
    newest = samples[0]
    _log.warning(
        "%s, the last %s %s:%d > %s:%d from %s, expected %s",
        what,
        newest.protocol,
        newest.source,
        newest.source_port,
        newest.destination,
        newest.destination_port,
        newest.came_from,
        newest.expected,
        extra=told(Kind.ASYMMETRIC, count=number, expected=newest.expected, came_from=newest.came_from),
    )
