"""The one place that picks implementations: the kernel's data plane and the kernel's network."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from lasthop.api.location import socket_path
from lasthop.dataplane.kernel import KernelDataPlane
from lasthop.dataplane.leftover import detach_pins
from lasthop.dataplane.pins import pinned_directors
from lasthop.director.director import Director
from lasthop.director.health import known_at_start
from lasthop.director.health_file import HealthFile
from lasthop.director.journal import Journal
from lasthop.director.surroundings import surroundings_of
from lasthop.health import dns, http, script, tcp, udp
from lasthop.health.ping import Pings
from lasthop.model.health import Check
from lasthop.network.kernel import KernelNetwork
from lasthop.policy.compile import compile_plan

if TYPE_CHECKING:
    from lasthop.health.probe import Probe
    from lasthop.model.configuration import Configuration
    from lasthop.network.interface import Network, Observation

__all__ = ["detach_pins", "health_file", "journal", "network", "pinned_directors", "probes", "start"]

STATE_DIRECTORY = "/var/lib/lasthop"


def network() -> Network:
    """The network of this process's namespace."""
    return KernelNetwork()


def probes() -> dict[Check, Probe]:
    """What does each kind of health check."""
    return {
        Check.PING: Pings().probe,
        Check.TCP: tcp.probe,
        Check.HTTP: http.probe,
        Check.HTTPS: http.probe,
        Check.UDP: udp.probe,
        Check.DNS: dns.probe,
        Check.SCRIPT: script.probe,
    }


def journal(name: str) -> Journal:
    """What keeps the edits of the director `name`: in systemd's StateDirectory=, or where that would be."""
    return Journal(Path(os.environ.get("STATE_DIRECTORY", STATE_DIRECTORY)) / f"{name}.json")


def health_file(name: str) -> HealthFile:
    """What keeps the health that the director `name` found."""
    return HealthFile(socket_path(name).with_suffix(".health"))


def start(
    configuration: Configuration, file: str, observation: Observation, default_connections: int, kept: Journal
) -> Director:
    """A director of `configuration`, started in this network namespace.

    `default_connections` is the size of the table where a file that is applied later does not say; `kept` takes the
    edits that are made. Who was down when a process of this director ended is so from the first. What does not fit
    this machine is refused before anything of the data plane is made. Raises LasthopError.
    """
    compile_plan(configuration, surroundings_of(observation))
    dataplane = KernelDataPlane(configuration.director.name, configuration.director.connections)
    director = Director(configuration, file, dataplane, default_connections, kept)
    known, stand_ins = known_at_start(health_file(configuration.director.name), configuration)
    director.remember(known, stand_ins)
    director.start(observation)
    return director
