"""A director ends, or is killed, and starts again under traffic: the data plane loses nothing."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from lasthop.lab import transparency
from lasthop.lab.director_files import Balancing, LegModes
from lasthop.lab.topology import Blueprint, Topology
from lasthop.lab.traffic import Continuous, Drip, open_http
from tests.lab.unharmed import progress, require_unharmed


@pytest.mark.parametrize("modes", [LegModes.TC, LegModes.XDP])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_restart_under_traffic_loses_no_packet(number: signal.Signals, modes: LegModes) -> None:
    blueprint = Blueprint(firewalls=3, balancing=Balancing(modes, connections=200_000), offloads=False)
    with Topology(blueprint) as lab:
        lab.serve()
        client, pairs = lab.namespace("client"), lab.layout.outwards
        with transparency.capture(lab) as taken, Drip(client, pairs[0]) as drip, Continuous(client, pairs) as short:
            for director in lab.directors.values():
                progress(drip, short)
                before = director.client.count_connections()
                director.end(number)
                progress(drip, short)
                director.start()
                director.wait_ready()
                progress(drip, short)
                assert director.client.count_connections() >= before > 0
        for proof in transparency.compare(lab.layout, taken.frames):
            assert proof.holds, proof
        require_unharmed(lab, drip, short)


def test_detach_takes_everything_out_and_leaves_nothing_pinned() -> None:
    with Topology(Blueprint(firewalls=2, balancing=Balancing(connections=20_000))) as lab:
        lab.serve()
        director = lab.directors["lb1"]
        director.end()
        assert open_http(lab.namespace("client"), lab.layout.outwards, 5)[0].completed
        director.detach()
        assert not pins_of(director.name)
        assert not open_http(lab.namespace("client"), lab.layout.outwards, 1, timeout=0.3)[0].completed
        director.start()
        director.wait_ready()
        assert open_http(lab.namespace("client"), lab.layout.outwards, 5)[0].completed


def pins_of(name: str) -> bool:
    return Path("/sys/fs/bpf/lasthop", name).exists()
