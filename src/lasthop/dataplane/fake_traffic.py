"""What went through the data plane in memory: what its connections say.

For `lasthop.dataplane.fake`; no rates, since no time goes by there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from lasthop.dataplane.interface import Measured
from lasthop.model.connection import EachWay
from lasthop.model.statistics import Rates, Statistics

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable

    from lasthop.model.connection import ConnectionReport
    from lasthop.model.template import TemplateReport

Key = TypeVar("Key", bound="Hashable")


class FakeTraffic:
    """See `interface.Traffic`; `template_reports` are put in."""

    def __init__(self, connections: Callable[[], Iterable[ConnectionReport]]) -> None:
        self._connections = connections
        self._zero: dict[object, Statistics] = {}
        self.template_reports: list[TemplateReport] = []
        self.opened: dict[tuple[str, str], tuple[int, int]] = {}
        """What `openings` answers."""

    def openings(self, window_s: float, patience_s: float) -> dict[tuple[str, str], tuple[int, int]]:  # noqa: ARG002 -- no time goes by here
        """See Traffic.openings."""
        return dict(self.opened)

    def servers(self) -> dict[tuple[str, str], Measured]:
        """See Traffic.servers."""
        return self._shown((each.service, each.real_server) for each in self._connections())

    def services(self) -> dict[str, Measured]:
        """See Traffic.services."""
        return self._shown(each.service for each in self._connections())

    def zero(self, service: str | None = None) -> None:
        """See Traffic.zero."""
        totals: dict[object, Statistics] = {
            **self._totals((each.service, each.real_server) for each in self._connections()),
            **self._totals(each.service for each in self._connections()),
        }
        self._zero |= {
            key: total for key, total in totals.items() if service in (None, key[0] if isinstance(key, tuple) else key)
        }

    def templates(self) -> list[TemplateReport]:
        """See Traffic.templates."""
        return list(self.template_reports)

    def _totals(self, keys: Iterable[Key]) -> dict[Key, Statistics]:
        totals: dict[Key, Statistics] = {}
        for key, each in zip(keys, self._connections(), strict=True):
            totals[key] = _sum(totals.get(key, Statistics()), Statistics(1, each.packets, each.bytes))
        return totals

    def _shown(self, keys: Iterable[Key]) -> dict[Key, Measured]:
        return {
            key: Measured(_sum(total, self._zero.get(key, Statistics()), -1), Rates())
            for key, total in self._totals(keys).items()
        }


def _sum(one: Statistics, other: Statistics, sign: int = 1) -> Statistics:
    return Statistics(
        one.connections + sign * other.connections,
        EachWay(
            one.packets.request + sign * other.packets.request, one.packets.response + sign * other.packets.response
        ),
        EachWay(one.bytes.request + sign * other.bytes.request, one.bytes.response + sign * other.bytes.response),
    )
