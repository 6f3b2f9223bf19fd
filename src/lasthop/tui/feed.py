"""Asking the director beside the screen: a thread that looks again and again, and one for each order.

Owns the threads. They are daemons: one that waits for a director that hangs keeps nobody from leaving.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from lasthop.errors import LasthopError
from lasthop.tui.snapshot import Snapshot, Taker

if TYPE_CHECKING:
    from collections.abc import Callable

    from lasthop.api.client import Client, Report
    from lasthop.tui.views import View

#: A director that is gone is looked for so often at least.
RETRY_S = 1.0


class Feed:
    """Delivers what a director answers; `deliver` is called in the feed's thread, with a sentence where it failed."""

    def __init__(self, client: Client, interval_s: float, deliver: Callable[[Snapshot | str], None]) -> None:
        self._client = client
        self._interval_s = interval_s
        self._deliver = deliver
        self._woken = threading.Event()
        self._ended = False
        self._wanted: tuple[View, str] | None = None

    def start(self, view: View, order: str) -> None:
        """Begin with `view`."""
        self._wanted = view, order
        threading.Thread(target=self._run, name="feed", daemon=True).start()

    def show(self, view: View, order: str) -> None:
        """Look at `view` at once, and from now on."""
        self._wanted = view, order
        self._woken.set()

    def end(self) -> None:
        """Deliver nothing more."""
        self._ended = True
        self._woken.set()

    def order(self, edits: list[Report], done: Callable[[str], None]) -> None:
        """Make `edits`, then look at once; `done` is called in another thread, with what it warns of or why not."""

        def make() -> None:
            try:
                warnings = self._client.edit(edits)["warnings"]
            except LasthopError as error:
                done(str(error))
            else:
                done("; ".join(warnings))
            self._woken.set()

        threading.Thread(target=make, name="order", daemon=True).start()

    def _run(self) -> None:
        taker = Taker(self._client)
        while not self._ended and self._wanted is not None:
            self._woken.clear()
            wait = self._interval_s
            try:
                self._client.stay()
                answer: Snapshot | str = taker.take(*self._wanted)
            except LasthopError as error:
                answer, wait = error.problem, min(RETRY_S, self._interval_s)
            if not self._ended:
                self._deliver(answer)
                self._woken.wait(wait)
