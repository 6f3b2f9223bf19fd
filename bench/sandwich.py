"""Groups `stream` and `http`: real traffic through the two-box sandwich, beside plain kernel forwarding.

Owns the topologies, which stand side by side for the whole run, and the programs that send. All have
the same boxes and hops on the path; the baselines have one firewall, and routes where the others have
directors.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.measurement import interleaved, rows_beside
from lasthop.errors import LabError
from lasthop.lab.director_files import Balancing, LegModes
from lasthop.lab.layout import WWW_ADDRESS
from lasthop.lab.topology import Blueprint, Topology
from lasthop.lab.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from bench.measurement import Row

    Labs = Mapping[str, Topology]

BASELINE = "kernel-forwarding"
#: Native XDP takes no segmentation offload, so every box of that topology sees single frames: so do all here.
WIRE_BASELINE = "kernel-no-offloads"
BLUEPRINTS = {
    BASELINE: Blueprint(firewalls=1, clients=1, kernel_forwarding=True),
    WIRE_BASELINE: Blueprint(firewalls=1, clients=1, kernel_forwarding=True, offloads=False),
    "tc": Blueprint(firewalls=4, clients=1, balancing=Balancing(LegModes.TC)),
    "xdp": Blueprint(firewalls=4, clients=1, balancing=Balancing(LegModes.XDP)),
}
#: Group -> the program that sends, and the Debian package of the same name.
TOOLS = {"stream": "iperf3", "http": "wrk"}
_HTTP_PORT = 80
_STREAM_PORT = 5201
_PARALLEL = 64
_START_TIMEOUT_S = 15


@dataclass(frozen=True, slots=True)
class Effort:
    """How long and how often each topology is loaded."""

    rounds: int
    seconds: int
    """Length of one measurement."""


@contextmanager
def topologies() -> Iterator[Labs]:
    """All topologies, built and with their directors ready. Raises LabError."""
    with ExitStack() as stack:
        labs = {name: stack.enter_context(Topology(blueprint)) for name, blueprint in BLUEPRINTS.items()}
        for name, lab in labs.items():
            for director in lab.directors.values():
                _check_attached(director.client.legs(), name)
        yield labs


def _check_attached(legs: list[dict[str, object]], mode: str) -> None:
    """A leg that fell back to another mode would be measured under the wrong name."""
    wanted = "tc" if mode == "tc" else "xdp+tc"
    for leg in legs:
        if leg["mode"] != wanted:
            raise LabError(f"leg {leg['name']} is attached by {leg['mode']}, not {wanted}", "see `lasthop doctor`")


def check_tool(group: str) -> None:
    """Raise LabError with the command that installs what `group` sends with, if it is missing."""
    if shutil.which(TOOLS[group]) is None:
        raise LabError(f"can't measure it: {TOOLS[group]} is missing", f"apt-get install -y {TOOLS[group]}")


def stream(labs: Labs, effort: Effort, said: Callable[[str], object]) -> list[Row]:
    """One TCP stream from client to www with iperf3: what arrives, in Gbit/s. Raises LabError."""
    for lab in labs.values():
        lab.start("www", "iperf3", "--server", "--port", str(_STREAM_PORT))
        _wait_listening(lab, _STREAM_PORT)

    def measure(lab: Topology) -> float:
        target = ("--client", str(WWW_ADDRESS), "--port", str(_STREAM_PORT))
        text = lab.run("client", "iperf3", *target, "--time", str(effort.seconds), "--json")
        return gbits_received(text)

    taken = _taken(labs, measure, effort, "stream", said)
    return [
        *rows_beside(BASELINE, taken, {"tc": "stream/tc", "xdp": "stream/xdp"}, "Gbit/s"),
        *rows_beside(WIRE_BASELINE, taken, {"xdp": "stream/xdp"}, "Gbit/s"),
    ]


def http(labs: Labs, effort: Effort, said: Callable[[str], object]) -> list[Row]:
    """Short HTTP connections, one request each, with wrk: completed ones per second. Raises LabError."""
    chosen = {name: lab for name, lab in labs.items() if name != WIRE_BASELINE}
    for lab in chosen.values():
        ready = lab.folder / "responder.ready"
        lab.start("www", sys.executable, str(Path(__file__).with_name("responder.py")), str(_HTTP_PORT), str(ready))
        _wait(ready.exists, "the HTTP server does not start")
        # Ports of connections that ended a second ago are used again: a round opens more than there are.
        lab.run("client", "sysctl", "-qw", "net.ipv4.tcp_tw_reuse=1")

    def measure(lab: Topology) -> float:
        load = ("--threads", "2", "--connections", str(_PARALLEL), "--duration", f"{effort.seconds}s")
        return requests_per_second(lab.run("client", "wrk", *load, "-H", "Connection: close", f"http://{WWW_ADDRESS}/"))

    taken = _taken(chosen, measure, effort, "http", said)
    return rows_beside(BASELINE, taken, {"tc": "http/tc", "xdp": "http/xdp"}, "connections/s")


def gbits_received(text: str) -> float:
    """Goodput in iperf3's JSON report. Raises LabError if it reports an error."""
    report = json.loads(text)
    if "error" in report:
        raise LabError(f"iperf3: {report['error']}", "run the bench again")
    return float(report["end"]["sum_received"]["bits_per_second"]) / 1e9


def requests_per_second(text: str) -> float:
    """The rate in wrk's report. Raises LabError where connections could not be opened or had wrong answers."""
    rate = re.search(r"^Requests/sec:\s+([0-9.]+)", text, re.MULTILINE)
    refused = re.search(r"Socket errors: connect ([0-9]+)", text)
    wrong = re.search(r"Non-2xx or 3xx responses: ([0-9]+)", text)
    if rate is None or float(rate[1]) == 0 or wrong or (refused and int(refused[1])):
        raise LabError(f"wrk: {' / '.join(text.split(chr(10))[-6:])}", "run the bench again")
    return float(rate[1])


def _taken(
    labs: Labs, measure: Callable[[Topology], float], effort: Effort, group: str, said: Callable[[str], object]
) -> dict[str, list[float]]:
    """One value per round and topology."""

    def of(lab: Topology) -> Callable[[], float]:
        return lambda: measure(lab)

    return interleaved(
        {name: of(lab) for name, lab in labs.items()}, effort.rounds, lambda what: said(f"{group}: {what}")
    )


def _wait_listening(lab: Topology, port: int) -> None:
    _wait(lambda: lab.run("www", "ss", "-Hltn", f"sport = :{port}").strip(), f"nothing listens on port {port}")


def _wait(condition: Callable[[], object], problem: str) -> None:
    if not wait_until(condition, timeout=_START_TIMEOUT_S):
        raise LabError(problem, "look at the topology with `make lab-shell`")
