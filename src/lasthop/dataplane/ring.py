"""Reading a BPF ring buffer: the records that programs put in, in their order.

Owns the two memory maps of a ring and its positions (kernel/bpf/ringbuf.c). A record is copied out before its place is
given back.
"""

from __future__ import annotations

import mmap
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lasthop.dataplane.libbpf import Map

#: A record's header: its length, with these bits while it is written, or when it was given up.
_HEADER = 8
_BUSY, _DISCARDED = 1 << 31, 1 << 30


class Ring:
    """The reader of one ring buffer; there must be no other."""

    def __init__(self, table: Map) -> None:
        size = table.max_entries
        self._mask = size - 1
        # The consumer's page is writable; the producer's, and the data twice in a row behind it, are not.
        self._consumer = np.frombuffer(mmap.mmap(table.fd, mmap.PAGESIZE), "u8", 1)
        shared = mmap.mmap(table.fd, mmap.PAGESIZE + 2 * size, prot=mmap.PROT_READ, offset=mmap.PAGESIZE)
        self._producer = np.frombuffer(shared, "u8", 1)
        self._data = memoryview(shared)[mmap.PAGESIZE :]
        self.descriptor = table.fd
        """Readable when there is something to read."""

    def clear(self) -> None:
        """Pass over everything that is in it."""
        for _ in self.records(limit=None):
            pass

    def records(self, limit: int | None) -> Iterator[memoryview]:
        """At most `limit` records, None: all; each is to be copied before the next is asked for."""
        position, taken = int(self._consumer[0]), 0
        while position < int(self._producer[0]) and (limit is None or taken < limit):
            at = position & self._mask
            header = int.from_bytes(self._data[at : at + 4], "little")
            if header & _BUSY:
                return
            length = header & ~_DISCARDED
            if not header & _DISCARDED:
                taken += 1
                yield self._data[at + _HEADER : at + _HEADER + length]
            position += (length + _HEADER + 7) // 8 * 8
            self._consumer[0] = position
