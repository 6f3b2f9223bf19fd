"""A hash or trie map of the director's: what it shall hold, written and read back.

Owns the comparison of one with the other. Only the director writes such a map; who else does is put right by `mend`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    import numpy as np

    from lasthop.dataplane.libbpf import Map


class KeptMap:
    """One map, adopted with what it has."""

    def __init__(self, table: Map) -> None:
        self._table = table
        self.entries = table.entries()
        """What was written, and should be there."""

    @property
    def name(self) -> str:
        """The map's."""
        return self._table.name

    def hold(self, wanted: Mapping[bytes, bytes], *, room_first: bool = False) -> None:
        """Make the map hold `wanted`: new entries first, then the stale ones go; the other way round for `room_first`.

        Raises DataPlaneError; what was written until then is known.
        """
        stale = self.entries.keys() - wanted.keys()
        if room_first:
            self._remove_all(stale)
        for key, value in wanted.items():
            if self.entries.get(key) != value:
                self.put(key, value)
        if not room_first:
            self._remove_all(stale)

    def of_half(self, key_type: np.dtype[Any], half: int) -> dict[bytes, bytes]:
        """The entries of one half, where keys have a field ``half``, of one byte or with the low one first."""
        place = key_type.fields["half"][1] if key_type.fields else 0
        return {key: value for key, value in self.entries.items() if key[place] == half}

    def put(self, key: bytes, value: bytes) -> None:
        """Write one entry."""
        self._table.update(key, value)
        self.entries[key] = value

    def remove(self, key: bytes) -> None:
        """Remove one entry. Idempotent."""
        self._table.delete(key)
        self.entries.pop(key, None)

    def mend(self) -> int:
        """Put right what somebody else changed; how many entries that were."""
        there = self._table.entries()
        if there == self.entries:
            return 0
        wanted = self.entries
        altered = [key for key in there.keys() | wanted.keys() if there.get(key) != wanted.get(key)]
        for key in altered:
            value = wanted.get(key)
            if value is None:
                self._table.delete(key)
            else:
                self._table.update(key, value)
        return len(altered)

    def _remove_all(self, keys: set[bytes]) -> None:
        for key in keys:
            self.remove(key)
