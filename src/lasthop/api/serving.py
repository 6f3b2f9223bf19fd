"""The API's life: the unix socket from start to stop, and what `[api]` opens beside it.

Owns the order of things. What is answered is `lasthop.api.server`'s.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from lasthop.api.answering import Answering, UnixProtocol
from lasthop.api.gate import Gate, UnixDoor
from lasthop.api.listener import Listener
from lasthop.api.metrics import Surroundings
from lasthop.api.peers import Groups, groups_of, let_in
from lasthop.api.remote import Remote
from lasthop.api.server import application
from lasthop.errors import DirectorError, LasthopError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from lasthop.api.operations import Operations
    from lasthop.model.access import Access

_log = logging.getLogger(__name__)

#: After so many seconds what did not work is tried again.
RETRY_S = 10.0
#: And after so many it is seen whether a certificate has expired, or was renewed.
LOOK_S = 3600.0

#: What a problem of the API is about, for `status`.
GROUPS, LISTENER, CERTIFICATE = "api groups", "api listener", "api certificate"


class ApiServer:
    """A director's API on its socket, and over TCP if it is configured; `async with` starts and stops it."""

    def __init__(self, operations: Operations, socket_path: Path) -> None:
        self._path = socket_path
        self._around = Surroundings()
        self._application = application(operations, self._around)
        self._door = UnixDoor()
        self._remote = Remote(self._application)
        self._listener: Listener | None = None
        self._answering: Answering | None = None
        self._look = asyncio.Event()

    async def start(self) -> None:
        """Claim the socket and answer on it from when this returns.

        Raises DirectorError when a live director listens there or the socket cannot be made.
        """
        self._listener = Listener(self._path)
        self._answering = Answering(Gate(self._application, self._door), [self._listener.socket], UnixProtocol)
        await self._answering.start()

    async def stop(self) -> None:
        """Finish the answers under way, then remove the socket. Does nothing if not started."""
        await self._remote.stop()
        answering, self._answering = self._answering, None
        if answering is not None:
            try:
                await answering.stop()
            finally:
                if self._listener is not None:
                    self._listener.close()

    async def adapt(self, access: Access) -> dict[str, LasthopError | None]:
        """Be open as `access` says; return what of it did not work, by what it is about. Never raises LasthopError."""
        found: dict[str, LasthopError | None] = {GROUPS: None, LISTENER: None}
        groups = Groups()
        try:
            groups = await asyncio.to_thread(groups_of, access)
            let_in(self._path, groups)
        except LasthopError as error:
            found[GROUPS] = error
        self._door.groups = groups
        try:
            await self._remote.follow(access)
        except LasthopError as error:
            found[LISTENER] = error
        self._around.hops, self._around.certificate_until = access.metrics_hops, self._remote.valid_until
        return found | {CERTIFICATE: self._remote.complaint()}

    async def keep(self, access: Callable[[], Access], note: Callable[[str, LasthopError | None], None]) -> None:
        """Be open as `access` says, for good: now, whenever `look` is called, and again where something failed."""
        while True:
            self._look.clear()
            problems = await self._adapted(access())
            for about, problem in problems.items():
                note(about, problem)
            wait = RETRY_S if problems[GROUPS] or problems[LISTENER] else LOOK_S
            try:
                await asyncio.wait_for(self._look.wait(), wait)
            except TimeoutError:
                continue

    async def _adapted(self, access: Access) -> dict[str, LasthopError | None]:
        try:
            return await self.adapt(access)
        except Exception as fault:  # noqa: BLE001 - whatever it is, a director does not end for its API
            _log.exception("API: can't be opened as configured")
            told = f"can't open the API as configured: fault in lasthop: {type(fault).__name__}: {fault}"
            return {GROUPS: None, LISTENER: DirectorError(told, "the director's log has the details")}

    def look(self) -> None:
        """Have `keep` see what is configured, and what is in the files now."""
        self._look.set()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()


def serve(operations: Operations, socket_path: Path) -> ApiServer:
    """The API of `operations` on `socket_path`, not yet started.

    Use ``async with``, or `ApiServer.start` and `ApiServer.stop`. It runs in the calling loop,
    installs no signal handlers and writes no access log.
    """
    return ApiServer(operations, socket_path)
