"""Topologies: a blueprint stands as network namespaces for the time of a `with` block.

Owns the life of everything in one: built at the start, removed at the end, whatever happens between.
"""

from __future__ import annotations

import atexit
import signal
import sys
import tempfile
import threading
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from lasthop.errors import LabError, LasthopError
from lasthop.lab import ownership, wiring
from lasthop.lab.director_files import Balancing, LegModes, configuration
from lasthop.lab.director_process import DirectorProcess
from lasthop.lab.layout import CLIENTS_MAX, FIREWALLS_MAX, Shape, layout, with_ipv6, with_kernel_forwarding
from lasthop.lab.namespace import run_inside, start_inside
from lasthop.lab.requirements import check_requirements
from lasthop.lab.waiting import wait_until

if TYPE_CHECKING:
    import subprocess
    from types import FrameType, TracebackType
    from typing import NoReturn, Self

    from lasthop.lab.layout import Layout


@dataclass(frozen=True, slots=True)
class Blueprint:
    """What to build."""

    shape: Shape = Shape.TWO_BOX
    firewalls: int = 4
    clients: int = 8
    kernel_forwarding: bool = False
    """Plain forwarding through the first firewall in place of all directors: the baseline of benches."""
    no_last_hop: bool = False
    """The inner director is replaced by a router with equal-cost routes over the firewalls."""
    balancing: Balancing = field(default_factory=Balancing)
    ipv6: bool = False
    """Both families everywhere; real servers keep the IPv4 addresses they are known by."""
    offloads: bool = True
    """False: end hosts complete checksums and segment by themselves, as frames are on a wire."""

    def layout(self) -> Layout:
        """The drawing. Raises LabError if the blueprint asks for the impossible."""
        if not 1 <= self.firewalls <= FIREWALLS_MAX or not 1 <= self.clients <= CLIENTS_MAX:
            raise LabError(
                f"can't build {self.firewalls} firewalls and {self.clients} clients",
                f"take 1 to {FIREWALLS_MAX} of each",
            )
        drawn = layout(self.shape, self.firewalls, self.clients)
        if self.ipv6:
            drawn = with_ipv6(drawn)
        if self.kernel_forwarding:
            boxes = frozenset(place.name for place in drawn.directors)
            return with_kernel_forwarding(drawn, boxes, spread=False)
        if self.no_last_hop:
            if self.shape is Shape.ONE_BOX or self.firewalls == 1:
                raise LabError(
                    "can't show the lack of last hops with one box or one firewall",
                    "take two boxes (or one-arm) and at least two firewalls",
                )
            return with_kernel_forwarding(drawn, frozenset({"lb2"}), spread=True)
        return drawn


class Topology:
    """A blueprint built: `with Topology(Blueprint()) as lab`."""

    def __init__(self, blueprint: Blueprint, *, start_directors: bool = True) -> None:
        self.blueprint = blueprint
        self.layout = blueprint.layout()
        self.suffix = ownership.unused_suffix()
        self._namespaces = {
            box: f"{ownership.PREFIX}{self.suffix}-{box}" for box in (*(box.name for box in self.layout.boxes), "lan")
        }
        self.folder = Path(tempfile.gettempdir()) / f"lasthop-lab-{self.suffix}"
        self.directors = {
            place.name: DirectorProcess(
                place.name,
                f"{place.name}-{self.suffix}",
                self._namespaces[place.name],
                self.folder / f"{place.name}-{self.suffix}.toml",
            )
            for place in self.layout.directors
        }
        self._record = ownership.Record(
            self.suffix,
            namespaces=list(self._namespaces.values()),
            directors=[director.name for director in self.directors.values()],
            folder=str(self.folder),
        )
        self._start_directors = start_directors
        self._processes: list[subprocess.Popen[bytes]] = []
        self._closing = ExitStack()

    def __enter__(self) -> Self:
        """Build it and, unless told otherwise, start the directors. Raises LabError."""
        check_requirements()
        ownership.remove_abandoned(kept=False)
        self._closing.enter_context(ending_by_signal())
        try:
            self._build()
            if self._start_directors:
                self.start_directors()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove everything."""
        self.close()

    def _build(self) -> None:
        self._record.write()
        atexit.register(self.close)
        self.folder.mkdir(mode=0o755)
        modes = self.blueprint.balancing.modes
        wiring.build(self.layout, self._namespaces, xdp=modes is not LegModes.TC, offloads=self.blueprint.offloads)
        for place in self.layout.directors:
            director = self.directors[place.name]
            director.file.write_text(
                configuration(place, director.name, self.blueprint.shape, self.blueprint.balancing)
            )

    def start_directors(self, *, resolved: bool = True) -> None:
        """Start all directors and wait until they are ready. Raises LabError."""
        for director in self.directors.values():
            director.start()
        for director in self.directors.values():
            director.wait_ready(resolved=resolved)

    def namespace(self, box: str) -> str:
        """The namespace of a box of the drawing. Raises LabError if there is no such box."""
        try:
            return self._namespaces[box]
        except KeyError:
            raise LabError(f"there is no box {box!r}", f"take one of {', '.join(self._namespaces)}") from None

    def run(self, box: str, *command: str) -> str:
        """Run a command in a box and return what it printed. Raises LabError if it fails."""
        return run_inside(self.namespace(box), command)

    def start(self, box: str, *command: str) -> subprocess.Popen[bytes]:
        """Start a command in a box; it ends with the topology at the latest. Its output is in the folder."""
        process = start_inside(self.namespace(box), command, self.folder / f"{box}.log")
        self._processes.append(process)
        return process

    def serve(self) -> None:
        """Start the web and echo servers in `www` and `client`, and wait until they listen. Raises LabError."""
        for box in ("www", "client"):
            self.start(box, sys.executable, "-m", "lasthop.lab.servers", str(self.folder / f"{box}.ready"))
        for box in ("www", "client"):
            if not wait_until((self.folder / f"{box}.ready").exists, timeout=15):
                raise LabError(f"the servers in {box} do not start", f"see {self.folder / f'{box}.log'}")

    def keep(self) -> None:
        """Leave everything as it is when this process ends."""
        self._record.kept = True
        self._record.write()
        self._closing.close()
        atexit.unregister(self.close)

    def close(self) -> None:
        """Remove everything, unless it is kept. May be called again."""
        if self._record.kept:
            self._reap()
            return
        atexit.unregister(self.close)
        for director in self.directors.values():
            if director.running:
                with suppress(LasthopError):
                    director.client.detach()
        for director in self.directors.values():
            with suppress(LasthopError):
                director.end()
        self._record.remove()
        self._reap()
        self._closing.close()

    def _reap(self) -> None:
        """Take note of processes that have ended, so that the kernel forgets them."""
        for process in self._processes:
            process.poll()


class ending_by_signal:  # noqa: N801 - reads as the verb of a with statement
    """SIGTERM and SIGHUP end the process by an exception, so that `with` blocks are left properly."""

    def __enter__(self) -> None:
        """Take over the signals nobody else has taken over; only the main thread can."""
        self._before: dict[signal.Signals, object] = {}
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGHUP):
                if signal.getsignal(number) is signal.SIG_DFL:
                    self._before[number] = signal.signal(number, _leave)

    def __exit__(self, *_: object) -> None:
        """Give them back."""
        for number in self._before:
            signal.signal(number, signal.SIG_DFL)
        self._before.clear()


def _leave(number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)
