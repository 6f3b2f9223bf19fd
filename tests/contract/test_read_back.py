"""What somebody else changes in the kernel is found and put right; what packets and directors change is not touched."""

from __future__ import annotations

import os
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from typing import TYPE_CHECKING

import pytest

from lasthop.dataplane.kernel import KernelDataPlane
from lasthop.dataplane.leftover import detach_pins
from lasthop.dataplane.libbpf import Map, check, library
from lasthop.dataplane.loader import map_info
from lasthop.dataplane.pins import Pins
from lasthop.errors import DataPlaneError
from lasthop.model.leg import Leg, Mode, ReplyTo
from lasthop.model.service import Service, VirtualAddress
from lasthop.model.vlan import Vlan
from tests.contract.dataplane_worlds import FIREWALLS, FW1, OUTSIDE, SPARE, connections, firewall, plan
from tests.lab.tcx import needs_tcx

if TYPE_CHECKING:
    from lasthop.policy.plan import Plan
    from tests.contract.dataplane_worlds import KernelWorld

pytestmark = pytest.mark.root

ARRAYS = ["rules", "services", "servers", "listed", "fallbacks", "rulesets", "legs", "leg_by_ifindex"]
OTHERS = [
    "server_addrs",
    "local",
    "virtual_addrs",
    "dead_boxes",
    "leg_index",
    "vlan_legs",
    "own_macs",
    "neighbour_hops",
    "on_link",
]


def altered(world: KernelWorld) -> dict[str, int]:
    """What reading back finds; a second time it finds nothing."""
    found = {each.what: each.count for each in world.dataplane.read_back() if each.count}
    assert not [each for each in world.dataplane.read_back() if each.count]
    return found


def pinned(world: KernelWorld, name: str) -> Map:
    """A map, as bpftool would open it."""
    pins = Pins(world.name)
    fd = pins.get(pins.maps / name)
    assert fd is not None
    info = map_info(fd)
    return Map(name, fd, info.key_size, info.value_size, info.max_entries)


def whole(world: KernelWorld) -> Plan:
    """Something for every map."""
    legs = (
        Leg("outside", OUTSIDE, "edge", reply_to=ReplyTo.NEIGHBOUR),
        Leg("firewalls", FIREWALLS, "edge"),
        Leg("tagged", SPARE, "edge", vlan=Vlan(100)),
    )
    taken = VirtualAddress("udp", IPv4Address("203.0.113.99"), 53)
    made = plan(world, legs=legs, more=(Service(0, (), (firewall(FW1),), virtual_address=taken),))
    last = made.services[-1]
    dead = replace(last, servers=tuple(replace(server, down=True, died=True) for server in last.servers))
    return replace(made, local=frozenset({IPv4Network("192.0.2.2/32")}), services=(*made.services[:-1], dead))


def test_what_packets_and_directors_change_is_left_alone(kernel_world: KernelWorld) -> None:
    """Publications, connections, sweeps, captures, learned hops, a restart."""
    published = whole(kernel_world)
    kernel_world.dataplane.publish(published)
    assert altered(kernel_world) == {}
    kernel_world.arrive()
    kernel_world.dataplane.sweep()
    kernel_world.dataplane.inspection.capture({"outside"})
    assert altered(kernel_world) == {}
    kernel_world.dataplane.publish(plan(kernel_world, firewalls=("10.0.1.11",)))
    kernel_world.dataplane.inspection.capture(())
    assert altered(kernel_world) == {}
    kernel_world.reopen()
    assert not list(kernel_world.dataplane.read_back()), "nothing was published by this process"
    kernel_world.dataplane.publish(published)
    assert altered(kernel_world) == {}
    assert len(connections(kernel_world)) == 1


@pytest.mark.parametrize("name", ARRAYS)
def test_an_array_that_somebody_writes_is_put_right(name: str, kernel_world: KernelWorld) -> None:
    kernel_world.dataplane.publish(whole(kernel_world))
    table = pinned(kernel_world, name)
    rows = [number.to_bytes(4, "little") for number in range(table.max_entries)]
    before = {key: value for key in rows if (value := table.lookup(key)) is not None and any(value)}
    assert before
    for key, value in before.items():
        table.update(key, bytes(len(value)))
    count = sum(altered(kernel_world).values())
    os.close(table.fd)
    assert count > 0
    kernel_world.arrive()


@pytest.mark.parametrize("name", OTHERS)
def test_entries_that_somebody_deletes_or_changes_are_there_again(name: str, kernel_world: KernelWorld) -> None:
    kernel_world.dataplane.publish(whole(kernel_world))
    table = pinned(kernel_world, name)
    before = table.entries()
    assert before
    first, *others = before
    table.delete(first)
    for key in others:
        table.update(key, bytes(byte ^ 0x55 for byte in before[key]))
    assert altered(kernel_world) == {f"map {name}": len(before)}
    assert table.entries() == before
    os.close(table.fd)


def test_entries_that_somebody_adds_are_gone_again(kernel_world: KernelWorld) -> None:
    kernel_world.dataplane.publish(whole(kernel_world))
    table = pinned(kernel_world, "server_addrs")
    before = table.entries()
    table.update(b"\x55" * table.key_size, bytes(table.value_size))
    assert altered(kernel_world) == {"map server_addrs": 1}
    assert table.entries() == before
    os.close(table.fd)


@needs_tcx
@pytest.mark.parametrize("kind", ["tcx", "xdp"])
@pytest.mark.parametrize("way", ["detached", "unpinned"])
def test_a_program_that_somebody_takes_off_a_leg_is_attached_again(
    kind: str, way: str, kernel_world: KernelWorld
) -> None:
    legs = (Leg("outside", OUTSIDE, "edge", mode=Mode.XDP), Leg("firewalls", FIREWALLS, "edge"))
    kernel_world.dataplane.publish(plan(kernel_world, legs=legs))
    attached = kernel_world.dataplane.attachments()
    pins = Pins(kernel_world.name)
    pin = pins.links / f"{kind}-{kernel_world.links[OUTSIDE].ifindex}"
    if way == "unpinned":
        pin.unlink()
    else:
        fd = pins.get(pin)
        assert fd is not None
        check(library().bpf_link_detach(fd), "detach a link")
        os.close(fd)
    assert altered(kernel_world) == {f"the programs on leg outside ({OUTSIDE})": 1}
    assert kernel_world.dataplane.attachments() == attached
    kernel_world.arrive()


def test_an_interface_that_is_gone_is_nobodys_doing(kernel_world: KernelWorld) -> None:
    kernel_world.dataplane.publish(plan(kernel_world))
    kernel_world.netlink.link("del", index=kernel_world.index(OUTSIDE))
    assert altered(kernel_world) == {}


@needs_tcx
def test_a_leg_that_another_director_took_meanwhile_stays_his(kernel_world: KernelWorld) -> None:
    kernel_world.dataplane.publish(plan(kernel_world))
    (Pins(kernel_world.name).links / f"tcx-{kernel_world.links[OUTSIDE].ifindex}").unlink()
    other = f"{kernel_world.name}-other"
    second = KernelDataPlane(other, 1024)
    try:
        legs = (Leg("outside", OUTSIDE, "edge"), Leg("firewalls", SPARE, "edge"))
        second.publish(plan(kernel_world, firewalls=("10.0.9.11",), macs={}, legs=legs))
        with pytest.raises(DataPlaneError, match=rf"leg 'outside' \({OUTSIDE}\): another director is attached to it"):
            list(kernel_world.dataplane.read_back())
    finally:
        second.close()
        detach_pins(other)
