"""Group `edits`: changes of a big configuration by a director's clients, each beside a small thing of the same kind.

Two directors run side by side: one with a thousand services of the same 64 real servers each, one with a single such
service. The boxes do not exist; their MAC addresses are permanent neighbours, so that all of them are usable.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from bench.measurement import interleaved, rows_beside
from lasthop.errors import LabError
from lasthop.lab.layout import INNER, OUTER
from lasthop.lab.namespace import environment, run_inside
from lasthop.lab.topology import Blueprint, Topology

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from ipaddress import IPv4Address, IPv4Network

    from bench.measurement import Row
    from lasthop.lab.director_process import DirectorProcess

SERVICES, BOXES = 1000, 64
MANY = SERVICES * BOXES
_FIRST_BOX = 20
_TIMEOUT_S = 60
#: What any -R in Python has to do: start, and take each line apart.
_SPLIT = "import sys; [line.split() for line in sys.stdin]"


@dataclass(frozen=True, slots=True)
class Effort:
    """How often everything is measured."""

    rounds: int
    calls: int
    """Of the quick ones in a round, of which the median counts."""


def edits(effort: Effort, said: Callable[[str], object]) -> list[Row]:
    """All rows of the group. Raises LasthopError."""
    with Topology(Blueprint(firewalls=1, clients=1)) as lab:
        many, one = lab.directors["lb1"], lab.directors["lb2"]
        _know_boxes(many, OUTER, "firewalls")
        _know_boxes(one, INNER, "firewalls")
        said(f"edits: {MANY:,} real servers")
        ipvsadm = lab.folder / "ipvsadm"
        ipvsadm.symlink_to(Path(sys.executable).with_name("lasthop"))
        directors = Directors(many, one, ipvsadm)
        directors.ipvsadm(many, "-R", text=_lines(SERVICES, OUTER))
        directors.ipvsadm(one, "-R", text=_lines(1, INNER))
        return _rows(directors, effort, said)


@dataclass(frozen=True, slots=True)
class Directors:
    """Both directors, and the program that is ipvsadm to them."""

    many: DirectorProcess
    one: DirectorProcess
    program: Path

    def ipvsadm(self, director: DirectorProcess, *words: str, text: str = "") -> float:
        """Have it do that: seconds from its start to its end. Raises LabError."""
        return _ended([str(self.program), *words], text, {"LASTHOP_DIRECTOR": director.name})


def _rows(directors: Directors, effort: Effort, said: Callable[[str], object]) -> list[Row]:
    many, one = directors.many, directors.one
    text = _lines(SERVICES, OUTER)
    document = json.dumps(many.client.servers())

    def restored() -> float:
        many.client.edit([{"kind": "clear"}])
        return directors.ipvsadm(many, "-R", text=text)

    measures = {
        "weight": _often(_weighing(many, OUTER), effort.calls),
        "question": _often(many.client.timeouts, effort.calls),
        "weight-of-64": _often(_weighing(one, INNER), effort.calls),
        "restore": restored,
        "split-lines": lambda: _ended([sys.executable, "-c", _SPLIT], text),
        "servers": _often(many.client.servers, 1),
        "json-loads": _often(lambda: json.loads(document), 1),
        "list": lambda: directors.ipvsadm(one, "-L", "-n"),
        "python": lambda: _ended([sys.executable, "-c", ""]),
    }
    taken = interleaved(measures, effort.rounds, lambda what: said(f"edits: {what}"))
    return [
        *rows_beside("question", taken, {"weight": f"weight/{MANY}"}, "s"),
        *rows_beside("weight-of-64", taken, {"weight": f"weight/{MANY}"}, "s"),
        *rows_beside("split-lines", taken, {"restore": f"restore/{MANY}"}, "s"),
        *rows_beside("json-loads", taken, {"servers": f"servers/{MANY}"}, "s"),
        *rows_beside("python", taken, {"list": f"list/{BOXES}"}, "s"),
    ]


def _know_boxes(director: DirectorProcess, network: IPv4Network, interface: str) -> None:
    added = [
        f"neighbour replace {address} lladdr {_mac(address)} dev {interface} nud permanent"
        for address in _addresses(network)
    ]
    run_inside(director.namespace, ["ip", "-batch", "-"], text="\n".join(added))


def _addresses(network: IPv4Network) -> list[IPv4Address]:
    return [network[_FIRST_BOX + number] for number in range(BOXES)]


def _mac(address: IPv4Address) -> str:
    return ":".join(f"{octet:02x}" for octet in (2, 0, *address.packed))


def _lines(services: int, network: IPv4Network) -> str:
    """What `ipvsadm -S -n` says of so many services."""
    lines = []
    for port in range(1, services + 1):
        service = f"-t 203.0.113.80:{port}"
        lines.append(f"-A {service} -s wlc")
        lines += [f"-a {service} -r {address}:{port} -g -w 1" for address in _addresses(network)]
    return "".join(f"{line}\n" for line in lines)


def _weighing(director: DirectorProcess, network: IPv4Network) -> Callable[[], object]:
    """Give one real server of one service another weight, each time."""
    server, weight = str(_addresses(network)[BOXES // 2]), 1

    def weigh() -> None:
        nonlocal weight
        weight = 3 - weight
        director.client.edit([{"kind": "weigh", "service": "TCP 203.0.113.80:1", "server": server, "weight": weight}])

    return weigh


def _often(action: Callable[[], object], calls: int) -> Callable[[], float]:
    """A measure: median of the seconds that one of so many calls takes, by the clock."""

    def once() -> float:
        start = time.monotonic()
        action()
        return time.monotonic() - start

    return lambda: median(once() for _ in range(calls))


def _ended(command: Sequence[str], text: str = "", variables: Mapping[str, str] | None = None) -> float:
    """Run a program with `text` as its standard input: seconds from its start to its end. Raises LabError."""
    start = time.monotonic()
    done = subprocess.run(
        command,
        input=text,
        capture_output=True,
        text=True,
        check=False,
        env=environment() | dict(variables or {}),
        timeout=_TIMEOUT_S,
    )
    spent = time.monotonic() - start
    if done.returncode:
        raise LabError(f"'{' '.join(command)}' failed: {done.stderr.strip()}", "run the bench again")
    return spent
