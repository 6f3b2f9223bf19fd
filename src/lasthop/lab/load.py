"""A live HTTP load: connections that are kept and exchange numbered requests all the time, and short ones beside them.

Owns the load, what became of each of its connections, and which firewall each crosses.
"""

from __future__ import annotations

import asyncio
import itertools
import socket
import threading
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lasthop.errors import LabError
from lasthop.lab import firewall
from lasthop.lab.namespace import inside
from lasthop.lab.servers import HTTP_PORT
from lasthop.lab.traffic import PORTS
from lasthop.lab.waiting import patience, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Self

    from lasthop.lab.topology import Topology

#: Seconds between two requests of a kept connection, and between two short connections: some 40 requests a second.
_EVERY_S, _SHORT_EVERY_S = 0.5, 0.1
#: Kept connections, spread over the clients.
_KEPT = 15
#: After a connection broke its client waits so long before it opens another.
_PAUSE_S = 0.2
#: TCP asks again after 0.2, 0.4, 0.8 ... s: a client needs this patience if a fault of some seconds shall cost nothing.
_PATIENCE_S = 20.0
_PROGRESS_S = 30.0


@dataclass(slots=True)
class Conversation:
    """One connection of the load, as its client saw it. Times are of the monotonic clock."""

    source: str
    port: int
    kept: bool
    began: float
    answered: int = 0
    """Requests that were answered, each with its own number and the client's own address and port."""
    problem: str = ""
    """Why it broke: what the client was told, or that it was told nothing."""
    broke: float | None = None
    over: bool = False
    slowest: float = 0.0
    """Seconds that its slowest answer took."""

    def __str__(self) -> str:
        kind = "kept" if self.kept else "short"
        return f"{kind} connection {self.source}:{self.port}, {self.answered} answers: {self.problem or 'well'}"


class Load:
    """The load for the time of a `with` block: on leaving it every connection must answer once more, then it closes."""

    def __init__(self, lab: Topology, *, patience_s: float = _PATIENCE_S, kept: int = _KEPT) -> None:
        """`patience_s` is how long a client waits for a connection, or for an answer."""
        self._lab = lab
        self._patience = patience(patience_s)
        self._kept = kept
        self.conversations: list[Conversation] = []
        self._places: dict[int, str] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, name="load")

    def __enter__(self) -> Self:
        """Start, and wait until every kept connection is there and was answered."""
        self._thread.start()
        try:
            self.progress()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """End it; see `conversations`."""
        self._end()
        self.locate()

    def _end(self) -> None:
        self._over.set()
        self._thread.join()

    @property
    def living(self) -> list[Conversation]:
        """Kept connections that are open and unbroken."""
        return [each for each in self.conversations if each.kept and not each.over and not each.problem]

    @property
    def broken(self) -> list[Conversation]:
        """Connections of either kind that broke, or never came about."""
        return [each for each in self.conversations if each.problem]

    def progress(self, *, short: int = 3) -> None:
        """Wait until all kept connections were answered once more, and `short` more short ones went well.

        Raises LabError, as every wait here does.
        """
        self.wait_answered(self.living, short=short)

    def wait_answered(self, conversations: list[Conversation], *, short: int = 0) -> None:
        """Wait until each of these was answered once more, or broke, and `short` more short connections went well."""
        before = [(each, each.answered) for each in conversations]
        well = self._short_and_well()

        def went_on() -> bool:
            answered = all(each.answered > count or each.problem for each, count in before)
            return answered and len(self.living) == self._kept and self._short_and_well() >= well + short

        self._require(went_on, "the load does not go on")

    def progress_of_others(self, held: list[Conversation]) -> None:
        """Wait until all kept connections but these were answered once more, and some short ones went well."""
        self.wait_answered([each for each in self.living if each not in held], short=3)

    def wait_broken(self, conversations: list[Conversation]) -> None:
        """Wait until each of these broke."""
        self._require(lambda: all(each.problem for each in conversations), "connections do not break")

    def _require(self, condition: Callable[[], bool], what: str) -> None:
        if not wait_until(condition, timeout=_PROGRESS_S):
            notable = [each for each in self.conversations if each.kept or each.problem]
            raise LabError(f"{what}: {'; '.join(map(str, notable))}", "see what the directors' status says")

    def _short_and_well(self) -> int:
        return sum(each.over and not each.kept and not each.problem for each in self.conversations)

    def locate(self) -> dict[int, str]:
        """Note which firewall each connection crosses, by its client's port: the first that was ever seen counts.

        The firewalls tell; of a connection that none of them saw, the directors do.
        """
        found: dict[int, str] = {}
        for name in self._lab.layout.firewalls:
            for entry in firewall.tracked(self._lab.namespace(name)):
                if entry.key[0] == "tcp" and entry.key[4] == HTTP_PORT:
                    found.setdefault(entry.key[2], name)
        outer = next(iter(self._lab.directors.values()))
        if outer.running:
            for row in outer.client.connections(protocol="tcp"):
                if row["real_server"] in self._lab.layout.firewalls:
                    found.setdefault(int(row["source_port"]), str(row["real_server"]))
        self._places = found | self._places
        return self._places

    def on(self, name: str) -> list[Conversation]:
        """Living kept connections that were located on a firewall."""
        return [each for each in self.living if self._places.get(each.port) == name]

    def spread(self) -> Counter[str]:
        """How many living kept connections each firewall has, as located."""
        return Counter(self._places.get(each.port, "?") for each in self.living)

    def lost(self, *dead: str, found: float = float("inf")) -> list[str]:
        """Connections that broke though they could have been kept; a sentence each.

        Which could not: those on firewalls that are `dead`, if they began before that was `found`.
        """

        def excused(each: Conversation) -> bool:
            return self._places.get(each.port) in dead and each.began < found

        return [f"{each} (on {self._places.get(each.port)})" for each in self.broken if not excused(each)]

    def _work(self) -> None:
        with inside(self._lab.namespace("client")):
            asyncio.run(self._all())

    async def _all(self) -> None:
        pairs = itertools.cycle([(str(source), str(www)) for source, www in self._lab.layout.outwards])
        async with asyncio.TaskGroup() as group:
            for _ in range(self._kept):
                group.create_task(self._keep(pairs))
                await asyncio.sleep(_EVERY_S / self._kept)
            while not self._over.is_set():
                group.create_task(self._short(next(pairs)))
                await asyncio.sleep(_SHORT_EVERY_S)

    async def _keep(self, pairs: Iterator[tuple[str, str]]) -> None:
        """One client: a connection, and another one when that broke."""
        while not self._over.is_set():
            await self._converse(next(pairs), kept=True)
            await asyncio.sleep(_PAUSE_S)

    async def _short(self, pair: tuple[str, str]) -> None:
        await self._converse(pair, kept=False)

    async def _converse(self, pair: tuple[str, str], *, kept: bool) -> None:
        source, destination = pair
        each = Conversation(source, next(PORTS), kept, time.monotonic())
        self.conversations.append(each)
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
            sock.setblocking(False)
            sock.bind((source, each.port))
            try:
                async with asyncio.timeout(self._patience):
                    await asyncio.get_running_loop().sock_connect(sock, (destination, HTTP_PORT))
                last = False
                while not last:
                    last = not kept or self._over.is_set()
                    await self._ask(sock, each)
                    await asyncio.sleep(0 if last else _EVERY_S)
            except TimeoutError:
                each.problem = f"no answer within {self._patience:g} s"
            except OSError as error:
                each.problem = error.strerror or str(error)
            if each.problem:
                each.broke = time.monotonic()
        each.over = True

    async def _ask(self, sock: socket.socket, each: Conversation) -> None:
        loop = asyncio.get_running_loop()
        expected = f"{each.source}:{each.port} {each.answered}\n".encode()
        began = time.monotonic()
        async with asyncio.timeout(self._patience):
            await loop.sock_sendall(sock, f"GET /kept/{each.answered} HTTP/1.1\r\n\r\n".encode())
            answer = b""
            while not answer.partition(b"\r\n\r\n")[2].endswith(b"\n"):
                piece = await loop.sock_recv(sock, 1 << 12)
                if not piece:
                    raise ConnectionError("closed by the other end")
                answer += piece
        if answer.partition(b"\r\n\r\n")[2] != expected:
            raise ConnectionError(f"the answer to {expected!r} was {answer!r}")
        each.answered += 1
        each.slowest = max(each.slowest, time.monotonic() - began)
