"""The explaining program: the product's own tc program on the product's own maps, loaded again to write nothing.

Owns its loading and its run by BPF_PROG_TEST_RUN. It is neither attached nor pinned. What it notes in the map record
is put into words by `lasthop.dataplane.inspection`.
"""

from __future__ import annotations

import os
import struct
import threading
from typing import TYPE_CHECKING, Any

import numpy as np

from lasthop.dataplane import abi
from lasthop.dataplane.libbpf import test_run
from lasthop.dataplane.loader import load_program

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lasthop.dataplane.libbpf import Map
    from lasthop.dataplane.loader import Loaded

_PROGRAM = "lh_tc"


class Explainer:
    """Asks what would become of a frame, one at a time. Loaded at the first question."""

    def __init__(self, loaded: Loaded) -> None:
        self._loaded = loaded
        self._lock = threading.Lock()
        self._program = -1
        self._made_for: tuple[dict[str, int], list[Map]] | None = None
        self._record: NDArray[Any] = loaded.maps["record"].view(abi.types().struct("record"))

    def ask(self, frame: bytes, ifindex: int) -> NDArray[Any]:
        """The ``struct record`` about a frame that comes in on an interface, as an array of one.

        Raises DataPlaneError if the kernel does not take it.
        """
        with self._lock:
            self._keep_up()
            self._record[:] = np.zeros(1, self._record.dtype)
            # struct __sk_buff: of all its fields the program is told the interface alone.
            test_run(self._program, frame, struct.pack("<40xI148x", ifindex))
            return self._record.copy()

    def close(self) -> None:
        """Unload the program; the next question loads it again."""
        if self._program >= 0:
            os.close(self._program)
        self._program, self._made_for = -1, None

    def _keep_up(self) -> None:
        """Load the program, anew if the attached ones have other settings or another table by now."""
        settings, maps = dict(self._loaded.settings), list(self._loaded.maps.values())
        if self._made_for is not None:
            before, same = self._made_for
            if before == settings and len(same) == len(maps) and all(a is b for a, b in zip(same, maps, strict=True)):
                return
        self.close()
        self._program = load_program(self._loaded, _PROGRAM, {"dry_run": 1})
        self._made_for = settings, maps
