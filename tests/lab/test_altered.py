"""Somebody takes a program off a leg of a running director: it is back in seconds, and said so."""

from __future__ import annotations

import os

from lasthop.dataplane.libbpf import check, library
from lasthop.dataplane.pins import Pins
from lasthop.lab.director_files import Balancing
from lasthop.lab.topology import Blueprint, Topology
from lasthop.lab.traffic import open_http
from lasthop.lab.waiting import wait_until

PATIENCE_S = 20


def test_a_program_taken_off_by_hand_is_on_its_leg_again_and_traffic_goes_on() -> None:
    with Topology(Blueprint(firewalls=2, balancing=Balancing())) as lab:
        lab.serve()
        director = lab.directors["lb1"]
        pins = Pins(director.name)
        (pin, *_) = sorted(pins.links.glob("tcx-*"))
        fd = pins.get(pin)
        assert fd is not None
        check(library().bpf_link_detach(fd), "detach a link, as bpftool does")
        os.close(fd)
        assert wait_until(lambda: director.client.events(kind="altered"), timeout=PATIENCE_S)
        attempts = open_http(lab.namespace("client"), lab.layout.outwards, 20)
        assert [each.problem for each in attempts if not each.completed] == []
        status = director.client.status()
        assert (status["problems"], status["unexpected"]) == ([], {})
