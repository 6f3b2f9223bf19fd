"""Tagged legs and neighbours whose VLANs are the kernel's own interfaces, as on a trunk to a switch."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import pytest

from lasthop.lab.waiting import wait_until
from lasthop.model.vlan import Vlan, VlanProtocol
from tests.lab.machines import FW1_MAC, PATIENCE_S, ROUTER_MAC, Machine
from tests.lab.trunk import NEAR, Trunk, trunk, trunk_of_cards

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OUTSIDE, FIREWALLS = Vlan(10), Vlan(20)
TWO_TAGS = Vlan(200, 20, VlanProtocol.DOT1AD)
SAME_OUTER = Vlan(200, 10, VlanProtocol.DOT1AD)
PAIRS = [(OUTSIDE, FIREWALLS), (OUTSIDE, TWO_TAGS), (SAME_OUTER, TWO_TAGS)]
#: A veth keeps tags beside the frames, as a network card does that takes them out; switched off, XDP sees them.
IN_FRAMES = [
    word for each in ("rxvlan", "txvlan", "rx-vlan-stag-hw-parse", "tx-vlan-stag-hw-insert") for word in (each, "off")
]
#: The checksums of what a neighbour sends to XDP must be complete, and a veth takes XDP frames with GRO only.
FIT_FOR_XDP = ("tx", "off", "gro", "on")


@pytest.fixture
def cable(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trunk]:
    """The cable of a machine's trunk; nobody is in a VLAN yet."""
    with Machine(tmp_path_factory.mktemp("machine")) as machine, trunk(machine) as made:
        yield made


def assert_forwards(cable: Trunk, how: str, outside: Vlan, firewalls: Vlan) -> None:
    """Every byte arrives, and the director knows who is in which VLAN."""
    cable.converse()
    assert cable.modes == [how, how]
    hops = {(hop["leg"], hop["name"], hop["mac"], hop["vlan"]) for hop in cable.client.hops()}
    assert hops == {
        ("outside", "router", ROUTER_MAC, str(outside)),
        ("firewalls", "fw1", FW1_MAC, str(firewalls)),
    }
    told = cable.client.connections()
    assert {(each["last_hop"]["name"], each["forward_hop"]["name"]) for each in told} == {
        ("router", "fw1"),
        ("fw1", "router"),
    }
    assert cable.client.status()["unexpected"] == {}


@pytest.mark.parametrize(("outside", "firewalls"), PAIRS, ids=str)
@pytest.mark.parametrize("beside", [True, False], ids=["tags taken out", "tags in the frames"])
def test_tc_forwards_between_the_kernels_vlan_interfaces(
    cable: Trunk, outside: Vlan, firewalls: Vlan, *, beside: bool
) -> None:
    if not beside:
        cable.offloads(*IN_FRAMES)
    cable.join(outside, firewalls)
    cable.start("tc")
    assert_forwards(cable, "tc", outside, firewalls)


@pytest.mark.parametrize(("outside", "firewalls"), PAIRS, ids=str)
def test_xdp_forwards_between_the_kernels_vlan_interfaces(cable: Trunk, outside: Vlan, firewalls: Vlan) -> None:
    cable.offloads(*IN_FRAMES)
    cable.offloads(*FIT_FOR_XDP)
    cable.join(outside, firewalls)
    cable.start("xdp")
    assert_forwards(cable, "xdp+tc", outside, firewalls)


def test_xdp_where_tags_are_taken_out_is_refused_and_the_line_that_is_given_mends_it(cable: Trunk) -> None:
    cable.offloads("txvlan", "off", *FIT_FOR_XDP)
    cable.offloads("rxvlan", "on", ends=(NEAR,))
    cable.join(OUTSIDE, FIREWALLS)
    refused = cable.machine.lasthop("run", cable.configuration("xdp"))
    assert refused.returncode == 1
    line = f"ethtool -K {NEAR} rxvlan off"
    assert "takes VLAN tags out of frames" in refused.stderr
    assert line in refused.stderr
    assert cable.machine.run(*shlex.split(line)).returncode == 0
    cable.start("xdp")
    assert_forwards(cable, "xdp+tc", OUTSIDE, FIREWALLS)


def test_a_trunk_that_begins_to_take_tags_out_goes_on_by_tc(cable: Trunk) -> None:
    """The director notices what an operator switches on under it, and takes XDP off before it mistakes a VLAN."""
    cable.offloads(*IN_FRAMES)
    cable.offloads(*FIT_FOR_XDP)
    cable.join(OUTSIDE, FIREWALLS)
    cable.start("xdp")
    cable.offloads("rxvlan", "on", "txvlan", "on")
    cable.await_mode("tc")
    assert_forwards(cable, "tc", OUTSIDE, FIREWALLS)


def test_a_network_card_that_takes_tags_out_is_served_by_tc_and_the_way_to_xdp_is_told(
    tmp_path: Path,
) -> None:
    """With the line that is told the tags stay in the frames, and everything still arrives, by tc or by XDP."""
    with Machine(tmp_path) as machine, trunk_of_cards(machine) as cards:
        cards.offloads("lro", "off")
        cards.join(OUTSIDE, FIREWALLS)
        cards.start("auto")
        assert_forwards(cards, "tc", OUTSIDE, FIREWALLS)
        line = f"ethtool -K {NEAR} rxvlan off"
        assert any(line in told for told in cards.client.status()["notes"])
        assert machine.run(*shlex.split(line)).returncode == 0
        wait_until(lambda: line not in str(cards.client.status()["notes"]), timeout=PATIENCE_S)
        assert_forwards(cards, cards.modes[0], OUTSIDE, FIREWALLS)
