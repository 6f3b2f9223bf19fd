"""What every implementation of `lasthop.network.interface.Network` does: the same tests on the fake and on the kernel.

What only the kernel has to cope with is tested here too; `tests.contract.network_worlds` makes both worlds.
"""

from __future__ import annotations

import errno
import os
import socket
from contextlib import ExitStack, closing
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import TYPE_CHECKING, Any

import pytest
from pyroute2.netlink.exceptions import NetlinkError
from pyroute2.netlink.rtnl.ndmsg import NUD_FAILED

from lasthop.errors import NetworkError
from lasthop.network import neighbours
from lasthop.network.drivers import XdpFeatures, receive_offloads, xdp_features
from lasthop.network.fake import FakeNetwork
from lasthop.network.kernel import consistent
from tests.contract.network_worlds import (
    INTERFACE,
    OWN,
    OWN6,
    PATIENCE_S,
    FakeWorld,
    KernelWorld,
    World,
    announced,
    namespace,
    wait_until,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lasthop.model.real_server import Address


PEER, PEER6, STRANGER = IPv4Address("10.9.0.2"), IPv6Address("fd09::2"), IPv4Address("10.9.0.3")
EITHER = pytest.mark.parametrize("peer", [PEER, PEER6], ids=["ipv4", "ipv6"])
FIRST_MAC, SECOND_MAC = "02:00:00:00:00:11", "02:00:00:00:00:22"


@pytest.fixture
def kernel_world() -> Iterator[KernelWorld]:
    """The kernel's world; the thread is back in its own namespace afterwards."""
    with ExitStack() as stack:
        far = stack.enter_context(namespace())
        yield KernelWorld(stack, far)


@pytest.fixture(params=["fake", pytest.param("kernel", marks=pytest.mark.root)])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """Either world."""
    if request.param == "kernel":
        yield request.getfixturevalue("kernel_world")
        return
    fake = FakeWorld()
    yield fake
    fake.network.close()


def ifindex(world: World) -> int:
    return world.network.observe().links[INTERFACE].ifindex


def mac_of(world: World, address: Address) -> str | None:
    found = [mac for (_, known), mac in world.network.observe().neighbours.items() if known == address]
    return found[0] if found else None


def quieten(world: World) -> None:
    """Drain until nothing follows for a moment: IPv6 settles, entries change their state."""
    while announced(world.network, 0.3):
        world.network.drain()


def test_a_link_is_observed_with_its_name_kind_mtu_mac_and_addresses(world: World) -> None:
    link = world.network.observe().links[INTERFACE]
    assert (link.name, link.kind, link.mtu, link.parent, link.up, link.virtual) == (
        INTERFACE, "veth", 1500, None, True, True,
    )  # fmt: skip
    assert len(link.mac.split(":")) == 6
    assert link.mac == link.mac.lower()
    assert {OWN, OWN6} <= set(link.addresses)


def test_own_addresses_and_broadcasts_are_local_and_others_are_not(world: World) -> None:
    own = {ip_network("10.9.0.1/32"), ip_network("10.9.0.255/32"), ip_network("fd09::1/128")}
    wait_until(world.network, lambda: own <= world.network.observe().local)
    local = world.network.observe().local
    assert not any(PEER in each for each in local)


@EITHER
def test_a_wanted_neighbour_that_answers_is_resolved(world: World, peer: Address) -> None:
    world.answer(peer, FIRST_MAC)
    world.network.keep_resolved(frozenset({(ifindex(world), peer)}))
    wait_until(world.network, lambda: mac_of(world, peer) == FIRST_MAC)


@EITHER
def test_a_neighbour_that_is_not_wanted_is_not_resolved(world: World, peer: Address) -> None:
    world.answer(peer, FIRST_MAC)
    assert mac_of(world, peer) is None


def test_a_wanted_neighbour_that_appears_later_joins(world: World) -> None:
    world.network.keep_resolved(frozenset({(ifindex(world), PEER)}))
    assert mac_of(world, PEER) is None
    world.answer(PEER, FIRST_MAC)
    wait_until(world.network, lambda: mac_of(world, PEER) == FIRST_MAC)


@EITHER
def test_a_mac_address_that_moves_is_seen(world: World, peer: Address) -> None:
    world.answer(peer, FIRST_MAC)
    world.network.keep_resolved(frozenset({(ifindex(world), peer)}))
    wait_until(world.network, lambda: mac_of(world, peer) == FIRST_MAC)
    world.answer(peer, SECOND_MAC)
    wait_until(world.network, lambda: mac_of(world, peer) == SECOND_MAC)


@EITHER
def test_a_neighbour_that_is_gone_is_no_longer_observed(world: World, peer: Address) -> None:
    world.answer(peer, FIRST_MAC)
    world.network.keep_resolved(frozenset({(ifindex(world), peer)}))
    wait_until(world.network, lambda: mac_of(world, peer) == FIRST_MAC)
    world.silence(peer)
    wait_until(world.network, lambda: mac_of(world, peer) is None)


@EITHER
def test_wanting_the_same_again_changes_nothing(world: World, peer: Address) -> None:
    wanted = frozenset({(ifindex(world), peer)})
    world.answer(peer, FIRST_MAC)
    world.network.keep_resolved(wanted)
    wait_until(world.network, lambda: mac_of(world, peer) == FIRST_MAC)
    quieten(world)
    world.network.keep_resolved(wanted)
    assert not announced(world.network, 0)
    assert mac_of(world, peer) == FIRST_MAC


def test_a_permanent_neighbour_is_left_alone(world: World) -> None:
    world.make_permanent(STRANGER, SECOND_MAC)
    world.network.keep_resolved(frozenset({(ifindex(world), STRANGER)}))
    assert mac_of(world, STRANGER) == SECOND_MAC


def test_a_pair_whose_interface_is_gone_is_skipped_and_the_others_are_resolved(world: World) -> None:
    world.answer(PEER, FIRST_MAC)
    world.network.keep_resolved(frozenset({(4242, PEER), (ifindex(world), PEER)}))
    wait_until(world.network, lambda: mac_of(world, PEER) == FIRST_MAC)


@EITHER
def test_an_interface_that_goes_down_is_seen_and_forgets_its_neighbours(world: World, peer: Address) -> None:
    world.answer(peer, FIRST_MAC)
    wanted = frozenset({(ifindex(world), peer)})
    world.network.keep_resolved(wanted)
    wait_until(world.network, lambda: mac_of(world, peer) == FIRST_MAC)
    world.set_up(up=False)
    wait_until(world.network, lambda: not world.network.observe().links[INTERFACE].up)
    assert mac_of(world, peer) is None
    world.set_up(up=True)
    wait_until(world.network, lambda: world.network.observe().links[INTERFACE].up)
    world.network.keep_resolved(wanted)
    wait_until(world.network, lambda: mac_of(world, peer) == FIRST_MAC)


def test_an_interface_that_is_removed_is_gone_with_its_addresses_and_neighbours(world: World) -> None:
    world.make_permanent(STRANGER, SECOND_MAC)
    world.remove()
    wait_until(world.network, lambda: INTERFACE not in world.network.observe().links)
    observation = world.network.observe()
    assert not observation.neighbours
    assert ip_network("10.9.0.1/32") not in observation.local


def test_changes_are_announced_until_they_are_drained(world: World) -> None:
    quieten(world)
    world.make_permanent(STRANGER, SECOND_MAC)
    assert announced(world.network, PATIENCE_S)
    world.network.drain()
    assert not announced(world.network, 0)
    world.network.drain()


@pytest.mark.root
class TestTheKernelAlone:
    """What only the kernel's network has to cope with."""

    @EITHER
    def test_a_wanted_neighbour_is_a_managed_one(self, kernel_world: KernelWorld, peer: Address) -> None:
        kernel_world.network.keep_resolved(frozenset({(kernel_world.index, peer)}))
        assert kernel_world.flags(peer)[1] == neighbours.NTF_EXT_MANAGED

    def test_an_entry_that_is_there_already_becomes_managed_and_keeps_its_mac(self, kernel_world: KernelWorld) -> None:
        kernel_world.answer(PEER, FIRST_MAC)
        neighbours.probe(kernel_world.near, kernel_world.index, PEER)
        wait_until(kernel_world.network, lambda: mac_of(kernel_world, PEER) == FIRST_MAC)
        kernel_world.network.keep_resolved(frozenset({(kernel_world.index, PEER)}))
        assert kernel_world.flags(PEER)[1] == neighbours.NTF_EXT_MANAGED
        assert mac_of(kernel_world, PEER) == FIRST_MAC

    @EITHER
    def test_a_failed_neighbour_joins_without_announcing_itself(self, kernel_world: KernelWorld, peer: Address) -> None:
        kernel_world.network.keep_resolved(frozenset({(kernel_world.index, peer)}))
        wait_until(kernel_world.network, lambda: kernel_world.flags(peer)[0] == NUD_FAILED)
        kernel_world.far.addr(
            "add",
            index=kernel_world.far_index,
            address=str(peer),
            prefixlen=32 if peer.version == 4 else 128,
            IFA_FLAGS=2,
        )
        wait_until(kernel_world.network, lambda: mac_of(kernel_world, peer) is not None)

    def test_where_managed_entries_are_refused_each_call_probes(self, kernel_world: KernelWorld) -> None:
        class Refusing:
            """IPRoute of a kernel without managed entries."""

            def neigh(self, command: str, **fields: Any) -> Any:
                if "NDA_FLAGS_EXT" in fields:
                    raise NetlinkError(errno.EINVAL, "no such flag")
                return kernel_world.near.neigh(command, **fields)

        kernel_world.answer(PEER, FIRST_MAC)
        neighbours.keep_fresh(Refusing(), kernel_world.index, PEER)  # type: ignore[arg-type]
        wait_until(kernel_world.network, lambda: mac_of(kernel_world, PEER) == FIRST_MAC)
        assert kernel_world.flags(PEER)[1] == 0

    def test_an_ipv6_neighbour_on_an_interface_without_ipv6_is_skipped(self, kernel_world: KernelWorld) -> None:
        kernel_world.near.link("set", index=kernel_world.index, mtu=1000)  # below IPv6's minimum: the kernel drops it
        kernel_world.network.keep_resolved(frozenset({(kernel_world.index, PEER6)}))
        assert mac_of(kernel_world, PEER6) is None

    def test_a_macvlan_is_seen_with_its_kind_parent_and_driver(self, kernel_world: KernelWorld) -> None:
        kernel_world.near.link("add", ifname="virtual0", kind="macvlan", link=kernel_world.index)
        link = kernel_world.network.observe().links["virtual0"]
        assert (link.kind, link.parent, link.driver, link.up) == ("macvlan", kernel_world.index, "macvlan", False)

    def test_an_interface_whose_cable_is_cut_is_not_up(self, kernel_world: KernelWorld) -> None:
        kernel_world.far.link("set", index=kernel_world.far_index, state="down")
        wait_until(kernel_world.network, lambda: not kernel_world.network.observe().links[INTERFACE].up)

    def test_routes_of_other_tables_neither_wake_nor_count(self, kernel_world: KernelWorld) -> None:
        quieten(kernel_world)
        kernel_world.near.route("add", dst="172.16.0.0/12", gateway=str(PEER))
        assert not announced(kernel_world.network, 0)
        assert ip_network("172.16.0.0/12") not in kernel_world.network.observe().local

    def test_a_route_added_to_the_table_local_wakes_and_counts(self, kernel_world: KernelWorld) -> None:
        quieten(kernel_world)
        kernel_world.near.route("add", dst="172.16.0.0/12", oif=kernel_world.index, type="local", scope=254, table=255)
        assert announced(kernel_world.network, PATIENCE_S)
        assert ip_network("172.16.0.0/12") in kernel_world.network.observe().local

    def test_an_overrun_of_announcements_is_drained_like_a_change(self, kernel_world: KernelWorld) -> None:
        for number in range(2000):
            kernel_world.make_permanent(STRANGER, f"02:00:00:00:{number >> 8:02x}:{number & 255:02x}")
        with socket.socket(fileno=os.dup(kernel_world.network.changes())) as probe:
            assert probe.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ENOBUFS
        kernel_world.make_permanent(STRANGER, FIRST_MAC)
        assert announced(kernel_world.network, PATIENCE_S)
        kernel_world.network.drain()
        assert not announced(kernel_world.network, 0)

    def test_drivers_tell_xdp_features_and_receive_offloads(self, kernel_world: KernelWorld) -> None:
        features = xdp_features()
        if features is None:
            pytest.skip("the kernel is older than 6.3: drivers do not tell their XDP features")
        assert XdpFeatures.BASIC | XdpFeatures.REDIRECT in features[kernel_world.index]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
            offloads = receive_offloads(control, INTERFACE)
            assert receive_offloads(control, "absent0") is None
        assert offloads is not None
        assert not offloads.lro


def test_an_interrupted_dump_is_asked_for_again() -> None:
    dumps = iter([[{"header": {"flags": 0x12}}], [{"header": {"flags": 0x02}, "whole": True}]])
    assert consistent("links", lambda: next(dumps))[0]["whole"]  # type: ignore[arg-type]


def test_a_dump_that_is_interrupted_every_time_is_an_error_with_a_remedy() -> None:
    with pytest.raises(NetworkError, match="can't read links: they changed during each of 10 attempts; try again"):
        consistent("links", lambda: [{"header": {"flags": 0x12}}])  # type: ignore[list-item]


def test_the_fake_refuses_to_change_an_interface_it_does_not_have() -> None:
    with closing(FakeNetwork()) as network, pytest.raises(NetworkError, match="no interface 'eth9'; there are: none"):
        network.answer("eth9", ip_address("10.0.0.1"), FIRST_MAC)
