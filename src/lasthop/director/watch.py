"""Watching the network: one thread reads it, the director hears what is, the kernel is asked to resolve.

Owns the thread (netlink calls block, and pyroute2 may not be called inside a running asyncio loop)
and the settling of many changes into one observation.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from lasthop.errors import LasthopError

if TYPE_CHECKING:
    from collections.abc import Callable

    from lasthop.director.director import Director
    from lasthop.network.interface import Network, Observation

#: Changes that come within this time are looked at together.
_SETTLE_S = 0.02


class NetworkWatch:
    """Tells a director what the network is, at first and after every change."""

    def __init__(self, make: Callable[[], Network]) -> None:
        """`make` is called in the watching thread, so that its sockets belong there. Raises NetworkError."""
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="network")
        self._network = self._thread.submit(make).result()
        self._changed = asyncio.Event()

    def observe(self) -> Observation:
        """Read the network, outside a running loop. Raises NetworkError."""
        return self._thread.submit(self._read).result()

    def look(self) -> Observation:
        """Read the network at once, from the loop that follows it and goes on with that. Raises NetworkError."""
        self._changed.set()
        return self.observe()

    async def follow(self, director: Director) -> None:
        """Keep `director` informed until cancelled."""
        loop = asyncio.get_running_loop()
        director.on_applied.append(self._changed.set)
        try:
            await self._keep_resolved(director)
            while not director.detached:
                loop.add_reader(self._network.changes(), self._changed.set)
                await self._changed.wait()
                loop.remove_reader(self._network.changes())
                self._changed.clear()
                await asyncio.sleep(_SETTLE_S)
                try:
                    director.observed(await loop.run_in_executor(self._thread, self._read))
                except LasthopError as error:
                    director.noted("network", error)
                await self._keep_resolved(director)
        finally:
            director.on_applied.remove(self._changed.set)
            loop.remove_reader(self._network.changes())

    def close(self) -> None:
        """End the thread and release the sockets."""
        self._thread.submit(self._network.close).result()
        self._thread.shutdown()

    def _read(self) -> Observation:
        self._network.drain()
        return self._network.observe()

    async def _keep_resolved(self, director: Director) -> None:
        wanted = director.wanted
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._network.keep_resolved, wanted)
        except LasthopError as error:
            director.noted("neighbours", error)
        else:
            director.noted("neighbours", None)
