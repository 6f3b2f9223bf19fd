"""Names and ids: the kernel knows numbers, people know names, and both outlive a director process.

Owns the name maps (zone_names, leg_names, box_names, service_names). An id stays with its name
until `forget`; a director that starts later reads the assignment back.
"""

from __future__ import annotations

from heapq import heappop, heappush
from typing import TYPE_CHECKING, Any

from lasthop.dataplane import abi
from lasthop.errors import DataPlaneError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from lasthop.dataplane.libbpf import Map


class NameTable:
    """Ids of one kind of name, backed by a map of ``struct name``."""

    def __init__(self, table: Map, what: str, first: int = 0) -> None:
        self._what = what
        self._first = first
        self._texts: NDArray[Any] = table.view(abi.types().struct("name"))["text"].view(f"S{abi.limit('NAME_LENGTH')}")[
            :, 0
        ]
        self._ids = {text.decode(): i for i, text in enumerate(self._texts.tolist()) if text and i >= first}
        taken = set(self._ids.values())
        self._free = [i for i in range(first, len(self._texts)) if i not in taken]
        """A heap: the lowest id is given first."""

    def id_of(self, name: str) -> int:
        """The id of `name`, given out now if it has none. Raises DataPlaneError if all are taken."""
        known = self._ids.get(name)
        if known is not None:
            return known
        if not self._free:
            raise DataPlaneError(
                f"can't add {self._what} {name!r}: all {len(self._texts) - self._first} ids are taken",
                "remove some, or wait until the connections of removed ones are over",
            )
        free = heappop(self._free)
        self._texts[free] = name.encode()
        self._ids[name] = free
        return free

    def get(self, name: str) -> int | None:
        """The id of `name`, None if it has none."""
        return self._ids.get(name)

    def name_of(self, id_: int) -> str:
        """The name of an id, empty if it has none."""
        if not self._first <= id_ < len(self._texts):
            return ""
        return bytes(self._texts[id_]).decode()

    def names(self) -> Iterable[str]:
        """All names that have an id."""
        return tuple(self._ids)

    def forget(self, name: str) -> None:
        """Take the id back."""
        id_ = self._ids.pop(name)
        self._texts[id_] = b""
        heappush(self._free, id_)
