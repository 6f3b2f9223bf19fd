"""Path probes in the kernel: the port that the data plane knows them by, and those that came back.

Owns the map answers. How probes are made is `lasthop.health.path`'s.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lasthop.dataplane import abi
from lasthop.dataplane.interface import ProbeAnswer
from lasthop.dataplane.ring import Ring

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lasthop.dataplane.loader import Loaded
    from lasthop.dataplane.publisher import Publisher


#: Answers taken in at once: a flood of them does not keep the director from its other work.
_AT_ONCE = 1024


class KernelProbing:
    """See `interface.Probing`."""

    def __init__(self, loaded: Loaded, publisher: Publisher) -> None:
        self._map = loaded.maps["answers"]
        self._names = publisher.leg_names
        self._live: NDArray[Any] = loaded.maps["live"].view(abi.types().struct("live"))
        self._answer = abi.types().struct("probe_answer")
        self._ring = Ring(self._map)
        self._ring.clear()

    @property
    def descriptor(self) -> int:
        """See Probing.descriptor."""
        return self._map.fd

    def know(self, port: int) -> None:
        """See Probing.know."""
        self._live["probe_port"] = np.uint16(port).byteswap()

    def answers(self) -> list[ProbeAnswer]:
        """See Probing.answers."""
        found = []
        for each in self._ring.records(_AT_ONCE):
            record = np.frombuffer(each, self._answer, 1)[0]
            leg_id, mac = abi.split_target(int(record["source_target"]))
            found.append(ProbeAnswer(record["nonce"].tobytes(), self._names.name_of(leg_id), mac))
        return found
