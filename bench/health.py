"""Group `health`: what checks of 500 real servers cost a director, and how soon a dead one is dead to its connections.

The 500 are addresses of one firewall, each checked once a second: by ping, or by way of the other director behind it. A
director has a million connections of one box, which does not exist and whose answers this module sends itself.
"""

from __future__ import annotations

import os
import socket
import struct
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from bench.measurement import interleaved, rows_beside
from lasthop.errors import LabError
from lasthop.lab.director_files import Balancing
from lasthop.lab.namespace import inside, run_inside
from lasthop.lab.topology import Blueprint, Topology
from lasthop.lab.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bench.measurement import Row
    from lasthop.lab.director_process import DirectorProcess

CHECKED, CONNECTIONS = 500, 1_000_000
_TABLE = 1_000_100
_PATIENCE_S = 120
#: What is found up for the first time is told and published; that is over then.
_SETTLED_S = 3
_FIRST_PORT, _PORTS = 1024, 60_000
_BOX, _BOX_MAC = "10.0.1.99", "02:00:0a:00:01:63"
_WWW = "203.0.113.80"
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Effort:
    """How often everything is measured."""

    rounds: int
    seconds: float
    """For which checks go on while their cost is taken."""
    calls: int
    """Of `disable` in a round, of which the median counts."""


def health(effort: Effort, said: Callable[[str], object]) -> list[Row]:
    """All rows of the group. Raises LasthopError."""
    with Topology(Blueprint(firewalls=1, clients=1)) as lab:
        rows = _checks(lab, effort, said)
    with Topology(Blueprint(firewalls=1, clients=1, balancing=Balancing(connections=_TABLE))) as lab:
        return [*rows, *_deaths(lab, effort, said)]


def _deaths(lab: Topology, effort: Effort, said: Callable[[str], object]) -> list[Row]:
    full, empty = lab.directors["lb1"], lab.directors["lb2"]
    services = full.file.read_text().split("[[service]]\n")
    services[1] = services[1].replace('address = "10.0.1.11"', f'address = "{_BOX}"')
    run_inside(full.namespace, f"ip neighbour replace {_BOX} lladdr {_BOX_MAC} dev firewalls nud permanent".split())
    full.client.apply(str(full.file), "[[service]]\n".join(services))
    said(f"health: {CONNECTIONS:,} connections")
    _open(lab)
    found = full.client.count_connections()
    if found < CONNECTIONS:
        raise LabError(f"only {found:,} of {CONNECTIONS:,} connections were opened", "run the bench again")
    measures = {"full": _disabling(full, effort.calls), "empty": _disabling(empty, effort.calls)}
    taken = interleaved(measures, effort.rounds, lambda what: said(f"health: {what}"))
    return rows_beside("empty", taken, {"full": f"disable/{CONNECTIONS}"}, "s")


def _open(lab: Topology) -> None:
    """Datagrams and their answers: both directions seen, a connection is kept though the table is nearly full."""
    outer, firewalls = (lab.layout.port("lb1", name).mac for name in ("outside", "firewalls"))
    router = lab.layout.port("ro", "outside").mac
    with _wire(lab.namespace("ro"), "outside") as outside, _wire(lab.namespace("fw1"), "outer") as behind:
        for number in range(CONNECTIONS):
            client = f"198.51.{100 + number // _PORTS // 250}.{1 + number // _PORTS % 250}"
            port = _FIRST_PORT + number % _PORTS
            outside.send(_frame(outer, router, (client, port), (_WWW, 53)))
            behind.send(_frame(firewalls, _BOX_MAC, (_WWW, 53), (client, port)))


@contextmanager
def _wire(namespace: str, interface: str) -> Iterator[socket.socket]:
    with inside(namespace):
        wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        wire.bind((interface, 0))
    with wire:
        yield wire


def _frame(to: str, by: str, source: tuple[str, int], destination: tuple[str, int]) -> bytes:
    """A UDP datagram of four bytes; no checksum of UDP, which nobody here looks at."""
    ends = socket.inet_aton(source[0]) + socket.inet_aton(destination[0])
    header = struct.pack("!BBHHHBBH", 0x45, 0, 32, 1, 0, 64, socket.IPPROTO_UDP, 0)
    total = sum(struct.unpack("!10H", header + ends))
    checksum = struct.pack("!H", 0xFFFF - total % 0xFFFF)
    udp = struct.pack("!HHHH", source[1], destination[1], 12, 0) + b"ping"
    macs = bytes.fromhex(f"{to}{by}".replace(":", ""))
    return macs + b"\x08\x00" + header[:10] + checksum + ends + udp


def _disabling(director: DirectorProcess, calls: int) -> Callable[[], float]:
    """Median of the seconds until a real server's death is in the data plane: the director answers then."""
    server = next(each["name"] for each in director.client.servers())

    def once() -> float:
        began = time.monotonic()
        director.client.edit([{"kind": "disable", "server": server}])
        spent = time.monotonic() - began
        director.client.edit([{"kind": "enable", "server": server}])
        return spent

    return lambda: median(once() for _ in range(calls))


def _checks(lab: Topology, effort: Effort, said: Callable[[str], object]) -> list[Row]:
    director, target = lab.directors["lb1"], next(iter(lab.layout.port("lb2", "firewalls").addresses)).ip
    added = "".join(f"address add {_address(number)}/22 dev outer\n" for number in range(CHECKED))
    run_inside(lab.namespace("fw1"), ["ip", "-batch", "-"], text=added)
    run_inside(director.namespace, ["ip", "address", "add", "10.64.3.254/22", "dev", "firewalls"])
    measures = {
        "processor": _spinning,
        "idle": _share(director, "", effort.seconds),
        "ping": _share(director, 'check = "ping"', effort.seconds),
        "path": _share(director, f'check = "path"\ntarget = "{target}"', effort.seconds),
    }
    taken = interleaved(measures, effort.rounds, lambda what: said(f"health: {what}"))
    names = {"idle": "checks/none", "ping": f"checks/{CHECKED}-ping", "path": f"checks/{CHECKED}-path"}
    return rows_beside("processor", taken, names, "cpu-s/s")


def _address(number: int) -> str:
    return f"10.64.{number // 250}.{1 + number % 250}"


def _share(director: DirectorProcess, check: str, seconds: float) -> Callable[[], float]:
    """Processor time that the director takes in a second, once all are found up."""
    head, first, second = director.file.read_text().split("[[service]]\n")
    match, _, _ = first.partition("[[service.real_server]]")
    checked = f"[service.health]\n{check}\ninterval = 1\n" if check else ""
    halves = (range(CHECKED // 2), range(CHECKED // 2, CHECKED))
    services = [
        f"{begun}{checked}{_boxes(half)}"
        for begun, half in zip((match, "mark = 30\nmatch = []\n"), halves, strict=True)
    ]
    text = "[[service]]\n".join([head, *services, second])

    def up() -> bool:
        found = director.client.health()
        return len(found) >= (CHECKED if check else 0) and all(each["health"] == "up" for each in found)

    def measure() -> float:
        director.client.apply(str(director.file), text)
        if not wait_until(up, timeout=_PATIENCE_S):
            raise LabError("not all real servers were found up", "see whether the machine is busy, and run it again")
        time.sleep(_SETTLED_S)
        began, before = time.monotonic(), _spent(director.pid)
        time.sleep(seconds)
        return (_spent(director.pid) - before) / (time.monotonic() - began)

    return measure


def _boxes(numbers: range) -> str:
    """Real servers of a service, which may have 256."""
    return "".join(
        f'[[service.real_server]]\nname = "box{number}"\naddress = "{_address(number)}"\n' for number in numbers
    )


def _spent(pid: int) -> float:
    """Seconds of processor time of a process: utime and stime of proc(5)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _spinning() -> float:
    """What one processor gives a process that wants all of it."""
    began, before = time.monotonic(), time.process_time()
    while time.monotonic() < began + 1:
        pass
    return (time.process_time() - before) / (time.monotonic() - began)
