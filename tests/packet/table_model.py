"""The connection table in plain Python: buckets, ways, quotas, and who gives way to whom.

Independent of the C: written from docs/ARCHITECTURE.md's rules, with tests.oracles.placement for where a key may be.
Must not be here: TCP, hops, schedulers.
"""

from __future__ import annotations

from dataclasses import dataclass, field

WAYS = 16
SPARE = 4
_ASSURED, _UNASSURED, _EXPIRED = 1, 2, 3


@dataclass(slots=True)
class Entry:
    """A connection; `bucket` is an index, `near` whether it is one of its key's first two."""

    key: bytes
    seen: float
    bucket: int
    way: int
    near: bool
    assured: bool = False


@dataclass(slots=True)
class TableModel:
    """`now` is in seconds; timeouts are those of assured and of other connections."""

    choices: dict[bytes, list[int]]
    preferred_way: dict[bytes, int]
    buckets: int
    quota: int
    timeout: tuple[float, float]
    replace_idle: float
    now: float = 0
    entries: dict[bytes, Entry] = field(default_factory=dict)

    def open(self, key: bytes) -> str:
        """An opening packet: what became of its connection."""
        known = self.entries.get(key)
        if known and not self._expired(known):
            known.seen = self.now
            return "known"
        if known:
            del self.entries[key]
        if self.unassured >= self.quota:
            return "quota"
        place, outcome = self._place(key)
        if place is None:
            return "full"
        bucket, way = place
        self.entries[key] = Entry(key, self.now, bucket, way, bucket in self.choices[key][:2])
        return outcome

    def settle(self, key: bytes) -> bool:
        """Both directions were seen; False if there is no such connection."""
        known = self.entries.get(key)
        if known is None or self._expired(known):
            return False
        known.assured, known.seen = True, self.now
        return True

    def sweep(self) -> None:
        self.entries = {key: each for key, each in self.entries.items() if not self._expired(each)}

    @property
    def unassured(self) -> int:
        return sum(not each.assured for each in self.entries.values())

    @property
    def overflowed(self) -> int:
        return sum(not each.near for each in self.entries.values())

    def _expired(self, entry: Entry) -> bool:
        return self.now - entry.seen > self.timeout[0 if entry.assured else 1]

    def _free(self, bucket: int) -> list[int]:
        used = {each.way for each in self.entries.values() if each.bucket == bucket}
        return [way for way in range(WAYS) if way not in used]

    def _way(self, key: bytes, free: list[int]) -> int:
        preferred = self.preferred_way[key]
        return preferred if preferred in free else free[0]

    def _place(self, key: bytes) -> tuple[tuple[int, int] | None, str]:
        first, second, *far = self.choices[key]
        free = {bucket: self._free(bucket) for bucket in (first, second, *far)}
        order = [first, second]
        if len(free[first]) < SPARE and len(free[second]) > len(free[first]):
            order.reverse()
        for bucket in order:
            if free[bucket]:
                return (bucket, self._way(key, free[bucket])), "new"
        victim = self._victim([first, second])
        if victim and self._rank(victim) == _EXPIRED:
            return self._evict(victim), "expired"
        for bucket in far:
            if free[bucket]:
                return (bucket, self._way(key, free[bucket])), "new"
        victim = self._victim([first, second, *far])
        if victim is None:
            return None, "full"
        outcome = "expired" if self._rank(victim) == _EXPIRED else "replaced"
        return self._evict(victim), outcome

    def _rank(self, entry: Entry) -> int:
        if self._expired(entry):
            return _EXPIRED
        if not entry.assured:
            return _UNASSURED
        return _ASSURED if self.now - entry.seen > self.replace_idle else 0

    def _victim(self, buckets: list[int]) -> Entry | None:
        """The most replaceable; of equals the first in the order of buckets and ways."""
        best: Entry | None = None
        worth: tuple[int, float] = (0, 0)
        for bucket in buckets:
            for entry in sorted((e for e in self.entries.values() if e.bucket == bucket), key=lambda e: e.way):
                rank = self._rank(entry)
                if rank and (rank, self.now - entry.seen) > worth:
                    best, worth = entry, (rank, self.now - entry.seen)
        return best

    def _evict(self, victim: Entry) -> tuple[int, int]:
        del self.entries[victim.key]
        return victim.bucket, victim.way
