"""How the data plane sits on interfaces: tcx or a clsact filter, XDP in front of it, beside the programs of others."""

from __future__ import annotations

import ctypes
import json
import os
import socket
import subprocess
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from ipaddress import IPv4Address
from typing import TYPE_CHECKING, Any

import pytest

from lasthop.daemon import doctor
from lasthop.dataplane import attach
from lasthop.dataplane.kernel import KernelDataPlane
from lasthop.dataplane.leftover import detach_pins
from lasthop.dataplane.libbpf import ffi, library
from lasthop.lab.waiting import wait_until
from lasthop.model.configuration import Configuration
from lasthop.model.director import Director
from lasthop.model.leg import Leg, Mode
from lasthop.model.real_server import RealServer
from lasthop.model.rule import Match
from lasthop.model.service import Service
from lasthop.policy.compile import compile_plan
from lasthop.policy.surroundings import Surroundings
from tests.contract.dataplane_worlds import CLIENT, FIREWALLS, NO_XDP, OUTSIDE, KernelWorld, connections, refused
from tests.lab.machines import PATIENCE_S, Machine
from tests.lab.tcx import HAS_TCX, HOLDER, needs_tcx

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lasthop.policy.plan import Plan

FW1 = RealServer("fw1", IPv4Address("10.0.1.11"))
FW1_MAC = "02:00:00:00:01:11"
# include/uapi/linux/bpf.h
_SCHED_CLS, _XDP, _BPF_XDP = 3, 6, 37
_TC_ACT_UNSPEC, _TC_ACT_SHOT, _XDP_PASS = -1, 2, 2


@pytest.fixture
def world() -> Iterator[KernelWorld]:
    with ExitStack() as stack:
        yield KernelWorld(stack)


def plan(world: KernelWorld, mode: Mode = Mode.TC, outside: str = OUTSIDE) -> Plan:
    """One service from leg `outside` to fw1."""
    legs = (Leg("outside", outside, "edge", mode), Leg("firewalls", FIREWALLS, "edge", mode))
    services = (Service(1, (Match(legs=("outside",)),), (FW1,)),)
    neighbours = {(world.links[FIREWALLS].ifindex, FW1.address): FW1_MAC}
    return compile_plan(Configuration(Director("lb"), legs, services), Surroundings(world.links, neighbours=neighbours))


@contextmanager
def foreign_program(kind: int, verdict: int) -> Iterator[int]:
    """A program of somebody else's, which does nothing but return its verdict."""
    move, leave = 0xB7, 0x95
    instructions = (ctypes.c_uint64 * 2)(move | (verdict & 0xFFFFFFFF) << 32, leave)
    fd = ctypes.CDLL("libbpf.so.1").bpf_prog_load(kind, b"foreign", b"GPL", instructions, ctypes.c_size_t(2), None)
    assert fd >= 0
    try:
        yield fd
    finally:
        os.close(fd)


@contextmanager
def foreign_link(kind: int, verdict: int, interface: str) -> Iterator[None]:
    """Such a program on an interface, ahead of what comes later."""
    where = _BPF_XDP if kind == _XDP else attach._BPF_TCX_INGRESS
    with foreign_program(kind, verdict) as program:
        link = library().bpf_link_create(program, socket.if_nametoindex(interface), where, ffi.NULL)
        assert link >= 0
        try:
            yield
        finally:
            os.close(link)


def on(interface: str, expected: dict[str, list[str]] | None = None) -> dict[str, list[str]]:
    """Names of the programs on an interface, by the way they are attached.

    The kernel takes a link out some time after its last descriptor went: `expected` is waited for.
    """
    if expected is not None:
        wait_until(lambda: on(interface) == expected, timeout=PATIENCE_S)
    ifindex = socket.if_nametoindex(interface)
    found = {
        "tcx": attach._tcx_programs(ifindex),
        "filter": attach._filter_programs(ifindex),
        "xdp": attach._xdp_programs(ifindex),
    }
    return {how: [attach._describe(program)[0] for program in programs] for how, programs in found.items() if programs}


def links(world: KernelWorld) -> set[str]:
    return {path.name for path in (world.pins / "links").iterdir()}


@pytest.mark.parametrize(("mode", "kind"), [(Mode.TC, ""), (Mode.XDP, "xdp")])
def test_links_are_pinned_by_the_number_of_their_interface(world: KernelWorld, mode: Mode, kind: str) -> None:
    world.dataplane.publish(plan(world, mode))
    interfaces = {world.links[name].ifindex for name in (OUTSIDE, FIREWALLS)}
    pinned = {f"{how}-{ifindex}" for how in ("tcx" if HAS_TCX else "", kind) if how for ifindex in interfaces}
    assert links(world) - {"lh_xmit", "lh_xdp_err"} == pinned
    world.dataplane.close()
    expected = {HOLDER: ["lh_tc"]} | ({"xdp": ["lh_xdp"]} if kind else {})
    assert on(OUTSIDE) == on(FIREWALLS) == expected


@needs_tcx
def test_a_restart_swaps_the_program_under_the_link_that_is_there(world: KernelWorld) -> None:
    world.dataplane.publish(plan(world))
    before = attach._tcx_programs(socket.if_nametoindex(OUTSIDE))
    world.reopen()
    world.dataplane.publish(plan(world))
    after = attach._tcx_programs(socket.if_nametoindex(OUTSIDE))
    assert len(before) == len(after) == 1
    assert before != after


def test_a_filter_replaces_itself_and_goes_without_a_word(world: KernelWorld) -> None:
    ifindex = world.index(OUTSIDE)
    with foreign_program(_SCHED_CLS, _TC_ACT_UNSPEC) as program:
        attach.detach_filter(ifindex)
        for _ in range(2):
            attach.attach_filter(program, ifindex, "attach a filter")
            assert on(OUTSIDE, {"filter": ["foreign"]}) == {"filter": ["foreign"]}
        for _ in range(2):
            attach.detach_filter(ifindex)
            assert on(OUTSIDE, {}) == {}


class TestBeforeLinux66:
    """Where tcx is refused, a clsact filter takes its place."""

    @pytest.fixture(autouse=True)
    def no_tcx(self, monkeypatch: pytest.MonkeyPatch) -> None:
        unknown = 999
        monkeypatch.setattr(attach, "_BPF_TCX_INGRESS", unknown)

    def test_a_leg_gets_a_filter_and_forwards(self, world: KernelWorld) -> None:
        world.dataplane.publish(plan(world))
        assert on(OUTSIDE) == on(FIREWALLS) == {"filter": ["lh_tc"]}
        assert links(world) == set()
        world.arrive()

    def test_a_director_that_starts_again_takes_the_filters_over(self, world: KernelWorld) -> None:
        world.dataplane.publish(plan(world))
        world.arrive()
        world.reopen()
        assert on(OUTSIDE, {"filter": ["lh_tc"]}) == {"filter": ["lh_tc"]}
        world.dataplane.publish(plan(world))
        assert on(OUTSIDE, {"filter": ["lh_tc"]}) == {"filter": ["lh_tc"]}
        world.arrive((CLIENT[0], 2))
        world.dataplane.detach()
        assert on(OUTSIDE, {}) == on(FIREWALLS, {}) == {}

    def test_a_leg_that_is_none_after_a_restart_loses_its_filter(self, world: KernelWorld) -> None:
        whole = plan(world)
        world.dataplane.publish(whole)
        world.reopen()
        world.dataplane.publish(replace(whole, legs=whole.legs[1:], rules=()))
        assert (on(OUTSIDE, {}), on(FIREWALLS)) == ({}, {"filter": ["lh_tc"]})

    def test_a_leg_on_another_interface_after_a_restart_loses_its_filter(self, world: KernelWorld) -> None:
        world.dataplane.publish(plan(world))
        world.reopen()
        world.dataplane.publish(plan(world, outside="spare0"))
        assert (on(OUTSIDE), on("spare0")) == ({}, {"filter": ["lh_tc"]})

    def test_detach_without_a_process_removes_the_filters(self, world: KernelWorld) -> None:
        world.dataplane.publish(plan(world))
        world.dataplane.close()
        assert detach_pins(world.name) is not None
        assert on(OUTSIDE, {}) == on(FIREWALLS, {}) == {}

    def test_a_second_director_on_the_leg_is_refused(self, world: KernelWorld) -> None:
        world.dataplane.publish(plan(world))
        refuse_a_second_director(world)
        assert on(OUTSIDE, {"filter": ["lh_tc"]}) == {"filter": ["lh_tc"]}


def refuse_a_second_director(world: KernelWorld) -> None:
    first, first_name = world.dataplane, world.name
    world.name = f"{first_name}-2"
    world.dataplane = KernelDataPlane(world.name, 1024)
    try:
        error = refused(world, plan(world))
        assert str(error) == (
            "can't attach to leg 'outside' (out0): another director is attached to it; "
            "stop it and run `lasthop --director NAME detach`, or leave it the interface"
        )
        assert world.dataplane.attachments() == []
    finally:
        world.dataplane.detach()
        world.dataplane, world.name = first, first_name


@pytest.mark.parametrize("mode", [Mode.TC, Mode.XDP])
def test_a_second_director_on_the_leg_is_refused(world: KernelWorld, mode: Mode) -> None:
    world.dataplane.publish(plan(world, mode))
    before = on(OUTSIDE)
    refuse_a_second_director(world)
    assert on(OUTSIDE) == before


@pytest.mark.parametrize("mode", [Mode.TC, Mode.XDP])
def test_a_leg_forwards_in_every_mode(world: KernelWorld, mode: Mode) -> None:
    world.dataplane.publish(plan(world, mode))
    world.send(CLIENT)
    assert wait_until(lambda: sum(each.value for each in world.dataplane.counters()) > 1, timeout=PATIENCE_S)
    assert world.sources() == [CLIENT]


def test_an_xdp_program_of_somebody_else_is_an_error_with_its_remedy(world: KernelWorld) -> None:
    with foreign_link(_XDP, _XDP_PASS, FIREWALLS):
        error = refused(world, plan(world, Mode.XDP))
        assert str(error) == (
            "can't attach to leg 'firewalls' (fw0): another XDP program is attached; ip link set dev fw0 xdp off"
        )
        assert (on(OUTSIDE, {}), on(FIREWALLS)) == ({}, {"xdp": ["foreign"]})
    world.dataplane.publish(plan(world, Mode.XDP))


def test_an_xdp_program_of_somebody_else_does_not_disturb_a_leg_of_mode_tc(world: KernelWorld) -> None:
    with foreign_link(_XDP, _XDP_PASS, OUTSIDE):
        world.dataplane.publish(plan(world))
        assert on(OUTSIDE, {HOLDER: ["lh_tc"], "xdp": ["foreign"]}) == {HOLDER: ["lh_tc"], "xdp": ["foreign"]}
        world.arrive()


@needs_tcx
def test_a_tcx_program_of_somebody_else_keeps_working_beside_ours(world: KernelWorld) -> None:
    with foreign_link(_SCHED_CLS, _TC_ACT_UNSPEC, OUTSIDE):
        world.dataplane.publish(plan(world))
        assert on(OUTSIDE, {"tcx": ["foreign", "lh_tc"]}) == {"tcx": ["foreign", "lh_tc"]}
        assert doctor._foreign(world.index(OUTSIDE)) == ("foreign",)
        world.arrive()
        world.dataplane.publish(plan(world, outside="spare0"))
        assert on(OUTSIDE, {"tcx": ["foreign"]}) == {"tcx": ["foreign"]}
    with foreign_link(_SCHED_CLS, _TC_ACT_SHOT, OUTSIDE):
        world.dataplane.publish(plan(world))
        world.send((CLIENT[0], 2))
        counted = {each.name: each.value for each in world.dataplane.counters() if each.value}
        assert counted == {"forwarded_opening": 1, "event_hop_learned": 1}
    world.arrive((CLIENT[0], 3))


def transmits(world: KernelWorld, mode: Mode = Mode.XDP) -> bool:
    world.dataplane.publish(plan(world, mode))
    (found,) = (each for each in world.dataplane.attachments() if each.leg == "outside")
    return found.xdp_transmit


class TestTheTransmitProof:
    """XDP frames leave only through a leg that took a test frame."""

    def test_a_veth_whose_peer_has_no_napi_loses_them(self, world: KernelWorld) -> None:
        assert not transmits(world)

    def test_a_veth_whose_peer_has_gro_takes_them(self, world: KernelWorld) -> None:
        subprocess.run(["ethtool", "-K", f"far-{OUTSIDE}", "gro", "on"], check=True)
        assert transmits(world)

    def test_a_veth_whose_peer_runs_an_xdp_program_takes_them(self, world: KernelWorld) -> None:
        with foreign_link(_XDP, _XDP_PASS, f"far-{OUTSIDE}"):
            assert transmits(world)

    def test_a_bridge_loses_them(self, world: KernelWorld) -> None:
        world.dataplane.publish(plan(world))
        bridge = world.link(NO_XDP)
        assert not world.dataplane._attacher.transmits(bridge.ifindex, bridge.mac)

    def test_a_leg_of_mode_tc_is_not_asked(self, world: KernelWorld) -> None:
        subprocess.run(["ethtool", "-K", f"far-{OUTSIDE}", "gro", "on"], check=True)
        assert not transmits(world, Mode.TC)

    def test_a_leg_that_comes_up_again_is_asked_again(self, world: KernelWorld) -> None:
        assert not transmits(world)
        subprocess.run(["ethtool", "-K", f"far-{OUTSIDE}", "gro", "on"], check=True)
        up = world.links[OUTSIDE]
        world.links[OUTSIDE] = replace(up, up=False)
        assert not transmits(world)
        world.links[OUTSIDE] = up
        assert transmits(world)


def test_an_interface_that_is_made_again_is_attached_again(world: KernelWorld) -> None:
    world.dataplane.publish(plan(world))
    world.arrive()
    world.netlink.link("del", index=world.index(FIREWALLS))
    world.cable(FIREWALLS)
    world.links[FIREWALLS] = world.link(FIREWALLS)
    world.dataplane.publish(plan(world))
    assert on(FIREWALLS, {HOLDER: ["lh_tc"]}) == {HOLDER: ["lh_tc"]}
    assert {each.forward_hop.mac for each in connections(world)} == {FW1_MAC}
    world.arrive((CLIENT[0], 2))


def test_a_leg_whose_interface_is_gone_can_be_dropped(world: KernelWorld) -> None:
    world.dataplane.publish(plan(world))
    world.netlink.link("del", index=world.index(OUTSIDE))
    world.dataplane.publish(plan(world, outside="spare0"))
    assert [each.leg for each in world.dataplane.attachments()] == ["outside", "firewalls"]
    assert on("spare0", {HOLDER: ["lh_tc"]}) == {HOLDER: ["lh_tc"]}


def test_a_director_whose_network_namespace_is_gone_can_start_in_another() -> None:
    """A container ends and starts anew; the BPF file system is the host's."""
    with ExitStack() as stack:
        name = f"gone-{os.urandom(4).hex()}"
        stack.callback(detach_pins, name)
        for _ in range(2):
            with ExitStack() as container:
                world = KernelWorld(container)
                world.dataplane.detach()
                world.dataplane = KernelDataPlane(name, 1024)
                world.dataplane.publish(plan(world))
                world.arrive()
                world.dataplane.close()


def status_of(machine: Machine, noun: str = "legs") -> Any:
    return json.loads(machine.lasthop(noun, "--json").stdout)


def test_legs_of_a_running_director_come_and_go_with_their_interfaces(tmp_path: Path) -> None:
    with Machine(tmp_path) as machine:
        machine.start(machine.write())

        def state() -> list[str]:
            return [leg["state"] for leg in status_of(machine)]

        assert state() == ["up", "up"]
        machine.ip("link set eth1 down")
        assert wait_until(lambda: state() == ["up", "down"], timeout=PATIENCE_S)
        machine.ip("link set eth1 up")
        assert wait_until(lambda: state() == ["up", "up"], timeout=PATIENCE_S)
        machine.ip("link set eth1 down", "link set eth1 name fw1", "link set fw1 up")
        assert wait_until(lambda: state() == ["up", "missing"], timeout=PATIENCE_S)
        (problem,) = (each for each in status_of(machine, "status")["problems"] if "no such interface" in each)
        assert "can't use interface 'eth1' as leg 'firewalls'" in problem
        assert "fw1" in problem
        machine.ip(
            "link delete fw1", "link add eth1 address 02:00:00:00:00:03 type veth peer name far-eth1",
            "address add 10.0.1.1/24 dev eth1", "link set eth1 up", "link set far-eth1 up",
            "neighbour add 10.0.1.11 lladdr 02:00:00:00:01:11 dev eth1 nud permanent",
        )  # fmt: skip
        assert wait_until(lambda: state() == ["up", "up"], timeout=PATIENCE_S)
        assert wait_until(lambda: not status_of(machine, "status")["problems"], timeout=PATIENCE_S)
        assert machine.attached("eth1") == ["lh_tc"]
        with machine.listen() as firewall:
            machine.arrive()
            assert firewall.recv(200)[:6] == bytes.fromhex(FW1_MAC.replace(":", ""))
