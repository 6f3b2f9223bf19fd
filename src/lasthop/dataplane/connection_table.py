"""The connection table as Python sees it: a memory map that packets write while it is read.

Owns the choice of slots and the copying of their entries. Nothing here writes the table, and nothing
here knows a name: that is `lasthop.dataplane.connection_report`'s.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import TYPE_CHECKING, Any

import numpy as np

from lasthop.dataplane import abi
from lasthop.model.connection_query import Top

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from ipaddress import IPv6Network

    from numpy.typing import NDArray

#: Slots looked at together: the first cache lines of their entries stay in a core's own cache for the next column.
_BLOCK = 8192
#: Entries copied together: some milliseconds of work for who puts them into words.
_PORTION = 1024
IPV6 = 6
#: An odd number with many bits: the golden ratio's, as in Knuth's multiplicative hashing.
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True, slots=True)
class Conditions:
    """A ConnectionQuery in the kernel's numbers."""

    service: int | None = None
    servers: Collection[int] | None = None
    """Ids of which it has one."""
    state: int | None = None
    client: IPv4Network | IPv6Network | None = None
    created_ns: int | None = None
    """Opened at this time of CLOCK_MONOTONIC_COARSE, or earlier."""
    top: Top | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """Slots, with what was true of them when they were chosen."""

    slots: NDArray[np.intp]
    generations: NDArray[np.uint32]
    """Of the connection in each slot: a slot that is used again has another one."""
    measures: NDArray[np.uint64]
    """What `Conditions.top` compares, most first; empty without it."""

    def __len__(self) -> int:
        return len(self.slots)

    def keep(self, chosen: NDArray[Any] | slice) -> Found:
        """Those of `chosen`: a mask, positions or a slice."""
        measures = self.measures[chosen] if len(self.measures) else self.measures
        return Found(self.slots[chosen], self.generations[chosen], measures)

    def first(self, limit: int | None) -> Found:
        """The `limit` first, by measure if there is one; those of equal measure are in any order."""
        if not len(self.measures):
            return self.keep(np.s_[:limit])
        rest = 0 if limit is None else max(0, len(self) - limit)
        places = np.argpartition(self.measures, rest)[rest:] if 0 < rest < len(self) else np.arange(rest, len(self))
        return self.keep(places[np.argsort(self.measures[places])[::-1]])


class ConnectionTable:
    """The live connections of one director.

    `entries` and, while connections move to a table of another size, `next_entries` are views of
    ``struct connection``; they are read, not copied. The slots of the second follow those of the first.

    What packets change meanwhile is seen so: a row's key, service, real server and hops belong to one
    connection, which was live from the choice of its slot until after the row was copied; its counters, state
    and times may be of different moments of that time. A connection that ends within it, or moves to
    the other table, is left out.
    """

    def __init__(self, entries: NDArray[Any], next_entries: NDArray[Any] | None = None) -> None:
        # In this order: connections move to the second, so that one that moves now is met twice rather than never.
        self._views = [entries] if next_entries is None else [entries, next_entries]
        self._columns = [view.view(_columns(view.dtype)) for view in self._views]
        flags = abi.enum("connection_flag")
        self._live = np.uint64(flags["CONNECTION_LIVE"] << 8)
        self._from_low = np.uint64(flags["CONNECTION_FROM_LOW"] << 8)

    def select(self, conditions: Conditions, now_ns: int, timeouts_ns: NDArray[Any]) -> Found:
        """Those that meet the conditions, each once, and live at `now_ns` (CLOCK_MONOTONIC_COARSE).

        A connection lives until its time-out is over, swept or not.
        """
        seen_after = now_ns - np.asarray(timeouts_ns, np.int64)
        passed = _Filters(conditions, self._from_low)
        main, *following = [self._choose(view, passed, seen_after) for view in self._columns]
        if not following or not len(following[0]):
            return main
        (other,) = following
        other = Found(other.slots + len(self._views[0]), other.generations, other.measures)
        # What is in both is on its way, and will be left in the second.
        main = main.keep(~self._common(main.slots, other.slots))
        return Found(
            np.concatenate([main.slots, other.slots]),
            np.concatenate([main.generations, other.generations]),
            np.concatenate([main.measures, other.measures]),
        )

    def openings(self, protocol: int, since_ns: int, until_ns: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """(opened, of those unanswered) by server id: live connections of a protocol that were opened in that time."""
        replied = np.uint64(abi.enum("connection_flag")["CONNECTION_REPLIED"] << 8)
        opened = np.zeros(abi.limit("MAX_SERVERS") + 1, np.intp)
        unanswered = opened.copy()
        for columns in self._columns:
            for start in range(0, len(columns), _BLOCK):
                block = columns[start : start + _BLOCK]
                word = block["word"].copy()
                chosen = np.flatnonzero(word & self._live != 0)
                created = block["created_ns"][chosen]
                chosen = chosen[(created > since_ns) & (created <= until_ns)]
                chosen = chosen[block["protocol"][chosen] == protocol]
                silent = chosen[word[chosen] & replied == 0]
                opened += np.bincount(block["server"][chosen], minlength=len(opened))
                unanswered += np.bincount(block["server"][silent], minlength=len(opened))
        return opened, unanswered

    def rows(self, found: Found) -> Iterator[NDArray[Any]]:
        """Copies of the entries found, in their order, a portion at a time; what is over by then is left out."""
        for start in range(0, len(found), _PORTION):
            portion = found.keep(np.s_[start : start + _PORTION])
            copied = self._copy(portion.slots)
            # The word is read after the rest: if it is live and has the generation of the choice, no other
            # connection can have written to the entry between.
            word = _gather([view["word"] for view in self._views], portion.slots)
            yield copied[(word >> np.uint64(32) == portion.generations) & (word & self._live != 0)]

    def _copy(self, slots: NDArray[np.intp]) -> NDArray[Any]:
        return _gather(self._views, slots)

    def _choose(self, columns: NDArray[Any], passed: _Filters, seen_after: NDArray[np.int64]) -> Found:
        slots, words, measures = [np.empty(0, np.intp)], [np.empty(0, np.uint64)], [np.empty(0, np.uint64)]
        for start in range(0, len(columns), _BLOCK):
            block = columns[start : start + _BLOCK]
            # First of all: what the other columns say counts only for the generation that is in it.
            word = block["word"].copy()
            live = word & self._live != 0
            live &= block["last_seen_ns"] >= seen_after.take((word & np.uint64(0xFF)).view(np.int64), mode="clip")
            chosen = passed(block, word, np.flatnonzero(live))
            slots.append(chosen + start)
            words.append(word[chosen])
            measures.append(passed.measure(block, chosen))
        generations = (np.concatenate(words) >> np.uint64(32)).astype(np.uint32)
        return Found(np.concatenate(slots), generations, np.concatenate(measures))

    def _common(self, first: NDArray[np.intp], second: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Which of the `first` slots have a key that one of the `second` has too."""
        keys = [view["key"] for view in self._columns]
        hashes = [_hashes(_gather(keys, slots)) for slots in (first, second)]
        likely = np.flatnonzero(np.isin(hashes[0], hashes[1]))
        twins = second[np.isin(hashes[1], hashes[0][likely])]
        seen = {key.tobytes() for key in _gather(keys, twins)}
        common = np.zeros(len(first), np.bool_)
        common[likely] = [key.tobytes() in seen for key in _gather(keys, first[likely])]
        return common


class _Filters:
    """The conditions beyond being live, the cheapest first, each on what the ones before left."""

    def __init__(self, conditions: Conditions, from_low: np.uint64) -> None:
        self._conditions = conditions
        self._from_low = from_low
        self._client = None if conditions.client is None else _masked(conditions.client)
        # Of IPv6 a prefix may be short enough to hold the addresses that IPv4's are kept as.
        wide = conditions.client is not None and conditions.client.version == IPV6
        self._but_ipv4 = _masked(IPv4Network("0.0.0.0/0")) if wide else None
        self._servers = None if conditions.servers is None else np.array([*conditions.servers], np.uint16)

    def __call__(self, block: NDArray[Any], word: NDArray[np.uint64], chosen: NDArray[np.intp]) -> NDArray[np.intp]:
        wanted = self._conditions
        if wanted.state is not None:
            chosen = chosen[word[chosen] & np.uint64(0xFF) == wanted.state]
        if wanted.service is not None:
            chosen = chosen[block["service"][chosen] == wanted.service]
        if self._servers is not None:
            chosen = chosen[np.isin(block["server"][chosen], self._servers)]
        if self._client is not None:
            mask, prefix = self._client
            from_low = word[chosen] & self._from_low != 0
            client = np.where(from_low[:, None], block["low"][chosen], block["high"][chosen])
            within = ((client & mask) == prefix).all(axis=1)
            if self._but_ipv4 is not None:
                mask, prefix = self._but_ipv4
                within &= ((client & mask) != prefix).any(axis=1)
            chosen = chosen[within]
        if wanted.created_ns is not None:
            chosen = chosen[block["created_ns"][chosen] <= wanted.created_ns]
        return chosen

    def measure(self, block: NDArray[Any], chosen: NDArray[np.intp]) -> NDArray[np.uint64]:
        """What `Conditions.top` compares; nothing without it."""
        top = self._conditions.top
        if top is None:
            return np.empty(0, np.uint64)
        if top is Top.AGE:
            return ~block["created_ns"][chosen].view(np.uint64)
        there, back = block[top.value][chosen].T
        total: NDArray[np.uint64] = there + back
        return total


def _columns(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The columns that are filtered by, at their offsets in ``struct connection``; times as signed numbers.

    An address is two numbers whose bytes are in network order, as its mask's are.
    """
    offsets = {name: field[1] for name, field in (dtype.fields or {}).items()}
    ends = {name: field[1] for name, field in (dtype["key"].fields or {}).items()}
    columns = {
        "key": ((np.uint64, dtype["key"].itemsize // 8), offsets["key"]),
        "low": ((np.uint64, 2), offsets["key"] + ends["low"]),
        "high": ((np.uint64, 2), offsets["key"] + ends["high"]),
        "protocol": (np.uint8, offsets["key"] + ends["ip_proto"]),
        "word": (np.uint64, offsets["word"]),
        "service": (np.uint16, offsets["service"]),
        "server": (np.uint16, offsets["server"]),
        "last_seen_ns": (np.int64, offsets["last_seen_ns"]),
        "created_ns": (np.int64, offsets["created_ns"]),
        "packets": ((np.uint64, 2), offsets["packets"]),
        "bytes": ((np.uint64, 2), offsets["bytes"]),
    }
    return np.dtype(
        {
            "names": list(columns),
            "formats": [format_ for format_, _ in columns.values()],
            "offsets": [offset for _, offset in columns.values()],
            "itemsize": dtype.itemsize,
        }
    )


def _masked(client: IPv4Network | IPv6Network) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Mask and prefix of the two numbers of an address."""
    packed = abi.mask(client), abi.pack_address(client.network_address)
    mask, prefix = (np.frombuffer(each, np.uint64) for each in packed)
    return mask, prefix


def _gather(views: Sequence[NDArray[Any]], slots: NDArray[np.intp]) -> NDArray[Any]:
    """Copies of what is at `slots`, which count through all `views`."""
    if len(views) == 1:
        copied: NDArray[Any] = views[0][slots]
        return copied
    first, second = views
    copied = np.empty((len(slots), *first.shape[1:]), first.dtype)
    here = slots < len(first)
    copied[here] = first[slots[here]]
    copied[~here] = second[slots[~here] - len(first)]
    return copied


def _hashes(keys: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """A number for each key; equal keys have equal ones."""
    hashes = np.zeros(len(keys), np.uint64)
    for column in keys.T:
        hashes = (hashes ^ column) * _MULTIPLIER
        hashes ^= hashes >> np.uint64(32)
    return hashes
