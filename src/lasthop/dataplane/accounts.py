"""Statistics of real servers and services: what is over, what the live connections have counted, and since when.

Owns the maps `accounts` and `past_accounts`. A connection counts its own packets, and its real server gets the counts
when it is over; so a total is what was over as a sweep began, and what that sweep found alive. A connection that a
packet ends between the two is missed until the next sweep: a total may wait, and never runs ahead or back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lasthop.dataplane import abi
from lasthop.dataplane.interface import Measured
from lasthop.model.connection import EachWay
from lasthop.model.statistics import RateEachWay, Rates, Statistics
from lasthop.policy.rates import Estimator

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from lasthop.dataplane.libbpf import Map

#: connections, packets of requests and responses, bytes of requests and responses
_COLUMNS = 5
_NS = 1_000_000_000


class Accounts:
    """The statistics of one director."""

    def __init__(self, maps: dict[str, Map]) -> None:
        account = abi.types().struct("account")
        self._servers = _Book(maps["accounts"].view(account))
        self._services = _Book(maps["past_accounts"].view(account))
        self._over = np.zeros((0, _COLUMNS), np.uint64)
        self._size = 0
        self.closed = np.zeros(len(maps["accounts"].view(account)), np.uint32)
        """Of each real server: connections that are closed and not forgotten yet, as the last sweep found them."""

    def begin(self, size: int) -> None:
        """A sweep begins; ids of real servers are below `size`."""
        self._size = size
        self._over = self._servers.over(size)

    def finish(self, census: NDArray[Any], service_of: NDArray[Any], now_ns: int) -> None:
        """That sweep has ended: `census` has what it found of each real server, `service_of` the service of each."""
        live = np.zeros((self._size, _COLUMNS), np.uint64)
        live[:, 1:3], live[:, 3:5] = census["packets"][: self._size], census["bytes"][: self._size]
        self.closed[:] = census["closed"]
        over = self._over
        # Those that began meanwhile are known at once: they are counted when they begin.
        over[:, 0] = self._servers.over(self._size)[:, 0]
        self._servers.grow(over + live, now_ns)
        services = self._services.over(len(self._services.totals))
        present = np.flatnonzero(self._servers.totals[: self._size].any(axis=1))
        np.add.at(services, service_of[present], self._servers.totals[present])
        self._services.grow(services, now_ns)

    def of_servers(self, ids: Iterable[int]) -> list[Measured]:
        """What is known of each."""
        return self._servers.measured(ids)

    def of_services(self, ids: Iterable[int]) -> list[Measured]:
        """What is known of each."""
        return self._services.measured(ids)

    def zero(self, services: Iterable[int], servers: Iterable[int]) -> None:
        """Count from here on, as of the last sweep."""
        self._services.zero(list(services))
        self._servers.zero(list(servers))

    def open_servers(self, servers: Sequence[int]) -> None:
        """Ids were given to real servers that begin with nothing."""
        self._servers.clear(servers)

    def open_service(self, service: int) -> None:
        """An id was given to a service that begins with nothing."""
        self._services.clear([service])

    def close_servers(self, closed: Sequence[tuple[int, int]]) -> None:
        """Real servers without connections give their ids back: what each had stays its service's, named beside it."""
        servers, services = np.array(closed, np.intp).reshape(-1, 2).T
        self._services.add(services, self._servers.over_of(servers))
        self._servers.clear(servers)


class _Book:
    """Accounts of one kind, by id."""

    def __init__(self, records: NDArray[Any]) -> None:
        self._records = records
        self.totals = np.zeros((len(records), _COLUMNS), np.uint64)
        """Since each began, as of the last sweep."""
        self._estimator = Estimator(len(records), _COLUMNS)

    def over(self, size: int) -> NDArray[np.uint64]:
        """A copy of what is over of the first ones."""
        return _columns(self._records["over"][:size])

    def over_of(self, ids: NDArray[np.intp]) -> NDArray[Any]:
        """A copy of what is over of some."""
        over: NDArray[Any] = self._records["over"][ids]
        return over

    def grow(self, totals: NDArray[np.uint64], now_ns: int) -> None:
        """These are the totals of the first ones now."""
        rows = self.totals[: len(totals)]
        np.maximum(rows, totals, out=rows)
        self._estimator.look(now_ns / _NS, rows)

    def measured(self, ids: Iterable[int]) -> list[Measured]:
        wanted = np.array(list(ids), np.intp)
        zeroed = _columns(self._records["zero"][wanted])
        shown = self.totals[wanted] - np.minimum(zeroed, self.totals[wanted])
        rates = self._estimator.rates[wanted]
        return [
            Measured(
                Statistics(row[0], EachWay(row[1], row[2]), EachWay(row[3], row[4])),
                Rates(rate[0], RateEachWay(rate[1], rate[2]), RateEachWay(rate[3], rate[4])),
            )
            for row, rate in zip(shown.tolist(), rates.tolist(), strict=True)
        ]

    def zero(self, ids: list[int]) -> None:
        zero, totals = self._records["zero"], self.totals[ids]
        zero["connections"][ids], zero["packets"][ids], zero["bytes"][ids] = (
            totals[:, 0],
            totals[:, 1:3],
            totals[:, 3:5],
        )

    def clear(self, ids: Sequence[int] | NDArray[np.intp]) -> None:
        self._records[ids] = np.zeros(1, self._records.dtype)
        self.totals[ids] = 0
        self._estimator.forget(ids)

    def add(self, ids: NDArray[np.intp], statistics: NDArray[Any]) -> None:
        """More is over of these; one that is named several times gets all of it."""
        over = self._records["over"]
        for name in ("connections", "packets", "bytes"):
            np.add.at(over[name], ids, statistics[name])


def _columns(statistics: NDArray[Any]) -> NDArray[np.uint64]:
    return np.concatenate(
        [statistics["connections"][:, np.newaxis], statistics["packets"], statistics["bytes"]], axis=1, dtype=np.uint64
    )
