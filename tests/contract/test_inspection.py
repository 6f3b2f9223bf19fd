"""A look at the data plane packet by packet: explanations on both, captured frames and a resize on the kernel's."""

from __future__ import annotations

import select
from typing import TYPE_CHECKING

import pytest

from lasthop.dataplane import abi
from lasthop.dataplane.frames import build
from lasthop.errors import DataPlaneError
from lasthop.lab.waiting import wait_until
from lasthop.model.described import DescribedPacket
from tests.contract.dataplane_worlds import CLIENT, CONNECTIONS, FW1_MAC, OUTSIDE, PATIENCE_S, ROUTER_MAC, WWW, plan

if TYPE_CHECKING:
    from lasthop.dataplane.finding import Finding
    from lasthop.model.capture import CapturedFrame
    from tests.contract.dataplane_worlds import KernelWorld, World

UDP, TCP = 17, 6


def frame(world: World, source: tuple[str, int] = CLIENT) -> bytes:
    packet = DescribedPacket(UDP, source[0], WWW[0], source[1], WWW[1])
    return build(packet, ROUTER_MAC, world.links[OUTSIDE].mac)


def asked(world: World, source: tuple[str, int] = CLIENT) -> Finding:
    return world.dataplane.inspection.explain("outside", frame(world, source), tagged=False)


def test_a_packet_that_opens_a_connection_is_explained_by_rule_service_and_choice(world: World) -> None:
    world.dataplane.publish(plan(world))
    found = asked(world)
    assert (found.reason, found.rule, found.service, found.real_server) == ("forwarded_opening", 0, "FWM 1", "fw1")
    assert (found.chosen_by, found.connection) == ("scheduler", None)
    assert found.out is not None
    assert found.last_hop is not None
    assert (found.out.hop.leg, found.out.hop.mac, found.out.hop.name) == ("firewalls", FW1_MAC, "fw1")
    assert (found.last_hop.leg, found.last_hop.mac, found.last_hop.name) == ("outside", ROUTER_MAC, "router")
    assert found.read is not None
    assert (str(found.read.source), found.read.source_port, found.read.opening) == (*CLIENT, True)


def test_a_packet_of_a_known_connection_is_explained_by_it(world: World) -> None:
    world.dataplane.publish(plan(world))
    world.arrive()
    found = asked(world)
    assert (found.reason, found.rule, found.chosen_by) == ("forwarded_request", None, "connection")
    assert found.connection is not None
    assert (found.connection.source, found.connection.real_server) == (CLIENT[0], "fw1")


def test_asking_leaves_no_trace(world: World) -> None:
    world.dataplane.publish(plan(world))
    before = world.dataplane.hops(), world.dataplane.counters(), world.dataplane.load()
    asked(world)
    assert (world.dataplane.hops(), world.dataplane.counters(), world.dataplane.load()) == before
    assert world.dataplane.sweep().connections == 0


def test_what_is_no_ip_and_what_is_no_leg(world: World) -> None:
    world.dataplane.publish(plan(world))
    arp = frame(world)[:12] + b"\x08\x06" + bytes(46)
    assert world.dataplane.inspection.explain("outside", arp, tagged=False).reason == "kernel_not_ip"
    with pytest.raises(DataPlaneError, match="leg 'nowhere': it is not attached; see `lasthop legs`"):
        world.dataplane.inspection.explain("nowhere", arp, tagged=False)


def test_a_healthy_data_plane_has_no_asymmetric_response(world: World) -> None:
    world.dataplane.publish(plan(world))
    world.arrive()
    assert world.dataplane.inspection.asymmetry().count == 0


def captured(world: KernelWorld, number: int) -> list[CapturedFrame]:
    """The next frames, as many as there must be."""
    inspection = world.dataplane.inspection
    found: list[CapturedFrame] = []

    def enough() -> bool:
        select.select([inspection.descriptor], [], [], 0.1)
        found.extend(inspection.captured(100))
        return len(found) >= number

    assert wait_until(enough, timeout=PATIENCE_S), found
    return found


def decided(world: KernelWorld) -> int:
    """Packets of the client's connection so far."""
    return next(each.value for each in world.dataplane.counters() if each.name == "forwarded_request")


@pytest.mark.root
class TestTheKernels:
    """What only packets can show."""

    def test_frames_are_captured_as_they_come_in_and_go_out(self, kernel_world: KernelWorld) -> None:
        kernel_world.dataplane.publish(plan(kernel_world))
        kernel_world.dataplane.inspection.capture({"outside", "firewalls"})
        kernel_world.arrive()
        came, went = captured(kernel_world, 2)
        assert (came.leg, came.direction, came.verdict, came.reason, came.hop) == (
            "outside", "in", "forwarded", "forwarded_opening", "router",
        )  # fmt: skip
        assert (went.leg, went.direction, went.hop, went.entry) == ("firewalls", "out", "fw1", "tc")
        assert went.data[:12] == FW1_MAC.replace(":", "")
        assert came.data[24:] == went.data[24:], "nothing but the MAC addresses differs"
        assert came.time_ns <= went.time_ns

    def test_a_leg_that_nobody_captures_any_more_has_no_frame_in_the_next_capture(
        self, kernel_world: KernelWorld
    ) -> None:
        inspection = kernel_world.dataplane.inspection
        kernel_world.dataplane.publish(plan(kernel_world))
        inspection.capture({"outside"})
        kernel_world.arrive((CLIENT[0], 1))
        inspection.capture(set())
        kernel_world.arrive((CLIENT[0], 2))
        inspection.capture({"outside"})
        kernel_world.arrive((CLIENT[0], 3))
        assert [frame.data[68:72] for frame in captured(kernel_world, 1)] == ["0003"]

    def test_a_director_that_starts_captures_nothing(self, kernel_world: KernelWorld) -> None:
        """The one before may have been killed."""
        kernel_world.dataplane.publish(plan(kernel_world))
        kernel_world.dataplane.inspection.capture({"outside"})
        kernel_world.reopen()
        kernel_world.dataplane.publish(plan(kernel_world))
        legs = kernel_world.dataplane._publisher.legs
        assert not (legs["flags"] & abi.enum("leg_flag")["LEG_CAPTURE"]).any()

    def test_publishing_goes_on_capturing(self, kernel_world: KernelWorld) -> None:
        kernel_world.dataplane.publish(plan(kernel_world))
        kernel_world.dataplane.inspection.capture({"outside"})
        kernel_world.dataplane.publish(plan(kernel_world, firewalls=("10.0.1.11",)))
        kernel_world.arrive()
        assert len(captured(kernel_world, 1)) == 1

    def test_frames_that_nobody_reads_are_counted_as_lost(self, kernel_world: KernelWorld) -> None:
        """The ring holds some two thousand."""
        inspection = kernel_world.dataplane.inspection
        kernel_world.dataplane.publish(plan(kernel_world))
        kernel_world.arrive()
        inspection.capture({"outside"})
        before = inspection.lost(), decided(kernel_world)

        def overflowing() -> bool:
            for _ in range(100):
                kernel_world.send(CLIENT)
            return inspection.lost() >= before[0] + 50

        assert wait_until(overflowing, timeout=PATIENCE_S)
        inspection.capture(set())
        lost, came = inspection.lost() - before[0], decided(kernel_world) - before[1]
        assert len(inspection.captured(came)) == came - lost

    def test_explanations_keep_up_with_a_resize(self, kernel_world: KernelWorld) -> None:
        """The table a connection is in moves, and programs become others."""
        kernel_world.dataplane.publish(plan(kernel_world))
        kernel_world.arrive()
        assert asked(kernel_world).connection is not None
        kernel_world.dataplane.resize(4 * CONNECTIONS)
        while kernel_world.dataplane.resize_step() is not None:
            found = asked(kernel_world)
            assert (found.reason, found.connection is not None) == ("forwarded_request", True)
        assert asked(kernel_world).reason == "forwarded_request"
